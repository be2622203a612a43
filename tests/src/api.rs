//! A real `leasectl-api` process, and requests to it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, redirect};
use serde_json::Value;

use crate::dice::{Dice, new_seed};
use crate::process::{Invocation, Running, Signal};
use crate::programs::api_program;
use crate::runtime::block_on;
use crate::stage::Stage;
use crate::wait::{PATIENCE, wait_until};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// A service about to be started.
#[derive(Debug)]
pub struct ApiBuilder<'a> {
    stage: &'a Stage,
    invocation: Invocation,
    port: u16,
    token: Option<String>,
}

impl<'a> ApiBuilder<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Self {
        let invocation = Invocation::new(api_program())
            .envs(stage.environment())
            .env("LEASECTL_LOG_FORMAT", "text")
            .dir(&stage.folder().join("home"));
        Self {
            stage,
            invocation,
            port: free_port(),
            token: None,
        }
    }

    /// The port that is meant for it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Requires this token, and sends it with every request.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.invocation = self.invocation.env("LEASECTL_API_TOKEN", token);
        self.token = token.split(',').next().map(str::to_owned);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.invocation = self.invocation.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.invocation = self.invocation.env(name, value);
        self
    }

    /// The command itself, for a service that is not meant to start.
    #[must_use]
    pub fn into_command(self) -> Invocation {
        self.invocation
    }

    /// Starts it on loopback and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get that far.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Api {
        let listen = format!("127.0.0.1:{}", self.port);
        self.invocation = self.invocation.args(["--listen", &listen]);
        self.start_as_told()
    }

    /// Starts it without saying where it listens, and waits until it is ready at its port.
    ///
    /// # Panics
    /// When it does not get that far.
    #[must_use]
    #[track_caller]
    pub fn start_as_told(self) -> Api {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = self
            .stage
            .log(&format!("api-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let running = self.invocation.start(&log);
        // No connection is kept between requests, so that a restart is not seen as an error, and
        // no proxy of the machine is asked.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(ANSWER_LIMIT)
            .build()
            .expect("a client");
        let base = format!("http://127.0.0.1:{}", self.port);
        let mut api = Api {
            running,
            client,
            base,
            token: self.token,
        };
        wait_until(PATIENCE, "a service that is ready", || {
            if let Some(ended) = api.running.ended() {
                panic!(
                    "the service ended ({ended}) before it was ready:\n{}",
                    api.log()
                );
            }
            api.try_get("/readyz").filter(|reply| reply.status == 200)
        });
        api
    }
}

/// A port of 127.0.0.1 where nobody listens now.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    // The kernel gives none of these to whoever asks for any: a remote of another test would be given it meanwhile.
    const BELOW_EPHEMERAL: (u64, u64) = (20_000, 32_000);
    const TRIES: usize = 100;
    let mut dice = Dice::with_seed(new_seed());
    let mut ports = (0..TRIES).map(|_| dice.number(BELOW_EPHEMERAL.0, BELOW_EPHEMERAL.1));
    let free = ports.find_map(|port| {
        let port = u16::try_from(port).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("a free port")
}

/// A running service; it is killed when this is dropped.
#[derive(Debug)]
pub struct Api {
    running: Running,
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The request, for messages.
    pub shown: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Reply {
    /// Expects that status; the body as JSON.
    ///
    /// # Panics
    /// When it is another one, or the body is not JSON.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.shown, self.text);
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}): {}", self.shown, self.text))
    }

    /// Expects a problem of that status, complete and with its media type.
    ///
    /// # Panics
    /// When it is anything else.
    #[track_caller]
    pub fn expect_problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.shown
        );
        for field in ["type", "title", "detail", "code", "request_id"] {
            assert!(
                problem[field].is_string(),
                "{}: {field} is missing: {problem}",
                self.shown
            );
        }
        assert_eq!(problem["status"], status, "{}", self.shown);
        assert_eq!(
            problem["request_id"],
            self.header("x-request-id"),
            "{}",
            self.shown
        );
        problem
    }

    /// A header's text, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Api {
    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// A `GET`.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, |request| request)
    }

    /// A `GET`; nothing when there is no answer.
    #[must_use]
    pub fn try_get(&self, path: &str) -> Option<Reply> {
        self.try_send(Method::GET, path, |request| request).ok()
    }

    /// A `GET` of any URL, with exactly these headers and no token.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request, format!("GET {url}"))
            .unwrap_or_else(|error| panic!("no answer: {error:?}\n{}", self.log()))
    }

    /// A `GET` of any URL without a token, such as another program's; nothing when there is no
    /// answer.
    #[must_use]
    pub fn get_from(&self, url: &str) -> Option<Reply> {
        answer(self.client.get(url), format!("GET {url}")).ok()
    }

    /// A `POST` of JSON.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, |request| request.json(body))
    }

    /// A `POST` of any bytes under any media type.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn post_bytes(&self, path: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        self.send(Method::POST, path, |request| {
            request.header("content-type", media_type).body(body)
        })
    }

    /// Any request.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn send(
        &self,
        method: Method,
        path: &str,
        dress: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Reply {
        self.try_send(method, path, dress)
            .unwrap_or_else(|error| panic!("no answer: {error:?}\n{}", self.log()))
    }

    /// Any request; the error when there is no answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn try_send(
        &self,
        method: Method,
        path: &str,
        dress: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Reply, reqwest::Error> {
        let shown = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        answer(dress(request), shown)
    }

    /// Asks it to stop: SIGTERM.
    pub fn terminate(&self) {
        self.running.signal(Signal::TERM);
    }

    /// Waits for its end; the exit code, negative for a signal.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        self.running.wait(PATIENCE)
    }
}

fn answer(request: RequestBuilder, shown: String) -> Result<Reply, reqwest::Error> {
    block_on(async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        Ok(Reply {
            shown,
            status,
            headers,
            text,
        })
    })
}
