//! One tree of a repository: what is missing of it is made known, and a ref has it from then on.

use leasectl_core::database::Client;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::{
    self as stored, Author, DirId, IndexError, IndexScope, LinksId, NewRef, Published, RefState,
    known_commit, known_root, open_scope, publish, publish_worktree, ref_state,
};
use leasectl_core::lease::Fence;
use leasectl_core::repository;
use leasectl_index::{
    Grammar, RESOLVER, RESOLVER_VERSION, TRIGRAM_EXTRACTOR, TRIGRAM_EXTRACTOR_VERSION, extractor_id,
};
use leasectl_repo::{Content, ObjectId as GitId, Snapshot};
use serde_json::{Value, json};

use super::run::{Failure, Run, ask};
use super::walk::object;

/// The version of the rules by which files are treated; a new one walks every tree again, and extracts
/// nothing that is there.
const TREATMENTS: (&str, u32) = ("treatments", 1);

/// What is to be indexed.
pub(super) struct Asked {
    pub(super) snapshot: Snapshot,
    /// Nobody named a ref, so it is the default branch.
    pub(super) is_default: bool,
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

/// Has a ref lead to a tree, of which whatever is missing is made known first.
pub(super) async fn index(
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

/// Publishes the tree of a commit that was indexed before, for whatever ref and on whatever container: nothing of
/// a clone is needed for that.
pub(super) async fn publish_known(
    run: &Run<'_>,
    name: &str,
    commit: GitId,
    is_default: bool,
) -> Result<Option<Value>, Failure> {
    let (repo_id, author, rules) = (run.repo_id, run.author, ruleset());
    let scope =
        ask!(run, client => open_scope(client, author, repo_id, &rules)).ok_or_else(removed)?;
    let oid = object(commit)?;
    let before = ask!(run, client => ref_state(client, repo_id, name));
    if let Some(state) = before.filter(|state| is_current(state, &scope, oid) && !is_default) {
        return Ok(Some(result(name, &state, 0, true)));
    }
    let Some(root) = ask!(run, client => known_commit(client, &scope, oid)) else {
        return Ok(None);
    };
    let Ok(tree) = GitId::try_from(root.tree.as_bytes()) else {
        return Ok(None);
    };
    let asked = Asked {
        snapshot: Snapshot {
            name: name.to_owned(),
            commit,
            tree,
        },
        is_default,
    };
    let state = run.publish(&asked, root.dir, root.links).await?;
    Ok(Some(result(name, &state, 0, true)))
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
}
