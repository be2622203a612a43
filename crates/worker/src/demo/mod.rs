//! `worker demo`: the main job end to end with no set-up, and with `--crash` a takeover.
//!
//! The database is the one that every command uses: without `DATABASE_URL` the private server in
//! `<data-dir>/postgres`, so that `worker job list` and `worker repo path` work on what the demo
//! did. What exists only for the demo, such as a repository served with a rate limit, is removed
//! at the end, also after Ctrl-C. Its two workers are real `worker run` processes; they drain when
//! this process goes away, however it goes.

mod crash;
mod facade;
mod follow;
mod plain;
mod process;
mod source;
mod stage;
mod story;

use clap::Args;
use leasectl_core::status::status;

use crate::cli::{CommandError, Context, Exit, RepoArg, interrupted, render_status};
use process::ProcessError;
use source::SourceError;
use stage::Stage;
use story::Story;

/// Arguments of `worker demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The repository [default: the one around the current directory]
    repo: Option<RepoArg>,
    /// Kill the process that holds the lease in mid-job and show the other take over
    #[arg(long)]
    crash: bool,
}

/// Runs `worker demo`.
///
/// # Errors
/// When something the demo needs is missing, or a step of it fails.
pub async fn run(context: &Context, args: &DemoArgs) -> Result<(), CommandError> {
    let mut story = Story::new(context);
    need_git(context)?;
    let mut stage = Stage::set(context, args.repo.as_ref(), args.crash, &mut story).await?;
    let played = tokio::select! {
        played = play(context, args, &mut stage, &mut story) => played,
        () = interrupted() => Err(CommandError::new(Exit::Interrupted, "interrupted")),
    };
    story.pause();
    stage.clear(&mut story).await;
    played?;
    story.say("done: the accepted job was carried out under a lease and recorded")
}

async fn play(
    context: &Context,
    args: &DemoArgs,
    stage: &mut Stage,
    story: &mut Story<'_>,
) -> Result<(), CommandError> {
    stage.start_workers(context, story).await?;
    if args.crash {
        crash::play(stage, story).await?;
    } else {
        plain::play(stage, story).await?;
    }
    story.say("\nworker status:")?;
    let seen = status(stage.database(), Some(stage.repository().id)).await?;
    story.say(&render_status(&seen, context.output().style()))
}

fn need_git(context: &Context) -> Result<(), CommandError> {
    if context.finds_program("git") {
        return Ok(());
    }
    Err(
        CommandError::new(Exit::Failed, "the git program is missing").hint(
            "install the package git: apt install git (Debian), dnf install git (Fedora), \
         brew install git (macOS)",
        ),
    )
}

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        match &error {
            SourceError::NotARepository(_) => Self::caused(Exit::Failed, &error)
                .hint("run it inside a repository, or name one: worker demo ./folder"),
            SourceError::Empty(_) => {
                Self::caused(Exit::Failed, &error).hint("commit something first")
            }
            SourceError::BrokenLink(_) | SourceError::Io { .. } | SourceError::Process(_) => {
                Self::caused(Exit::Failed, &error)
            }
        }
    }
}

impl From<ProcessError> for CommandError {
    fn from(error: ProcessError) -> Self {
        Self::caused(Exit::Failed, &error)
    }
}
