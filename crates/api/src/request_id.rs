//! Request ids: echoed when the caller's is sane, made otherwise.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the id, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a caller, in bytes.
const MAX_BYTES: usize = 128;

/// One request's id: printable ASCII without spaces, 1 to 128 bytes.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The caller's id when there is exactly one and it is sane, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        let id = match (given.next(), given.next()) {
            (Some(one), None) => one.to_str().ok().filter(|text| is_sane(text)),
            _ => None,
        };
        Self(id.map_or_else(|| Uuid::new_v4().to_string().into(), Into::into))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value.
    pub(crate) fn as_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_sane(id: &str) -> bool {
    (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &[u8]) -> String {
        let value = HeaderValue::from_bytes(value).unwrap();
        RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
            .as_str()
            .to_owned()
    }

    #[test]
    fn a_sane_id_is_echoed() {
        assert_eq!(id_for(b"trace-42/a:b"), "trace-42/a:b");
        assert_eq!(id_for(&[b'x'; 128]), "x".repeat(128));
    }

    #[test]
    fn any_other_id_is_replaced() {
        for odd in [
            &b""[..],
            b"two words",
            b"tab\there",
            b"caf\xc3\xa9",
            &[b'x'; 129],
        ] {
            let made = id_for(odd);
            assert!(Uuid::try_parse(&made).is_ok(), "{odd:?} gave {made}");
        }
        assert_ne!(
            RequestId::of(&HeaderMap::new()).as_str(),
            RequestId::of(&HeaderMap::new()).as_str()
        );
    }
}
