//! Repository names: `owner/name`, the label that people type.

use std::fmt;
use std::str::FromStr;

use crate::url::RemoteUrl;

/// Longest accepted repository name, in bytes, both parts and the slash together.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest part that is suggested on its own; leaves room for a suffix that makes it unique.
const MAX_SUGGESTED_PART_BYTES: usize = 100;

/// Why a text is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RepoNameError {
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the repository name is longer than 255 bytes; shorten it")]
    TooLong,
    /// Not two parts with one slash between them.
    #[error("a repository name is written owner/name; join deeper groups with '~', as in a~b/name")]
    Form,
    /// A character that is not allowed.
    #[error("a repository name may hold only letters, digits and - . _ (and ~ between groups)")]
    Character,
    /// A part that starts with `-` or `.`, or ends with `.`.
    #[error("no part of a repository name may start with '-' or '.' or end with '.'; rename it")]
    Edge,
    /// The name ends with `.git` or `.lock`.
    #[error("a repository name must not end with .git or .lock; leave the ending out")]
    Ending,
    /// The owner looks like an id.
    #[error("the owner of a repository name must not have the form of an id; rename it")]
    LooksLikeId,
}

/// A valid repository name, `owner/name`; GitLab subgroups are joined with `~` in the owner.
///
/// The case is kept. An owner never has the form of a UUID, so that a name and an id cannot be
/// confused in a command or a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName(String);

impl RepoName {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RepoNameError> {
        if text.len() > MAX_NAME_BYTES {
            return Err(RepoNameError::TooLong);
        }
        let (owner, name) = text.split_once('/').ok_or(RepoNameError::Form)?;
        if name.contains('/') {
            return Err(RepoNameError::Form);
        }
        if name.contains('~') {
            return Err(RepoNameError::Character);
        }
        owner.split('~').chain([name]).try_for_each(check_part)?;
        let lower = name.to_ascii_lowercase();
        if lower.ends_with(".git") || lower.ends_with(".lock") {
            return Err(RepoNameError::Ending);
        }
        if looks_like_id(owner) {
            return Err(RepoNameError::LooksLikeId);
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash, groups joined with `~`.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// What stands after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('/').next_back().unwrap_or_default()
    }

    /// The same name with `-number` at its end: what to try when a name is taken.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!("-{number}");
        let room = MAX_NAME_BYTES - suffix.len();
        let cut = self.0.get(..room).unwrap_or(&self.0);
        match cut.split_once('/') {
            Some((_, name)) if !name.is_empty() => Self(format!("{cut}{suffix}")),
            // The owner leaves no room for a number.
            Some(_) | None => Self(format!("repositories/{}{suffix}", self.name())),
        }
    }

    pub(crate) fn suggest(url: &RemoteUrl) -> Self {
        let mut parts: Vec<String> = url
            .path()
            .split('/')
            .filter(|part| !is_noise(part))
            .map(sanitised)
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() > 2 && parts.first().is_some_and(|first| first == "scm") {
            // Bitbucket Server keeps its repositories under /scm.
            parts.remove(0);
        }
        let name = parts.pop().unwrap_or_else(|| "repository".to_owned());
        let groups = match url.host() {
            // Parents of a local path are private to the machine and long: one is enough.
            None => parts.pop().unwrap_or_else(|| "local".to_owned()),
            Some(host) if parts.is_empty() => sanitised(host),
            Some(_) => joined_from_the_end(&parts),
        };
        let owner = if groups.is_empty() {
            "remote".to_owned()
        } else {
            groups
        };
        let owner = if looks_like_id(&owner) {
            format!("id-{owner}")
        } else {
            owner
        };
        Self(format!("{owner}/{name}"))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RepoName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepoName {
    type Err = RepoNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn check_part(part: &str) -> Result<(), RepoNameError> {
    if part.is_empty() {
        return Err(RepoNameError::Form);
    }
    if !part.bytes().all(is_allowed) {
        return Err(RepoNameError::Character);
    }
    if part.starts_with(['-', '.']) || part.ends_with('.') {
        return Err(RepoNameError::Edge);
    }
    Ok(())
}

/// Parts of forge URLs that say nothing about the repository.
fn is_noise(part: &str) -> bool {
    matches!(part, "" | "_git" | ".git")
}

/// Brings one part of a path into the form of a part of a name; may come out empty.
fn sanitised(part: &str) -> String {
    let mut clean = String::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [_, _, after @ ..]) => after,
            _ => tail,
        };
        if is_allowed(*byte) {
            clean.push(char::from(*byte));
        } else if !clean.ends_with('-') {
            clean.push('-');
        }
    }
    clean.truncate(MAX_SUGGESTED_PART_BYTES);
    let mut text = clean.as_str();
    // Each cut may lay bare another edge or ending.
    loop {
        let trimmed = text.trim_matches(['-', '.']);
        let shorter = strip_ending(trimmed).unwrap_or(trimmed);
        if shorter == text {
            return text.to_owned();
        }
        text = shorter;
    }
}

fn strip_ending(text: &str) -> Option<&str> {
    let cut = [".git", ".lock"].into_iter().find(|ending| {
        text.len().checked_sub(ending.len()).is_some_and(|at| {
            text.get(at..)
                .is_some_and(|end| end.eq_ignore_ascii_case(ending))
        })
    })?;
    text.get(..text.len() - cut.len())
}

/// Joins as many groups as fit, dropping the outermost ones first.
fn joined_from_the_end(groups: &[String]) -> String {
    let room = MAX_NAME_BYTES - MAX_SUGGESTED_PART_BYTES - "/".len() - "id-".len();
    let mut joined = String::new();
    for group in groups.iter().rev() {
        if !joined.is_empty() && joined.len() + group.len() + 1 > room {
            break;
        }
        joined = if joined.is_empty() {
            group.clone()
        } else {
            format!("{group}~{joined}")
        };
    }
    joined
}

fn looks_like_id(owner: &str) -> bool {
    let bytes = owner.as_bytes();
    let hyphenated = bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let simple = bytes.len() == 32 && bytes.iter().all(u8::is_ascii_hexdigit);
    hyphenated || simple
}
