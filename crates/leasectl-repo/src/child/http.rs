//! HTTP for Git with everything fixed that must not be left to chance: the address is the one that
//! was checked, redirects and proxies are not followed, silence ends in a time-out, and credentials
//! are asked for only when the remote wants them.

use std::{
    any::Any,
    io::{self, BufReader},
    net::SocketAddr,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
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

use super::{
    classify::chain,
    exchange::{Download, Exchange, Headers, Upload},
    link::Link,
    meter::Meter,
};
use crate::{
    error::{AuthAdvice, TimeLimit},
    wire::{Failure, Login},
};

/// One HTTP remote.
#[derive(Clone)]
pub(crate) struct Remote {
    inner: Arc<Inner>,
}

/// What all exchanges with the remote share.
pub(crate) struct Inner {
    client: Client,
    pub(crate) meter: Arc<Meter>,
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
            .map_err(|error| Failure::Unavailable(chain(&error)))?;
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
    pub(crate) fn send(
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
        if !self.may_send_secrets {
            return fail(AuthAdvice::UseHttps);
        }
        let Some(login) = self.link.ask_credentials() else {
            return fail(AuthAdvice::Configure);
        };
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

impl Remote {
    fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Exchange {
        Exchange::new(Arc::clone(&self.inner), method, url, header_map(headers))
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
        let kind = exchange
            .header(&CONTENT_TYPE)
            .map_err(gix::Error::from_error)?;
        if kind.is_none_or(|kind| kind != "application/x-git-upload-pack-advertisement") {
            let failure = Failure::NotFound("the answer is not Git's smart protocol".to_owned());
            return Err(gix::Error::from_error(self.inner.meter.note(failure)));
        }
        let (_, headers, body) = exchange.into_streams();
        Ok(GetResponse { headers, body })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let exchange = self.exchange(Method::POST, url, headers);
        let (post_body, headers, body) = exchange.into_streams();
        Ok(PostResponse {
            post_body,
            headers,
            body,
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
