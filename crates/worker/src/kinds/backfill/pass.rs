//! One pass over the changes of a repository.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use leasectl_core::changes::{Budget, Due, Mode, Pass, Studied};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_repo::{Changes, CloneCache, CloneTarget, ObjectId as GitId, ReadyClone, RepoError};

use super::super::clone::{Reporting, job_error};
use super::super::follow_up;
use super::budget::Left;
use super::facts::git_id;
use super::steps::Steps;
use super::study::{Failure, studied};

/// How often a pass begins again with a clone that was made anew.
const TRIES: usize = 2;

/// Threads that read one repository; others have jobs too.
const MOST_THREADS: usize = 4;

/// Studies the changes of one repository.
pub(super) struct Study<'a> {
    cache: &'a CloneCache,
    target: CloneTarget,
    pub(super) steps: &'a Steps<'a>,
    /// What the last batch was read from; the next one need not read the default branch again.
    last: Mutex<Option<Changes>>,
    /// The remote lacked a commit of the inventory. A forge makes many test merges anew at once, so others may be
    /// gone as well: they are not asked for batch by batch, but taken if the clone has them.
    is_outrun: AtomicBool,
}

/// The threads of one study.
pub(super) fn threads() -> NonZeroUsize {
    let there = available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(there.min(MOST_THREADS)).unwrap_or(NonZeroUsize::MIN)
}

impl<'a> Study<'a> {
    pub(super) fn new(cache: &'a CloneCache, target: CloneTarget, steps: &'a Steps<'a>) -> Self {
        Self {
            cache,
            target,
            steps,
            last: Mutex::default(),
            is_outrun: AtomicBool::new(false),
        }
    }

    /// Runs the pass within the budget; answers it with its cursor, and whether nothing is left to study.
    pub(super) async fn run(
        &self,
        mut pass: Pass,
        budget: Budget,
    ) -> Result<(Pass, bool), JobError> {
        let mut left = Left::of(budget);
        let mut tries = 1;
        let exhausted = loop {
            match self.go_on(&mut pass, &mut left).await {
                Ok(exhausted) => break exhausted,
                // The damaged clone was put aside: what it is made of next is whole.
                Err(Failure::Corrupt(_)) if tries < TRIES => tries += 1,
                Err(failure) => return Err(failure.into_job_error()),
            }
        };
        if exhausted {
            self.steps.finish(&pass, budget).await?;
        } else {
            self.steps.pause(&pass, budget).await?;
        }
        Ok((pass, exhausted))
    }

    async fn go_on(&self, pass: &mut Pass, left: &mut Left) -> Result<bool, Failure> {
        self.confirm_default(pass).await?;
        if !self.study_due(pass, left).await? {
            return Ok(false);
        }
        if pass.mode == Mode::FullHistory {
            return self.history(pass, left).await;
        }
        Ok(true)
    }

    /// Looks whether the default branch only went on since the last pass.
    async fn confirm_default(&self, pass: &mut Pass) -> Result<(), Failure> {
        let (Some(before), Some(now)) = (pass.previous_default_head, pass.default_head) else {
            return Ok(());
        };
        if before == now {
            return Ok(());
        }
        let (before, now) = (git_id(before)?, git_id(now)?);
        let clone = self.ready(&[now]).await?;
        let changes = self.changes(&clone, Some(now)).await?;
        let cancel = self.steps.context.cancel.clone();
        let goes_on = move || changes.is_in_default(before, &cancel);
        let goes_on = self.blocking(&clone, goes_on).await?;
        *pass = self.steps.confirm_default(pass.clone(), !goes_on).await?;
        Ok(())
    }

    /// Studies what is due, batch by batch. Answers whether all of it was within the budget.
    async fn study_due(&self, pass: &mut Pass, left: &mut Left) -> Result<bool, Failure> {
        let progress = &self.steps.context.progress;
        let mut done: u64 = 0;
        loop {
            let limit = left.batch();
            let due = self.steps.due(pass, pass.cursor, limit.max(1)).await?;
            let Some(last) = due.last().map(|due| due.key) else {
                return Ok(true);
            };
            if limit == 0 {
                return Ok(false);
            }
            progress.message("studying changes");
            let studied = self.study(pass, due).await?;
            self.steps.record(pass, &studied, last).await?;
            pass.cursor = Some(last);
            left.spend(studied.len());
            done += studied.len() as u64;
            progress.report(done, None, "changes");
        }
    }

    async fn study(&self, pass: &Pass, due: Vec<Due>) -> Result<Vec<Studied>, Failure> {
        let default_head = pass.default_head.map(git_id).transpose()?;
        let clone = self.with_commits(default_head, &due).await?;
        let changes = self.changes(&clone, default_head).await?;
        let cancel = self.steps.context.cancel.clone();
        let study = move || studied(&changes, due, threads(), &cancel);
        self.blocking(&clone, study).await
    }

    /// A clone with the heads and the test merges of all of them, as far as the remote still offers them.
    async fn with_commits(
        &self,
        default_head: Option<GitId>,
        due: &[Due],
    ) -> Result<ReadyClone, Failure> {
        let is_outrun = self.is_outrun.load(Ordering::Relaxed);
        let test_merge = |due: &Due| due.test_merge.filter(|_| !is_outrun);
        let commits = due.iter().flat_map(|due| [Some(due.head), test_merge(due)]);
        let commits = commits.flatten().map(git_id);
        let mut needs = commits.collect::<Result<Vec<_>, _>>()?;
        needs.extend(default_head);
        match self.ready(&needs).await {
            Err(Failure::Job(error)) if error.code == ErrorCode::RefNotFound => {
                // What the inventory says is older than the remote: it is renewed, and what is gone is studied
                // again when that shows what came in its place.
                self.is_outrun.store(true, Ordering::Relaxed);
                follow_up::ask_for_fetch(self.steps.context).await?;
                let defaults: Vec<GitId> = default_head.into_iter().collect();
                self.ready(&defaults).await
            }
            ready => ready,
        }
    }

    /// A clone that has these commits.
    pub(super) async fn ready(&self, needs: &[GitId]) -> Result<ReadyClone, Failure> {
        let context = self.steps.context;
        let sink = Reporting::to(&context.progress);
        let clone = self
            .cache
            .ensure_clone(&self.target, needs, &sink, &context.cancel)
            .await;
        clone.map_err(|error| Failure::Job(job_error(&error)))
    }

    /// The changes of a clone.
    pub(super) async fn changes(
        &self,
        clone: &ReadyClone,
        default_head: Option<GitId>,
    ) -> Result<Changes, Failure> {
        let content = self.cache.content(clone).await;
        let content = content.map_err(|error| self.put_aside(clone, error))?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = match &*last {
            Some(last) if last.default_head() == default_head => last.in_clone(&content),
            Some(_) | None => Changes::open(&content, default_head),
        };
        Ok(last.insert(changes).clone())
    }

    /// Reads where that holds nobody up, and puts the clone aside when it turns out to be damaged.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        clone: &ReadyClone,
        read: impl FnOnce() -> Result<T, leasectl_repo::StudyError> + Send + 'static,
    ) -> Result<T, Failure> {
        let context = self.steps.context;
        let reading = tokio::task::spawn_blocking(read);
        let read = tokio::select! {
            read = reading => read,
            () = context.cancel.cancelled() => return Err(Failure::stopped()),
        };
        match read {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(leasectl_repo::StudyError::Clone(error))) => Err(self.put_aside(clone, error)),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => {
                tracing::error!(error = %error, "reading a clone broke");
                Err(Failure::broke())
            }
        }
    }

    fn put_aside(&self, clone: &ReadyClone, error: RepoError) -> Failure {
        if !matches!(error, RepoError::Corrupt { .. }) {
            return Failure::Job(job_error(&error));
        }
        match self.cache.quarantine(clone) {
            Ok(()) => Failure::Corrupt(error),
            Err(error) => Failure::Job(job_error(&error)),
        }
    }
}
