//! Settling: ending leases with an outcome, in batches, exactly once each.

use std::collections::HashMap;

use rand::RngExt;
use serde_json::{Value, json};

use super::promote::lane_of;
use super::{LeaseKey, Outcome, Settlement};
use crate::database::{Client, DatabaseError};
use crate::failure::{ErrorCode, JobError};
use crate::ids::{JobId, RepoId, Token};
use crate::job::PublicState;
use crate::kind::Lane;

/// What came of a settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It took effect now.
    Applied {
        /// The state that the job is in.
        state: PublicState,
        /// Jobs waited for its lane: the first of them is ready now, unless somebody was quicker.
        lane_waits: bool,
    },
    /// It took effect earlier; the answer was lost on the way.
    AlreadyApplied,
    /// Somebody else holds the lease, or the job is gone: nothing was changed.
    LeaseLost,
}

/// Settles leases of one owner, and promotes what waited for their lanes.
///
/// The answer is in the order of the settlements. After an error the same settlements may be sent
/// again: those that took effect answer [`Settled::AlreadyApplied`].
///
/// # Errors
/// When the database is away; it is then unknown what took effect.
pub async fn settle(
    client: &Client,
    settlements: &[Settlement],
) -> Result<Vec<Settled>, DatabaseError> {
    let Some(first) = settlements.first() else {
        return Ok(Vec::new());
    };
    let statement = client.prepare_cached(include_str!("settle.sql")).await?;
    let mut batch = Batch::default();
    for settlement in settlements {
        batch.push(settlement);
    }
    let rows = client
        .query(
            &statement,
            &[
                &first.owner.as_str(),
                &batch.ids,
                &batch.tokens,
                &batch.outcomes,
                &batch.results,
                &batch.errors,
                &batch.retry_in,
            ],
        )
        .await?;
    let mut applied = HashMap::with_capacity(rows.len());
    let mut waiting = Vec::new();
    for row in &rows {
        let key = key_of(row.get("id"), row.get("token"));
        let lane_waits = row.get("lane_waits");
        let state = PublicState::from_sql_name(row.get("state"))?;
        applied.insert(key, Settled::Applied { state, lane_waits });
        if lane_waits {
            let repo: uuid::Uuid = row.get("repo_id");
            waiting.push((RepoId::from(repo), lane_of(row.get("lane"))?));
        }
    }
    promote_quietly(client, &waiting).await;
    let before = settled_before(client, settlements, &applied).await?;
    Ok(settlements
        .iter()
        .map(|settlement| match applied.get(&settlement.key) {
            Some(applied) => *applied,
            None if before.contains(&settlement.key) => Settled::AlreadyApplied,
            None => Settled::LeaseLost,
        })
        .collect())
}

/// The settlements have taken effect whatever becomes of this; the next sweep looks again.
async fn promote_quietly(client: &Client, lanes: &[(RepoId, Lane)]) {
    if !lanes.is_empty()
        && let Err(error) = super::promote(client, lanes).await
    {
        tracing::debug!(%error, "promotion after settling failed; the sweep will promote");
    }
}

async fn settled_before(
    client: &Client,
    settlements: &[Settlement],
    applied: &HashMap<LeaseKey, Settled>,
) -> Result<Vec<LeaseKey>, DatabaseError> {
    let unknown = settlements
        .iter()
        .map(|s| s.key)
        .filter(|key| !applied.contains_key(key));
    let (ids, tokens): (Vec<_>, Vec<_>) = unknown
        .map(|key| (key.job_id.as_uuid(), key.token.get()))
        .unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = client
        .prepare_cached(include_str!("settled_before.sql"))
        .await?;
    let rows = client.query(&statement, &[&ids, &tokens]).await?;
    Ok(rows
        .iter()
        .map(|row| key_of(row.get("id"), row.get("token")))
        .collect())
}

fn key_of(id: uuid::Uuid, token: i64) -> LeaseKey {
    LeaseKey {
        job_id: JobId::from(id),
        token: Token::new(token),
    }
}

/// The columns of a batch.
#[derive(Default)]
struct Batch {
    ids: Vec<uuid::Uuid>,
    tokens: Vec<i64>,
    outcomes: Vec<&'static str>,
    results: Vec<Option<Value>>,
    errors: Vec<Option<Value>>,
    retry_in: Vec<Option<f64>>,
}

impl Batch {
    fn push(&mut self, settlement: &Settlement) {
        let (result, error, retry_in) = match &settlement.outcome {
            Outcome::Completed(result) => (Some(result.clone()), None, None),
            Outcome::Failed(error) => {
                let (error, retry_in) = verdict(error, settlement.attempt, settlement.max_attempts);
                (None, Some(error), retry_in)
            }
            Outcome::Cancelled => {
                let error = JobError::permanent(ErrorCode::Cancelled, "the job was cancelled");
                (None, Some(error), None)
            }
            Outcome::Released => (None, None, None),
        };
        self.ids.push(settlement.key.job_id.as_uuid());
        self.tokens.push(settlement.key.token.get());
        self.outcomes.push(settlement.outcome.as_str());
        self.results.push(result.map(without_nul));
        self.errors.push(
            error
                .and_then(|error| serde_json::to_value(error).ok())
                .map(without_nul),
        );
        self.retry_in.push(retry_in);
    }
}

/// Whether another attempt follows, and when, in seconds. The last failure names its cause.
fn verdict(error: &JobError, attempt: i16, max_attempts: i16) -> (JobError, Option<f64>) {
    if !error.retryable {
        return (error.clone(), None);
    }
    if attempt < max_attempts {
        return (error.clone(), Some(backoff_seconds(attempt)));
    }
    let mut exhausted = JobError::permanent(
        ErrorCode::AttemptsExhausted,
        format!(
            "gave up after {attempt} attempts; the last one failed: {}",
            error.message
        ),
    );
    exhausted.details.insert(
        "cause".to_owned(),
        json!({"code": error.code, "message": error.message}),
    );
    (exhausted, None)
}

/// Exponential backoff with jitter: 1 s doubling up to 5 min, between half and the whole of it, so
/// that jobs that failed together do not come back together.
fn backoff_seconds(attempt: i16) -> f64 {
    let doublings = i32::from(attempt.clamp(1, 10)) - 1;
    let whole = 2f64.powi(doublings).min(300.0);
    whole * rand::rng().random_range(0.5..=1.0)
}

/// PostgreSQL's `jsonb` holds no NUL; one in a remote's message must not block a settlement, and one
/// in a handler's progress must not stop the heartbeat of every lease.
pub(super) fn without_nul(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            text.retain(|c| c != '\0');
            Value::String(text)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nul).collect()),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(k, v)| (k.replace('\0', ""), without_nul(v)))
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_and_stays_bounded() {
        for attempt in 1..40 {
            let seconds = backoff_seconds(attempt);
            let whole = 2f64.powi(i32::from(attempt.min(10)) - 1).min(300.0);
            assert!(
                (whole / 2.0..=whole).contains(&seconds),
                "attempt {attempt}: {seconds}"
            );
        }
    }

    #[test]
    fn the_last_failure_names_its_cause() {
        let error = JobError::retryable(ErrorCode::RemoteTimeout, "the remote was silent");
        assert!(verdict(&error, 4, 5).1.is_some());
        let (last, retry_in) = verdict(&error, 5, 5);
        assert_eq!(retry_in, None);
        assert_eq!(last.code, ErrorCode::AttemptsExhausted);
        assert_eq!(last.details["cause"]["code"], "remote_timeout");
    }

    #[test]
    fn a_permanent_failure_is_not_tried_again() {
        let error = JobError::permanent(ErrorCode::RemoteNotFound, "no such repository");
        assert_eq!(verdict(&error, 1, 5), (error.clone(), None));
    }

    #[test]
    fn nul_is_dropped_before_the_database_sees_it() {
        assert_eq!(
            without_nul(json!({"a\0": ["b\0c", 1]})),
            json!({"a": ["bc", 1]})
        );
    }
}
