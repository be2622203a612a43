//! `worker status`: workers, leases and queue. It reads; it creates and starts nothing.

use std::time::Duration;

use clap::Args;
use leasectl_core::status::{Status, WorkerStatus, status};
use leasectl_core::time::Timestamp;
use tokio::time::MissedTickBehavior;

use super::{
    Column, CommandError, Context, Grid, RepoArg, Style, Tone, age, cell, positive_duration,
    progress,
};

/// Arguments of `worker status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again and again until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Time between two looks with --watch
    #[arg(long, value_name = "DUR", default_value = "1s", value_parser = positive_duration)]
    interval: Duration,
    /// Only leases and queue of this repository
    #[arg(long)]
    repo: Option<RepoArg>,
    /// Print JSON; with --watch one document per line
    #[arg(long)]
    json: bool,
}

/// Runs `worker status`.
///
/// # Errors
/// When no database is running, it is away, or the repository is not registered.
pub(super) async fn run(context: &Context, args: &StatusArgs) -> Result<(), CommandError> {
    let database = context.open_running().await?;
    let repo = match &args.repo {
        Some(repo) => Some(context.repository(&database, repo).await?.id),
        None => None,
    };
    if !args.watch {
        let seen = status(&database.database, repo).await?;
        return print(context, args, &seen);
    }
    let mut tick = tokio::time::interval(args.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match status(&database.database, repo).await {
            Ok(seen) => print(context, args, &seen)?,
            Err(error) if error.is_unavailable() => {
                context.note("the database is away; asking again");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn print(context: &Context, args: &StatusArgs, seen: &Status) -> Result<(), CommandError> {
    let output = context.output();
    match (args.json, args.watch) {
        (true, true) => output.json_line(seen),
        (true, false) => output.json(seen),
        (false, true) if output.is_terminal() => {
            // Home, then clear: a redraw without flicker.
            output.line(format!("\u{1b}[H\u{1b}[2J{}", render(seen, output.style())))
        }
        (false, true) => output.line(format!(
            "{}\n\n{}\n",
            seen.now,
            render(seen, output.style())
        )),
        (false, false) => output.line(render(seen, output.style())),
    }
}

/// The three tables of the status.
#[must_use]
pub(crate) fn render(seen: &Status, style: Style) -> String {
    let tables = [
        workers(seen, style),
        leases(seen, style),
        queue(seen, style),
    ];
    tables.join("\n\n")
}

fn workers(seen: &Status, style: Style) -> String {
    if seen.workers.is_empty() {
        return "no workers; start one with worker run".to_owned();
    }
    let mut grid = Grid::new(&[
        Column::text("WORKER"),
        Column::whole("STATE"),
        Column::number("HEARTBEAT"),
        Column::number("UP").extra(),
        Column::number("LEASES"),
        Column::text("KINDS"),
        Column::whole("LIVENESS").extra(),
        Column::whole("VERSION").extra(),
    ]);
    for worker in &seen.workers {
        let kinds: Vec<String> = worker
            .kinds
            .iter()
            .map(|(kind, slots)| format!("{kind}={slots}"))
            .collect();
        grid.row(vec![
            cell(&worker.owner),
            cell(&worker.state).tone(liveness_tone(&worker.state)),
            cell(ago(seen, worker.heartbeat_at)),
            cell(age(worker.started_at.until(last_seen(seen, worker)))),
            cell(worker.leases),
            cell(kinds.join(" ")),
            cell(&worker.liveness),
            cell(&worker.version),
        ]);
    }
    grid.render(style)
}

/// Until when a worker was up, as far as is known: one that is dead beats no more.
fn last_seen(seen: &Status, worker: &WorkerStatus) -> Timestamp {
    if worker.state == "dead" {
        worker.heartbeat_at
    } else {
        seen.now
    }
}

fn leases(seen: &Status, style: Style) -> String {
    if seen.leases.is_empty() {
        return "no leases".to_owned();
    }
    let mut grid = Grid::new(&[
        Column::whole("LEASE"),
        Column::text("REPO").extra(),
        Column::text("OWNER"),
        Column::whole("STATE"),
        Column::number("TOKEN"),
        Column::number("ATTEMPT").extra(),
        Column::number("HEARTBEAT"),
        Column::number("EXPIRES"),
        Column::text("PROGRESS"),
    ]);
    for lease in &seen.leases {
        let done = lease
            .progress
            .as_ref()
            .map(|p| progress(p.done, p.total, &p.unit));
        grid.row(vec![
            cell(&lease.kind),
            cell(lease.repo.as_deref().unwrap_or_default()),
            cell(&lease.owner),
            cell(&lease.state).tone(liveness_tone(&lease.state)),
            cell(lease.token),
            cell(lease.attempt),
            cell(ago(seen, lease.heartbeat_at)),
            cell(ahead(seen, lease.expires_at)),
            cell(done.or_else(|| lease.message.clone()).unwrap_or_default()),
        ]);
    }
    grid.render(style)
}

fn queue(seen: &Status, style: Style) -> String {
    if seen.queue.is_empty() {
        return "the queue is empty".to_owned();
    }
    let mut grid = Grid::new(&[
        Column::whole("QUEUE"),
        Column::number("QUEUED"),
        Column::number("SCHEDULED"),
        Column::number("WAITING"),
        Column::number("RUNNING"),
        Column::number("ERROR 24H"),
        Column::number("OLDEST"),
    ]);
    for kind in &seen.queue {
        let errors = cell(kind.error_24h);
        grid.row(vec![
            cell(&kind.kind),
            cell(kind.queued),
            cell(kind.scheduled),
            cell(kind.waiting),
            cell(kind.running),
            if kind.error_24h > 0 {
                errors.tone(Tone::Bad)
            } else {
                errors
            },
            cell(
                kind.oldest_queued_at
                    .map(|at| age(at.until(seen.now)))
                    .unwrap_or_default(),
            ),
        ]);
    }
    grid.render(style)
}

/// The tone of a worker's or a lease's state.
fn liveness_tone(state: &str) -> Tone {
    match state {
        "live" => Tone::Good,
        "draining" => Tone::Warning,
        _ => Tone::Bad,
    }
}

fn ago(seen: &Status, at: Timestamp) -> String {
    format!("{} ago", age(at.until(seen.now)))
}

fn ahead(seen: &Status, at: Timestamp) -> String {
    if at > seen.now {
        format!("in {}", age(seen.now.until(at)))
    } else {
        ago(seen, at)
    }
}
