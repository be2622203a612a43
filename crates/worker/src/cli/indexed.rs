//! What commands share that answer from the index: the tree of a ref, its clone, and how both fail.

use leasectl_core::database::Database;
use leasectl_core::index::{IndexError, WorktreeRef};
use leasectl_core::repository::Repository;
use leasectl_repo::{CloneCache, CloneTarget, Content, NoProgress, ObjectId, RepoError};
use tokio_util::sync::CancellationToken;

use super::{CommandError, Context, Exit, clone_failed, with_causes};
use crate::search::{IndexedTree, SearchFailure};

/// The tree to which a ref was last published; without one, the default branch's.
///
/// # Errors
/// When the ref was never indexed, or the database is away.
pub(super) async fn indexed_tree(
    database: &Database,
    repository: &Repository,
    reference: Option<&str>,
) -> Result<IndexedTree, CommandError> {
    let tree = IndexedTree::of(database, repository, reference).await;
    tree.map_err(|error| search_failed(&error))?.ok_or_else(|| {
        let name = &repository.name;
        let what = reference.unwrap_or("the default branch");
        let asked = reference.map(|reference| format!(" --arg ref={reference}"));
        let text = format!("{what} of {name} was never indexed");
        let hint = if reference.is_some_and(WorktreeRef::is_one) {
            "worker index PATH indexes a worktree, on its machine".to_owned()
        } else {
            let asked = asked.unwrap_or_default();
            format!("worker enqueue index {name}{asked} --wait indexes it")
        };
        CommandError::new(Exit::NotFound, text).hint(hint)
    })
}

/// The clone that an indexed tree comes from.
pub(super) struct TreeClone {
    cache: CloneCache,
    target: CloneTarget,
    needs: Vec<ObjectId>,
}

impl TreeClone {
    /// Says where it is; touches nothing.
    ///
    /// # Errors
    /// When the cache cannot be used, or this machine does not accept the remote.
    pub(super) fn of(
        context: &Context,
        repository: &Repository,
        tree: &IndexedTree,
    ) -> Result<Self, CommandError> {
        Ok(Self {
            cache: context.clones()?,
            target: CloneTarget {
                id: repository.id.as_uuid(),
                url: context.stored_remote(repository)?,
            },
            // The commit of a worktree may be one that was never pushed.
            needs: tree
                .commit()
                .filter(|_| !tree.is_worktree())
                .into_iter()
                .collect(),
        })
    }

    /// Answers from it; one that is missing, or lacks the tree, is made or brought up to date first. Damage that
    /// only reading finds puts the clone aside; then it is made anew, once.
    ///
    /// # Errors
    /// When the remote is away, or does not offer the tree's commit any more.
    pub(super) async fn answer<T>(
        &self,
        answer: impl AsyncFn(Content) -> Result<T, SearchFailure>,
    ) -> Result<T, CommandError> {
        let mut answered = self.try_answer(&answer).await;
        if let Err(SearchFailure::Clone(RepoError::Corrupt { .. })) = answered {
            answered = self.try_answer(&answer).await;
        }
        answered.map_err(|error| search_failed(&error))
    }

    /// The same where nothing but the clone is read.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Content) -> Result<T, RepoError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        let answer = async |content: Content| {
            let read = read.clone();
            let reading = tokio::task::spawn_blocking(move || read(&content)).await;
            Ok(reading.map_err(|_panicked| SearchFailure::Ended)??)
        };
        self.answer(answer).await
    }

    async fn try_answer<T>(
        &self,
        answer: &impl AsyncFn(Content) -> Result<T, SearchFailure>,
    ) -> Result<T, SearchFailure> {
        // Ctrl-C drops this future, and with it the child process.
        let cancel = CancellationToken::new();
        let clone = self
            .cache
            .ensure_clone(&self.target, &self.needs, &NoProgress, &cancel)
            .await?;
        let answered = match self.cache.content(&clone).await {
            Ok(content) => answer(content).await,
            Err(error) => Err(error.into()),
        };
        if let Err(SearchFailure::Clone(RepoError::Corrupt { .. })) = answered {
            self.cache.quarantine(&clone)?;
        }
        answered
    }
}

/// A failure to read the index as a failure of the command.
#[must_use]
pub(super) fn index_failed(error: &IndexError) -> CommandError {
    let exit = match error {
        IndexError::Database(error) if error.is_unavailable() => Exit::Unavailable,
        IndexError::Database(_)
        | IndexError::LeaseLost
        | IndexError::Gone
        | IndexError::TooSlow
        | IndexError::TreeTooLarge
        | IndexError::BadRuleset
        | IndexError::ForWorktrees => Exit::Failed,
    };
    let causes = with_causes(error);
    CommandError::new(exit, format!("the index cannot be read: {causes}"))
}

/// A failure to search as a failure of the command.
#[must_use]
pub(super) fn search_failed(error: &SearchFailure) -> CommandError {
    match error {
        SearchFailure::Clone(error) => clone_failed(error),
        SearchFailure::Index(error) => index_failed(error),
        SearchFailure::Vector(_)
        | SearchFailure::Assemble(_)
        | SearchFailure::Search(_)
        | SearchFailure::Ended => CommandError::new(Exit::Failed, with_causes(error)),
    }
}
