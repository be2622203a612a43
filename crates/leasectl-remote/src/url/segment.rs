//! The path of a remote URL, part by part.

use super::RemoteUrlError;

/// Checks the path of a remote behind a network and returns its canonical form.
pub(super) fn network_path(path: &str) -> Result<String, RemoteUrlError> {
    let mut canonical = String::with_capacity(path.len());
    for part in trimmed_path(path)?.split('/').skip(1) {
        let plain = percent_decoded(part)?;
        check_part(&plain, |c| {
            c == ' ' || "-._~+".contains(c) || c.is_alphanumeric()
        })?;
        canonical.push('/');
        percent_encode(&plain, &mut canonical);
    }
    Ok(canonical)
}

/// Checks a path on this machine, which is taken literally, and drops its last slashes.
pub(super) fn local_path(path: &str) -> Result<&str, RemoteUrlError> {
    let path = trimmed_path(path)?;
    for part in path.split('/').skip(1) {
        check_part(part, |c| c.is_alphanumeric() || "-._~+@,= ".contains(c))?;
    }
    Ok(path)
}

fn trimmed_path(path: &str) -> Result<&str, RemoteUrlError> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        Err(RemoteUrlError::PathMissing)
    } else {
        Ok(path)
    }
}

/// The rules for one decoded part of a path, whatever the scheme.
fn check_part(part: &str, allowed: impl Fn(char) -> bool) -> Result<(), RemoteUrlError> {
    if part.is_empty() {
        return Err(RemoteUrlError::EmptySegment);
    }
    if part.bytes().all(|byte| byte == b'.') {
        return Err(RemoteUrlError::DotSegment);
    }
    if part.starts_with('-') || part.contains(" -") {
        return Err(RemoteUrlError::LeadingDash);
    }
    if part.starts_with(' ') || part.ends_with(' ') || !part.chars().all(allowed) {
        return Err(RemoteUrlError::ForbiddenCharacter);
    }
    Ok(())
}

/// Decodes a canonical path; local paths hold no `%`.
pub(super) fn decoded(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for (at, part) in path.split('/').enumerate() {
        if at > 0 {
            plain.push('/');
        }
        match percent_decoded(part) {
            Ok(part) => plain.push_str(&part),
            // Taken literally: a local path with a space or a letter beyond ASCII.
            Err(_) => plain.push_str(part),
        }
    }
    plain
}

/// Decodes a part. What could have been written plainly may not be encoded, and what may not be
/// written plainly may not be smuggled in.
fn percent_decoded(part: &str) -> Result<String, RemoteUrlError> {
    if part.contains(' ') || !part.is_ascii() {
        return Err(RemoteUrlError::ForbiddenCharacter);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(RemoteUrlError::PercentEncoding);
        };
        let byte = hex_value(*high)
            .zip(hex_value(*low))
            .map(|(high, low)| high << 4 | low)
            .filter(|byte| *byte == b' ' || *byte >= 0x80)
            .ok_or(RemoteUrlError::PercentEncoding)?;
        bytes.push(byte);
        rest = tail;
    }
    let text = String::from_utf8(bytes).map_err(|_| RemoteUrlError::PercentEncoding)?;
    if text.chars().all(|c| c.is_ascii() || c.is_alphanumeric()) {
        Ok(text)
    } else {
        Err(RemoteUrlError::PercentEncoding)
    }
}

fn percent_encode(plain: &str, into: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in plain.bytes() {
        if byte == b' ' || byte >= 0x80 {
            into.push('%');
            into.push(DIGITS[usize::from(byte >> 4)]);
            into.push(DIGITS[usize::from(byte & 0x0f)]);
        } else {
            into.push(char::from(byte));
        }
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
