//! What a forge delivered, as far as it matters here.

use std::fmt;

use leasectl_remote::RemoteUrl;
use thiserror::Error;

/// Longest accepted delivery id, in bytes.
const MAX_ID_BYTES: usize = 200;

/// A family of forges whose webhooks are understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Forge {
    /// GitHub, also the enterprise server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

impl Forge {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GitHub, Self::GitLab, Self::Gitea];

    /// The name as in paths, rows and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A delivery's id: the same each time a forge sends it, and no other delivery's.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DeliveryId(String);

/// The text is no delivery id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a delivery id is 1 to {MAX_ID_BYTES} printable ASCII characters")]
pub struct BadDeliveryId;

impl DeliveryId {
    /// Checks a forge's word.
    ///
    /// # Errors
    /// When it is empty, too long, or not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, BadDeliveryId> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_ID_BYTES || !is_plain {
            return Err(BadDeliveryId);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A delivery that asks for a fetch. Whoever makes one has checked that it is authentic.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who sent it.
    pub forge: Forge,
    /// Its id.
    pub id: DeliveryId,
    /// The remotes by which it names its repository.
    pub remotes: Vec<RemoteUrl>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_forges_are_accepted_and_nothing_else() {
        for id in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "1", "msg_2Zx:a/b"] {
            assert_eq!(DeliveryId::parse(id).unwrap().as_str(), id);
        }
        for id in ["", " ", "a b", "a\n", "ä", "a\0", &"x".repeat(201)] {
            assert_eq!(DeliveryId::parse(id), Err(BadDeliveryId), "{id:?}");
        }
    }
}
