//! One HTTP request and its answer, as the streams that Git's protocol code wants.

use std::{
    io::{self, BufReader, Cursor, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use reqwest::{
    Method,
    blocking::Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{classify::chain, http::Inner};
use crate::{error::TimeLimit, wire::Failure};

/// An answer that is asked for when it is first read, after the request's body was written.
pub(crate) struct Exchange(Shared);

/// Read ahead of what gix asks for, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;

/// The request's body, the answer's headers, and the answer's body.
pub(crate) type Streams = (Upload, BufReader<Headers>, BufReader<Download>);

impl Exchange {
    pub(crate) fn new(remote: Arc<Inner>, method: Method, url: &str, headers: HeaderMap) -> Self {
        Self(Arc::new(Mutex::new(State {
            remote,
            method,
            url: url.to_owned(),
            headers,
            body: Vec::new(),
            response: None,
            sent: false,
        })))
    }

    /// Sends the request, if that has not happened yet, and looks at a header of the answer.
    pub(crate) fn header(&self, name: &HeaderName) -> io::Result<Option<HeaderValue>> {
        Ok(locked(&self.0).response()?.headers().get(name).cloned())
    }

    pub(crate) fn into_streams(self) -> Streams {
        let Self(state) = self;
        let upload = Upload(Arc::clone(&state));
        let headers = Headers {
            exchange: Arc::clone(&state),
            text: None,
        };
        let download = BufReader::with_capacity(BUFFER_BYTES, Download(state));
        (upload, BufReader::new(headers), download)
    }
}

struct State {
    remote: Arc<Inner>,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
    response: Option<Response>,
    sent: bool,
}

impl State {
    fn response(&mut self) -> io::Result<&mut Response> {
        if !self.sent {
            self.sent = true;
            let response = self
                .remote
                .send(&self.method, &self.url, &self.headers, &self.body)?;
            self.body = Vec::new();
            self.response = Some(response);
        }
        self.response
            .as_mut()
            .ok_or_else(|| io::Error::other("the request failed before"))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        let silence = self.remote.meter.limits().silence;
        let read = self.response()?.read(buffer);
        match read {
            Ok(bytes) => {
                self.remote.meter.count(bytes, since)?;
                Ok(bytes)
            }
            Err(error) if self.remote.meter.trouble().is_some() => Err(error),
            Err(error) => {
                let timed_out = error
                    .get_ref()
                    .and_then(|e| e.downcast_ref::<reqwest::Error>())
                    .is_some_and(reqwest::Error::is_timeout);
                Err(self.remote.meter.note(if timed_out {
                    Failure::TimedOut(TimeLimit::Silence(silence))
                } else {
                    Failure::Unavailable(chain(&error))
                }))
            }
        }
    }
}

type Shared = Arc<Mutex<State>>;

fn locked(exchange: &Shared) -> MutexGuard<'_, State> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The request's body; it is sent when the answer is read.
pub(crate) struct Upload(Shared);

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The answer's headers, one a line; reading them sends the request.
pub(crate) struct Headers {
    exchange: Shared,
    text: Option<Cursor<Vec<u8>>>,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(text) = &mut self.text {
            return text.read(buffer);
        }
        let mut text = Vec::new();
        let mut exchange = locked(&self.exchange);
        for (name, value) in exchange.response()?.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        drop(exchange);
        self.text.insert(Cursor::new(text)).read(buffer)
    }
}

/// The answer's body.
pub(crate) struct Download(Shared);

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        locked(&self.0).read(buffer)
    }
}
