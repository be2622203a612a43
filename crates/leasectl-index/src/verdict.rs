//! Which files are worth an index, decided before any extractor sees them.
//!
//! Text search must agree with `git grep -I`, so binary is what Git calls binary. Everything else that
//! is left out of the text is left out for its size alone. Generated and vendored files stay
//! searchable, but have no symbols: what they define would bury what people wrote.
//!
//! **Invariants**
//! - The verdict needs no more than [`PREFIX_BYTES`] of a file: two callers that hold different
//!   amounts of it decide alike.
//! - An attribute always outweighs a guess.
//! - The names of [`SkipReason`] are stored; they never change.

mod guess;

use std::fmt;

/// How much of a file's start decides: where Git looks for a NUL (`FIRST_FEW_BYTES` of its
/// `xdiff-interface.c`).
pub const PREFIX_BYTES: usize = 8_000;

/// The largest file that is indexed unless the caller says otherwise, in bytes.
///
/// People write no such files: of 9,800 files of published Rust packages none is larger. What is,
/// are tables, logs and bundles. It also bounds what one file can cost: about 5 ms for its trigrams,
/// a few megabytes of memory, and one long line for the regular expressions.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Why a file, or a part of what could be known of it, is not indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Git takes it for binary: a NUL near its start, or the attribute `-diff`.
    Binary,
    /// Larger than the limit.
    Oversized,
    /// A program wrote it; searched as text, without symbols.
    Generated,
    /// Copied from another project; searched as text, without symbols.
    Vendored,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Binary,
        Self::Oversized,
        Self::Generated,
        Self::Vendored,
    ];

    /// The name under which the reason is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Oversized => "oversized",
            Self::Generated => "generated",
            Self::Vendored => "vendored",
        }
    }

    /// The reason stored under `name`, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `.gitattributes` says of one path; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `linguist-generated`.
    pub generated: Option<bool>,
    /// `linguist-vendored`.
    pub vendored: Option<bool>,
    /// `linguist-documentation`.
    pub documentation: Option<bool>,
    /// `linguist-language`, as it was written.
    pub language: Option<String>,
    /// `-diff` (the macro `binary` sets it) is true, `diff` is false.
    pub binary: Option<bool>,
}

/// What is to be done with one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    reason: Option<SkipReason>,
}

impl Verdict {
    /// What a file is known to be, from what was stored of it; without a reason it is indexed fully.
    #[must_use]
    pub const fn stored(reason: Option<SkipReason>) -> Self {
        Self { reason }
    }

    /// Why the file has no text index, if it has none.
    #[must_use]
    pub const fn no_text(self) -> Option<SkipReason> {
        match self.reason {
            Some(SkipReason::Binary | SkipReason::Oversized) => self.reason,
            Some(SkipReason::Generated | SkipReason::Vendored) | None => None,
        }
    }

    /// Why the file has no symbols, if it has none.
    #[must_use]
    pub const fn no_symbols(self) -> Option<SkipReason> {
        self.reason
    }
}

/// The verdict on a file that need not be read, if it is one: a caller asks before it reads.
#[must_use]
pub fn classify_unread(size_bytes: u64, limit_bytes: u64, says: &Attributes) -> Option<SkipReason> {
    if says.binary == Some(true) {
        Some(SkipReason::Binary)
    } else if size_bytes > limit_bytes {
        Some(SkipReason::Oversized)
    } else {
        None
    }
}

/// The verdict on a file, given its first [`PREFIX_BYTES`] or more.
#[must_use]
pub fn classify(
    path: &str,
    size_bytes: u64,
    limit_bytes: u64,
    head: &[u8],
    says: &Attributes,
) -> Verdict {
    let head = &head[..head.len().min(PREFIX_BYTES)];
    let reason = classify_unread(size_bytes, limit_bytes, says).or_else(|| {
        if says.binary.is_none() && memchr::memchr(0, head).is_some() {
            Some(SkipReason::Binary)
        } else if says.vendored.unwrap_or_else(|| guess::is_vendored(path)) {
            Some(SkipReason::Vendored)
        } else if says
            .generated
            .unwrap_or_else(|| guess::is_generated(path, head))
        {
            Some(SkipReason::Generated)
        } else {
            None
        }
    });
    Verdict { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(path: &str, head: &[u8], says: &Attributes) -> Option<SkipReason> {
        classify(path, head.len() as u64, MAX_FILE_BYTES, head, says).no_symbols()
    }

    #[test]
    fn every_reason_reads_its_own_name() {
        for reason in SkipReason::ALL {
            assert_eq!(SkipReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(SkipReason::parse("boring"), None);
    }

    #[test]
    fn a_nul_counts_only_where_git_looks_for_it() {
        let says = Attributes::default();
        let mut text = vec![b'a'; PREFIX_BYTES + 1];
        text[PREFIX_BYTES] = 0;
        assert_eq!(judge("a", &text, &says), None);
        text[PREFIX_BYTES - 1] = 0;
        assert_eq!(judge("a", &text, &says), Some(SkipReason::Binary));
    }

    #[test]
    fn the_attribute_outweighs_the_bytes_in_both_directions() {
        let binary = |value| Attributes {
            binary: Some(value),
            ..Attributes::default()
        };
        assert_eq!(judge("a", b"\0", &binary(false)), None);
        assert_eq!(judge("a", b"text", &binary(true)), Some(SkipReason::Binary));
    }

    #[test]
    fn a_file_above_the_limit_is_skipped_unread() {
        let says = Attributes::default();
        assert_eq!(classify_unread(11, 10, &says), Some(SkipReason::Oversized));
        assert_eq!(classify_unread(10, 10, &says), None);
        let verdict = classify("a", 11, 10, b"", &says);
        assert_eq!(verdict.no_text(), Some(SkipReason::Oversized));
    }

    #[test]
    fn generated_and_vendored_files_keep_their_text() {
        for (path, reason) in [
            ("Cargo.lock", SkipReason::Generated),
            ("web/node_modules/a/b.js", SkipReason::Vendored),
        ] {
            let verdict = classify(path, 1, MAX_FILE_BYTES, b"x", &Attributes::default());
            assert_eq!(verdict.no_text(), None);
            assert_eq!(verdict.no_symbols(), Some(reason));
        }
    }

    #[test]
    fn an_attribute_takes_a_guess_back() {
        let says = Attributes {
            generated: Some(false),
            vendored: Some(false),
            ..Attributes::default()
        };
        assert_eq!(judge("Cargo.lock", b"", &says), None);
        assert_eq!(judge("vendor/a.c", b"// @generated", &says), None);
    }
}
