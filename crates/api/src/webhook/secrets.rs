//! The secrets by which forges prove that a delivery is theirs. Several are valid at once, so that they can be
//! rotated.
//!
//! GitHub, Gitea and Forgejo sign the body (HMAC-SHA256). GitLab sends its secret token along, or signs id, time and
//! body with a signing token, `whsec_` and its key in Base64. The time is signed and not judged: to replay a delivery
//! that is older than those which are remembered costs one fetch.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use leasectl_core::webhook::Forge;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::problem::{Code, Problem};

/// The least length of a secret that is not warned about, in bytes.
const SHORT_SECRET_BYTES: usize = 16;

/// How GitLab writes a signing token.
const SIGNING_PREFIX: &str = "whsec_";

/// The most signatures of one delivery that are looked at; GitLab sends one.
const MAX_SIGNATURES: usize = 8;

type Tag = [u8; 32];

/// The secrets of every forge that may send webhooks.
#[derive(Clone, Default)]
pub struct WebhookSecrets {
    github: Vec<Key>,
    gitea: Vec<Key>,
    /// Hashes of GitLab's secret tokens.
    gitlab_tokens: Vec<Tag>,
    gitlab_keys: Vec<Key>,
    some_are_short: bool,
}

/// A keyed digest; the secret itself is not kept.
#[derive(Clone)]
struct Key(Hmac<Sha256>);

/// A signing token is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a GitLab signing token is {SIGNING_PREFIX} and a key in Base64")]
pub struct BadWebhookSecret;

/// What a delivery's headers offer as proof.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A secret that was valid.
    Token,
    /// A signature over the body.
    Signature(Tag),
    /// Signatures over these bytes and the body.
    SignedFrom { before: String, tags: Vec<Tag> },
}

impl WebhookSecrets {
    /// These secrets and those of a comma-separated list; an empty list means that the forge may send nothing.
    ///
    /// # Errors
    /// When one of GitLab's begins like a signing token and is none.
    pub fn with(mut self, forge: Forge, list: &str) -> Result<Self, BadWebhookSecret> {
        for secret in list.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            self.some_are_short |= secret.len() < SHORT_SECRET_BYTES;
            match (forge, secret.strip_prefix(SIGNING_PREFIX)) {
                (Forge::GitHub, _) => self.github.push(Key::new(secret.as_bytes())),
                (Forge::Gitea, _) => self.gitea.push(Key::new(secret.as_bytes())),
                (Forge::GitLab, Some(key)) => {
                    let key = STANDARD
                        .decode(key)
                        .map_err(|_not_base64| BadWebhookSecret)?;
                    if key.is_empty() {
                        return Err(BadWebhookSecret);
                    }
                    self.gitlab_keys.push(Key::new(&key));
                }
                (Forge::GitLab, None) => self.gitlab_tokens.push(Sha256::digest(secret).into()),
            }
        }
        Ok(self)
    }

    /// Says so in the log when a secret could be guessed.
    pub(crate) fn warn_about_short_secrets(&self) {
        if self.some_are_short {
            tracing::warn!(
                "a webhook secret is shorter than {SHORT_SECRET_BYTES} bytes; make a long random one"
            );
        }
    }

    /// Whether any forge may send webhooks.
    pub(crate) fn are_any_set(&self) -> bool {
        Forge::ALL.into_iter().any(|forge| self.are_set(forge))
    }

    /// Whether this forge may send webhooks.
    pub(crate) fn are_set(&self, forge: Forge) -> bool {
        match forge {
            Forge::GitHub => !self.github.is_empty(),
            Forge::Gitea => !self.gitea.is_empty(),
            Forge::GitLab => !self.gitlab_tokens.is_empty() || !self.gitlab_keys.is_empty(),
        }
    }

    /// What the headers offer as proof, before the body is read.
    ///
    /// # Errors
    /// When they offer none, or one that no body could make valid.
    pub(crate) fn proof(&self, forge: Forge, headers: &HeaderMap) -> Result<Proof, Problem> {
        let proof = match forge {
            Forge::GitHub => header(headers, "x-hub-signature-256")
                .and_then(|value| value.strip_prefix("sha256="))
                .and_then(hexadecimal)
                .map(Proof::Signature),
            Forge::Gitea => header(headers, "x-forgejo-signature")
                .or_else(|| header(headers, "x-gitea-signature"))
                .and_then(hexadecimal)
                .map(Proof::Signature),
            Forge::GitLab => self.gitlab_proof(headers),
        };
        proof.ok_or_else(refused)
    }

    fn gitlab_proof(&self, headers: &HeaderMap) -> Option<Proof> {
        if let Some(token) = headers.get("x-gitlab-token")
            && is_one_of(
                &self.gitlab_tokens,
                &Sha256::digest(token.as_bytes()).into(),
            )
        {
            return Some(Proof::Token);
        }
        let id = header(headers, "webhook-id")?;
        let timestamp = header(headers, "webhook-timestamp")?;
        let signatures = header(headers, "webhook-signature")?;
        let signatures = signatures.split(' ').take(MAX_SIGNATURES);
        let tags = signatures.filter_map(|text| {
            let tag = STANDARD.decode(text.strip_prefix("v1,")?).ok()?;
            tag.try_into().ok()
        });
        Some(Proof::SignedFrom {
            before: format!("{id}.{timestamp}."),
            tags: tags.collect(),
        })
    }

    /// Whether the proof holds for this body.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&self, forge: Forge, proof: &Proof, body: &[u8]) -> Result<(), Problem> {
        let keys = match forge {
            Forge::GitHub => &self.github,
            Forge::Gitea => &self.gitea,
            Forge::GitLab => &self.gitlab_keys,
        };
        // Every key is tried, so that the time taken says nothing.
        let holds = match proof {
            Proof::Token => true,
            Proof::Signature(tag) => {
                let tags: Vec<Tag> = keys.iter().map(|key| key.tag(b"", body)).collect();
                is_one_of(&tags, tag)
            }
            Proof::SignedFrom { before, tags } => {
                let valid: Vec<Tag> = keys
                    .iter()
                    .map(|key| key.tag(before.as_bytes(), body))
                    .collect();
                tags.iter()
                    .fold(false, |found, tag| found | is_one_of(&valid, tag))
            }
        };
        if holds { Ok(()) } else { Err(refused()) }
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecrets")
            .field("github", &self.github.len())
            .field(
                "gitlab",
                &(self.gitlab_tokens.len() + self.gitlab_keys.len()),
            )
            .field("gitea", &self.gitea.len())
            .finish()
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        // A key longer than a block is hashed first, as the construction says.
        let mut key = [0; 64];
        if secret.len() > key.len() {
            key[..32].copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        Self(Hmac::new(&key.into()))
    }

    fn tag(&self, before: &[u8], body: &[u8]) -> Tag {
        let mut mac = self.0.clone();
        mac.update(before);
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

fn is_one_of(known: &[Tag], given: &Tag) -> bool {
    let found = known
        .iter()
        .fold(Choice::from(0), |found, one| found | one.ct_eq(given));
    found.into()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hexadecimal(text: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    if text.len() != 2 * tag.len() {
        return None;
    }
    for (byte, digits) in tag.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(tag)
}

fn refused() -> Problem {
    Problem::new(
        Code::BadSignature,
        "the delivery's signature or token is missing or not valid; the forge and this service must have the \
         same secret",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn holds(
        secrets: &WebhookSecrets,
        forge: Forge,
        pairs: &[(&'static str, &str)],
        body: &[u8],
    ) -> bool {
        let proof = secrets.proof(forge, &headers(pairs));
        proof.is_ok_and(|proof| secrets.check(forge, &proof, body).is_ok())
    }

    #[test]
    fn the_example_of_githubs_manual_is_valid() {
        let secrets = WebhookSecrets::default()
            .with(Forge::GitHub, "It's a Secret to Everybody")
            .unwrap();
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let pairs = [("x-hub-signature-256", signature)];
        assert!(holds(&secrets, Forge::GitHub, &pairs, b"Hello, World!"));
        assert!(!holds(&secrets, Forge::GitHub, &pairs, b"Hello, World"));
        assert!(!holds(&secrets, Forge::Gitea, &pairs, b"Hello, World!"));
        for wrong in [
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1",
            "sha256=+57107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            "sha256=",
            "",
        ] {
            let pairs = [("x-hub-signature-256", wrong)];
            assert!(
                !holds(&secrets, Forge::GitHub, &pairs, b"Hello, World!"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_secret_longer_than_a_block_is_hashed_as_others_do() {
        // RFC 4231, test case 6.
        let tag = Key::new(&[0xaa; 131]).tag(
            b"",
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(Some(tag), hexadecimal(expected));
    }

    #[test]
    fn a_signing_token_of_gitlab_signs_id_time_and_body() {
        // The example of the Standard Webhooks specification.
        let secrets = WebhookSecrets::default()
            .with(
                Forge::GitLab,
                "a-token-a-token-a-token,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            )
            .unwrap();
        let pairs = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1a,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        let body = br#"{"test": 2432232314}"#;
        assert!(holds(&secrets, Forge::GitLab, &pairs, body));
        assert!(!holds(&secrets, Forge::GitLab, &pairs, b"{}"));
        assert!(!holds(&secrets, Forge::GitLab, &pairs[1..], body));
        let token = [("x-gitlab-token", "a-token-a-token-a-token")];
        assert!(holds(&secrets, Forge::GitLab, &token, b"whatever"));
        let key = [("x-gitlab-token", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        assert!(!holds(&secrets, Forge::GitLab, &key, b"whatever"));
        for bad in ["whsec_", "whsec_not base64"] {
            let refused = WebhookSecrets::default().with(Forge::GitLab, bad);
            assert_eq!(refused.unwrap_err(), BadWebhookSecret);
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let secrets = WebhookSecrets::default()
            .with(Forge::Gitea, "canary-canary-canary, b")
            .unwrap();
        assert_eq!(
            format!("{secrets:?}"),
            "WebhookSecrets { github: 0, gitlab: 0, gitea: 2 }"
        );
        assert!(
            secrets.some_are_short
                && secrets.are_set(Forge::Gitea)
                && !secrets.are_set(Forge::GitHub)
        );
    }
}
