//! The demo with a crash: the owner of the lease dies in mid-transfer, the other worker carries on.

use leasectl_core::ids::JobId;
use leasectl_core::job::{JobView, LeaseView, PublicState};
use leasectl_core::kind::{CanonicalArgs, FETCH};
use leasectl_core::liveness;
use leasectl_core::status::{WorkerStatus, status};
use leasectl_core::time::BootInstant;
use leasectl_core::worker::Liveness;

use super::follow::{LOOK_EVERY, enqueue_job, fetched, succeeded, until};
use super::stage::Stage;
use super::story::Story;
use crate::cli::{CommandError, Exit, progress};

/// The state of a worker that beats.
const LIVE: &str = "live";

/// The owner that is to die, and how far it came.
struct Victim {
    owner: String,
    token: i64,
    reached: String,
}

/// Lets the lease's owner die in mid-job and follows the job to its end.
pub(crate) async fn play(stage: &mut Stage, story: &mut Story<'_>) -> Result<(), CommandError> {
    let has_signal = until_deaths_are_told(stage, story).await?;
    let before = story.elapsed();
    let id = enqueue_job(stage, &FETCH, CanonicalArgs::none()).await?;
    story.tell(&format!(
        "accepted job {id}: fetch; it is committed and cannot get lost"
    ))?;
    let victim = until_in_the_middle(stage, story, id).await?;
    story.took(
        "accepted to first progress",
        story.elapsed().saturating_sub(before),
    );
    let killed_at = kill(stage, story, &victim).await?;
    let job = until(stage, story, id, Some(&victim.owner), |job| {
        lease(job).is_some_and(|lease| lease.owner != victim.owner)
    })
    .await?;
    let takeover = killed_at.elapsed();
    let Some(heir) = lease(&job) else {
        succeeded(&job)?;
        return Err(CommandError::new(
            Exit::Failed,
            "the job ended before its takeover was seen",
        ));
    };
    story.tell(&format!(
        "taken over after {:.2}s: {} has attempt {} with token {} (was {})",
        takeover.as_secs_f64(),
        heir.owner,
        job.attempt,
        heir.token,
        victim.token
    ))?;
    story.took("killed to taken over", takeover);
    let job = until(stage, story, id, Some(&victim.owner), |job| {
        job.progress.is_some() || job.message.is_some()
    })
    .await?;
    story.took(
        "killed to the other handler's first report",
        killed_at.elapsed(),
    );
    let job = if job.state.is_finished() {
        job
    } else {
        until(stage, story, id, Some(&victim.owner), |_| false).await?
    };
    story.pause();
    succeeded(&job)?;
    story.took("killed to completed", killed_at.elapsed());
    story.took(
        "accepted to completed",
        story.elapsed().saturating_sub(before),
    );
    story.tell(&format!("fetch completed: {}", fetched(&job)))?;
    story.timings()?;
    story.say(if has_signal {
        "\nAll with the default settings: the dead worker's liveness lock was missed for the death \
         grace of 300 ms, and the other worker took the job over at once. Handlers report every 500 ms."
    } else {
        "\nAll with the default settings, but without the death signal: heartbeats decided alone."
    })
}

/// Waits until deaths are told by the signal, if both workers have it; answers whether they have.
///
/// A server that has just started excuses silence, as workers need a while to come back to it.
async fn until_deaths_are_told(
    stage: &mut Stage,
    story: &mut Story<'_>,
) -> Result<bool, CommandError> {
    let seen = status(stage.database(), None).await?;
    if !have_signal(&seen.workers) {
        story.tell(
            "the death signal is not available here (worker doctor says why): a takeover takes \
             30s of silence",
        )?;
        return Ok(false);
    }
    let mut has_told = false;
    while !liveness::deaths_are_told(stage.database()).await? {
        if !has_told {
            story.tell("the server has just started; until it is 15s old nobody counts as dead")?;
            has_told = true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Whether the deaths of all who live are told. An earlier demo has left its dead.
fn have_signal(workers: &[WorkerStatus]) -> bool {
    let mut live = workers.iter().filter(|worker| worker.state == LIVE);
    live.all(|worker| worker.liveness == Liveness::Session.as_str())
}

/// Waits until the transfer has begun and is not over.
async fn until_in_the_middle(
    stage: &mut Stage,
    story: &mut Story<'_>,
    id: JobId,
) -> Result<Victim, CommandError> {
    let job = until(stage, story, id, None, |job| {
        let counted = job.progress.as_ref();
        lease(job).is_some() && counted.is_some_and(|seen| seen.done > 0 && seen.unit != "steps")
    })
    .await?;
    if let (Some(lease), Some(seen)) = (lease(&job), &job.progress) {
        let reached = progress(seen.done, seen.total, &seen.unit);
        return Ok(Victim {
            owner: lease.owner.clone(),
            token: lease.token,
            reached,
        });
    }
    succeeded(&job)?;
    Err(CommandError::new(
        Exit::Failed,
        "the fetch ended before its owner could be killed, so there was nothing to take over",
    )
    .hint("try it again, or with a larger repository: worker demo REPO --crash"))
}

async fn kill(
    stage: &mut Stage,
    story: &mut Story<'_>,
    victim: &Victim,
) -> Result<BootInstant, CommandError> {
    let Some(worker) = stage.worker(&victim.owner) else {
        return Err(CommandError::new(
            Exit::Failed,
            format!(
                "the job was claimed by {}, which is not a worker of this demo",
                victim.owner
            ),
        )
        .hint("stop other workers of this database, or use another --data-dir"));
    };
    let pid = worker.pid();
    let killed_at = BootInstant::now();
    worker.kill().await.map_err(|error| {
        CommandError::new(Exit::Failed, format!("cannot kill worker {pid}: {error}"))
    })?;
    story.tell(&format!(
        "killed worker {pid} with SIGKILL at {}; it held token {}",
        victim.reached, victim.token
    ))?;
    Ok(killed_at)
}

/// The lease of a job that runs.
fn lease(job: &JobView) -> Option<&LeaseView> {
    job.lease
        .as_ref()
        .filter(|_| job.state == PublicState::Running)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_dead_of_an_earlier_demo_say_nothing_of_the_signal() {
        let worker = |state: &str, liveness: &str| WorkerStatus {
            owner: "host:1:a".to_owned(),
            hostname: "host".to_owned(),
            pid: 1,
            version: "1".to_owned(),
            state: state.to_owned(),
            started_at: chrono::DateTime::UNIX_EPOCH.into(),
            heartbeat_at: chrono::DateTime::UNIX_EPOCH.into(),
            kinds: BTreeMap::new(),
            leases: 0,
            liveness: liveness.to_owned(),
        };
        let mut workers = vec![worker("dead", "heartbeat"), worker("live", "session")];
        assert!(have_signal(&workers));
        workers.push(worker("live", "heartbeat"));
        assert!(!have_signal(&workers));
    }
}
