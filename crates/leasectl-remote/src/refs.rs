//! Ref names and refspecs, as `git check-ref-format` has them and a little stricter.

use std::fmt;
use std::str::FromStr;

/// Longest accepted ref name, in bytes.
pub const MAX_REF_BYTES: usize = 1_024;
/// Longest accepted part of a ref name, in bytes: a file name, with room for `.lock`.
const MAX_PART_BYTES: usize = 250;

/// Namespaces that a clone mirrors: a ref in them always is the remote's ref of the same name.
const MIRRORED: [&str; 5] = [
    "refs/heads/",
    "refs/tags/",
    "refs/pull/",
    "refs/merge-requests/",
    "refs/changes/",
];

/// Namespaces that mean something to Git itself or to leasectl, and are never filled by a remote.
const RESERVED: [&str; 6] = [
    "refs/replace/",
    "refs/worktree/",
    "refs/worktrees/",
    "refs/bisect/",
    "refs/rewritten/",
    "refs/leasectl/",
];

/// Why a text is not a ref name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefNameError {
    /// Nothing was given.
    #[error("the ref name is empty; give one such as main or refs/heads/main")]
    Empty,
    /// Longer than [`MAX_REF_BYTES`], or a part longer than a file name may be.
    #[error("the ref name is too long; use at most 1024 bytes, and 250 between slashes")]
    TooLong,
    /// The name, or the branch or tag in it, starts with `-`.
    #[error("a ref name must not start with '-', like an option; rename the branch or tag")]
    LeadingDash,
    /// A character that git refuses in ref names.
    #[error("a ref name may hold no space, control character or any of ~ ^ : ? * [ \\; correct it")]
    Character,
    /// `..`, `@{`, or `@` alone.
    #[error("a ref name must not hold '..' or '@{{' nor be '@'; name one branch, tag or ref")]
    Revision,
    /// An empty part: a slash at either end, or two in a row.
    #[error("a ref name has single slashes between its parts and none at either end; correct it")]
    Slash,
    /// A part that starts with a dot, or ends with one or with `.lock`.
    #[error(
        "no part of a ref name may start with '.', end with '.' or end with '.lock'; rename it"
    )]
    Dot,
}

/// A valid full or short ref name, such as `refs/heads/main`, `main` or `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(String);

impl RefName {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RefNameError> {
        if text.contains('*') {
            return Err(RefNameError::Character);
        }
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RefName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The rules of `git check-ref-format` with a `*` let through, plus limits and dashes.
fn check(text: &str) -> Result<(), RefNameError> {
    if text.is_empty() {
        return Err(RefNameError::Empty);
    }
    if text.len() > MAX_REF_BYTES {
        return Err(RefNameError::TooLong);
    }
    let short = ["refs/heads/", "refs/tags/"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    if text.starts_with('-') || short.is_some_and(|short| short.starts_with('-')) {
        return Err(RefNameError::LeadingDash);
    }
    if text
        .chars()
        .any(|c| c.is_control() || " ~^:?[\\".contains(c))
    {
        return Err(RefNameError::Character);
    }
    if text.contains("..") || text.contains("@{") || text == "@" {
        return Err(RefNameError::Revision);
    }
    for part in text.split('/') {
        if part.is_empty() {
            return Err(RefNameError::Slash);
        }
        if part.len() > MAX_PART_BYTES {
            return Err(RefNameError::TooLong);
        }
        if part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock") {
            return Err(RefNameError::Dot);
        }
    }
    Ok(())
}

/// Why a text is not a refspec that may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefspecError {
    /// One of the two sides is not a ref name.
    #[error("the refspec names something that is not a ref: {0}")]
    Ref(#[from] RefNameError),
    /// More than one colon, or a negative refspec.
    #[error("a refspec is written source:destination, with an optional '+' before it; correct it")]
    Form,
    /// A side that does not start with `refs/`.
    #[error("both sides of a refspec must be full names, such as refs/heads/main; write them out")]
    NotFull,
    /// `*` on one side only, or twice on a side.
    #[error("a refspec has one '*' on both sides or none at all; correct it")]
    Pattern,
    /// `refs/*`, which matches nothing.
    #[error(
        "a refspec must name its namespace, such as refs/heads/*; refs/* alone fetches nothing"
    )]
    NoNamespace,
    /// Another ref would be written over a mirrored one.
    #[error(
        "a clone mirrors its remote, so refs/heads, refs/tags and change refs can only be fetched \
         to their own names; use the same name on both sides"
    )]
    NotMirrored,
    /// The destination is a namespace that a remote may not fill.
    #[error(
        "refs/replace, refs/worktree, refs/worktrees, refs/bisect, refs/rewritten and \
         refs/leasectl cannot be fetched into; use another destination"
    )]
    Reserved,
}

/// A valid fetch refspec: `[+]source:destination`, full names, with one `*` on both sides or none.
///
/// A full name alone (`refs/heads/main`) means itself on both sides, forced, because a clone is a
/// mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refspec {
    forced: bool,
    source: String,
    destination: String,
}

impl Refspec {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RefspecError> {
        let (forced, sides) = match text.strip_prefix('+') {
            Some(sides) => (true, sides),
            None => (!text.contains(':'), text),
        };
        if sides.starts_with('^') || sides.starts_with('+') {
            return Err(RefspecError::Form);
        }
        let (source, destination) = sides.split_once(':').unwrap_or((sides, sides));
        if destination.contains(':') {
            return Err(RefspecError::Form);
        }
        let (here, there) = (stars_in_side(source)?, stars_in_side(destination)?);
        if here != there {
            return Err(RefspecError::Pattern);
        }
        if source != destination && MIRRORED.iter().any(|space| destination.starts_with(space)) {
            return Err(RefspecError::NotMirrored);
        }
        if RESERVED.iter().any(|space| destination.starts_with(space)) {
            return Err(RefspecError::Reserved);
        }
        Ok(Self {
            forced,
            source: source.to_owned(),
            destination: destination.to_owned(),
        })
    }

    /// Whether a ref may move to a commit that does not contain its old one.
    #[must_use]
    pub fn forced(&self) -> bool {
        self.forced
    }

    /// The remote's side.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The clone's side.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Whether the refspec matches many refs.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.source.contains('*')
    }

    fn mirror(namespace: &str) -> Self {
        Self {
            forced: true,
            source: namespace.to_owned(),
            destination: namespace.to_owned(),
        }
    }
}

impl fmt::Display for Refspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plus = if self.forced { "+" } else { "" };
        write!(f, "{plus}{}:{}", self.source, self.destination)
    }
}

impl FromStr for Refspec {
    type Err = RefspecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What a clone mirrors unless a job says otherwise: branches, tags, and the change refs of the
/// usual forges.
///
/// The namespaces are explicit because `refs/*:refs/*` silently matches nothing in gix.
#[must_use]
pub fn default_refspecs() -> Vec<Refspec> {
    [
        "refs/heads/*",
        "refs/tags/*",
        "refs/pull/*/head",
        "refs/pull/*/merge",
        "refs/merge-requests/*/head",
        "refs/changes/*",
    ]
    .into_iter()
    .map(Refspec::mirror)
    .collect()
}

/// Checks one side and counts its `*`.
fn stars_in_side(side: &str) -> Result<usize, RefspecError> {
    check(side)?;
    let Some(below) = side.strip_prefix("refs/") else {
        return Err(RefspecError::NotFull);
    };
    let stars = side.matches('*').count();
    if stars > 1 {
        return Err(RefspecError::Pattern);
    }
    match below.split_once('/') {
        Some((namespace, _)) if !namespace.contains('*') => Ok(stars),
        Some(_) | None => Err(RefspecError::NoNamespace),
    }
}
