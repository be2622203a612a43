//! Arguments: what a kind takes, and why a job was refused.

use leasectl_remote::{RefName, Refspec};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::MAX_ARGS_BYTES;

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
    /// The name of a Git ref, or a commit's id.
    Ref,
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

impl ArgSpec {
    pub(super) fn check(&self, kind: &'static str, value: &Value) -> Result<(), ArgsError> {
        let fits = match self.takes {
            ArgType::Boolean => value.is_boolean(),
            ArgType::Integer { min, max } => value
                .as_i64()
                .is_some_and(|number| (min..=max).contains(&number)),
            ArgType::Text => value.as_str().is_some_and(is_plain_text),
            ArgType::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            ArgType::Ref => value
                .as_str()
                .is_some_and(|name| RefName::parse(name).is_ok()),
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
            Self::Ref => "a ref such as \"main\" or \"refs/tags/v1\", or a commit's id".to_owned(),
            Self::Refspecs => {
                "a list of refspecs such as \"+refs/heads/*:refs/heads/*\"".to_owned()
            }
        }
    }
}

/// Arguments that were checked against their kind.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(transparent)]
pub struct CanonicalArgs(pub(super) Value);

impl CanonicalArgs {
    /// No arguments, for a kind that needs none.
    #[must_use]
    pub fn none() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Arguments that are made to fit their kind, rather than given by somebody.
    pub(crate) fn made(args: Value) -> Self {
        Self(args)
    }

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
