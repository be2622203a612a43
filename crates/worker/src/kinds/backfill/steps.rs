//! The steps of a pass in the database, each in a fenced transaction of its own that is begun again while the
//! database is away. All of them bear being done twice: the answer to a commit may be lost.

use std::collections::HashSet;

use leasectl_core::changes::{
    self, Begun, Budget, ChangeKey, Counts, Due, HistoryCommit, Mode, Pass, Studied,
};
use leasectl_core::failure::JobError;
use leasectl_core::index::ObjectId;
use leasectl_core::job::FollowUp;
use leasectl_core::lease::FenceError;

use super::super::{clone, follow_up};
use crate::daemon::JobContext;

/// Runs a step under the fence until its transaction has committed. (A function that takes the step as a closure
/// would make a future of which nobody can prove that it may change threads.)
macro_rules! fenced {
    ($steps:expr, $fenced:ident => $step:expr) => {
        loop {
            let done: Result<_, FenceError> = async {
                let mut client = $steps.context.database.client().await?;
                let $fenced = $steps.context.fence.begin(&mut client).await?;
                let answer = $step.await?;
                $fenced.commit().await?;
                Ok(answer)
            }
            .await;
            match done {
                Ok(answer) => break answer,
                Err(error) => clone::wait_out(error, &$steps.context.cancel).await?,
            }
        }
    };
}

/// Asks a question until the database has answered.
macro_rules! ask {
    ($steps:expr, $client:ident => $question:expr) => {
        loop {
            let asked: Result<_, FenceError> = async {
                let held = $steps.context.database.client().await?;
                let $client = &held;
                Ok($question.await?)
            }
            .await;
            match asked {
                Ok(answer) => break answer,
                Err(error) => clone::wait_out(error, &$steps.context.cancel).await?,
            }
        }
    };
}

/// What a pass does in the database.
pub(super) struct Steps<'a> {
    pub(super) context: &'a JobContext,
}

impl<'a> Steps<'a> {
    /// Those of a job.
    pub(super) fn of(context: &'a JobContext) -> Self {
        Self { context }
    }

    /// Begins a pass, or goes on with the one that did not end.
    pub(super) async fn begin(&self, mode: Mode) -> Result<Begun, JobError> {
        let repo_id = self.context.job.repo_id;
        Ok(fenced!(self, fenced => changes::begin_pass(&fenced, repo_id, mode)))
    }

    /// Says whether the default branch went on or was rewritten since the last pass.
    pub(super) async fn confirm_default(
        &self,
        pass: Pass,
        is_rewritten: bool,
    ) -> Result<Pass, JobError> {
        Ok(fenced!(self, fenced => changes::confirm_default(&fenced, pass.clone(), is_rewritten)))
    }

    /// What is to be studied next.
    pub(super) async fn due(
        &self,
        pass: &Pass,
        after: Option<ChangeKey>,
        limit: u16,
    ) -> Result<Vec<Due>, JobError> {
        Ok(ask!(self, client => changes::due(client, pass, after, limit)))
    }

    /// Writes what was found of a batch, and the cursor.
    pub(super) async fn record(
        &self,
        pass: &Pass,
        studied: &[Studied],
        cursor: ChangeKey,
    ) -> Result<(), JobError> {
        fenced!(self, fenced => changes::record_batch(&fenced, pass, studied, cursor));
        Ok(())
    }

    /// Ends the pass.
    pub(super) async fn finish(&self, pass: &Pass, budget: Budget) -> Result<(), JobError> {
        let follows = fenced!(self, fenced => changes::finish_pass(&fenced, pass, budget));
        self.start(follows).await
    }

    /// Leaves the rest of the pass to a job of its own.
    pub(super) async fn pause(&self, pass: &Pass, budget: Budget) -> Result<(), JobError> {
        let follows = fenced!(self, fenced => changes::pause_pass(&fenced, pass, budget));
        self.start(follows).await
    }

    /// Which commits of the default branch are recorded.
    pub(super) async fn known_history(&self, pass: &Pass) -> Result<HashSet<ObjectId>, JobError> {
        Ok(ask!(self, client => changes::known_history(client, pass)))
    }

    /// Writes commits of the default branch.
    pub(super) async fn record_history(
        &self,
        pass: &Pass,
        new: &[HistoryCommit],
    ) -> Result<(), JobError> {
        fenced!(self, fenced => changes::record_history(&fenced, pass, new));
        Ok(())
    }

    /// Removes what is no more of the default branch, and notes up to which commit all are recorded.
    pub(super) async fn finish_history(&self, pass: &Pass) -> Result<(), JobError> {
        while !fenced!(self, fenced => changes::finish_history(&fenced, pass)) {
            self.context.progress.advanced();
        }
        Ok(())
    }

    /// How many changes there are, and in which state.
    pub(super) async fn counts(&self) -> Result<Counts, JobError> {
        let repo_id = self.context.job.repo_id;
        Ok(ask!(self, client => changes::counts(client, repo_id)))
    }

    async fn start(&self, follows: Option<FollowUp>) -> Result<(), JobError> {
        let Some(follows) = follows else {
            return Ok(());
        };
        // The job is committed: when the database is away now, it is found by polling.
        if let Ok(client) = self.context.database.client().await {
            follow_up::start(self.context, &client, follows).await;
        }
        Ok(())
    }
}
