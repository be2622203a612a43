//! The commits of the default branch, for the mode `full_history`.

use leasectl_core::changes::Pass;

use super::budget::Left;
use super::facts::{git_id, history_commit, object};
use super::pass::{Study, threads};
use super::study::Failure;

/// Commits that are stored together.
const BATCH: usize = 256;

impl Study<'_> {
    /// Records the commits of the default branch that are not recorded yet. Answers whether that came to its end
    /// within the budget.
    pub(super) async fn history(&self, pass: &Pass, left: &Left) -> Result<bool, Failure> {
        if pass.history_head == pass.default_head {
            return Ok(true);
        }
        let Some(head) = pass.default_head.map(git_id).transpose()? else {
            self.steps.finish_history(pass).await?;
            return Ok(true);
        };
        let progress = &self.steps.context.progress;
        progress.message("recording the default branch's commits");
        let clone = self.ready(&[head]).await?;
        let changes = self.changes(&clone, Some(head)).await?;
        // Ancestors are recorded first, so whatever is recorded has all of its ancestors recorded.
        let known = self.steps.known_history(pass).await?;
        let mut done = known.len() as u64;
        let cancel = self.steps.context.cancel.clone();
        let walk = move || {
            let is_known = |id: &_| object(*id).is_ok_and(|id| known.contains(&id));
            changes.history(&is_known, &cancel)
        };
        let mut history = self.blocking(&clone, walk).await?;
        let total = done + history.remaining() as u64;
        progress.report(done, Some(total), "commits");
        while history.remaining() > 0 {
            if left.is_late() {
                return Ok(false);
            }
            let cancel = self.steps.context.cancel.clone();
            let read = move || {
                let next = history.read(BATCH, threads(), &cancel)?;
                Ok((history, next))
            };
            let next;
            (history, next) = self.blocking(&clone, read).await?;
            let new = next.into_iter().map(history_commit);
            let new = new.collect::<Result<Vec<_>, _>>()?;
            self.steps.record_history(pass, &new).await?;
            done += new.len() as u64;
            progress.report(done, Some(total), "commits");
        }
        self.steps.finish_history(pass).await?;
        Ok(true)
    }
}
