//! From a request's job to one that can be enqueued: pure checks, before anything is looked up.

use chrono::{DateTime, Utc};
use leasectl_core::ids::RepoId;
use leasectl_core::job::{EnqueueRequest, NotBefore};
use leasectl_core::kind::{ArgsError, CanonicalArgs, KindSpec, Kinds, Priority};
use leasectl_core::repository::RepoRef;
use leasectl_core::time::Timestamp;
use leasectl_remote::Locality;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::repo_ref;
use crate::strict_json::StrictValue;

/// A job to accept.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    /// The repository: its id, its name `owner/name`, or its registered URL.
    #[schema(example = "owner/name")]
    repo: String,
    /// The kind of job.
    #[schema(example = "fetch")]
    kind: String,
    /// The kind's arguments; none unless given.
    #[schema(value_type = Option<Object>)]
    args: Option<StrictValue>,
    /// From -100 to 100, higher is sooner; 0 unless given.
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i64>,
    /// Not to start before this time (RFC 3339); at once unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    not_before: Option<String>,
}

/// A job whose every value was accepted; only its repository is yet to be found.
#[derive(Debug)]
pub(crate) struct CheckedJob {
    pub(crate) repo: RepoRef,
    kind: KindSpec,
    args: CanonicalArgs,
    priority: Priority,
    not_before: NotBefore,
}

impl NewJob {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be accepted.
    pub(crate) fn check(self, kinds: &Kinds, locality: Locality) -> Result<CheckedJob, Problem> {
        let args = self
            .args
            .map_or_else(|| Value::Object(Map::new()), |StrictValue(args)| args);
        let args = kinds.canonical_args(&self.kind, &args).map_err(refused)?;
        let kind = *kinds
            .get(&self.kind)
            .ok_or_else(|| Problem::invalid("there is no such kind"))?;
        let priority = Priority::try_from(self.priority.unwrap_or(0))
            .map_err(|error| Problem::invalid(error.to_string()))?;
        let not_before = match self.not_before {
            Some(text) => NotBefore::At(moment(&text)?),
            None => NotBefore::Now,
        };
        let repo = repo_ref::parse(&self.repo, locality)?;
        Ok(CheckedJob {
            repo,
            kind,
            args,
            priority,
            not_before,
        })
    }
}

impl CheckedJob {
    /// The job for the repository that was found.
    pub(crate) fn found(self, repo_id: RepoId) -> (KindSpec, EnqueueRequest) {
        let request = EnqueueRequest::new(repo_id, &self.kind, self.args)
            .priority(self.priority)
            .not_before(self.not_before);
        (self.kind, request)
    }
}

fn refused(error: ArgsError) -> Problem {
    let code = match error {
        ArgsError::UnknownKind { .. } => Code::UnknownKind,
        ArgsError::NotAnObject
        | ArgsError::UnknownArg { .. }
        | ArgsError::MissingArg { .. }
        | ArgsError::WrongType { .. }
        | ArgsError::TooLarge { .. } => Code::InvalidArgument,
    };
    Problem::new(code, error.to_string())
}

/// Reads a time; whether it lies too far away is for the queue to say.
fn moment(text: &str) -> Result<Timestamp, Problem> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| Timestamp::from(moment.with_timezone(&Utc)))
        .map_err(|_not_a_time| {
            Problem::invalid("not_before must be a time such as 2030-01-31T08:00:00Z (RFC 3339)")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(job: Value) -> Result<CheckedJob, Problem> {
        let job: NewJob = serde_json::from_value(job).unwrap();
        job.check(&Kinds::standard(), Locality::PublicOnly)
    }

    #[test]
    fn only_repo_and_kind_are_needed() {
        let job = check(json!({"repo": "owner/name", "kind": "fetch"})).unwrap();
        assert_eq!(job.args.as_json(), &json!({}));
        assert_eq!(job.priority.get(), 0);
        check(
            json!({"repo": "owner/name", "kind": "fetch", "args": null, "priority": null,
                     "not_before": null}),
        )
        .unwrap();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (field, value) in [
            ("priority", json!(101)),
            ("priority", json!(i64::MIN)),
            ("not_before", json!("")),
            ("not_before", json!("tomorrow")),
            ("not_before", json!("2030-01-31T08:00:00")),
            ("not_before", json!("2030-13-31T08:00:00Z")),
            ("kind", json!("nope")),
            ("kind", json!("fetch\u{0}")),
            ("args", json!([])),
            ("args", json!({"unknown": 1})),
            ("repo", json!("")),
            ("repo", json!("https://127.0.0.1/x")),
        ] {
            let mut job = json!({"repo": "owner/name", "kind": "fetch"});
            job[field] = value.clone();
            assert!(check(job).is_err(), "{field} {value} was accepted");
        }
    }

    #[test]
    fn a_time_with_an_offset_is_the_same_moment() {
        let shown = moment("2030-01-31T08:00:00+02:00").unwrap().to_string();
        assert_eq!(shown, "2030-01-31T06:00:00.000000Z");
    }
}
