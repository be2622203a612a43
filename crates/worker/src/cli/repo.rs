//! `worker repo`: registers, lists, shows and removes repositories.

use std::time::Duration;

use clap::{Args, Subcommand};
use leasectl_core::repository::{self, Branch, RemoveOutcome, Repository};
use leasectl_remote::RepoName;
use serde_json::json;

use super::repo_path::{self, PathArgs};
use super::repo_status;
use super::{
    Column, CommandError, Context, Exit, Grid, RepoArg, Style, age, cell, fetch_every, moment,
};

/// What `worker repo` can do.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Registers a repository and prints its id; needs no network
    Add(AddArgs),
    /// Registered repositories
    List(ListArgs),
    /// One repository with its branches, and where its synchronisation stands
    Show(ShowArgs),
    /// Forgets a repository and what is known of it
    Remove(RemoveArgs),
    /// Prints the path of a ready clone, cloning first if it is missing
    Path(PathArgs),
}

/// Arguments of `worker repo add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// A Git URL, or a local path where local remotes are allowed
    url: RepoArg,
    /// Its name [default: made from the URL]
    #[arg(long, value_name = "OWNER/NAME", value_parser = RepoName::parse)]
    name: Option<RepoName>,
    /// Fetch it this often, such as 15m [default: only when asked]
    #[arg(long, value_name = "DUR", value_parser = fetch_every)]
    fetch_every: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `worker repo list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// At most this many, from 1 to 200
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Continue where a list ended: its next_cursor
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `worker repo show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The repository: id, owner/name, URL or path
    repo: RepoArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `worker repo remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The repository: id, owner/name, URL or path
    repo: RepoArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker repo`.
///
/// # Errors
/// When the repository is refused, unknown or busy, or the database or remote is away.
pub(super) async fn run(context: &Context, command: RepoCommand) -> Result<(), CommandError> {
    match command {
        RepoCommand::Add(args) => add(context, &args).await,
        RepoCommand::List(args) => list(context, &args).await,
        RepoCommand::Show(args) => show(context, &args).await,
        RepoCommand::Remove(args) => remove(context, &args).await,
        RepoCommand::Path(args) => repo_path::run(context, &args).await,
    }
}

async fn add(context: &Context, args: &AddArgs) -> Result<(), CommandError> {
    let remote = context.remote(&args.url)?.ok_or_else(|| {
        CommandError::new(Exit::Usage, "repo add takes a Git URL or a local path")
            .hint("write for example https://github.com/owner/name.git or ./folder")
    })?;
    let database = context.open().await?;
    let registered = context
        .register(&database, remote, args.name.clone(), args.fetch_every)
        .await?;
    if args.json {
        return context.output().json(&registered.repository);
    }
    let repository = &registered.repository;
    let name = &repository.name;
    context.note(&if registered.created {
        format!("registered as {name}")
    } else if registered.rescheduled {
        format!("registered already as {name}, and fetched at the new interval from now on")
    } else {
        format!("registered already as {name}, and left as it is")
    });
    context.output().line(registered.repository.id.to_string())
}

async fn list(context: &Context, args: &ListArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let page = repository::list(&database.database, args.limit, args.cursor.as_deref()).await?;
    if args.json {
        return context.output().json(&page);
    }
    if page.items.is_empty() {
        context.note("no repositories; register one with worker repo add URL");
        return Ok(());
    }
    let mut grid = Grid::new(&[
        Column::whole("ID"),
        Column::text("NAME"),
        Column::text("DEFAULT").extra(),
        Column::whole("FETCHED").extra(),
        Column::number("EVERY").extra(),
        Column::text("URL").extra(),
    ]);
    for repository in &page.items {
        grid.row(vec![
            cell(repository.id),
            cell(&repository.name),
            cell(repository.default_branch.as_deref().unwrap_or_default()),
            cell(
                repository
                    .last_successful_fetch_at
                    .map(moment)
                    .unwrap_or_default(),
            ),
            cell(repository.fetch_every().map(age).unwrap_or_default()),
            cell(&repository.git_url),
        ]);
    }
    context
        .output()
        .line(grid.render(context.output().style()))?;
    if let Some(cursor) = &page.next_cursor {
        context.note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(())
}

async fn show(context: &Context, args: &ShowArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repository = context.repository(&database, &args.repo).await?;
    let branches = repository::branches(&database.database, repository.id).await?;
    // A name that the database has is one.
    let status = match RepoName::parse(&repository.name) {
        Ok(name) => repository::change_status(&database.database, &name).await?,
        Err(_) => None,
    };
    if args.json {
        let mut shown = json!(repository);
        shown["branches"] = json!(branches);
        shown["synchronisation"] = json!(status);
        return context.output().json(&shown);
    }
    let style = context.output().style();
    let mut text = render(&repository, &branches, style);
    if let Some(status) = &status {
        text.push_str("\n\n");
        text.push_str(&repo_status::render(status, style));
    }
    context.output().line(text)
}

async fn remove(context: &Context, args: &RemoveArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repository = context.repository(&database, &args.repo).await?;
    match repository::remove(&database.database, repository.id).await? {
        RemoveOutcome::Removed => {}
        RemoveOutcome::NotFound => return Err(super::context::not_registered(&args.repo)),
        RemoveOutcome::Busy => {
            return Err(CommandError::new(
                Exit::Failed,
                format!("{} has a running job", repository.name),
            )
            .hint(format!(
                "worker job list --repo {} --state running shows it; cancel it or wait",
                repository.name
            )));
        }
    }
    context.forget_clone(repository.id);
    if args.json {
        return context
            .output()
            .json(&json!({"id": repository.id, "removed": true}));
    }
    context
        .output()
        .line(format!("removed {}", repository.name))
}

fn render(repository: &Repository, branches: &[Branch], style: Style) -> String {
    let mut facts = Grid::new(&[Column::whole(""), Column::text("")]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.row(vec![cell(name), cell(value)]);
        }
    };
    fact("id", repository.id.to_string());
    fact("name", repository.name.clone());
    fact("url", repository.git_url.clone());
    fact(
        "default branch",
        repository.default_branch.clone().unwrap_or_default(),
    );
    fact("head", repository.head.clone().unwrap_or_default());
    fact(
        "fetch every",
        repository.fetch_every().map(age).unwrap_or_default(),
    );
    fact("registered", moment(repository.created_at));
    fact(
        "fetched",
        repository
            .last_successful_fetch_at
            .map(moment)
            .unwrap_or_default(),
    );
    let mut text = facts.render(style);
    if !branches.is_empty() {
        let mut grid = Grid::new(&[
            Column::text("BRANCH"),
            Column::whole("HEAD"),
            Column::text("STATE"),
            Column::whole("SEEN").extra(),
        ]);
        for branch in branches {
            grid.row(vec![
                cell(&branch.name),
                cell(branch.head.as_deref().unwrap_or_default()),
                cell(&branch.state),
                cell(moment(branch.seen_at)),
            ]);
        }
        text.push_str("\n\n");
        text.push_str(&grid.render(style));
    }
    text
}
