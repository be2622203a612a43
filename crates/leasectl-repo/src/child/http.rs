//! HTTP for Git with everything fixed that must not be left to chance: the address is the one that
//! was checked, redirects and proxies are not followed, silence ends in a time-out, and credentials
//! are asked for only when the remote wants them.

use std::{
    any::Any,
    io::{self, BufReader, Cursor, Read, Write},
    net::SocketAddr,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse,
};
use reqwest::{
    Method, StatusCode,
    blocking::{Client, Response},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE},
    redirect,
};

use super::{link::Link, meter::Meter};
use crate::{
    error::{AuthAdvice, TimeLimit},
    wire::{Failure, Login},
};

/// Read ahead of what gix asks for, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;

/// One HTTP remote.
#[derive(Clone)]
pub(crate) struct Remote {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    meter: Arc<Meter>,
    link: Arc<Link>,
    /// Whether a secret may be sent: over TLS, or to this very machine.
    may_send_secrets: bool,
    authorization: Mutex<Option<HeaderValue>>,
}

/// How to reach the remote.
pub(crate) struct Reach<'a> {
    /// The name in the URL.
    pub(crate) host: &'a str,
    /// The addresses that were found acceptable; nothing else is connected to.
    pub(crate) addresses: &'a [SocketAddr],
    /// Whether TLS is used.
    pub(crate) tls: bool,
}

impl Remote {
    pub(crate) fn new(
        reach: &Reach<'_>,
        meter: Arc<Meter>,
        link: Arc<Link>,
    ) -> Result<Self, Failure> {
        let limits = meter.limits();
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(limits.connect_timeout)
            // For every wait of its own: for the answer to begin, and for each further piece.
            .timeout(limits.silence)
            .resolve_to_addrs(reach.host, reach.addresses);
        if reach.tls {
            builder = builder.https_only(true);
        } else {
            // Without TLS no certificates are needed, and loading them costs milliseconds.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|error| Failure::Local(chain(&error)))?;
        let loopback = reach
            .addresses
            .iter()
            .all(|address| address.ip().is_loopback());
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                meter,
                link,
                may_send_secrets: reach.tls || loopback,
                authorization: Mutex::new(None),
            }),
        })
    }
}

impl Inner {
    /// Sends a request, with credentials if the remote wants them.
    fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> io::Result<Response> {
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let response = self.send_once(method, url, headers, body, known.as_ref())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.accept(response);
        }
        let wants = describe_challenge(&response);
        let fail = |advice| Err(self.meter.note(Failure::Auth(advice, wants.clone())));
        if known.is_some() {
            return fail(AuthAdvice::Renew);
        }
        let Some(login) = self.link.ask_credentials() else {
            return fail(AuthAdvice::Configure);
        };
        if !self.may_send_secrets {
            return fail(AuthAdvice::UseHttps);
        }
        let authorization = basic(&login)?;
        let response = self.send_once(method, url, headers, body, Some(&authorization))?;
        if matches!(
            response.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return fail(AuthAdvice::Renew);
        }
        *self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(authorization);
        self.accept(response)
    }

    fn send_once(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: &[u8],
        authorization: Option<&HeaderValue>,
    ) -> io::Result<Response> {
        let mut request = self
            .client
            .request(method.clone(), url)
            .headers(headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if method == Method::POST {
            request = request.body(body.to_vec());
        }
        let limits = self.meter.limits();
        request.send().map_err(|error| {
            let failure = if error.is_timeout() && error.is_connect() {
                Failure::TimedOut(TimeLimit::Connect(limits.connect_timeout))
            } else if error.is_timeout() {
                Failure::TimedOut(TimeLimit::Silence(limits.silence))
            } else {
                Failure::Unavailable(chain(&error))
            };
            self.meter.note(failure)
        })
    }

    /// Lets only a success pass.
    fn accept(&self, response: Response) -> io::Result<Response> {
        let status = response.status();
        let said = || format!("the remote answered {status}");
        let failure = match status.as_u16() {
            200 => return Ok(response),
            300..=399 => Failure::Redirected,
            401 | 403 => Failure::Auth(AuthAdvice::Configure, said()),
            404 | 410 => Failure::NotFound(said()),
            _ => Failure::Unavailable(said()),
        };
        Err(self.meter.note(failure))
    }
}

/// An answer that is asked for when it is first read, after the request's body was written.
pub(crate) struct Exchange {
    remote: Arc<Inner>,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
    response: Option<Response>,
    sent: bool,
}

impl Exchange {
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

type Shared = Arc<Mutex<Exchange>>;

fn locked(exchange: &Shared) -> std::sync::MutexGuard<'_, Exchange> {
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

impl Remote {
    fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Shared {
        Arc::new(Mutex::new(Exchange {
            remote: Arc::clone(&self.inner),
            method,
            url: url.to_owned(),
            headers: header_map(headers),
            body: Vec::new(),
            response: None,
            sent: false,
        }))
    }
}

impl Http for Remote {
    type Headers = BufReader<Headers>;
    type ResponseBody = BufReader<Download>;
    type PostBody = Upload;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let exchange = self.exchange(Method::GET, url, headers);
        let kind = locked(&exchange)
            .response()
            .map_err(gix::Error::from_error)?
            .headers()
            .get(CONTENT_TYPE)
            .cloned();
        if kind.is_none_or(|kind| kind != "application/x-git-upload-pack-advertisement") {
            let failure = Failure::NotFound("the answer is not Git's smart protocol".to_owned());
            return Err(gix::Error::from_error(self.inner.meter.note(failure)));
        }
        let body = BufReader::with_capacity(BUFFER_BYTES, Download(Arc::clone(&exchange)));
        Ok(GetResponse {
            headers: BufReader::new(Headers {
                exchange,
                text: None,
            }),
            body,
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let exchange = self.exchange(Method::POST, url, headers);
        Ok(PostResponse {
            post_body: Upload(Arc::clone(&exchange)),
            headers: BufReader::new(Headers {
                exchange: Arc::clone(&exchange),
                text: None,
            }),
            body: BufReader::with_capacity(BUFFER_BYTES, Download(exchange)),
        })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result {
        Ok(())
    }
}

fn header_map(headers: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in headers {
        if let Some((name, value)) = line.as_ref().split_once(':')
            && let Ok(name) = HeaderName::from_str(name)
            && let Ok(value) = HeaderValue::from_str(value.trim())
        {
            map.append(name, value);
        }
    }
    map
}

/// What the remote asks for, without anything that could be a secret.
fn describe_challenge(response: &Response) -> String {
    let scheme = response
        .headers()
        .get(WWW_AUTHENTICATE)
        .and_then(|value| value.to_str().ok()?.split_whitespace().next())
        .unwrap_or("credentials");
    format!(
        "the remote answered {} and asks for {scheme}",
        response.status()
    )
}

fn basic(login: &Login) -> io::Result<HeaderValue> {
    let text = format!(
        "Basic {}",
        BASE64.encode(format!("{}:{}", login.user, login.secret))
    );
    let mut value = HeaderValue::from_str(&text).map_err(io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with all its causes; URLs in it hold no secrets.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    super::classify::chain(error)
}
