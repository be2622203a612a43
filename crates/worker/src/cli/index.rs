//! `worker index`: indexes a worktree of this machine, in this process.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use leasectl_core::failure::ErrorCode;
use leasectl_core::ids::host_name;
use leasectl_core::index::{self, IndexError, WorktreeRef};
use leasectl_core::repository::{self, RepoRef, Repository};
use leasectl_remote::RemoteUrl;
use leasectl_repo::{Worktree, WorktreeError};
use leasectl_service::OpenDatabase;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{CommandError, Context, Exit, RepoArg, plain, progress, progress_bar, with_causes};
use crate::daemon::{ProgressCell, ProgressReporter};
use crate::kinds::index::{LocalFailure, LocalIndex};

/// How often the bar moves.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `worker index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// A folder in a Git worktree; all of the worktree is indexed
    path: PathBuf,
    /// The repository that it is a worktree of [default: the one of its remote "origin", else of its own path]
    #[arg(long, value_name = "REPO")]
    repo: Option<RepoArg>,
    /// Look at all of it, also at what is known
    #[arg(long)]
    force: bool,
    /// Forget that it was indexed
    #[arg(long, conflicts_with_all = ["repo", "force"])]
    forget: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker index`.
///
/// # Errors
/// When there is no worktree, it cannot be told of which repository it is, or the database is away.
pub(super) async fn run(context: &Context, args: &IndexArgs) -> Result<(), CommandError> {
    let worktree = Worktree::containing(&args.path).map_err(|error| no_worktree(&error))?;
    let name = WorktreeRef::of(&host_name(), worktree.root());
    let database = context.open().await?;
    if args.forget {
        return forget(context, &database, &name, &worktree, args.json).await;
    }
    let repository = repository_of(context, &database, &worktree, args.repo.as_ref()).await?;
    if args
        .path
        .canonicalize()
        .is_ok_and(|path| path != worktree.root())
    {
        let root = plain(&worktree.root().to_string_lossy());
        context.note(&format!("this indexes all of the worktree, {root}"));
    }
    let cell = Arc::new(ProgressCell::default());
    // Ctrl-C drops this future, and with it the threads stop.
    let cancel = CancellationToken::new();
    let indexing = LocalIndex {
        database: &database.database,
        repo_id: repository.id,
        worktree: &worktree,
        name: name.clone(),
        force: args.force,
        progress: &ProgressReporter::new(Arc::clone(&cell)),
        cancel: &cancel,
    };
    let bar = progress_bar(context);
    let done = shown(indexing.run(), &cell, &bar).await;
    bar.finish_and_clear();
    let indexed = done.map_err(|error| failed(&error))?;
    if indexed.unreadable > 0 {
        let count = indexed.unreadable;
        context.note(&format!(
            "{count} files or folders could not be read, and are left out"
        ));
    }
    if args.json {
        return context.output().json(&indexed.result);
    }
    let root = plain(&worktree.root().to_string_lossy());
    let result = serde_json::to_string_pretty(&indexed.result).unwrap_or_default();
    let told = format!("indexed {root} as {} of {}", name.as_str(), repository.name);
    context.output().line(format!("{told}\n{result}"))
}

/// Has the bar say how the work goes on until it is done.
async fn shown<T>(working: impl Future<Output = T>, cell: &ProgressCell, bar: &ProgressBar) -> T {
    let mut working = pin!(working);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            done = &mut working => return done,
            _ = tick.tick() => {}
        }
        if let Some(now) = cell.unsent() {
            let counted = now.progress.as_ref();
            let counted = counted.map(|seen| progress(seen.done, seen.total, &seen.unit));
            let parts: Vec<String> = now.message.into_iter().chain(counted).collect();
            bar.set_message(parts.join(": "));
            cell.sent(now.version);
        }
        bar.tick();
    }
}

async fn forget(
    context: &Context,
    database: &OpenDatabase,
    name: &WorktreeRef,
    worktree: &Worktree,
    json: bool,
) -> Result<(), CommandError> {
    let root = plain(&worktree.root().to_string_lossy());
    let client = database.database.client().await?;
    let repo_id = index::repository_of_worktree(&client, name).await;
    let Some(repo_id) = repo_id.map_err(|error| of_index(&error))? else {
        let text = format!("{root} was never indexed");
        return Err(CommandError::new(Exit::NotFound, text));
    };
    let forgotten = index::forget_worktree(&client, repo_id, name).await;
    let forgotten = forgotten.map_err(|error| of_index(&error))?;
    if json {
        let told = json!({"ref": name.as_str(), "forgotten": forgotten});
        return context.output().json(&told);
    }
    context.output().line(format!("forgot {root}"))
}

/// The repository that a worktree belongs to: the one that was named, else that of its remote or of its own
/// place, the first that is registered or else that can be.
async fn repository_of(
    context: &Context,
    database: &OpenDatabase,
    worktree: &Worktree,
    named: Option<&RepoArg>,
) -> Result<Repository, CommandError> {
    if let Some(named) = named {
        return context.repository_or_register(database, named).await;
    }
    let origin = worktree.origin();
    let has_origin = origin.is_some();
    let origin = origin.and_then(|url| url.parse().ok());
    let place = Some(RepoArg::Path(worktree.repository()));
    let remotes: Vec<RemoteUrl> = [origin, place]
        .into_iter()
        .flatten()
        .filter(names_a_remote)
        .filter_map(|arg| context.remote(&arg).ok().flatten())
        .collect();
    for remote in &remotes {
        let known = RepoRef::Url(remote.clone());
        if let Some(found) = repository::find(&database.database, &known).await? {
            return Ok(found);
        }
    }
    if let Some(first) = remotes.into_iter().next() {
        let registered = context.register(database, first, None, None).await?;
        return Ok(registered.repository);
    }
    let root = plain(&worktree.root().to_string_lossy());
    let why = if has_origin {
        "its remote \"origin\" has a URL that is not accepted"
    } else {
        "it has no remote \"origin\""
    };
    let text = format!("it cannot be told of which repository {root} is a worktree: {why}");
    Err(CommandError::new(Exit::Usage, text)
        .hint("--repo REPO names it; with LEASECTL_ALLOW_LOCAL=1 its own path is registered"))
}

/// A path counts from the worktree and not from here, unless it is absolute.
fn names_a_remote(arg: &RepoArg) -> bool {
    match arg {
        RepoArg::Url(_) => true,
        RepoArg::Path(path) => path.is_absolute(),
        RepoArg::Id(_) | RepoArg::Name(_) => false,
    }
}

/// The worktree at a path that was indexed, with its repository and its ref; nothing when it never was.
pub(super) async fn indexed_worktree(
    database: &OpenDatabase,
    path: &Path,
) -> Result<Option<(Worktree, Repository, WorktreeRef)>, CommandError> {
    let Ok(worktree) = Worktree::containing(path) else {
        return Ok(None);
    };
    let name = WorktreeRef::of(&host_name(), worktree.root());
    let client = database.database.client().await?;
    let repo_id = index::repository_of_worktree(&client, &name).await;
    let Some(repo_id) = repo_id.map_err(|error| of_index(&error))? else {
        return Ok(None);
    };
    let found = repository::find(&database.database, &RepoRef::Id(repo_id)).await?;
    Ok(found.map(|repository| (worktree, repository, name)))
}

fn no_worktree(error: &WorktreeError) -> CommandError {
    let exit = match error {
        WorktreeError::NotThere(_) | WorktreeError::NoWorktree(_) => Exit::NotFound,
        WorktreeError::NoFolder(_) | WorktreeError::InsideRepository(_) => Exit::Usage,
        WorktreeError::Unusable { .. } => Exit::Failed,
    };
    CommandError::new(exit, plain(&with_causes(error)))
}

fn of_index(error: &IndexError) -> CommandError {
    let away = matches!(error, IndexError::Database(error) if error.is_unavailable());
    let exit = if away {
        Exit::Unavailable
    } else {
        Exit::Failed
    };
    CommandError::caused(exit, error)
}

fn failed(error: &LocalFailure) -> CommandError {
    let exit = match error {
        LocalFailure::Database(error) if error.is_unavailable() => Exit::Unavailable,
        LocalFailure::Failed(error) if error.code == ErrorCode::InvalidArgument => Exit::Usage,
        LocalFailure::Database(_) | LocalFailure::Failed(_) => Exit::Failed,
    };
    CommandError::caused(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_is_a_relative_path_names_no_remote() {
        for (origin, names) in [
            ("https://example.org/a/b", true),
            ("git@example.org:a/b.git", true),
            ("/srv/a", true),
            ("../a", false),
            ("owner/name", false),
        ] {
            let arg: RepoArg = origin.parse().unwrap();
            assert_eq!(names_a_remote(&arg), names, "{origin}");
        }
    }
}
