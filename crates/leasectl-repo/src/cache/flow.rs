//! What happens when a look is not enough: wait, clone, fetch, and clone again after damage.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use gix::ObjectId;
use leasectl_remote::{Locality, Refspec, default_refspecs};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::{
    CloneCache, CloneTarget, FetchReport, ReadyClone, RecloneReason, blocking,
    failure::{self, Moment},
};
use crate::{
    changes,
    error::{Cause, RepoError},
    layout::{self, Layout},
    lock::Lock,
    parent::{Ended, Run, to_error},
    progress::{Phase, Progress, ProgressSink},
    refs,
    stamp::Stamp,
    wire::{Failure, Outcome, Request},
};

/// One caller's operation on one clone.
struct Operation<'a> {
    cache: &'a CloneCache,
    target: &'a CloneTarget,
    layout: Layout,
    progress: &'a dyn ProgressSink,
    cancel: &'a CancellationToken,
}

/// The right to change a clone: within this process, then between processes.
struct Held {
    lock: Lock,
    _gate: OwnedMutexGuard<()>,
}

impl CloneCache {
    fn operation<'a>(
        &'a self,
        target: &'a CloneTarget,
        progress: &'a dyn ProgressSink,
        cancel: &'a CancellationToken,
    ) -> Operation<'a> {
        Operation {
            cache: self,
            target,
            layout: self.layout(target.id),
            progress,
            cancel,
        }
    }

    pub(super) async fn ensure_slowly(
        &self,
        target: &CloneTarget,
        needs: &[ObjectId],
        progress: &dyn ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<ReadyClone, RepoError> {
        let operation = self.operation(target, progress, cancel);
        let ensured = operation.ensure(needs).await;
        if operation.vanished(&ensured) {
            operation.ensure(needs).await
        } else {
            ensured
        }
    }

    pub(super) async fn fetch_slowly(
        &self,
        target: &CloneTarget,
        refspecs: &[Refspec],
        progress: &dyn ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<FetchReport, RepoError> {
        let operation = self.operation(target, progress, cancel);
        let fetched = operation.fetch(refspecs).await;
        if operation.vanished(&fetched) {
            operation.fetch(refspecs).await
        } else {
            fetched
        }
    }
}

impl Operation<'_> {
    async fn ensure(&self, needs: &[ObjectId]) -> Result<ReadyClone, RepoError> {
        let held = self.hold().await?;
        let reason = match self.look().await {
            Ok(clone) => match self.cache.first_missing(&clone, needs).await {
                Ok(None) => return Ok(clone),
                Ok(Some(_)) => match self.refresh(&held, &default_refspecs()).await {
                    Ok(_) => return self.with_all(self.look_again().await?, needs).await,
                    Err(Ended::Failed(Failure::Corrupt(_))) => RecloneReason::CorruptObject,
                    Err(ended) => return Err(ended.into_error(&self.target.url)),
                },
                Err(RepoError::Corrupt { .. }) => RecloneReason::CorruptObject,
                Err(error) => return Err(error),
            },
            Err(reason) => reason,
        };
        self.clone_anew(&held, reason, &default_refspecs()).await?;
        self.with_all(self.look_again().await?.with_reason(reason), needs)
            .await
    }

    /// The clone, unless the remote does not have a needed commit either.
    async fn with_all(
        &self,
        clone: ReadyClone,
        needs: &[ObjectId],
    ) -> Result<ReadyClone, RepoError> {
        match self.cache.first_missing(&clone, needs).await? {
            None => Ok(clone),
            Some(id) => Err(RepoError::RefNotFound {
                reference: format!("commit {id}"),
            }),
        }
    }

    async fn fetch(&self, refspecs: &[Refspec]) -> Result<FetchReport, RepoError> {
        let held = self.hold().await?;
        let reason = match self.look().await {
            Ok(_) => match self.refresh(&held, refspecs).await {
                Ok(outcome) => return self.report(outcome, self.look_again().await?).await,
                Err(Ended::Failed(Failure::Corrupt(text))) => {
                    tracing::info!(repository = %self.target.id, text, "an object of the clone cannot be read");
                    RecloneReason::CorruptObject
                }
                Err(ended) => return Err(ended.into_error(&self.target.url)),
            },
            Err(reason) => reason,
        };
        let mut all = default_refspecs();
        all.extend(
            refspecs
                .iter()
                .filter(|refspec| !all.contains(refspec))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let outcome = self.clone_anew(&held, reason, &all).await?;
        self.report(outcome, self.look_again().await?.with_reason(reason))
            .await
    }

    async fn report(&self, outcome: Outcome, clone: ReadyClone) -> Result<FetchReport, RepoError> {
        let dir = clone.path().to_owned();
        let refs = blocking(move || {
            refs::read(&dir).map_err(|error| RepoError::local("reading references", error))
        })
        .await?;
        Ok(FetchReport {
            recloned: clone.recloned(),
            default_branch: outcome.default_branch,
            head: outcome.head,
            head_changed: outcome.head_changed,
            branches: refs::branches(&refs),
            change_refs: changes::inventory(&refs),
            refs_created: outcome.refs_created,
            refs_updated: outcome.refs_updated,
            refs_deleted: outcome.refs_deleted,
            change_refs_changed: outcome.change_refs_changed,
            bytes_received: outcome.bytes_received,
            clone,
        })
    }

    /// Waits for the right to change the clone. Whoever had to wait for an attempt to clone that
    /// failed gets that failure instead of making the same attempt once more.
    async fn hold(&self) -> Result<Held, RepoError> {
        let limits = &self.cache.inner.settings.limits;
        let (started, since) = (Instant::now(), Moment::now());
        let slot = self.cache.inner.slots.of(self.target.id);
        let waiting = || {
            self.progress.report(&Progress {
                phase: Phase::Waiting,
                done: 0,
                total: None,
                bytes_received: 0,
            });
        };
        let gate = if let Ok(gate) = std::sync::Arc::clone(&slot.gate).try_lock_owned() {
            gate
        } else {
            waiting();
            tokio::select! {
                gate = std::sync::Arc::clone(&slot.gate).lock_owned() => gate,
                () = self.cancel.cancelled() => return Err(RepoError::Cancelled),
                () = tokio::time::sleep(limits.lock_wait) => {
                    return Err(RepoError::Busy { waited: limits.lock_wait });
                }
            }
        };
        if let Some(error) = slot.failure_after(started) {
            return Err(error);
        }
        let longest = limits.lock_wait.saturating_sub(started.elapsed());
        let lock = Lock::wait(
            self.layout.dir(),
            &self.layout.lock(),
            longest,
            self.cancel,
            waiting,
        )
        .await?;
        let failed =
            since.and_then(|since| failure::after(&self.layout, self.target.url.as_str(), &since));
        match failed {
            Some(failure) => Err(to_error(failure, &self.target.url)),
            None => Ok(Held { lock, _gate: gate }),
        }
    }

    /// Fetches into the clone that is there.
    async fn refresh(&self, held: &Held, refspecs: &[Refspec]) -> Result<Outcome, Ended> {
        self.run(held, self.layout.clone_dir(), false, refspecs)
            .await
    }

    /// Makes the clone next to its place and moves it there when it is complete.
    async fn clone_anew(
        &self,
        held: &Held,
        reason: RecloneReason,
        refspecs: &[Refspec],
    ) -> Result<Outcome, RepoError> {
        tracing::info!(repository = %self.target.id, reason = reason.as_str(), "cloning");
        let layout = self.layout.clone();
        blocking(move || {
            let prepared = layout
                .sweep()
                .and_then(|()| layout.discard_clone())
                .and_then(|()| failure::clear(&layout));
            prepared.map_err(|error| RepoError::local("clearing a damaged clone", error))
        })
        .await?;
        self.cache.inner.handles.forget(&self.layout.clone_dir());
        let fresh = self.layout.fresh();
        let cloned = self.run(held, fresh.clone(), true, refspecs).await;
        let (layout, url) = (self.layout.clone(), self.target.url.clone());
        let finished = blocking(move || {
            let finished =
                cloned.and_then(|outcome| install(&layout, &fresh, url.as_str()).map(|()| outcome));
            if let Err(ended) = &finished {
                let _ = layout::remove_all(&fresh);
                if let Ended::Failed(failure) = ended {
                    let _ = failure::leave(&layout, url.as_str(), failure);
                }
            }
            finished.map_err(|ended| ended.into_error(&url))
        })
        .await;
        if let Err(error) = &finished
            && !matches!(error, RepoError::Cancelled)
        {
            self.cache
                .inner
                .slots
                .of(self.target.id)
                .note_failure(error);
        }
        finished
    }

    async fn run(
        &self,
        held: &Held,
        dir: std::path::PathBuf,
        create: bool,
        refspecs: &[Refspec],
    ) -> Result<Outcome, Ended> {
        let settings = &self.cache.inner.settings;
        let request = Request {
            dir,
            create,
            url: self.target.url.as_str().to_owned(),
            allow_local: settings.locality == Locality::AllowLocal,
            refspecs: refspecs.iter().map(ToString::to_string).collect(),
            limits: settings.limits.clone(),
        };
        let run = Run {
            program: &settings.git_child,
            credentials: &settings.credentials,
            limits: &settings.limits,
            url: &self.target.url,
            lock: &held.lock,
            progress: self.progress,
            cancel: self.cancel,
        };
        run.run(&request).await
    }

    /// The state of the clone, while this operation holds its lock.
    ///
    /// Nobody can be removing it then. If it seems so, the mark is one that a process which is
    /// just being started inherited for the moment until it begins its own program.
    async fn look(&self) -> Result<ReadyClone, RecloneReason> {
        const PAUSE: Duration = Duration::from_millis(2);
        const TRIES: u32 = 500;
        let mut tries = 0;
        loop {
            match self.cache.look(self.target) {
                Err(RecloneReason::Missing)
                    if tries < TRIES && fs::symlink_metadata(self.layout.clone_dir()).is_ok() =>
                {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                looked => return looked,
            }
        }
    }

    /// The clone that was just made or refreshed.
    async fn look_again(&self) -> Result<ReadyClone, RepoError> {
        self.look().await.map_err(|reason| RepoError::Corrupt {
            cause: Cause::new(format!(
                "the clone does not fit its stamp: {}",
                reason.as_str()
            )),
        })
    }

    /// Whether it failed only because somebody deleted the cache meanwhile.
    fn vanished<T>(&self, result: &Result<T, RepoError>) -> bool {
        result
            .as_ref()
            .is_err_and(|error| !matches!(error, RepoError::Cancelled))
            && fs::symlink_metadata(self.layout.lock()).is_err()
    }
}

/// Checks a new clone against its stamp and gives it its place.
fn install(layout: &Layout, fresh: &std::path::Path, url: &str) -> Result<(), Ended> {
    let failed = |error: io::Error| {
        Ended::Failed(if crate::error::is_disk_full(&error) {
            Failure::DiskFull
        } else {
            Failure::Local(format!("moving a new clone into place: {error}"))
        })
    };
    Stamp::read(fresh)
        .and_then(|stamp| stamp.check(fresh, url))
        .map_err(|reason| {
            Ended::Failed(Failure::Corrupt(format!(
                "a new clone is incomplete: {}",
                reason.as_str()
            )))
        })?;
    fs::rename(fresh, layout.clone_dir()).map_err(failed)?;
    layout::sync_dir(layout.dir()).map_err(failed)
}
