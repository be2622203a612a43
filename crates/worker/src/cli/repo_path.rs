//! `worker repo path`: `ensure_clone` for other programs.
//!
//! Only the path goes to standard output, so that `cd "$(worker repo path owner/name)"` works.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use leasectl_remote::RefName;
use leasectl_repo::{CloneCache, CloneTarget, Phase, Progress, ProgressSink, RepoError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{CommandError, Context, Exit, RepoArg, progress, size_advice, wait, with_causes};

/// Arguments of `worker repo path`.
#[derive(Debug, Args)]
pub struct PathArgs {
    /// The repository: id, owner/name, or a URL or path (registered on first use)
    repo: RepoArg,
    /// A checked-out worktree of this branch, tag or commit, instead of the bare clone
    #[arg(long = "ref", value_name = "REF", value_parser = RefName::parse)]
    reference: Option<RefName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker repo path`.
///
/// # Errors
/// When the repository or the ref is unknown, or the database or remote is away.
pub(super) async fn run(context: &Context, args: &PathArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repository = context
        .repository_or_register(&database, &args.repo)
        .await?;
    let cache = context.clones()?;
    let target = CloneTarget {
        id: repository.id.as_uuid(),
        url: context.stored_remote(&repository)?,
    };
    // Ctrl-C drops this future, and with it the child process.
    let cancel = CancellationToken::new();
    let bar = wait::bar(context);
    let report = |seen: &Progress| show(&bar, seen);
    let path = ready_path(&cache, &target, args.reference.as_ref(), &report, &cancel).await;
    bar.finish_and_clear();
    let path = path.map_err(|error| failed(&error))?;
    if args.json {
        return context
            .output()
            .json(&json!({"repo_id": repository.id, "path": path}));
    }
    context.output().line(path.display().to_string())
}

/// The clone's path, or a worktree's. Damage that only reading a commit finds puts the clone aside;
/// then it is made anew, once.
async fn ready_path(
    cache: &CloneCache,
    target: &CloneTarget,
    reference: Option<&RefName>,
    progress: &dyn ProgressSink,
    cancel: &CancellationToken,
) -> Result<PathBuf, RepoError> {
    let ready = cache.ensure_clone(target, &[], progress, cancel).await?;
    let Some(reference) = reference else {
        return Ok(ready.path().to_path_buf());
    };
    match cache.worktree(&ready, reference).await {
        Err(RepoError::Corrupt { .. }) => {}
        found => return found,
    }
    drop(ready);
    let ready = cache.ensure_clone(target, &[], progress, cancel).await?;
    cache.worktree(&ready, reference).await
}

fn show(bar: &ProgressBar, seen: &Progress) {
    let doing = match seen.phase {
        Phase::Waiting => "waiting for another process that clones it",
        Phase::Connecting => "connecting",
        Phase::Receiving => "receiving",
        Phase::Resolving => "resolving",
        Phase::Publishing => "publishing",
    };
    bar.set_message(format!(
        "{doing}: {}",
        progress(seen.done, seen.total, seen.unit())
    ));
    bar.tick();
}

/// A failure of the clone cache as a failure of the command.
#[must_use]
pub(crate) fn failed(error: &RepoError) -> CommandError {
    let exit = match error {
        RepoError::Cancelled => Exit::Interrupted,
        RepoError::NotFound { .. }
        | RepoError::Redirected { .. }
        | RepoError::RefNotFound { .. } => Exit::NotFound,
        RepoError::Unavailable { .. }
        | RepoError::TimedOut { .. }
        | RepoError::AuthFailed { .. } => Exit::Unavailable,
        RepoError::InvalidArgument { .. } | RepoError::AddressRefused { .. } => Exit::Usage,
        RepoError::ToolMissing { .. }
        | RepoError::TooLarge { .. }
        | RepoError::Unwieldy { .. }
        | RepoError::DiskFull
        | RepoError::Corrupt { .. }
        | RepoError::Busy { .. }
        | RepoError::Cache { .. }
        | RepoError::Child { .. }
        | _ => Exit::Failed,
    };
    let failed = CommandError::new(exit, with_causes(error));
    if let RepoError::TooLarge { limit, .. } = error {
        return failed.hint(size_advice(*limit));
    }
    failed
}
