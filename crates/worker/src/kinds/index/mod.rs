//! `index`: makes what is known of the content of a tree durable.
//!
//! A run walks the tree down to the directories that are in the index already, reads and extracts only the
//! blobs that nobody extracted before, and has the ref lead to the new tree at the end, under the fence. What
//! it stored stays when it is killed: the next run stops at it.

mod extract;
mod facts;
mod links;
mod run;
mod store;
mod tree;
mod walk;
mod waves;
mod worktree;

use async_trait::async_trait;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::{IndexError, WorktreeRef};
use leasectl_core::kind::{INDEX, KindSpec};
use leasectl_remote::{Locality, RefName};
use leasectl_repo::{CloneCache, CloneTarget, Content, ObjectId as GitId, ReadyClone, Snapshot};
use serde::Deserialize;
use serde_json::Value;

use self::run::{Failure, Run};
use self::tree::{Asked, index};
pub(crate) use self::worktree::{LocalFailure, LocalIndex};
use super::clone::{self, Reporting};
use super::follow_up;
use crate::daemon::{Handler, JobContext, outage};

/// How often a run begins, at most: again when a part of the index was collected, or the clone was damaged.
const TRIES: usize = 3;

/// Runs `index` jobs.
#[derive(Clone, Debug)]
pub struct IndexHandler {
    cache: CloneCache,
    locality: Locality,
}

impl IndexHandler {
    /// Indexes clones of that cache.
    #[must_use]
    pub fn new(cache: CloneCache, locality: Locality) -> Self {
        Self { cache, locality }
    }
}

/// The arguments of an `index`.
#[derive(Deserialize)]
struct Args {
    #[serde(rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    force: bool,
}

#[async_trait]
impl Handler for IndexHandler {
    fn spec(&self) -> KindSpec {
        INDEX
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        let (reference, force) = arguments(&context.job.args)?;
        let target = clone::target(&context, self.locality).await?;
        let run = Run::of(&context);
        let done = self.tries(&run, &target, reference.as_ref(), force).await;
        if matches!(&done, Err(error) if error.code == ErrorCode::RefNotFound) {
            // What is recorded of the remote may be old as well. This comes to an end: that fetch has an index
            // follow only when the default branch moved to a head, and an index of that one finds it.
            follow_up::ask_for_fetch(&context).await?;
        }
        done
    }
}

fn arguments(args: &Value) -> Result<(Option<RefName>, bool), JobError> {
    let invalid = |message: String| JobError::permanent(ErrorCode::InvalidArgument, message);
    let args = Args::deserialize(args)
        .map_err(|_| invalid("the job's arguments are not those of an index".to_owned()))?;
    let reference = args.reference.as_deref().map(RefName::parse).transpose();
    let reference = reference.map_err(|error| invalid(error.to_string()))?;
    if reference
        .as_ref()
        .is_some_and(|name| WorktreeRef::is_one(name.as_str()))
    {
        return Err(invalid(IndexError::ForWorktrees.to_string()));
    }
    Ok((reference, args.force))
}

impl IndexHandler {
    async fn tries(
        &self,
        run: &Run<'_>,
        target: &CloneTarget,
        reference: Option<&RefName>,
        force: bool,
    ) -> Result<Value, JobError> {
        let mut is_damaged = false;
        for _ in 1..TRIES {
            match self.try_run(run, target, reference, force).await {
                Ok(result) => return Ok(result),
                Err(Failure::Gone) => {}
                // It was put aside and is made anew, once; what was stored from it is found.
                Err(Failure::Corrupt(error)) if !is_damaged => {
                    tracing::warn!(repo = %target.id, error = outage::chain(&error), "the clone is damaged");
                    is_damaged = true;
                }
                Err(failure) => return Err(failure.into_job_error()),
            }
        }
        let last = self.try_run(run, target, reference, force).await;
        last.map_err(Failure::into_job_error)
    }

    async fn try_run(
        &self,
        run: &Run<'_>,
        target: &CloneTarget,
        reference: Option<&RefName>,
        force: bool,
    ) -> Result<Value, Failure> {
        let recorded = run.recorded(reference).await?;
        let is_default = reference.is_none();
        if let Some((name, commit)) = recorded.as_ref().filter(|_| !force)
            && let Some(result) = tree::publish_known(run, name, *commit, is_default).await?
        {
            return Ok(result);
        }
        let (content, snapshot) = self.snapshot(run, target, reference, recorded).await?;
        let asked = Asked {
            snapshot,
            is_default,
        };
        let done = index(run, &content, &asked, force).await;
        if let Err(Failure::Corrupt(_)) = done
            && let Some(clone) = content.clone_read()
        {
            self.cache.quarantine(clone)?;
        }
        done
    }

    /// The clone, and what the ref leads to in it; a clone that lacks the ref is brought up to date once.
    async fn snapshot(
        &self,
        run: &Run<'_>,
        target: &CloneTarget,
        reference: Option<&RefName>,
        recorded: Option<(String, GitId)>,
    ) -> Result<(Content, Snapshot), Failure> {
        let (sink, cancel) = (Reporting::to(run.progress), run.cancel);
        let needs: Vec<_> = recorded.iter().map(|(_, commit)| *commit).collect();
        let clone = self.cache.ensure_clone(target, &needs, &sink, cancel);
        let found = match clone.await {
            Ok(clone) => self.resolve(run, &clone, reference, recorded).await,
            Err(error) => Err(error.into()),
        };
        match found {
            // What was recorded is gone from the remote, or the ref is newer than this clone.
            Err(Failure::Job(error)) if error.code == ErrorCode::RefNotFound => {
                let fetched = self.cache.fetch(target, &[], &sink, cancel).await;
                self.resolve(run, &fetched?.clone, reference, None).await
            }
            found => found,
        }
    }

    /// What the ref leads to: the commit that was recorded for it, as far as one was.
    async fn resolve(
        &self,
        run: &Run<'_>,
        clone: &ReadyClone,
        reference: Option<&RefName>,
        recorded: Option<(String, GitId)>,
    ) -> Result<(Content, Snapshot), Failure> {
        let resolved = self.resolve_in(run, clone, reference, recorded).await;
        if let Err(Failure::Corrupt(_)) = &resolved {
            self.cache.quarantine(clone)?;
        }
        resolved
    }

    async fn resolve_in(
        &self,
        run: &Run<'_>,
        clone: &ReadyClone,
        reference: Option<&RefName>,
        recorded: Option<(String, GitId)>,
    ) -> Result<(Content, Snapshot), Failure> {
        let content = self.cache.content(clone).await?;
        let (opened, reference) = (content.clone(), reference.cloned());
        let resolved = run.blocking(move || {
            let handle = opened.handle();
            let snapshot = match recorded {
                Some((name, commit)) => handle.at(name, commit),
                None => handle.resolve(reference.as_ref()),
            };
            Ok(snapshot?)
        });
        Ok((content, resolved.await?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_arguments_mean_the_default_branch() {
        assert!(matches!(arguments(&json!({})), Ok((None, false))));
    }

    #[test]
    fn arguments_that_got_past_the_door_are_refused_here() {
        for args in [
            json!({"ref": "--upload-pack=x"}),
            json!({"ref": 1}),
            json!({"ref": "refs/worktrees/project-0f3a5c771e02"}),
        ] {
            let error = arguments(&args).unwrap_err();
            assert_eq!(
                (error.code, error.retryable),
                (ErrorCode::InvalidArgument, false)
            );
        }
    }
}
