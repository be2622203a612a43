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
mod walk;
mod waves;
mod worktree;

use async_trait::async_trait;
use leasectl_core::database::Client;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::{
    self as stored, Author, DirId, IndexError, IndexScope, LinksId, NewRef, Published, RefState,
    WorktreeRef, known_root, open_scope, publish, publish_worktree, ref_state,
};
use leasectl_core::kind::{INDEX, KindSpec};
use leasectl_core::lease::Fence;
use leasectl_core::repository;
use leasectl_index::{
    Grammar, RESOLVER, RESOLVER_VERSION, TRIGRAM_EXTRACTOR, TRIGRAM_EXTRACTOR_VERSION, extractor_id,
};
use leasectl_remote::{Locality, RefName};
use leasectl_repo::{CloneCache, CloneTarget, Content, ObjectId as GitId, ReadyClone, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use self::run::{Failure, Run, ask};
use self::walk::object;
pub(crate) use self::worktree::{LocalFailure, LocalIndex};
use super::clone::{self, Reporting, job_error};
use super::follow_up;
use crate::daemon::{Handler, JobContext};

/// How often a run begins again because a part of the index was collected.
const TRIES: usize = 3;

/// The version of the rules by which files are treated; a new one walks every tree again, and extracts
/// nothing that is there.
const TREATMENTS: (&str, u32) = ("treatments", 1);

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

/// What is to be indexed.
struct Asked {
    snapshot: Snapshot,
    /// Nobody named a ref, so it is the default branch.
    is_default: bool,
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
        for _ in 1..TRIES {
            match self.try_run(run, target, reference, force).await {
                Ok(result) => return Ok(result),
                Err(Failure::Gone) => {}
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
        let (content, snapshot) = self.snapshot(run, target, reference).await?;
        let asked = Asked {
            snapshot,
            is_default: reference.is_none(),
        };
        let done = index(run, &content, &asked, force).await;
        if let Err(Failure::Corrupt(_)) = done {
            // The next attempt clones anew, and finds what this one stored.
            if let Some(clone) = content.clone_read() {
                self.cache.quarantine(clone)?;
            }
        }
        done
    }

    /// The clone, and what the ref leads to in it; a clone that lacks the ref is brought up to date once.
    async fn snapshot(
        &self,
        run: &Run<'_>,
        target: &CloneTarget,
        reference: Option<&RefName>,
    ) -> Result<(Content, Snapshot), Failure> {
        let (sink, cancel) = (Reporting::to(run.progress), run.cancel);
        let recorded = run.recorded(reference).await?;
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
                let clone = fetched.map_err(|error| job_error(&error))?.clone;
                self.resolve(run, &clone, reference, None).await
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
        match resolved.await {
            Err(Failure::Corrupt(error)) => {
                self.cache.quarantine(clone)?;
                Err(Failure::Corrupt(error))
            }
            resolved => Ok((content, resolved?)),
        }
    }
}

fn ruleset() -> Vec<stored::Extractor<'static>> {
    let tags = Grammar::ALL.into_iter().map(extractor_id);
    let others = [
        (TRIGRAM_EXTRACTOR, TRIGRAM_EXTRACTOR_VERSION),
        TREATMENTS,
        (RESOLVER, RESOLVER_VERSION),
    ];
    tags.chain(others)
        .map(|(name, version)| stored::Extractor {
            name,
            version: i32::try_from(version).unwrap_or(i32::MAX),
        })
        .collect()
}

async fn index(
    run: &Run<'_>,
    content: &Content,
    asked: &Asked,
    force: bool,
) -> Result<Value, Failure> {
    let snapshot = &asked.snapshot;
    let (repo_id, author) = (run.repo_id, run.author);
    let rules = ruleset();
    let scope =
        ask!(run, client => open_scope(client, author, repo_id, &rules)).ok_or_else(removed)?;
    let commit = object(snapshot.commit)?;
    let before = ask!(run, client => ref_state(client, repo_id, &snapshot.name));
    // A run of the default branch goes on, to have it known as that; one of a worktree, since the commit says
    // nothing of what is in it.
    let goes_on = asked.is_default || matches!(author, Author::Local(_));
    let is_known_well = |state: &RefState| is_current(state, &scope, commit) && !goes_on;
    if let Some(state) = before.filter(|state| is_known_well(state) && !force) {
        return Ok(result(&snapshot.name, &state, 0, true));
    }
    let tree = object(snapshot.tree)?;
    let known = ask!(run, client => known_root(client, &scope, tree));
    if let Some(root) = known.filter(|_| !force) {
        let state = run.publish(asked, root.dir, root.links).await?;
        return Ok(result(&snapshot.name, &state, 0, true));
    }
    run.progress.message("listing the tree");
    let walk = run.walk(&scope, content, snapshot.tree, force).await?;
    run.progress.message("extracting");
    let key = (tree, stored::Context::default());
    let (root, written) = run.store(&scope, content, key, walk).await?;
    run.progress.message("resolving imports");
    let links = run.link(&scope, content, root).await?;
    run.progress.message("publishing");
    let state = run.publish(asked, root, links).await?;
    Ok(result(&snapshot.name, &state, written.blobs, false))
}

fn is_current(state: &RefState, scope: &IndexScope, commit: stored::ObjectId) -> bool {
    state.commit == commit
        && state.root.ruleset == scope.ruleset()
        && state.root.domain == scope.domain()
}

fn removed() -> Failure {
    Failure::Job(JobError::permanent(
        ErrorCode::RepoUnavailable,
        "the repository was removed while it was indexed; register it again to index it",
    ))
}

impl Run<'_> {
    /// Has the ref lead to the tree.
    async fn publish(
        &self,
        asked: &Asked,
        root: DirId,
        links: Option<LinksId>,
    ) -> Result<RefState, Failure> {
        let snapshot = &asked.snapshot;
        let new = NewRef {
            repo_id: self.repo_id,
            name: &snapshot.name,
            commit: object(snapshot.commit)?,
            root,
            links,
        };
        let published = match self.author {
            Author::Lease(fence) => {
                ask!(self, client => publish_fenced(client, fence, &new, asked))
            }
            Author::Local(local) => {
                match ask!(self, client => publish_worktree(client, local, &new)) {
                    // What a run that began later found stands, and is what this one answers.
                    Published::Here(state) | Published::Later(state) => Some(state),
                    Published::Nowhere => None,
                }
            }
        };
        published.ok_or_else(removed)
    }
}

async fn publish_fenced(
    client: &mut Client,
    fence: &Fence,
    new: &NewRef<'_>,
    asked: &Asked,
) -> Result<Option<RefState>, IndexError> {
    let fenced = fence.begin(client).await?;
    // The repository's row before the ref's, as a fetch writes them that forgets a branch.
    if asked.is_default {
        repository::learn_default_branch(&fenced, new.repo_id, new.name).await?;
    }
    let state = publish(&fenced, new).await?;
    fenced.commit().await?;
    Ok(state)
}

fn result(name: &str, state: &RefState, indexed: u64, no_op: bool) -> Value {
    json!({
        "ref": name,
        "commit": state.commit.to_string(),
        "blobs_total": state.root.blobs,
        "blobs_indexed": indexed,
        "blobs_reused": state.root.blobs.saturating_sub(indexed),
        "files": state.root.files,
        "symbols": state.root.symbols,
        "bytes": state.root.bytes,
        "no_op": no_op,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arguments_mean_the_default_branch() {
        assert!(matches!(arguments(&json!({})), Ok((None, false))));
    }

    #[test]
    fn the_ruleset_says_with_what_a_tree_is_read_treated_and_resolved() {
        let rules = ruleset();
        let version = |name: &str| {
            let rule = rules.iter().find(|rule| rule.name == name);
            rule.and_then(|rule| u32::try_from(rule.version).ok())
        };
        assert_eq!(version(TRIGRAM_EXTRACTOR), Some(TRIGRAM_EXTRACTOR_VERSION));
        assert_eq!(version(TREATMENTS.0), Some(TREATMENTS.1));
        assert_eq!(version(RESOLVER), Some(RESOLVER_VERSION));
        for grammar in Grammar::ALL {
            let (name, number) = extractor_id(grammar);
            assert_eq!(version(name), Some(number), "{name}");
        }
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
