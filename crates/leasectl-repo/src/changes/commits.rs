//! What a commit says about itself, as text that anything can store.

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use super::error::StudyError;
use super::facts::{CommitFacts, Person};
use super::objects::Objects;

/// The most characters of a name, an address or a summary.
const MOST_CHARS: usize = 1_000;

/// Only so many bytes are looked at: a message can be a gigabyte in one line.
const MOST_BYTES: usize = 4 * MOST_CHARS;

/// The first and the last second of the years 1 to 9999: what every database and calendar knows.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The facts of one commit of the clone. One that is malformed is still there, and says what can be read.
pub(super) fn facts(
    objects: &Objects,
    id: ObjectId,
    buffer: &mut Vec<u8>,
) -> Result<CommitFacts, StudyError> {
    let read = objects.commit(&id, buffer).map(|commit| CommitFacts {
        id,
        tree: commit.tree(),
        parents: commit.parents().collect(),
        author: person(commit.author),
        committer: person(commit.committer),
        summary: summary(commit.message),
    });
    match read {
        Err(StudyError::Change { .. }) => {
            let node = objects.node(&id, buffer)?;
            Ok(CommitFacts {
                id,
                tree: node.tree,
                parents: node.parents,
                author: Person::default(),
                committer: Person {
                    at: node.time.clamp(*SECONDS.start(), *SECONDS.end()),
                    ..Person::default()
                },
                summary: String::new(),
            })
        }
        read => read,
    }
}

/// The first paragraph in one line, as Git's `%s`.
fn summary(message: &BStr) -> String {
    let lines = message.lines().map(|line| line.trim_end());
    let paragraph = lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty());
    let mut summary = Vec::new();
    for line in paragraph {
        if !summary.is_empty() {
            summary.push(b' ');
        }
        summary.extend_from_slice(line);
        if summary.len() > MOST_BYTES {
            break;
        }
    }
    shown(&summary)
}

/// A malformed signature is taken for what can be made of it: a commit is not less there for it.
fn person(signature: &BStr) -> Person {
    let Ok(signature) = gix::actor::SignatureRef::from_bytes(signature) else {
        return Person {
            name: shown(signature),
            ..Person::default()
        };
    };
    Person {
        name: shown(signature.name.trim()),
        email: shown(signature.email.trim()),
        at: signature.seconds().clamp(*SECONDS.start(), *SECONDS.end()),
    }
}

fn shown(text: &[u8]) -> String {
    let text = text.get(..MOST_BYTES).unwrap_or(text).to_str_lossy();
    let chars = text.chars().take(MOST_CHARS);
    chars
        .map(|c| {
            if c == '\0' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_what_their_signatures_say() {
        let found = person("Ann  B. <a@example.com> 1700000000 -0330".into());
        let expected = Person {
            name: "Ann  B.".to_owned(),
            email: "a@example.com".to_owned(),
            at: 1_700_000_000,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_read_of_a_signature_is_nothing() {
        assert_eq!(person("nobody".into()).name, "nobody");
        assert_eq!(person("".into()), Person::default());
        assert_eq!(person("A <a> soon".into()).at, 0);
        assert_eq!(
            person("A <a> 99999999999999 +0000".into()).at,
            253_402_300_799
        );
    }

    #[test]
    fn a_summary_is_the_first_paragraph_in_one_line() {
        for (message, expected) in [
            ("one\n", "one"),
            ("\n \n one \ntwo\t\n\nthree", " one two"),
            ("one\r\n\r\ntwo", "one"),
            ("", ""),
        ] {
            assert_eq!(summary(message.into()), expected, "{message:?}");
        }
        assert_eq!(summary("a\n".repeat(10_000).as_str().into()).len(), 1_000);
    }

    #[test]
    fn text_is_of_limited_length_and_without_nul() {
        assert_eq!(shown(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
        assert_eq!(
            shown("\u{1f600}".repeat(2_000).as_bytes()).chars().count(),
            1_000
        );
    }
}
