//! Which changes a clone has: what the names of its references say.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use crate::refs::{Refs, Target};

/// Where a change comes from, by the layout of its references.
///
/// The order is the alphabetical one of the [words](Self::as_str).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeFamily {
    /// `refs/changes/XX/N/P`: a change under review in Gerrit; its head is its latest patch set.
    Gerrit,
    /// `refs/merge-requests/N/head`: a merge request.
    MergeRequest,
    /// `refs/pull/N/head`: a pull request.
    Pull,
}

impl ChangeFamily {
    /// The word that stands for it in tables and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gerrit => "gerrit",
            Self::MergeRequest => "merge_request",
            Self::Pull => "pull",
        }
    }

    /// The family that a [word](Self::as_str) stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Gerrit, Self::MergeRequest, Self::Pull]
            .into_iter()
            .find(|family| family.as_str() == word)
    }
}

/// A change, and what its references lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRef {
    /// Where it comes from.
    pub family: ChangeFamily,
    /// Its number, at most `i64::MAX`.
    pub number: u64,
    /// The full name of the reference to its head.
    pub reference: String,
    /// Its head.
    pub head: ObjectId,
    /// The forge's attempt to merge it, if there is a reference to one.
    pub test_merge: Option<ObjectId>,
}

/// All changes among the references, by family and number.
pub(crate) fn changes(refs: &Refs) -> Vec<ChangeRef> {
    let mut found = BTreeMap::<(ChangeFamily, u64), Found<'_>>::new();
    for (name, target) in refs {
        let Some(named) = Named::parse(name.as_bstr()) else {
            continue;
        };
        let entry = found.entry((named.family, named.number)).or_default();
        match named.what {
            What::TestMerge => entry.test_merge = Some(target),
            // A head that is named once is version 0; the names are in an order that is not the versions'.
            What::Head { version } => {
                if entry.head.is_none_or(|(known, ..)| known <= version) {
                    entry.head = Some((version, name.as_bstr(), target));
                }
            }
        }
    }
    let changes = found.into_iter().filter_map(|((family, number), found)| {
        let (_, name, target) = found.head?;
        Some(ChangeRef {
            family,
            number,
            reference: name.to_str().ok()?.to_owned(),
            head: object(target),
            test_merge: found.test_merge.map(object),
        })
    });
    changes.collect()
}

#[derive(Default)]
struct Found<'a> {
    head: Option<(u64, &'a BStr, &'a Target)>,
    test_merge: Option<&'a Target>,
}

fn object(target: &Target) -> ObjectId {
    target.peeled.unwrap_or(target.id)
}

/// What the name of a reference says.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    family: ChangeFamily,
    number: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Head { version: u64 },
    TestMerge,
}

impl Named {
    fn parse(name: &BStr) -> Option<Self> {
        let name = name.to_str().ok()?;
        let families = [
            ("refs/pull/", ChangeFamily::Pull),
            ("refs/merge-requests/", ChangeFamily::MergeRequest),
        ];
        for (prefix, family) in families {
            if let Some(rest) = name.strip_prefix(prefix) {
                let (number, tail) = rest.split_once('/')?;
                let what = match tail {
                    "head" => What::Head { version: 0 },
                    "merge" => What::TestMerge,
                    _ => return None,
                };
                let number = plain(number)?;
                return Some(Self {
                    family,
                    number,
                    what,
                });
            }
        }
        let rest = name.strip_prefix("refs/changes/")?;
        let (shard, rest) = rest.split_once('/')?;
        let (text, version) = rest.split_once('/')?;
        let number = plain(text)?;
        // The last two digits, so that no directory holds them all. Any other name is not Gerrit's.
        if shard != format!("{:02}", number % 100) {
            return None;
        }
        Some(Self {
            family: ChangeFamily::Gerrit,
            number,
            what: What::Head {
                version: plain(version)?,
            },
        })
    }
}

/// A number as forges write them. Another way to write it would be a second name for the same change.
fn plain(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.starts_with('0') {
        return None;
    }
    let number = text.parse::<u64>().ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ObjectId {
        ObjectId::from_hex(format!("{number:040}").as_bytes()).unwrap()
    }

    fn of(names: &[(&str, u64)]) -> Vec<ChangeRef> {
        let refs = names.iter().map(|(name, number)| {
            let target = Target {
                id: id(*number),
                peeled: None,
            };
            ((*name).into(), target)
        });
        changes(&refs.collect())
    }

    fn change(
        family: ChangeFamily,
        number: u64,
        reference: &str,
        head: u64,
        test_merge: Option<u64>,
    ) -> ChangeRef {
        ChangeRef {
            family,
            number,
            reference: reference.to_owned(),
            head: id(head),
            test_merge: test_merge.map(id),
        }
    }

    #[test]
    fn changes_of_all_families_are_found_by_family_and_number() {
        let found = of(&[
            ("refs/heads/main", 1),
            ("refs/pull/10/head", 2),
            ("refs/pull/9/head", 3),
            ("refs/pull/9/merge", 4),
            ("refs/merge-requests/3/head", 5),
            ("refs/merge-requests/3/merge", 6),
            ("refs/changes/34/1234/1", 7),
            ("refs/tags/refs/pull/1/head", 8),
        ]);
        let expected = [
            change(
                ChangeFamily::Gerrit,
                1234,
                "refs/changes/34/1234/1",
                7,
                None,
            ),
            change(
                ChangeFamily::MergeRequest,
                3,
                "refs/merge-requests/3/head",
                5,
                Some(6),
            ),
            change(ChangeFamily::Pull, 9, "refs/pull/9/head", 3, Some(4)),
            change(ChangeFamily::Pull, 10, "refs/pull/10/head", 2, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_head_in_gerrit_is_the_patch_set_with_the_highest_number() {
        let found = of(&[
            ("refs/changes/05/5/1", 1),
            ("refs/changes/05/5/10", 2),
            ("refs/changes/05/5/9", 3),
            ("refs/changes/05/5/meta", 4),
            ("refs/changes/05/5/robot-comments", 5),
            ("refs/changes/00/100/2", 6),
            ("refs/changes/07/7/meta", 7),
        ]);
        let expected = [
            change(ChangeFamily::Gerrit, 5, "refs/changes/05/5/10", 2, None),
            change(ChangeFamily::Gerrit, 100, "refs/changes/00/100/2", 6, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_that_no_forge_writes_are_no_changes() {
        let found = of(&[
            ("refs/pull/0/head", 1),
            ("refs/pull/07/head", 2),
            ("refs/pull/+7/head", 3),
            ("refs/pull/-7/head", 4),
            ("refs/pull/7", 5),
            ("refs/pull/7/head/x", 6),
            ("refs/pull//head", 7),
            ("refs/pull/7/base", 8),
            ("refs/pull/9223372036854775808/head", 9),
            ("refs/pull/99999999999999999999999/head", 10),
            ("refs/pull/\u{0663}/head", 11),
            ("refs/changes/5/5/1", 12),
            ("refs/changes/06/5/1", 13),
            ("refs/changes/05/5/01", 14),
            ("refs/changes/05/5/0", 15),
            ("refs/changes/05/5", 16),
            ("refs/changes/05/05/1", 17),
        ]);
        assert_eq!(found, []);
        let largest = of(&[("refs/pull/9223372036854775807/head", 1)]);
        assert_eq!(largest[0].number, 9_223_372_036_854_775_807);
    }

    #[test]
    fn a_test_merge_without_a_head_is_no_change() {
        assert_eq!(of(&[("refs/pull/7/merge", 1)]), []);
    }

    #[test]
    fn a_head_that_is_a_tag_is_what_the_tag_leads_to() {
        let target = Target {
            id: id(1),
            peeled: Some(id(2)),
        };
        let refs = Refs::from([("refs/pull/7/head".into(), target)]);
        assert_eq!(changes(&refs)[0].head, id(2));
    }

    #[test]
    fn a_family_is_what_its_word_says() {
        let families = [
            ChangeFamily::Gerrit,
            ChangeFamily::MergeRequest,
            ChangeFamily::Pull,
        ];
        assert!(families.is_sorted_by_key(|family| family.as_str()));
        assert!(families.is_sorted());
        for family in families {
            assert_eq!(ChangeFamily::parse(family.as_str()), Some(family));
        }
        assert_eq!(ChangeFamily::parse("pulls"), None);
    }
}
