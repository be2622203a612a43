//! `worker enqueue`: accepts a job and, when asked to, waits for its end.

use std::time::Duration;

use clap::Args;
use leasectl_core::database::Database;
use leasectl_core::job::{EnqueueRequest, Enqueued, NotBefore, enqueue};
use leasectl_core::kind::{ArgType, ArgsError, CanonicalArgs, KindSpec, Kinds, Lane, Priority};
use leasectl_core::time::Timestamp;
use leasectl_core::wakeup;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{CommandError, Context, Exit, RepoArg};
use crate::cli::wait;

/// Arguments of `worker enqueue`.
#[derive(Debug, Args)]
pub struct EnqueueArgs {
    /// The kind of job: fetch, index or backfill
    kind: String,
    /// The repository: id, owner/name, or a URL or path (registered on first use)
    repo: RepoArg,
    /// One argument of the job, read as its kind wants it; repeat it for a list
    #[arg(long = "arg", value_name = "K=V")]
    args: Vec<String>,
    /// All arguments as a JSON object; --arg adds to it
    #[arg(long = "args", value_name = "JSON")]
    args_json: Option<String>,
    /// From -100 to 100; higher is sooner
    #[arg(long, value_name = "N", default_value = "0", value_parser = priority)]
    #[arg(allow_negative_numbers = true)]
    priority: Priority,
    /// Not before this much time has passed, such as 10m
    #[arg(long = "in", value_name = "DUR", value_parser = leasectl_service::parse_duration, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Not before this moment, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// Wait for the job's end; exit code 5 when it ends in error or cancelled
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A job's arguments on the command line make no sense.
#[derive(Debug, Error)]
enum JobArgsError {
    /// `--args` is no JSON.
    #[error("--args is not a JSON object: {0}")]
    NotJson(serde_json::Error),
    /// `--args` is JSON but no object.
    #[error("--args is not a JSON object")]
    NotAnObject,
    /// `--arg` has no equals sign.
    #[error("--arg {0:?} is not K=V")]
    NotAPair(String),
    /// An argument that is no list was given twice.
    #[error("--arg {0} is given twice")]
    Twice(String),
    /// Refused by the kind.
    #[error(transparent)]
    Refused(#[from] ArgsError),
}

/// Runs `worker enqueue`.
///
/// # Errors
/// When the job is refused, or its outcome, when it is waited for, is not success.
pub(super) async fn run(context: &Context, args: &EnqueueArgs) -> Result<(), CommandError> {
    let kinds = Kinds::standard();
    let (kind, job_args) = canonical(&kinds, &args.kind, args.args_json.as_deref(), &args.args)
        .map_err(|error| CommandError::caused(Exit::Usage, &error))?;
    let database = context.open().await?;
    let repository = context
        .repository_or_register(&database, &args.repo)
        .await?;
    let not_before = match (args.delay, args.at) {
        (Some(delay), _) => NotBefore::In(delay),
        (None, Some(at)) => NotBefore::At(at),
        (None, None) => NotBefore::Now,
    };
    let request = EnqueueRequest::new(repository.id, &kind, job_args)
        .priority(args.priority)
        .not_before(not_before);
    let accepted = enqueue(&database.database, &[request]).await?;
    let Some(job) = accepted.first() else {
        return Err(CommandError::new(
            Exit::Failed,
            "the database accepted no job",
        ));
    };
    wake(&database.database, kind.lane).await;
    if args.wait {
        if !args.json {
            context.output().line(job.job_id.to_string())?;
        }
        return wait::until_done(context, &database.database, job.job_id, args.json).await;
    }
    report(context, args, job)
}

/// Tells idle workers, so that they need not wait for their next poll. The job is accepted all the
/// same if this fails.
pub(super) async fn wake(database: &Database, lane: Lane) {
    let told = match database.client().await {
        Ok(client) => wakeup::announce(&client, &[lane]).await,
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "no wakeup was sent; the next poll finds the job");
    }
}

fn report(context: &Context, args: &EnqueueArgs, job: &Enqueued) -> Result<(), CommandError> {
    if args.json {
        return context.output().json(job);
    }
    if job.deduplicated {
        context.note("an equal job was waiting already; this is its id");
    }
    context.output().line(job.job_id.to_string())
}

pub(super) fn priority(text: &str) -> Result<Priority, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a whole number"))?;
    Priority::try_from(number).map_err(|error| error.to_string())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|moment| Timestamp::from(moment.to_utc()))
        .map_err(|error| format!("{error}; write it like 2026-01-31T08:00:00Z"))
}

/// The kind, and the arguments of `--args` and `--arg`, each read as the kind wants it.
fn canonical(
    kinds: &Kinds,
    kind: &str,
    object: Option<&str>,
    pairs: &[String],
) -> Result<(KindSpec, CanonicalArgs), JobArgsError> {
    let mut given = match object {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text).map_err(JobArgsError::NotJson)? {
            Value::Object(object) => object,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                return Err(JobArgsError::NotAnObject);
            }
        },
    };
    let mut from_pairs = Map::new();
    for pair in pairs {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| JobArgsError::NotAPair(pair.clone()))?;
        let spec = kinds
            .get(kind)
            .and_then(|kind| kind.args.iter().find(|arg| arg.name == name));
        let value = typed(spec.map(|arg| arg.takes), text);
        match (from_pairs.get_mut(name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(_), _) => return Err(JobArgsError::Twice(name.to_owned())),
            (None, value) => {
                from_pairs.insert(name.to_owned(), value);
            }
        }
    }
    given.extend(from_pairs);
    let args = kinds.canonical_args(kind, &Value::Object(given))?;
    let spec = kinds
        .get(kind)
        .copied()
        .ok_or_else(|| ArgsError::UnknownKind {
            kind: kind.to_owned(),
            known: String::new(),
        })?;
    Ok((spec, args))
}

/// Reads a value; what does not fit stays text, so that the kind can name what it expected.
fn typed(takes: Option<ArgType>, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match takes {
        Some(ArgType::Boolean) => text.parse().map_or_else(|_| as_text(), Value::Bool),
        Some(ArgType::Integer { .. }) => {
            text.parse::<i64>().map_or_else(|_| as_text(), Value::from)
        }
        Some(ArgType::Refspecs) => match serde_json::from_str(text) {
            Ok(Value::Array(list)) => Value::Array(list),
            Ok(_) | Err(_) => Value::Array(vec![as_text()]),
        },
        Some(ArgType::Text | ArgType::Ref | ArgType::OneOf(_)) | None => as_text(),
    }
}

#[cfg(test)]
mod tests {
    use leasectl_core::kind::{ArgSpec, Lane};
    use serde_json::json;

    use super::*;

    const SAMPLE: KindSpec = KindSpec {
        name: "sample",
        lane: Lane::Stack,
        args: &[
            ArgSpec {
                name: "push",
                takes: ArgType::Boolean,
                required: false,
            },
            ArgSpec {
                name: "n",
                takes: ArgType::Integer { min: 1, max: 9 },
                required: false,
            },
            ArgSpec {
                name: "branch",
                takes: ArgType::Text,
                required: false,
            },
        ],
    };

    fn read(kind: &str, object: Option<&str>, pairs: &[&str]) -> Result<Value, String> {
        let kinds = Kinds::standard().with(SAMPLE);
        let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        canonical(&kinds, kind, object, &pairs)
            .map(|(_, args)| args.as_json().clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values_take_the_type_that_their_kind_wants() {
        let args = read("sample", None, &["push=true", "n=3", "branch=7"]).unwrap();
        assert_eq!(args, json!({"push": true, "n": 3, "branch": "7"}));
    }

    #[test]
    fn a_list_is_repeated_or_written_as_json() {
        let heads = "+refs/heads/*:refs/heads/*";
        let tags = "+refs/tags/*:refs/tags/*";
        let expected = json!({"refspecs": [heads, tags]});
        let one = [format!("refspecs={heads}"), format!("refspecs={tags}")];
        let pairs: Vec<&str> = one.iter().map(String::as_str).collect();
        assert_eq!(read("fetch", None, &pairs).unwrap(), expected);
        let list = format!("refspecs={}", json!([heads, tags]));
        assert_eq!(read("fetch", None, &[&list]).unwrap(), expected);
    }

    #[test]
    fn a_single_argument_wins_over_the_object() {
        let args = read("sample", Some(r#"{"n": 1, "push": false}"#), &["n=2"]).unwrap();
        assert_eq!(args, json!({"n": 2, "push": false}));
    }

    #[test]
    fn mistakes_are_told_with_what_was_expected() {
        for (kind, object, pairs, part) in [
            ("sample", None, ["push=yes"].as_slice(), "push"),
            ("sample", None, &["n=10"], "1 to 9"),
            ("sample", None, &["n"], "K=V"),
            ("sample", None, &["n=1", "n=2"], "twice"),
            ("sample", None, &["other=1"], "other"),
            ("sample", Some("[]"), &[], "JSON object"),
            ("sample", Some("{"), &[], "JSON object"),
            ("nope", None, &[], "fetch"),
            ("backfill", None, &[], "mode"),
            ("index", None, &["ref=a..b"], "ref"),
        ] {
            let message = read(kind, object, pairs).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339() {
        assert_eq!(
            moment("2026-01-31T09:00:00+01:00").unwrap().to_string(),
            "2026-01-31T08:00:00.000000Z"
        );
        assert!(moment("tomorrow").is_err());
    }
}
