//! The host part of a remote URL: one spelling per host, and no spelling of a forbidden one.
//!
//! Programs disagree about unusual hosts (`127.1`, `0x7f000001`, a trailing dot, broken
//! punycode), and every disagreement is a way past a check. So only spellings that all of them
//! read alike are accepted, in either [`Locality`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Locality, Reach};
use crate::url::RemoteUrlError;

/// Longest host name DNS can carry, in bytes.
const MAX_HOST_BYTES: usize = 253;
/// Longest label of a host name, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Top-level names that only mean something inside a network.
const LOCAL_SUFFIXES: [&str; 14] = [
    "localhost",
    "localdomain",
    "localdomain6",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "svc",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
];

/// Public domains whose names resolve to loopback or to an address spelt in the name.
const REBINDING_SUFFIXES: [&str; 8] = [
    "nip.io",
    "sslip.io",
    "xip.io",
    "localtest.me",
    "lvh.me",
    "vcap.me",
    "lacolhost.com",
    "localho.st",
];

/// Host names of cloud metadata services, refused even when local remotes are allowed.
const METADATA_NAMES: [&str; 4] = [
    "metadata.goog",
    "instance-data",
    "rancher-metadata",
    "instance-data.ec2.internal",
];

/// Checks `text` against the policy and returns its canonical spelling.
///
/// # Errors
/// The first rule that the host breaks.
pub(crate) fn canonical(text: &str, locality: Locality) -> Result<String, RemoteUrlError> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(RemoteUrlError::Host)?;
        return canonical_v6(inner, locality);
    }
    let host = text.to_ascii_lowercase();
    if host.is_empty() {
        return Err(RemoteUrlError::HostMissing);
    }
    if host.len() > MAX_HOST_BYTES || !host.split('.').all(is_label) {
        return Err(RemoteUrlError::Host);
    }
    if ends_in_number(&host) {
        let address: Ipv4Addr = host.parse().map_err(|_| RemoteUrlError::AddressNotation)?;
        permit(IpAddr::V4(address), locality)?;
        return Ok(address.to_string());
    }
    match idna::domain_to_ascii_cow(host.as_bytes(), idna::AsciiDenyList::URL) {
        Ok(ascii) if ascii == host => {}
        Ok(_) | Err(_) => return Err(RemoteUrlError::Punycode),
    }
    permit_name(&host, locality)?;
    Ok(host)
}

/// IPv6 literals are written in full, because `::` may stand nowhere in a remote URL.
fn canonical_v6(inner: &str, locality: Locality) -> Result<String, RemoteUrlError> {
    let hex_only = inner
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    if !hex_only {
        return Err(RemoteUrlError::AddressNotation);
    }
    let address: Ipv6Addr = inner.parse().map_err(|_| RemoteUrlError::AddressNotation)?;
    permit(IpAddr::V6(address), locality)?;
    let [a, b, c, d, e, f, g, h] = address.segments();
    Ok(format!("[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}]"))
}

fn permit(address: IpAddr, locality: Locality) -> Result<(), RemoteUrlError> {
    match Reach::of(address) {
        Reach::Public => Ok(()),
        Reach::Local => match locality {
            Locality::AllowLocal => Ok(()),
            Locality::PublicOnly => Err(RemoteUrlError::HostNotPublic),
        },
        Reach::Never => Err(RemoteUrlError::HostForbidden),
    }
}

fn permit_name(host: &str, locality: Locality) -> Result<(), RemoteUrlError> {
    let first_label = host.split('.').next().unwrap_or(host);
    if first_label == "metadata" || METADATA_NAMES.contains(&host) {
        return Err(RemoteUrlError::HostForbidden);
    }
    let local = !host.contains('.')
        || LOCAL_SUFFIXES
            .iter()
            .chain(&REBINDING_SUFFIXES)
            .any(|suffix| is_under(host, suffix));
    match locality {
        Locality::PublicOnly if local => Err(RemoteUrlError::HostNotPublic),
        Locality::PublicOnly | Locality::AllowLocal => Ok(()),
    }
}

fn is_under(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            bytes.len() <= MAX_LABEL_BYTES
                && inside(first)
                && inside(last)
                && bytes
                    .iter()
                    .all(|byte| inside(byte) || matches!(byte, b'-' | b'_'))
        }
        (None, _) | (_, None) => false,
    }
}

/// True where the URL standard would read the host as an IPv4 number.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || last.bytes().all(|byte| byte.is_ascii_digit())
}
