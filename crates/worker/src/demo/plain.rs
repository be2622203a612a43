//! The demo without a crash: one fetch, the index that follows from it, and a backfill of the repository's changes,
//! each by whichever worker is quicker.

use leasectl_core::changes::{Budget, Mode};
use leasectl_core::ids::JobId;
use leasectl_core::job::JobView;
use leasectl_core::kind::{BACKFILL, CanonicalArgs, FETCH, INDEX, KindSpec};

use super::follow::{backfilled, enqueue_job, fetched, index_after, indexed, succeeded, until};
use super::stage::Stage;
use super::story::Story;
use crate::cli::CommandError;

/// Fetches the repository, follows the index of what came, and tells what came of it.
pub(crate) async fn play(stage: &mut Stage, story: &mut Story<'_>) -> Result<(), CommandError> {
    let id = accept(stage, story, &FETCH, CanonicalArgs::none()).await?;
    let fetch = follow(stage, story, &FETCH, id).await?;
    story.tell(&format!("fetch completed: {}", fetched(&fetch)))?;
    let has_head = fetch
        .result
        .as_ref()
        .is_some_and(|found| found["head"].is_string());
    // An empty repository has nothing to index.
    if has_head {
        let id = if let Some(id) = index_after(stage, &fetch).await? {
            story.tell(&format!(
                "the default branch moved, so the fetch recorded it and accepted job {id}: index"
            ))?;
            id
        } else {
            // An earlier fetch had found the same.
            accept(stage, story, &INDEX, CanonicalArgs::none()).await?
        };
        let index = follow(stage, story, &INDEX, id).await?;
        story.tell(&format!("index completed: {}", indexed(&index)))?;
    }
    let open_ones = Mode::OpenOnly.args(Budget::default());
    let id = accept(stage, story, &BACKFILL, open_ones).await?;
    let backfill = follow(stage, story, &BACKFILL, id).await?;
    story.tell(&format!("backfill completed: {}", backfilled(&backfill)))?;
    story.timings()
}

async fn accept(
    stage: &Stage,
    story: &mut Story<'_>,
    kind: &KindSpec,
    args: CanonicalArgs,
) -> Result<JobId, CommandError> {
    let id = enqueue_job(stage, kind, args).await?;
    story.tell(&format!(
        "accepted job {id}: {}; it is committed and cannot get lost",
        kind.name
    ))?;
    Ok(id)
}

async fn follow(
    stage: &mut Stage,
    story: &mut Story<'_>,
    kind: &KindSpec,
    id: JobId,
) -> Result<JobView, CommandError> {
    let before = story.elapsed();
    let job = until(stage, story, id, None, |_| false).await?;
    story.pause();
    succeeded(&job)?;
    story.took(kind.name, story.elapsed().saturating_sub(before));
    Ok(job)
}
