//! Waiting for a job's end, with its progress for whoever looks.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use leasectl_core::database::Database;
use leasectl_core::ids::JobId;
use leasectl_core::job::{self, JobView, PublicState};
use leasectl_core::status;
use leasectl_core::time::BootInstant;

use super::{CommandError, Context, Exit, plain, progress};

/// How often the job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the database may be away before waiting is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the job has ended and prints how.
///
/// # Errors
/// When it ended in `error` or `cancelled`, is not there, or the database stays away.
pub(super) async fn until_done(
    context: &Context,
    database: &Database,
    id: JobId,
    json: bool,
) -> Result<(), CommandError> {
    let bar = bar(context);
    let ended = follow(context, database, id, &bar).await;
    bar.finish_and_clear();
    let job = ended?;
    if json {
        context.output().json(&job)?;
    } else {
        context.output().line(outcome(&job))?;
    }
    match job.state {
        PublicState::Completed => Ok(()),
        PublicState::Error | PublicState::Cancelled => {
            if json {
                return Err(CommandError::silent(Exit::JobEnded));
            }
            let cause = job.last_error.as_ref().map_or_else(
                || format!("the job ended as {}", job.state),
                |error| {
                    format!(
                        "the job ended as {}: {}",
                        job.state,
                        plain(&error.to_string())
                    )
                },
            );
            Err(CommandError::new(Exit::JobEnded, cause).hint(format!(
                "worker job show {id} lists its attempts; worker job retry {id} runs it again"
            )))
        }
        PublicState::Queued | PublicState::Waiting | PublicState::Running => {
            Err(CommandError::new(Exit::Failed, "the job has not ended"))
        }
    }
}

/// A bar on standard error, or nothing where nobody would see it move.
pub(crate) fn bar(context: &Context) -> ProgressBar {
    let target = if context.shows_progress() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

async fn follow(
    context: &Context,
    database: &Database,
    id: JobId,
    bar: &ProgressBar,
) -> Result<JobView, CommandError> {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let mut last_answer = BootInstant::now();
    let mut asked_for_workers = false;
    loop {
        tick.tick().await;
        let job = match job::find(database, id).await {
            Ok(Some(job)) => job,
            Ok(None) => {
                return Err(CommandError::new(
                    Exit::NotFound,
                    format!("there is no job {id}"),
                ));
            }
            Err(error) if error.is_unavailable() && last_answer.elapsed() < PATIENCE => {
                bar.set_message("the database is away; asking again");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        last_answer = BootInstant::now();
        bar.set_message(now(&job));
        if job.state.is_finished() {
            return Ok(job);
        }
        if !asked_for_workers && job.state != PublicState::Running {
            asked_for_workers = true;
            warn_when_nobody_works(context, database, &job, bar).await?;
        }
    }
}

async fn warn_when_nobody_works(
    context: &Context,
    database: &Database,
    job: &JobView,
    bar: &ProgressBar,
) -> Result<(), CommandError> {
    let workers = status::workers(&database.client().await?).await?;
    let kind = job.kind.as_str();
    let somebody = workers.iter().any(|worker| {
        worker.state == "live" && worker.kinds.get(kind).is_some_and(|slots| *slots > 0)
    });
    if !somebody {
        bar.suspend(|| {
            context.note(&format!(
                "no live worker takes {kind} jobs; this waits until one is started with worker run"
            ));
        });
    }
    Ok(())
}

/// What the job is doing, in one line.
#[must_use]
pub(crate) fn now(job: &JobView) -> String {
    let mut text = format!("{} {}", job.kind, job.state);
    if let Some(lease) = &job.lease {
        text.push_str(&format!(" on {} (token {})", lease.owner, lease.token));
    }
    if job.state == PublicState::Running {
        let counted = job.progress.as_ref();
        let doing = [
            job.message.clone(),
            counted.map(|seen| progress(seen.done, seen.total, &seen.unit)),
        ];
        for part in doing.iter().flatten() {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    if job.state == PublicState::Queued
        && let Some(error) = &job.last_error
    {
        text.push_str(&format!(" after attempt {} failed: {error}", job.attempt));
    }
    plain(&text)
}

/// How the job ended, in one line, with its result below.
fn outcome(job: &JobView) -> String {
    let mut text = format!("{} {} in attempt {}", job.kind, job.state, job.attempt);
    if let (Some(started), Some(finished)) = (job.started_at, job.finished_at) {
        text.push_str(&format!(" after {}", super::age(started.until(finished))));
    }
    if let Some(result) = &job.result
        && let Ok(result) = serde_json::to_string_pretty(result)
    {
        text.push('\n');
        text.push_str(&result);
    }
    text
}
