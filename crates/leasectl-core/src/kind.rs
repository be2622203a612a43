//! Kinds of jobs: which lane each runs in and which arguments it takes.
//!
//! The specifications live here, once. [`crate::migrations::apply`] copies them to the table
//! `leasectl.kind`, so that the SQL function `leasectl.enqueue` refuses what this module refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use leasectl_remote::Refspec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// The largest canonical arguments that a job may carry, in bytes.
pub const MAX_ARGS_BYTES: usize = 64 * 1024;

/// What a lease protects, together with the repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Bringing the clone and the branch projection up to date.
    Fetch,
    /// Extracting and publishing the index.
    Index,
    /// Snapshots of changes.
    Backfill,
    /// Stack actions; strictly first in, first out.
    Stack,
}

impl Lane {
    /// Every lane, in the order in which status shows them.
    pub const ALL: [Self; 4] = [Self::Fetch, Self::Index, Self::Backfill, Self::Stack];

    /// The lane's name in SQL, JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Index => "index",
            Self::Backfill => "backfill",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no lane.
#[derive(Debug, Error)]
#[error("there is no lane {0:?}; lanes are fetch, index, backfill and stack")]
pub struct UnknownLane(pub String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|lane| lane.as_str() == text)
            .ok_or_else(|| UnknownLane(text.to_owned()))
    }
}

/// How urgent a job is: −100 to 100, higher is sooner, 0 unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Priority(i16);

/// A priority outside −100 to 100.
#[derive(Debug, Error)]
#[error("priority {0} is out of range; it is a whole number from -100 to 100")]
pub struct PriorityOutOfRange(pub i64);

impl Priority {
    /// The priority's value.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityOutOfRange;

    fn try_from(value: i64) -> Result<Self, PriorityOutOfRange> {
        match i16::try_from(value) {
            Ok(small) if (-100..=100).contains(&small) => Ok(Self(small)),
            _ => Err(PriorityOutOfRange(value)),
        }
    }
}

/// What values an argument takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ArgType {
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds, both included.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A text that is not empty.
    Text,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A list of Git refspecs that is not empty.
    Refspecs,
}

/// One argument of a kind.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ArgSpec {
    /// The argument's name.
    pub name: &'static str,
    /// The values that it takes.
    pub takes: ArgType,
    /// Whether it must be given.
    pub required: bool,
}

/// One kind of job.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KindSpec {
    /// The kind's name.
    pub name: &'static str,
    /// The lane that it runs in.
    pub lane: Lane,
    /// The arguments that it takes; no others are accepted.
    pub args: &'static [ArgSpec],
}

/// `fetch`: bring the clone and the branch projection up to date.
pub const FETCH: KindSpec = KindSpec {
    name: "fetch",
    lane: Lane::Fetch,
    args: &[ArgSpec {
        name: "refspecs",
        takes: ArgType::Refspecs,
        required: false,
    }],
};

/// The kinds that a program knows.
#[derive(Clone, Debug)]
pub struct Kinds {
    specs: BTreeMap<&'static str, KindSpec>,
}

impl Kinds {
    /// The kinds of this release.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            specs: BTreeMap::new(),
        }
        .with(FETCH)
    }

    /// These kinds and one more; a kind of the same name is replaced.
    #[must_use]
    pub fn with(mut self, spec: KindSpec) -> Self {
        self.specs.insert(spec.name, spec);
        self
    }

    /// The kind of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&KindSpec> {
        self.specs.get(name)
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &KindSpec> {
        self.specs.values()
    }

    /// Checks the arguments of a job of this kind and puts them in canonical form.
    ///
    /// # Errors
    /// When there is no such kind, an argument is unknown, missing or of the wrong type, or all of
    /// them together are larger than [`MAX_ARGS_BYTES`].
    pub fn canonical_args(&self, kind: &str, args: &Value) -> Result<CanonicalArgs, ArgsError> {
        let spec = self.get(kind).ok_or_else(|| ArgsError::UnknownKind {
            kind: shortened(kind),
            known: self.specs.keys().copied().collect::<Vec<_>>().join(", "),
        })?;
        let Value::Object(given) = args else {
            return Err(ArgsError::NotAnObject);
        };
        for name in given.keys() {
            if !spec.args.iter().any(|arg| arg.name == name) {
                return Err(ArgsError::UnknownArg {
                    kind: spec.name,
                    arg: shortened(name),
                });
            }
        }
        let mut canonical = Map::new();
        for arg in spec.args {
            match given.get(arg.name) {
                Some(value) => {
                    arg.check(spec.name, value)?;
                    canonical.insert(arg.name.to_owned(), value.clone());
                }
                None if arg.required => {
                    return Err(ArgsError::MissingArg {
                        kind: spec.name,
                        arg: arg.name,
                    });
                }
                None => {}
            }
        }
        let value = Value::Object(canonical);
        let bytes = value.to_string().len();
        if bytes > MAX_ARGS_BYTES {
            return Err(ArgsError::TooLarge { bytes });
        }
        Ok(CanonicalArgs(value))
    }
}

impl ArgSpec {
    fn check(&self, kind: &'static str, value: &Value) -> Result<(), ArgsError> {
        let fits = match self.takes {
            ArgType::Boolean => value.is_boolean(),
            ArgType::Integer { min, max } => value
                .as_i64()
                .is_some_and(|number| (min..=max).contains(&number)),
            ArgType::Text => value.as_str().is_some_and(is_plain_text),
            ArgType::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            ArgType::Refspecs => value.as_array().is_some_and(|specs| {
                !specs.is_empty()
                    && specs
                        .iter()
                        .all(|spec| spec.as_str().is_some_and(|s| Refspec::parse(s).is_ok()))
            }),
        };
        if fits {
            Ok(())
        } else {
            Err(ArgsError::WrongType {
                kind,
                arg: self.name,
                expected: self.takes.describe(),
            })
        }
    }
}

impl ArgType {
    fn describe(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Text => "a text that is not empty and holds no NUL".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Refspecs => {
                "a list of refspecs such as \"+refs/heads/*:refs/heads/*\"".to_owned()
            }
        }
    }
}

impl KindSpec {
    /// The specification as data, for the table `leasectl.kind`.
    #[must_use]
    pub fn args_as_json(&self) -> Value {
        let args = self.args.iter().map(|arg| {
            let mut described = match arg.takes {
                ArgType::Boolean => json!({"type": "boolean"}),
                ArgType::Integer { min, max } => json!({"type": "integer", "min": min, "max": max}),
                ArgType::Text => json!({"type": "text"}),
                ArgType::OneOf(words) => json!({"type": "text", "words": words}),
                ArgType::Refspecs => json!({"type": "text_list"}),
            };
            described["required"] = arg.required.into();
            (arg.name.to_owned(), described)
        });
        Value::Object(args.collect())
    }
}

/// Arguments that were checked against their kind.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(transparent)]
pub struct CanonicalArgs(Value);

impl CanonicalArgs {
    /// The arguments as a JSON object.
    #[must_use]
    pub fn as_json(&self) -> &Value {
        &self.0
    }
}

/// Why a job's kind or arguments were refused.
#[derive(Debug, Error)]
pub enum ArgsError {
    /// No such kind in this release.
    #[error("there is no kind {kind:?}; this release knows: {known}")]
    UnknownKind {
        /// The kind asked for, shortened.
        kind: String,
        /// The kinds that exist.
        known: String,
    },
    /// Arguments are a JSON object.
    #[error("args must be a JSON object")]
    NotAnObject,
    /// The kind takes no such argument.
    #[error("{kind} takes no argument {arg:?}")]
    UnknownArg {
        /// The kind.
        kind: &'static str,
        /// The argument, shortened.
        arg: String,
    },
    /// An argument that must be given is not there.
    #[error("{kind} needs the argument {arg:?}")]
    MissingArg {
        /// The kind.
        kind: &'static str,
        /// The argument.
        arg: &'static str,
    },
    /// The value does not fit.
    #[error("{kind}: the argument {arg:?} must be {expected}")]
    WrongType {
        /// The kind.
        kind: &'static str,
        /// The argument.
        arg: &'static str,
        /// What it takes.
        expected: String,
    },
    /// All arguments together are too large.
    #[error("args are {bytes} bytes; at most {MAX_ARGS_BYTES} are accepted")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
}

fn is_plain_text(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

/// A caller's word, cut so that an error message stays readable.
fn shortened(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: KindSpec = KindSpec {
        name: "sample",
        lane: Lane::Stack,
        args: &[
            ArgSpec {
                name: "mode",
                takes: ArgType::OneOf(&["a", "b"]),
                required: true,
            },
            ArgSpec {
                name: "n",
                takes: ArgType::Integer { min: 1, max: 9 },
                required: false,
            },
            ArgSpec {
                name: "push",
                takes: ArgType::Boolean,
                required: false,
            },
            ArgSpec {
                name: "branch",
                takes: ArgType::Text,
                required: false,
            },
        ],
    };

    fn check(kind: &str, args: Value) -> Result<CanonicalArgs, ArgsError> {
        Kinds::standard().with(SAMPLE).canonical_args(kind, &args)
    }

    #[test]
    fn arguments_of_the_right_shape_are_accepted() {
        check("fetch", json!({})).unwrap();
        check("fetch", json!({"refspecs": ["+refs/heads/*:refs/heads/*"]})).unwrap();
        check(
            "sample",
            json!({"mode": "a", "n": 9, "push": true, "branch": "x"}),
        )
        .unwrap();
    }

    #[test]
    fn the_order_of_arguments_does_not_change_the_canonical_form() {
        let one: Value = serde_json::from_str(r#"{"n": 2, "mode": "a"}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"mode": "a", "n": 2}"#).unwrap();
        assert_eq!(
            check("sample", one).unwrap().as_json().to_string(),
            check("sample", two).unwrap().as_json().to_string()
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for (kind, args) in [
            ("nope", json!({})),
            ("fetch", json!([])),
            ("fetch", json!(null)),
            ("fetch", json!({"refspec": ["a"]})),
            ("fetch", json!({"refspecs": []})),
            ("fetch", json!({"refspecs": null})),
            ("fetch", json!({"refspecs": ["--upload-pack=touch x"]})),
            ("fetch", json!({"refspecs": "refs/heads/*"})),
            ("sample", json!({})),
            ("sample", json!({"mode": "c"})),
            ("sample", json!({"mode": "a", "n": 10})),
            ("sample", json!({"mode": "a", "n": 1.5})),
            ("sample", json!({"mode": "a", "push": "yes"})),
            ("sample", json!({"mode": "a", "branch": "nul\u{0}"})),
        ] {
            assert!(
                check(kind, args.clone()).is_err(),
                "{kind} {args} was accepted"
            );
        }
        let long = "x".repeat(MAX_ARGS_BYTES);
        assert!(matches!(
            check("sample", json!({"mode": "a", "branch": long})),
            Err(ArgsError::TooLarge { .. })
        ));
    }

    #[test]
    fn priorities_outside_the_range_are_refused() {
        assert!(Priority::try_from(100).is_ok());
        assert!(Priority::try_from(-100).is_ok());
        assert!(Priority::try_from(101).is_err());
        assert!(Priority::try_from(i64::MAX).is_err());
    }
}
