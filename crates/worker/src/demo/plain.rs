//! The demo without a crash: one fetch and one index, by whichever worker is quicker.

use leasectl_core::job::JobView;
use leasectl_core::kind::{FETCH, INDEX, KindSpec};

use super::follow::{enqueue_job, fetched, indexed, succeeded, until};
use super::stage::Stage;
use super::story::Story;
use crate::cli::CommandError;

/// Fetches the repository, indexes what came, and tells what came of it.
pub(crate) async fn play(stage: &mut Stage, story: &mut Story<'_>) -> Result<(), CommandError> {
    let fetch = step(stage, story, &FETCH).await?;
    story.tell(&format!("fetch completed: {}", fetched(&fetch)))?;
    let result = fetch.result.unwrap_or_default();
    // An empty repository has nothing to index.
    if result["head"].is_string() {
        let index = step(stage, story, &INDEX).await?;
        story.tell(&format!("index completed: {}", indexed(&index)))?;
    }
    story.timings()
}

async fn step(
    stage: &mut Stage,
    story: &mut Story<'_>,
    kind: &KindSpec,
) -> Result<JobView, CommandError> {
    let before = story.elapsed();
    let id = enqueue_job(stage, kind).await?;
    story.tell(&format!(
        "accepted job {id}: {}; it is committed and cannot get lost",
        kind.name
    ))?;
    let job = until(stage, story, id, None, |_| false).await?;
    story.pause();
    succeeded(&job)?;
    story.took(kind.name, story.elapsed().saturating_sub(before));
    Ok(job)
}
