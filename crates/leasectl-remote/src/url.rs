//! Remote URLs: what is accepted, and the one canonical form that is their identity.
//!
//! | written | canonical |
//! | --- | --- |
//! | `https://Host[:443]/path/` | `https://host/path` |
//! | `ssh://user@Host[:22]/path` | `ssh://user@host/path` |
//! | `user@Host:path` | `ssh://user@host/path` |
//! | `/abs/path`, `file:///abs/path` (local only) | `file:///abs/path` |
//! | `http://Host[:80]/path` (local only) | `http://host/path` |
//!
//! Choices that identity hangs on:
//! - The **case of a path** is kept, and a **`.git` suffix** is neither added nor removed: on a
//!   plain server `a` and `a.git` may be two repositories, and on some forges only one of the two
//!   answers without a redirect, which is never followed. Two registrations of one repository
//!   cost a second clone; one registration of two repositories would mix their contents.
//! - The scp form is read as a path from the server's root, as every forge does. For a path in a
//!   home directory, write `user@host:~/path`.
//! - IPv6 addresses are written in full, in brackets, because `::` is refused everywhere.
//! - Percent-encoding is accepted only for what cannot be written plainly: a space (Azure DevOps
//!   project names) and letters and digits beyond ASCII. Its hexadecimal digits are upper-case.
//! - Local paths are taken literally, never percent-decoded. They may hold spaces and letters
//!   beyond ASCII, but no character that means something to a shell.

use std::fmt;
use std::path::Path;

use crate::address::Locality;
use crate::host;
use crate::name::RepoName;

mod error;
mod segment;

pub use error::RemoteUrlError;

/// Longest accepted URL, in bytes, as written and in canonical form.
pub const MAX_URL_BYTES: usize = 2_048;
/// Longest accepted ssh user, in bytes.
const MAX_USER_BYTES: usize = 64;

/// How a remote is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Git's smart protocol over TLS.
    Https,
    /// Git's protocol over ssh.
    Ssh,
    /// Git's smart protocol in clear text; only with [`Locality::AllowLocal`].
    Http,
    /// A repository on this machine's disk; only with [`Locality::AllowLocal`].
    File,
}

impl Scheme {
    /// The scheme as it is written before `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::Http => "http",
            Self::File => "file",
        }
    }

    /// The port used when the URL names none; a file has no port.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Ssh => Some(22),
            Self::Http => Some(80),
            Self::File => None,
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::Https, Self::Ssh, Self::Http, Self::File]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// A remote that may be stored, compared and handed to Git: valid, canonical, without secrets.
///
/// Two remotes are the same exactly when their canonical text is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemoteUrl {
    text: String,
    scheme: Scheme,
    /// Byte offset in `text` at which the path starts.
    path_start: usize,
}

impl RemoteUrl {
    /// Reads `text` and brings it into canonical form. Needs no network and no disk.
    ///
    /// # Errors
    /// The first rule that `text` breaks under `locality`.
    pub fn parse(text: &str, locality: Locality) -> Result<Self, RemoteUrlError> {
        check_bytes(text)?;
        let canonical = match text.split_once("://") {
            Some((scheme, rest)) => parse_with_scheme(scheme, rest, locality)?,
            None if text.starts_with('/') => parse_local(text, locality)?,
            None => parse_scp(text, locality)?,
        };
        if canonical.text.len() > MAX_URL_BYTES {
            return Err(RemoteUrlError::TooLong);
        }
        Ok(canonical)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the remote is reached.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user of an ssh remote.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.authority().split_once('@').map(|(user, _)| user)
    }

    /// The host, lower-case, an IPv6 address in brackets; none for a local repository.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let (host, _) = self.host_and_port();
        (!host.is_empty()).then_some(host)
    }

    /// The port, where it is not the scheme's default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host_and_port().1
    }

    /// The port to connect to; none for a local repository.
    #[must_use]
    pub fn effective_port(&self) -> Option<u16> {
        self.port().or(self.scheme.default_port())
    }

    /// The path with its leading slash, percent-encoded as in the canonical text.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.path_start..]
    }

    /// The path as the program on the other side of an ssh connection is given it: decoded, and
    /// without the slash before a home directory (`~/…`, `~user/…`), as git sends it.
    #[must_use]
    pub fn path_on_host(&self) -> String {
        let plain = segment::decoded(self.path());
        match plain.strip_prefix('/') {
            Some(home) if home.starts_with('~') && self.scheme == Scheme::Ssh => home.to_owned(),
            Some(_) | None => plain,
        }
    }

    /// Where a local repository lies; none for a remote behind a network.
    #[must_use]
    pub fn local_path(&self) -> Option<&Path> {
        (self.scheme == Scheme::File).then(|| Path::new(self.path()))
    }

    /// A name for the repository, made from the last parts of the path.
    ///
    /// Groups above the last one are joined with `~`. Different remotes may suggest equal names.
    #[must_use]
    pub fn suggested_name(&self) -> RepoName {
        RepoName::suggest(self)
    }

    fn authority(&self) -> &str {
        let start = self.scheme.as_str().len() + "://".len();
        &self.text[start..self.path_start]
    }

    fn host_and_port(&self) -> (&str, Option<u16>) {
        let authority = self.authority();
        let host = authority
            .split_once('@')
            .map_or(authority, |(_, host)| host);
        match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            Some(_) | None => (host, None),
        }
    }

    fn assemble(scheme: Scheme, authority: &str, path: &str) -> Self {
        let before = format!("{}://{authority}", scheme.as_str());
        Self {
            scheme,
            path_start: before.len(),
            text: before + path,
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({})", self.text)
    }
}

impl AsRef<str> for RemoteUrl {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

fn check_bytes(text: &str) -> Result<(), RemoteUrlError> {
    if text.is_empty() {
        return Err(RemoteUrlError::Empty);
    }
    if text.len() > MAX_URL_BYTES {
        return Err(RemoteUrlError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(RemoteUrlError::ControlCharacter);
    }
    if text.starts_with('-') {
        return Err(RemoteUrlError::LeadingDash);
    }
    if text.contains("::") {
        return Err(RemoteUrlError::DoubleColon);
    }
    if text.contains('\\') {
        return Err(RemoteUrlError::ForbiddenCharacter);
    }
    if text.contains(['?', '#']) {
        return Err(RemoteUrlError::QueryOrFragment);
    }
    Ok(())
}

fn parse_with_scheme(
    scheme: &str,
    rest: &str,
    locality: Locality,
) -> Result<RemoteUrl, RemoteUrlError> {
    let scheme = Scheme::named(scheme).ok_or(RemoteUrlError::Scheme)?;
    match (scheme, locality) {
        (Scheme::File, _) if rest.starts_with('/') => return parse_local(rest, locality),
        (Scheme::File, Locality::AllowLocal) => return Err(RemoteUrlError::PathNotAbsolute),
        (Scheme::Http | Scheme::File, Locality::PublicOnly) => {
            return Err(RemoteUrlError::LocalRefused);
        }
        (Scheme::Https | Scheme::Ssh | Scheme::Http, _) => {}
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (user, host_and_port) = match authority.rsplit_once('@') {
        Some((user, host_and_port)) => (Some(user), host_and_port),
        None => (None, authority),
    };
    let user = match (scheme, user) {
        (Scheme::Ssh, Some(user)) => Some(checked_user(user)?),
        (Scheme::Ssh, None) if authority.is_empty() => return Err(RemoteUrlError::HostMissing),
        (Scheme::Ssh, None) => return Err(RemoteUrlError::UserMissing),
        (_, Some(_)) => return Err(RemoteUrlError::Credentials),
        (_, None) => None,
    };
    let (host, port) = split_port(host_and_port)?;
    let mut authority = user.map_or_else(String::new, |user| format!("{user}@"));
    authority.push_str(&host::canonical(host, locality)?);
    if let Some(port) = port.filter(|port| Some(*port) != scheme.default_port()) {
        authority.push_str(&format!(":{port}"));
    }
    Ok(RemoteUrl::assemble(
        scheme,
        &authority,
        &segment::network_path(path)?,
    ))
}

fn parse_scp(text: &str, locality: Locality) -> Result<RemoteUrl, RemoteUrlError> {
    let colon = text.find(':').ok_or(match locality {
        Locality::PublicOnly => RemoteUrlError::Scheme,
        Locality::AllowLocal => RemoteUrlError::PathNotAbsolute,
    })?;
    let (before, path) = (&text[..colon], &text[colon + 1..]);
    if before.contains('/') || Scheme::named(before).is_some() {
        return Err(RemoteUrlError::Scheme);
    }
    if path.contains('@') {
        // `user:password@host:path`, or one parser's host in another parser's path.
        return Err(RemoteUrlError::Credentials);
    }
    let (user, host) = before.rsplit_once('@').ok_or(RemoteUrlError::UserMissing)?;
    let authority = format!(
        "{}@{}",
        checked_user(user)?,
        host::canonical(host, locality)?
    );
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok(RemoteUrl::assemble(
        Scheme::Ssh,
        &authority,
        &segment::network_path(&path)?,
    ))
}

fn parse_local(path: &str, locality: Locality) -> Result<RemoteUrl, RemoteUrlError> {
    match locality {
        Locality::PublicOnly => Err(RemoteUrlError::LocalRefused),
        Locality::AllowLocal => {
            let path = segment::local_path(path)?;
            Ok(RemoteUrl::assemble(Scheme::File, "", path))
        }
    }
}

/// Tokens that people put where the user belongs; each stands before a secret.
const TOKEN_PREFIXES: [&str; 9] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "ATBB",
];

fn checked_user(user: &str) -> Result<&str, RemoteUrlError> {
    if user.contains([':', '@']) || TOKEN_PREFIXES.iter().any(|prefix| user.starts_with(prefix)) {
        return Err(RemoteUrlError::Credentials);
    }
    if user.is_empty() {
        return Err(RemoteUrlError::UserMissing);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if user.len() > MAX_USER_BYTES || user.starts_with(['-', '.']) || !user.bytes().all(allowed) {
        return Err(RemoteUrlError::User);
    }
    Ok(user)
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), RemoteUrlError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => return Ok((text, None)),
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || port.starts_with('0') {
        return Err(RemoteUrlError::Port);
    }
    port.parse()
        .map(|port| (host, Some(port)))
        .map_err(|_| RemoteUrlError::Port)
}
