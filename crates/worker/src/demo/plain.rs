//! The demo without a crash: one fetch, by whichever worker is quicker.

use super::follow::{enqueue_fetch, result_line, succeeded, until};
use super::stage::Stage;
use super::story::Story;
use crate::cli::CommandError;

/// Fetches the repository and tells what came of it.
pub(crate) async fn play(stage: &mut Stage, story: &mut Story<'_>) -> Result<(), CommandError> {
    let before = story.elapsed();
    let id = enqueue_fetch(stage).await?;
    story.tell(&format!(
        "accepted job {id}: fetch; it is committed and cannot get lost"
    ))?;
    let job = until(stage, story, id, None, |_| false).await?;
    story.pause();
    succeeded(&job)?;
    story.took("fetch", story.elapsed().saturating_sub(before));
    story.tell(&format!("fetch completed: {}", result_line(&job)))?;
    story.timings()
}
