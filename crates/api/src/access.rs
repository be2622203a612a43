//! Who may ask: bearer tokens, or, without any, only this machine.
//!
//! Tokens are kept as SHA-256 hashes and compared in constant time; the plain text is dropped as
//! soon as the settings are read. Several are valid at once, so that they can be rotated.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use leasectl_core::webhook::Forge;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::problem::{Code, Problem};

/// The least length of a token that is not warned about, in bytes.
const SHORT_TOKEN_BYTES: usize = 16;

/// The rule that decides whether a request is answered.
#[derive(Clone)]
pub enum Access {
    /// No tokens: the service listens on a loopback address, and answers only requests that name
    /// a loopback host (a web page elsewhere must not reach it through a rebound name).
    LoopbackOnly,
    /// One of these tokens.
    Tokens(Tokens),
}

/// The hashes of the tokens that are valid.
#[derive(Clone)]
pub struct Tokens {
    hashes: Arc<[[u8; 32]]>,
    some_are_short: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoopbackOnly => f.write_str("LoopbackOnly"),
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.hashes.len()),
        }
    }
}

impl Access {
    /// Reads a comma-separated list of tokens; an empty one means that there are none.
    #[must_use]
    pub fn from_list(list: &str) -> Self {
        let tokens: Vec<&str> = list
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .collect();
        if tokens.is_empty() {
            return Self::LoopbackOnly;
        }
        let some_are_short = tokens.iter().any(|token| token.len() < SHORT_TOKEN_BYTES);
        let hashes = tokens
            .into_iter()
            .map(|token| hash(token.as_bytes()))
            .collect();
        Self::Tokens(Tokens {
            hashes,
            some_are_short,
        })
    }

    /// Says so in the log when a token could be guessed.
    pub(crate) fn warn_about_short_tokens(&self) {
        if let Self::Tokens(Tokens {
            some_are_short: true,
            ..
        }) = self
        {
            tracing::warn!(
                "an API token is shorter than {SHORT_TOKEN_BYTES} bytes; make a long random one"
            );
        }
    }

    /// Whether there are no tokens, so that only loopback addresses may be listened on.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        matches!(self, Self::LoopbackOnly)
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::LoopbackOnly if is_local(headers) => Ok(()),
            Self::LoopbackOnly => Err(Problem::new(
                Code::HostNotAllowed,
                "this service has no API token and answers only requests for localhost; \
                 set LEASECTL_API_TOKEN",
            )),
            Self::Tokens(tokens) => match bearer(headers) {
                Some(token) if tokens.contain(token) => Ok(()),
                Some(_) => Err(Problem::new(
                    Code::Unauthorized,
                    "the API token is not valid",
                )),
                None => Err(Problem::new(
                    Code::Unauthorized,
                    "send the API token in the header \"Authorization: Bearer TOKEN\"",
                )),
            },
        }
    }
}

impl Tokens {
    /// Compares with every hash, so that the time taken says nothing.
    fn contain(&self, token: &[u8]) -> bool {
        let given = hash(token);
        let found = self
            .hashes
            .iter()
            .fold(Choice::from(0), |found, known| found | known.ct_eq(&given));
        found.into()
    }
}

/// The layer: refuses requests without access, except for the few open routes.
pub(crate) async fn require(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !is_open(request.uri().path()) {
        access.check(request.headers())?;
    }
    Ok(next.run(request).await)
}

/// The routes that need no token: probes, the page (which asks for one in the browser), and webhooks, which prove
/// themselves by the secret of their forge.
fn is_open(path: &str) -> bool {
    let is_webhook = |path: &str| {
        path.strip_prefix("/v1/webhooks/")
            .is_some_and(|name| Forge::ALL.iter().any(|forge| forge.as_str() == name))
    };
    matches!(path, "/" | "/healthz" | "/readyz") || is_webhook(path)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether the request names this machine, and does not come from a page of another one.
fn is_local(headers: &HeaderMap) -> bool {
    let from_here = match headers.get(ORIGIN).map(HeaderValue::as_bytes) {
        Some(origin) => origin
            .strip_prefix(b"http://")
            .and_then(|host| HeaderValue::from_bytes(host).ok())
            .is_some_and(|host| names_loopback(Some(&host))),
        None => true,
    };
    from_here && names_loopback(headers.get(HOST))
}

fn names_loopback(host: Option<&HeaderValue>) -> bool {
    // HTTP/1.0 and in-process requests have no Host; a browser always sends one.
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn accepts(access: &Access, authorization: &str) -> bool {
        access.check(&with(AUTHORIZATION, authorization)).is_ok()
    }

    #[test]
    fn each_of_several_tokens_is_valid() {
        let access = Access::from_list(" old-token-old-token ,new-token-new-token,");
        assert!(accepts(&access, "Bearer old-token-old-token"));
        assert!(accepts(&access, "bearer new-token-new-token"));
        for wrong in [
            "Bearer old-token-old-tokeN",
            "Bearer old-token",
            "Bearer ",
            "Bearer",
            "Basic old-token-old-token",
            "old-token-old-token",
            "Bearer old-token-old-token,new-token-new-token",
        ] {
            assert!(!accepts(&access, wrong), "{wrong:?} was accepted");
        }
        assert!(access.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let access = Access::from_list("a-token-a-token-a-token");
        let mut headers = with(AUTHORIZATION, "Bearer a-token-a-token-a-token");
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(access.check(&headers).is_err());
    }

    #[test]
    fn a_list_without_tokens_means_loopback_only() {
        for list in ["", " ", ",", " , "] {
            assert!(Access::from_list(list).is_loopback_only());
        }
    }

    #[test]
    fn without_tokens_only_loopback_hosts_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(
                Access::LoopbackOnly.check(&with(HOST, host)).is_ok(),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "[::2]:1",
            "::2",
            "",
        ] {
            assert!(
                Access::LoopbackOnly.check(&with(HOST, host)).is_err(),
                "{host}"
            );
        }
    }

    #[test]
    fn without_tokens_pages_of_other_hosts_are_not_answered() {
        for (origin, answered) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("https://evil.example", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            let headers = with(ORIGIN, origin);
            assert_eq!(
                Access::LoopbackOnly.check(&headers).is_ok(),
                answered,
                "{origin}"
            );
        }
    }

    #[test]
    fn tokens_do_not_show_in_debug_output() {
        let access = Access::from_list("canary-canary-canary");
        assert_eq!(format!("{access:?}"), "Tokens(1)");
    }
}
