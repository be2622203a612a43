//! A service that is sent garbage, on a thread of its own, since answers take their time while the
//! database is away.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use reqwest::Method;

use super::member::through;
use super::proxy::{Proxy, Sprung, Weather};
use crate::api::Api;
use crate::corpus::{hostile_names, hostile_refspecs, hostile_urls};
use crate::dice::Dice;
use crate::stage::Stage;

/// Requests that wait for their turn.
const PENDING: usize = 8;
/// No more is sent at once than a body may hold.
const LARGE_BYTES: usize = 2 << 20;

/// What an answer to garbage showed.
#[derive(Debug)]
struct Answered {
    text: String,
    /// What is wrong with it.
    fault: Option<String>,
}

/// The service and its tormentor.
#[derive(Debug)]
pub(super) struct Garbage {
    orders: Option<SyncSender<u64>>,
    answered: Receiver<Answered>,
    thread: Option<JoinHandle<()>>,
    proxy: Proxy,
    texts: Vec<String>,
    faults: Vec<String>,
}

impl Garbage {
    /// Starts the service behind a proxy of its own, numbered after the workers.
    pub(super) fn start(
        stage: &Stage,
        url: &str,
        number: usize,
        sprung: Sender<Sprung>,
        token: &str,
    ) -> Self {
        let upstream = stage.server().port();
        let proxy = Proxy::start(number, upstream, sprung);
        let api = stage
            .api()
            .token(token)
            .env("DATABASE_URL", &through(url, proxy.port()))
            .start();
        let (orders, ordered) = sync_channel(PENDING);
        let (report, answered) = channel();
        let thread = std::thread::spawn(move || torment(&api, &ordered, &report));
        Self {
            orders: Some(orders),
            answered,
            thread: Some(thread),
            proxy,
            texts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Has something sent; whether there was room.
    pub(super) fn order(&self, seed: u64) -> bool {
        let orders = self.orders.as_ref();
        orders.is_some_and(|orders| orders.try_send(seed).is_ok())
    }

    /// Names a fault for each answer that has come.
    pub(super) fn answers(&mut self) -> Vec<&'static str> {
        let mut counted = Vec::new();
        while let Ok(answered) = self.answered.try_recv() {
            self.texts.push(answered.text);
            self.faults.extend(answered.fault);
            counted.push("garbage to the service");
        }
        counted
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn calm(&self) {
        self.proxy
            .set_weather(|weather| *weather = Weather::default());
    }

    /// Ends the service; what it answered, and what was wrong with it.
    pub(super) fn end(&mut self) -> (Vec<String>, Vec<String>) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.faults.push("the tormentor panicked".to_owned());
        }
        self.answers();
        (
            std::mem::take(&mut self.texts),
            std::mem::take(&mut self.faults),
        )
    }
}

fn torment(api: &Api, ordered: &Receiver<u64>, report: &Sender<Answered>) {
    while let Ok(seed) = ordered.recv() {
        let mut dice = Dice::with_seed(seed);
        let (method, path, body) = request(&mut dice);
        let shown: String = format!("{method} {path}").chars().take(120).collect();
        let sent = api.try_send(method, &path, |request| {
            request
                .header("content-type", "application/json")
                .body(body)
        });
        let answered = match sent {
            // Without the database only 503 may be said.
            Ok(reply) if (400..500).contains(&reply.status) || reply.status == 503 => Answered {
                text: format!("{:?} {}", reply.headers, reply.text),
                fault: None,
            },
            Ok(reply) => Answered {
                fault: Some(format!(
                    "{shown} was answered {}: {}",
                    reply.status, reply.text
                )),
                text: reply.text,
            },
            Err(error) => Answered {
                fault: Some(format!("{shown} was not answered: {error:?}")),
                text: String::new(),
            },
        };
        drop(report.send(answered));
    }
}

/// A request that no service may carry out.
fn request(dice: &mut Dice) -> (Method, String, Vec<u8>) {
    let jobs = || "/v1/jobs".to_owned();
    match dice.roll(8) {
        0 => {
            let bytes = (0..dice.number(1, 300)).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0));
            (Method::POST, jobs(), bytes.collect())
        }
        1 => (Method::POST, jobs(), vec![b'['; 100_000]),
        2 => (Method::POST, jobs(), vec![b' '; LARGE_BYTES]),
        3 => {
            let urls = hostile_urls();
            let url = &urls[dice.roll(urls.len())];
            let body = serde_json::json!({ "git_url": url }).to_string();
            (Method::POST, "/v1/repos".to_owned(), body.into())
        }
        4 => {
            let names = hostile_names();
            let name = &names[dice.roll(names.len())];
            let body = serde_json::json!({"git_url": "https://example.org/a/b", "name": name});
            (
                Method::POST,
                "/v1/repos".to_owned(),
                body.to_string().into(),
            )
        }
        5 => {
            let refspecs = hostile_refspecs();
            let refspec = &refspecs[dice.roll(refspecs.len())];
            let body = serde_json::json!({
                "repo": "acme/r0", "kind": "fetch", "args": {"refspecs": [refspec]}
            });
            (Method::POST, jobs(), body.to_string().into())
        }
        6 => (
            Method::GET,
            format!(
                "/v1/jobs?limit={}&cursor=%00{}",
                "9".repeat(30),
                "x".repeat(50)
            ),
            Vec::new(),
        ),
        _ => (
            Method::POST,
            format!("/v1/jobs/{}/cancel", dice.roll(1_000_000)),
            Vec::new(),
        ),
    }
}
