//! `worker job`: one job with its attempts, many jobs, ask one to stop, run one again.

use clap::{Args, Subcommand};
use leasectl_core::ids::JobId;
use leasectl_core::job::{
    self, CancelOutcome, JobFilter, JobView, PublicState, RetryOutcome, cancel, retry,
};
use leasectl_core::kind::Kinds;
use serde_json::json;

use super::{
    Column, CommandError, Context, Exit, Grid, RepoArg, Style, Tone, age, cell, moment, progress,
};

/// What `worker job` can do.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// One job with its attempts
    Show(ShowArgs),
    /// Jobs, newest first
    List(ListArgs),
    /// Asks a job to stop
    Cancel(OneArgs),
    /// Runs a finished job again
    Retry(OneArgs),
}

/// Arguments of `worker job show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The job's id
    id: JobId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `worker job cancel` and `worker job retry`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The job's id
    id: JobId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `worker job list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only jobs of this repository
    #[arg(long)]
    repo: Option<RepoArg>,
    /// Only jobs of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only jobs in this state: queued, waiting, running, completed, error or cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<PublicState>,
    /// At most this many jobs, from 1 to 200
    #[arg(long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Continue where a list ended: its next_cursor
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker job`.
///
/// # Errors
/// When there is no such job, its state does not allow it, or the database is away.
pub(super) async fn run(context: &Context, command: JobCommand) -> Result<(), CommandError> {
    match command {
        JobCommand::Show(args) => show(context, &args).await,
        JobCommand::List(args) => list(context, &args).await,
        JobCommand::Cancel(args) => stop(context, &args).await,
        JobCommand::Retry(args) => again(context, &args).await,
    }
}

async fn show(context: &Context, args: &ShowArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let job = job::find(&database.database, args.id)
        .await?
        .ok_or_else(|| missing(args.id))?;
    if args.json {
        return context.output().json(&job);
    }
    context
        .output()
        .line(render(&job, context.output().style()))
}

async fn list(context: &Context, args: &ListArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repo_id = match &args.repo {
        Some(repo) => Some(context.repository(&database, repo).await?.id),
        None => None,
    };
    let filter = JobFilter {
        repo_id,
        kind: args.kind.clone(),
        state: args.state,
    };
    let page = job::list(
        &database.database,
        &filter,
        args.limit,
        args.cursor.as_deref(),
    )
    .await?;
    if args.json {
        return context.output().json(&page);
    }
    if page.items.is_empty() {
        context.note(&nothing(args.kind.as_deref()));
        return Ok(());
    }
    context
        .output()
        .line(render_list(&page.items, context.output().style()))?;
    if let Some(cursor) = &page.next_cursor {
        context.note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(())
}

/// Why the list is empty. A kind of another program is a kind as well, so an unknown one is no mistake.
fn nothing(kind: Option<&str>) -> String {
    let unknown = kind.filter(|kind| Kinds::standard().get(kind).is_none());
    unknown.map_or_else(
        || "no jobs".to_owned(),
        |kind| format!("no jobs, and no kind {kind:?} in this release"),
    )
}

async fn stop(context: &Context, args: &OneArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let (state, said) = match cancel(&database.database, args.id).await? {
        CancelOutcome::Cancelled => ("cancelled", "cancelled".to_owned()),
        CancelOutcome::Requested => (
            "running",
            "asked to stop; the worker that runs it will end it shortly".to_owned(),
        ),
        CancelOutcome::AlreadyFinished(state) => {
            return Err(CommandError::new(
                Exit::Failed,
                format!(
                    "job {} cannot be cancelled: it ended before, in {state}",
                    args.id
                ),
            ));
        }
        CancelOutcome::NotFound => return Err(missing(args.id)),
    };
    if args.json {
        return context
            .output()
            .json(&json!({"job_id": args.id, "state": state}));
    }
    context.output().line(said)
}

async fn again(context: &Context, args: &OneArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    match retry(&database.database, args.id).await? {
        RetryOutcome::Accepted => {
            if args.json {
                let found = job::find(&database.database, args.id).await?;
                let state = found.map(|job| job.state);
                return context
                    .output()
                    .json(&json!({"job_id": args.id, "state": state}));
            }
            context.output().line("queued again")
        }
        RetryOutcome::NotFinished(state) => Err(CommandError::new(
            Exit::Failed,
            format!("job {} cannot be run again: it is {state}", args.id),
        )
        .hint("only a job in completed, error or cancelled can be run again")),
        RetryOutcome::NotFound => Err(missing(args.id)),
    }
}

fn missing(id: JobId) -> CommandError {
    CommandError::new(Exit::NotFound, format!("there is no job {id}"))
        .hint("worker job list shows the jobs that there are")
}

fn state_tone(state: PublicState) -> Tone {
    match state {
        PublicState::Completed => Tone::Good,
        PublicState::Error => Tone::Bad,
        PublicState::Cancelled | PublicState::Waiting => Tone::Warning,
        PublicState::Queued | PublicState::Running => Tone::Plain,
    }
}

fn render_list(jobs: &[JobView], style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::whole("ID"),
        Column::text("REPO"),
        Column::whole("KIND"),
        Column::whole("STATE"),
        Column::number("ATTEMPT").extra(),
        Column::whole("CREATED").extra(),
        Column::text("MESSAGE").extra(),
    ]);
    for job in jobs {
        grid.row(vec![
            cell(job.id),
            cell(job.repo.as_deref().unwrap_or_default()),
            cell(&job.kind),
            cell(job.state).tone(state_tone(job.state)),
            cell(format!("{}/{}", job.attempt, job.max_attempts)),
            cell(moment(job.created_at)),
            cell(summary(job)),
        ]);
    }
    grid.render(style)
}

/// What is most worth knowing about a job: its failure, else its progress, else its message.
fn summary(job: &JobView) -> String {
    if let Some(error) = &job.last_error
        && job.state != PublicState::Completed
    {
        return error.to_string();
    }
    match (&job.progress, &job.message) {
        (Some(seen), _) if job.state == PublicState::Running => {
            progress(seen.done, seen.total, &seen.unit)
        }
        (_, Some(message)) if job.state != PublicState::Completed => message.clone(),
        (_, Some(_) | None) => String::new(),
    }
}

/// One job as lines of `name  value`, then its attempts.
fn render(job: &JobView, style: Style) -> String {
    let mut facts = Grid::new(&[Column::whole(""), Column::text("")]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.row(vec![cell(name), cell(value)]);
        }
    };
    fact("id", job.id.to_string());
    let name = job.repo.as_deref().unwrap_or("removed");
    fact("repo", format!("{name} ({})", job.repo_id));
    fact("kind", format!("{} (lane {})", job.kind, job.lane));
    fact("args", job.args.to_string());
    fact("priority", job.priority.to_string());
    fact("state", job.state.to_string());
    fact(
        "attempt",
        format!("{} of {}", job.attempt, job.max_attempts),
    );
    fact("not before", job.not_before.map(moment).unwrap_or_default());
    fact("created", moment(job.created_at));
    fact("started", job.started_at.map(moment).unwrap_or_default());
    fact("finished", job.finished_at.map(moment).unwrap_or_default());
    fact("message", job.message.clone().unwrap_or_default());
    let seen = job.progress.as_ref();
    fact(
        "progress",
        seen.map(|p| progress(p.done, p.total, &p.unit))
            .unwrap_or_default(),
    );
    if let Some(lease) = &job.lease {
        fact("owner", lease.owner.to_string());
        fact("token", lease.token.to_string());
        fact("heartbeat", moment(lease.heartbeat_at));
        fact("expires", moment(lease.expires_at));
    }
    fact(
        "last error",
        job.last_error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    );
    fact(
        "result",
        job.result
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    );
    let mut text = facts.render(style);
    if !job.attempts.is_empty() {
        text.push_str("\n\n");
        text.push_str(&render_attempts(job, style));
    }
    text
}

fn render_attempts(job: &JobView, style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::number("ATTEMPT"),
        Column::text("OWNER"),
        Column::number("TOKEN"),
        Column::whole("STARTED").extra(),
        Column::number("TOOK").extra(),
        Column::whole("OUTCOME"),
        Column::text("ERROR"),
    ]);
    for attempt in &job.attempts {
        let took = attempt
            .finished_at
            .map(|finished| age(attempt.started_at.until(finished)));
        grid.row(vec![
            cell(attempt.attempt),
            cell(&attempt.owner),
            cell(attempt.token),
            cell(moment(attempt.started_at)),
            cell(took.unwrap_or_default()),
            cell(attempt.outcome.as_deref().unwrap_or_default()),
            cell(
                attempt
                    .error
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ),
        ]);
    }
    grid.render(style)
}
