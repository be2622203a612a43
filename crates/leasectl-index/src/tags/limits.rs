//! What one blob may cost, and what came of it.

use std::time::Duration;

use super::Tags;

/// What one file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the content, in bytes.
    pub bytes: usize,
    /// The time that parse and walk may take together, on the monotonic clock.
    pub time: Duration,
    /// How deep the syntax tree may be, in nodes.
    pub depth: usize,
    /// How many symbols and imports there may be together.
    pub entries: usize,
}

impl Default for Limits {
    /// 512 KiB, two seconds, 2,000 nodes deep, 50,000 entries.
    ///
    /// People write no larger sources. The worst content of this size that was found (one token of a
    /// grammar, repeated to the end) made a parser take 380 MB. It overran its time by at most what
    /// lies between two looks at the clock: Python's `\` before every line end, 3 s on a busy machine.
    fn default() -> Self {
        Self {
            bytes: 512 << 10,
            time: Duration::from_secs(2),
            depth: 2_000,
            entries: 50_000,
        }
    }
}

/// The most bytes that the texts of all entries may have together.
pub(super) const MAX_TEXT_BYTES: usize = 4 << 20;

/// What came of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that the blob defines and imports.
    Extracted(Tags),
    /// Nothing was extracted, and nothing will be under the same limits.
    Skipped(BrokenLimit),
    /// The caller asked to stop; nothing is known of the blob.
    Cancelled,
}

/// Which limit a blob broke, so that it has no symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokenLimit {
    /// The content is larger than the limit.
    Bytes,
    /// Parsing took longer than the limit.
    Time,
    /// The syntax tree is deeper than the limit.
    Depth,
    /// There are more symbols and imports than the limit, or their texts are too long together.
    Entries,
}

impl BrokenLimit {
    /// Every limit.
    pub const ALL: [Self; 4] = [Self::Bytes, Self::Time, Self::Depth, Self::Entries];

    /// The stable name under which the reason is recorded.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "too_large",
            Self::Time => "too_slow",
            Self::Depth => "too_deep",
            Self::Entries => "too_many_symbols",
        }
    }

    /// The limit of this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_limit() {
        for limit in BrokenLimit::ALL {
            assert_eq!(BrokenLimit::from_name(limit.name()), Some(limit));
        }
        assert_eq!(BrokenLimit::from_name("too_ugly"), None);
    }
}
