//! Kinds of jobs: which lane each runs in and which arguments it takes.
//!
//! The specifications live here, once. [`crate::migrations::apply`] copies them to the table
//! `leasectl.kind`, so that the SQL function `leasectl.enqueue` refuses what this module refuses.

mod args;
mod lane;
mod priority;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::changes::Mode;

pub use self::args::{ArgSpec, ArgType, ArgsError, CanonicalArgs};
pub use self::lane::{Lane, UnknownLane};
pub use self::priority::{Priority, PriorityOutOfRange};

/// The largest canonical arguments that a job may carry, in bytes.
pub const MAX_ARGS_BYTES: usize = 64 * 1024;

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

/// `index`: make what is known of the content of a tree durable.
pub const INDEX: KindSpec = KindSpec {
    name: "index",
    lane: Lane::Index,
    args: &[
        ArgSpec {
            name: "ref",
            takes: ArgType::Ref,
            required: false,
        },
        ArgSpec {
            name: "force",
            takes: ArgType::Boolean,
            required: false,
        },
    ],
};

/// `backfill`: study the changes that are missing or stale.
pub const BACKFILL: KindSpec = KindSpec {
    name: "backfill",
    lane: Lane::Backfill,
    args: &[
        ArgSpec {
            name: "mode",
            takes: ArgType::OneOf(&Mode::WORDS),
            required: true,
        },
        ArgSpec {
            name: "max_changes",
            takes: ArgType::Integer {
                min: 1,
                max: 100_000,
            },
            required: false,
        },
        ArgSpec {
            name: "max_runtime_s",
            takes: ArgType::Integer {
                min: 1,
                max: 86_400,
            },
            required: false,
        },
    ],
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
        .with(INDEX)
        .with(BACKFILL)
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
                ArgType::Ref => json!({"type": "text"}),
                ArgType::Refspecs => json!({"type": "text_list"}),
            };
            described["required"] = arg.required.into();
            (arg.name.to_owned(), described)
        });
        Value::Object(args.collect())
    }
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
            "backfill",
            json!({"mode": "full_history", "max_changes": 100_000, "max_runtime_s": 86_400}),
        )
        .unwrap();
        check(
            "sample",
            json!({"mode": "a", "n": 9, "push": true, "branch": "x"}),
        )
        .unwrap();
    }

    #[test]
    fn no_arguments_are_what_a_kind_that_needs_none_makes_of_an_empty_object() {
        for kind in ["fetch", "index"] {
            assert_eq!(check(kind, json!({})).unwrap(), CanonicalArgs::none());
        }
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
            ("backfill", json!({})),
            ("backfill", json!({"mode": "all"})),
            ("backfill", json!({"mode": "open_only", "max_changes": 0})),
            (
                "backfill",
                json!({"mode": "open_only", "max_runtime_s": 86_401}),
            ),
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
