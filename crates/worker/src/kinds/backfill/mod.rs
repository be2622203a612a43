//! `backfill`: makes what Git says of every change of a repository durable.
//!
//! A pass studies the changes that need it in the order of their keys, a batch at a time, and commits each batch
//! with its cursor under the fence. What it stored stays when it is killed, and the next one goes on behind it.

mod budget;
mod facts;
mod history;
mod pass;
mod steps;
mod study;

use async_trait::async_trait;
use leasectl_core::changes::{Begun, Budget, Counts, Mode, Pass};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::kind::{BACKFILL, KindSpec};
use leasectl_remote::Locality;
use leasectl_repo::CloneCache;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::facts::{inventory_entry, object};
use self::pass::Study;
use self::steps::Steps;
use super::{clone, follow_up};
use crate::daemon::{Handler, JobContext};

/// Runs `backfill` jobs.
#[derive(Clone, Debug)]
pub struct BackfillHandler {
    cache: CloneCache,
    locality: Locality,
}

impl BackfillHandler {
    /// Studies the changes of clones of that cache.
    #[must_use]
    pub fn new(cache: CloneCache, locality: Locality) -> Self {
        Self { cache, locality }
    }
}

/// The arguments of a `backfill`.
#[derive(Deserialize)]
struct Args {
    mode: String,
    #[serde(flatten)]
    budget: GivenBudget,
}

#[derive(Deserialize)]
struct GivenBudget {
    max_changes: Option<u32>,
    max_runtime_s: Option<u32>,
}

fn arguments(args: &Value) -> Result<(Mode, Budget), JobError> {
    let invalid = |message: String| JobError::permanent(ErrorCode::InvalidArgument, message);
    let args = Args::deserialize(args)
        .map_err(|_| invalid("the job's arguments are not those of a backfill".to_owned()))?;
    let mode: Mode = args
        .mode
        .parse()
        .map_err(|error: leasectl_core::changes::UnknownMode| invalid(error.to_string()))?;
    let budget = Budget {
        max_changes: args.budget.max_changes,
        max_runtime_s: args.budget.max_runtime_s,
    };
    Ok((mode, budget))
}

#[async_trait]
impl Handler for BackfillHandler {
    fn spec(&self) -> KindSpec {
        BACKFILL
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        let (mode, budget) = arguments(&context.job.args)?;
        let target = clone::target(&context, self.locality).await?;
        let steps = Steps::of(&context);
        match steps.begin(mode).await? {
            Begun::Off => {
                context.progress.message("the mode is off");
                result(&steps, true, None).await
            }
            Begun::NeverFetched => {
                context.progress.message("waiting for the first fetch");
                // That fetch records what there is, and has a pass follow.
                follow_up::ask_for_fetch(&context).await?;
                result(&steps, false, None).await
            }
            Begun::Pass(pass) => {
                let study = Study::new(&self.cache, target, &steps);
                let studied = study.run(pass, budget).await;
                let (pass, exhausted) = match studied {
                    Err(error) if error.code == ErrorCode::RefNotFound => {
                        // The default branch is no longer where the inventory has it. A fetch tells where it is,
                        // and has a pass follow; unless the remote is back where it was by then, so this job is
                        // tried again as well.
                        follow_up::ask_for_fetch(&context).await?;
                        return Err(JobError {
                            retryable: true,
                            ..error
                        });
                    }
                    studied => studied?,
                };
                result(&steps, exhausted, Some(&pass)).await
            }
        }
    }
}

async fn result(
    steps: &Steps<'_>,
    exhausted: bool,
    pass: Option<&Pass>,
) -> Result<Value, JobError> {
    let Counts {
        total,
        current,
        stale,
        failed,
        commits,
        ..
    } = steps.counts().await?;
    // A pass that came to its end begins anew.
    let cursor = pass.filter(|_| !exhausted).and_then(|pass| pass.cursor);
    Ok(json!({
        "changes_total": total,
        "changes_current": current,
        "changes_stale": stale,
        "changes_failed": failed,
        "commits": commits,
        "exhausted": exhausted,
        "cursor": cursor.map(|key| key.to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_all_that_a_pass_needs() {
        let (mode, budget) = arguments(&json!({"mode": "open_only"})).unwrap();
        assert_eq!(mode, Mode::OpenOnly);
        assert_eq!((budget.max_changes, budget.max_runtime_s), (None, None));
        let given = json!({"mode": "full_history", "max_changes": 5, "max_runtime_s": 60});
        let (mode, budget) = arguments(&given).unwrap();
        assert_eq!(mode, Mode::FullHistory);
        assert_eq!(
            (budget.max_changes, budget.max_runtime_s),
            (Some(5), Some(60))
        );
    }

    #[test]
    fn arguments_that_got_past_the_door_are_refused_here() {
        for args in [
            json!({}),
            json!({"mode": "everything"}),
            json!({"mode": 1}),
            json!({"mode": "open_only", "max_changes": -1}),
        ] {
            let error = arguments(&args).unwrap_err();
            assert_eq!(
                (error.code, error.retryable),
                (ErrorCode::InvalidArgument, false),
                "{args}"
            );
        }
    }
}
