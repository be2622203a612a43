//! The operator's command line: one module per command, one place that knows all of them.
//!
//! A command returns its failure; `main.rs` alone prints it and chooses the exit code.

mod backfill;
mod changes;
mod completions;
mod concurrency;
mod context;
mod deps;
mod doctor;
mod enqueue;
mod error;
mod git_limits;
mod impact;
mod index;
mod indexed;
mod interrupt;
mod job;
mod migrate;
mod output;
mod repo;
mod repo_path;
mod repo_ref;
mod repo_status;
mod run;
mod search;
mod status;
mod structure;
mod table;
mod values;
mod wait;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use leasectl_service::{DatabaseArgs, LogArgs, init_logging};

pub use concurrency::{ConcurrencyArg, ConcurrencyError};
pub(crate) use context::own_program;
pub use context::{Context, ForChildren};
pub use error::{CommandError, Exit, with_causes};
pub use git_limits::{GitLimitArgs, size_advice};
pub(crate) use interrupt::interrupted;
pub use output::{Output, Style};
pub(crate) use repo_path::failed as clone_failed;
pub use repo_ref::{RepoArg, RepoArgError};
pub use run::RunArgs;
pub(crate) use status::render as render_status;
pub use table::{Cell, Column, Grid, Tone, cell, plain};
pub use values::{
    ByteSize, ByteSizeError, DeathGrace, FetchEveryError, PositiveDurationError, fetch_every,
    positive_duration,
};
pub(crate) use wait::{bar as progress_bar, now as describe_job};
pub(crate) use words::{age, moment, progress};

use crate::config::Environment;

const ABOUT: &str =
    "Fetches, indexes and backfills Git repositories under leases kept in PostgreSQL";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 database or remote unavailable, \
5 the awaited job ended in error or cancelled.

REPO is a repository id (UUID), a name (owner/name), or a Git URL or local path. Commands that \
work on a repository register a URL or path on first use; commands that only read never do.

Durations are written 500ms, 10s, 15m, 6h, 7d. Flags win over the environment.";

const VARIABLES: &str = "\
Variables without a flag:
  LEASECTL_ALLOW_LOCAL            1 also accepts local paths, file://, http://, loopback and private
                                  addresses as remotes [default: 0]
  LEASECTL_GIT_TOKEN_<HOST>       a token for a Git host; in HOST write _ for a dot, __ for a dash
  LEASECTL_GIT_TOKEN_DIR          folder with one token file per host, named like the host
  LEASECTL_GIT_CREDENTIAL_HELPER  program that speaks git's credential protocol
  NO_COLOR                        tables without colour
  RUST_LOG                        which log records are written [default: info for run, else warn]";

/// The command line of `worker`.
#[derive(Debug, Parser)]
#[command(name = "worker", version, about = ABOUT, after_help = EXIT_CODES)]
#[command(after_long_help = format!("{EXIT_CODES}\n\n{VARIABLES}"))]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// Settings that every command takes.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that every command takes, before or after the command's name.
#[derive(Debug, Args)]
pub struct SharedArgs {
    /// Where jobs live.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Folder of the clones.
    #[arg(
        long,
        help = "Folder of the clones, a cache that may be deleted at any time [default: <data-dir>/repos]",
        env = "LEASECTL_REPOS_DIR",
        value_name = "DIR",
        help_heading = "Settings"
    )]
    pub repos_dir: Option<PathBuf>,
    /// What Git work may cost.
    #[command(flatten)]
    pub git: GitLimitArgs,
    /// How logs are written.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `worker` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The daemon: claims jobs, keeps their leases and does their work until it is told to stop
    #[command(after_long_help = VARIABLES)]
    Run(Box<RunArgs>),
    /// Workers, leases and queue; reads only, creates and starts nothing
    Status(status::StatusArgs),
    /// Accepts a job for a repository and prints its id
    Enqueue(enqueue::EnqueueArgs),
    /// One job with its attempts, many jobs, ask one to stop, run one again
    #[command(subcommand, arg_required_else_help = true)]
    Job(job::JobCommand),
    /// Registers, lists, shows and removes repositories; gives other programs a clone
    #[command(subcommand, arg_required_else_help = true)]
    Repo(repo::RepoCommand),
    /// Says which changes are kept current (open, recent or all), and has them studied
    Backfill(backfill::BackfillArgs),
    /// What is known of changes such as pull requests, and which touch the same files
    Changes(changes::ChangesArgs),
    /// Indexes a worktree of this machine, uncommitted changes included, in this process
    Index(index::IndexArgs),
    /// Finds text and symbols in an indexed branch, tag, commit or worktree
    Search(search::SearchArgs),
    /// What a file of an indexed tree depends on: files and names from outside
    Deps(deps::DepsArgs),
    /// What depends on a file of an indexed tree, tests among it
    Impact(impact::ImpactArgs),
    /// Brings the database's schema up to date
    Migrate(migrate::MigrateArgs),
    /// Runs the main job end to end with no set-up, with two worker processes
    Demo(crate::demo::DemoArgs),
    /// Checks database, version, clocks, disk, git and remotes, and says what to do
    Doctor(doctor::DoctorArgs),
    /// Prints completions for a shell
    Completions(completions::CompletionsArgs),
    /// Prints the manual page in roff
    Man,
}

impl Cli {
    /// The command line as clap knows it, with the shared settings accepted everywhere.
    #[must_use]
    pub fn tree() -> clap::Command {
        Self::command().mut_args(|arg| arg.global(true))
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// What clap has to say: a mistake, or the answer to `--help` and `--version`.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut tree = Self::tree();
        let matches = tree.try_get_matches_from_mut(args)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))
    }

    /// Sends logs to standard error: all of the daemon's, and only warnings of the others.
    ///
    /// # Errors
    /// When the filter in `RUST_LOG` makes no sense.
    pub fn init_logging(&self) -> Result<(), CommandError> {
        let level = if self.is_daemon() { "info" } else { "warn" };
        Ok(init_logging(&self.shared.log, level)?)
    }

    fn is_daemon(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }

    /// Does what the command line says.
    ///
    /// # Errors
    /// When the command fails; see [`CommandError`].
    pub async fn execute(self, environment: Environment) -> Result<(), CommandError> {
        let context = Context::new(self.shared, environment);
        // These two end their work in order themselves.
        let ends_itself = matches!(self.command, Command::Run(_) | Command::Demo(_));
        let working = self.command.execute(&context);
        if ends_itself {
            return working.await;
        }
        tokio::select! {
            outcome = working => outcome,
            // What the command held is let go, such as its share of the embedded database.
            () = interrupted() => Err(CommandError::silent(Exit::Interrupted)),
        }
    }
}

impl Command {
    async fn execute(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Run(args) => run::run(context, &args).await,
            Self::Status(args) => status::run(context, &args).await,
            Self::Enqueue(args) => enqueue::run(context, &args).await,
            Self::Job(command) => job::run(context, command).await,
            Self::Repo(command) => repo::run(context, command).await,
            Self::Backfill(args) => backfill::run(context, &args).await,
            Self::Changes(args) => changes::run(context, &args).await,
            Self::Index(args) => index::run(context, &args).await,
            Self::Search(args) => search::run(context, &args).await,
            Self::Deps(args) => deps::run(context, &args).await,
            Self::Impact(args) => impact::run(context, &args).await,
            Self::Migrate(args) => migrate::run(context, &args).await,
            Self::Demo(args) => crate::demo::run(context, &args).await,
            Self::Doctor(args) => doctor::run(context, &args).await,
            Self::Completions(args) => completions::completions(context, &args),
            Self::Man => completions::man(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::tree().debug_assert();
    }

    #[test]
    fn every_command_of_the_contract_that_exists_is_read() {
        let id = "0193e0a0-0000-7000-8000-000000000000";
        for line in [
            "worker run --concurrency fetch=4,index=2,backfill=2,stack=2 --death-grace off",
            "worker status --watch --json --repo owner/name",
            "worker enqueue fetch owner/name --arg a=b --args {} --priority -5 --in 10m --wait",
            "worker enqueue fetch . --at 2026-01-31T08:00:00Z --json",
            "worker job list --repo owner/name --kind fetch --state queued --limit 5 --json",
            "worker repo add https://example.org/a/b --name a/b --fetch-every 15m",
            "worker repo list --json",
            "worker repo path owner/name --ref main",
            "worker backfill owner/name --mode open_and_recent --priority -5 --wait --json",
            "worker backfill . --mode off",
            "worker changes owner/name --open --limit 5 --cursor x --json",
            "worker changes owner/name --number 7 --family pull --json",
            "worker changes owner/name --overlaps 7 --limit 5 --json",
            "worker changes owner/name --parked",
            "worker changes owner/name --retry 7",
            "worker index . --repo owner/name --force --json",
            "worker index /srv/project --forget",
            "worker search owner/name query --ref main --symbol --path src/** --limit 5 --json",
            "worker deps owner/name src/lib.rs --ref main --direct --limit 5 --json",
            "worker impact owner/name src/lib.rs --ref main --direct --tests --limit 5 --json",
            "worker migrate --check",
            "worker demo --crash",
            "worker demo . --crash",
            "worker doctor --json",
            "worker completions bash",
            "worker man",
        ] {
            read(line).unwrap();
        }
        for command in ["show", "cancel", "retry"] {
            read(&format!("worker job {command} {id}")).unwrap();
        }
        for command in ["show", "remove", "path"] {
            read(&format!("worker repo {command} owner/name")).unwrap();
        }
    }

    #[test]
    fn shared_settings_may_stand_before_and_after_the_command() {
        for line in ["worker --data-dir /d status", "worker status --data-dir /d"] {
            let cli = read(line).unwrap();
            assert_eq!(
                cli.shared.database.data_dir().unwrap(),
                PathBuf::from("/d"),
                "{line}"
            );
        }
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "worker",
            "worker nonsense",
            "worker backfill owner/name",
            "worker backfill owner/name --mode everything",
            "worker backfill owner/name --mode open_only --priority 101",
            "worker changes",
            "worker changes owner/name --number x",
            "worker changes owner/name --number -1",
            "worker changes owner/name --number 7 --overlaps 8",
            "worker changes owner/name --open --closed",
            "worker changes owner/name --family issue",
            "worker changes owner/name --limit 0",
            "worker index",
            "worker index . --repo nonsense",
            "worker index . --forget --force",
            "worker enqueue fetch owner/name --priority 101",
            "worker enqueue fetch owner/name --priority high",
            "worker enqueue fetch owner/name --in 5m --at 2026-01-31T08:00:00Z",
            "worker enqueue fetch --upload-pack=x",
            "worker job show 17",
            "worker job list --state done",
            "worker job list --limit 0",
            "worker repo path owner/name --ref -x",
            "worker completions nonsense",
            "worker deps owner/name",
            "worker deps owner/name ../lib.rs",
            "worker deps owner/name /lib.rs",
            "worker deps owner/name -- -lib.rs",
            "worker impact owner/name --lib.rs",
            "worker impact owner/name lib.rs --ref -x",
            "worker impact owner/name lib.rs --limit 0",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_and_version_are_no_failure() {
        for line in [
            "worker --help",
            "worker --version",
            "worker repo path --help",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 0, "{line}");
        }
    }
}
