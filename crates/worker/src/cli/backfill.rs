//! `worker backfill`: says which changes of a repository are kept current, and has a pass study them.

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use leasectl_core::changes::{Budget, Mode, set_mode};
use leasectl_core::job::{EnqueueRequest, enqueue};
use leasectl_core::kind::{BACKFILL, Priority};
use serde_json::json;

use super::enqueue::{priority, wake};
use super::{CommandError, Context, Exit, RepoArg, wait};

/// Arguments of `worker backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// The repository: id, owner/name, or a URL or path (registered on first use)
    repo: RepoArg,
    /// Which changes are kept current from now on; off: none
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(Mode::WORDS).try_map(|word| word.parse::<Mode>()))]
    mode: Mode,
    /// Priority of this pass and of those that follow, from -100 to 100; higher is sooner
    #[arg(long, value_name = "N", default_value = "0", value_parser = priority)]
    #[arg(allow_negative_numbers = true)]
    priority: Priority,
    /// Wait for the pass's end; exit code 5 when it ends in error or cancelled
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker backfill`.
///
/// # Errors
/// When the repository is refused, the database is away, or the pass, when it is waited for, did not succeed.
pub(super) async fn run(context: &Context, args: &BackfillArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repository = context
        .repository_or_register(&database, &args.repo)
        .await?;
    let database = &database.database;
    let is_there = set_mode(database, repository.id, args.mode, args.priority).await?;
    if !is_there {
        return Err(super::context::not_registered(&args.repo));
    }
    if args.mode == Mode::Off {
        if args.json {
            let said = json!({
                "repo_id": repository.id, "mode": args.mode, "job_id": null, "state": null,
                "deduplicated": null,
            });
            return context.output().json(&said);
        }
        context.note(&format!("{}: no more backfills", repository.name));
        return Ok(());
    }
    let pass = args.mode.args(Budget::default());
    let request = EnqueueRequest::new(repository.id, &BACKFILL, pass).priority(args.priority);
    let accepted = enqueue(database, &[request]).await?;
    let Some(job) = accepted.first() else {
        return Err(CommandError::new(
            Exit::Failed,
            "the database accepted no job",
        ));
    };
    wake(database, BACKFILL.lane).await;
    if repository.last_successful_fetch_at.is_none() {
        context
            .note("it was never fetched: the pass asks for a fetch, and another pass follows that");
    }
    if args.wait {
        if !args.json {
            context.output().line(job.job_id.to_string())?;
        }
        return wait::until_done(context, database, job.job_id, args.json).await;
    }
    if args.json {
        let said = json!({
            "repo_id": repository.id, "mode": args.mode, "job_id": job.job_id, "state": job.state,
            "deduplicated": job.deduplicated,
        });
        return context.output().json(&said);
    }
    context.output().line(job.job_id.to_string())
}
