//! `worker changes`: what is known of a repository's changes, and which others touch the same files.

use std::collections::HashMap;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use leasectl_core::changes::{
    ChangeDetail, ChangeFilter, ChangeRow, Family, Freshness, Overlap, list, overlaps, show, unpark,
};
use leasectl_core::database::Database;
use leasectl_core::index::ObjectId;
use leasectl_core::repository::Repository;
use serde_json::json;

use super::{Column, CommandError, Context, Exit, Grid, RepoArg, Style, Tone, cell, moment};

/// Characters of an object's id that tables show.
const SHORT: usize = 12;

/// Common paths of two changes that tables show.
const PATHS: usize = 3;

/// Arguments of `worker changes`.
#[derive(Debug, Args)]
pub struct ChangesArgs {
    /// The repository: id, owner/name, URL or path
    repo: RepoArg,
    /// One change with its files, hunks and commits
    #[arg(long, value_name = "N", value_parser = number(), conflicts_with_all = ["overlaps", "retry", "parked", "open", "closed"])]
    number: Option<i64>,
    /// Changes that touch the same files as this one, those with the most common hunks first
    #[arg(long, value_name = "N", value_parser = number(), conflicts_with_all = ["retry", "parked", "open", "closed"])]
    overlaps: Option<i64>,
    /// Have a change that was given up tried again by the next pass
    #[arg(long, value_name = "N", value_parser = number(), conflicts_with_all = ["parked", "open", "closed"])]
    retry: Option<i64>,
    /// Of which sort N is, where one number stands for several changes: pull, merge_request or gerrit
    #[arg(long, value_name = "FAMILY", value_parser = PossibleValuesParser::new(Family::ALL.map(Family::as_str)).try_map(|word| word.parse::<Family>()))]
    family: Option<Family>,
    /// Only changes that were given up after five failures
    #[arg(long)]
    parked: bool,
    /// Only open changes
    #[arg(long, conflicts_with = "closed")]
    open: bool,
    /// Only changes that are merged, as far as Git shows
    #[arg(long)]
    closed: bool,
    /// At most this many, from 1 to 200
    #[arg(long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Continue where a list ended: its next_cursor
    #[arg(long, conflicts_with_all = ["number", "overlaps", "retry"])]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn number() -> impl clap::builder::TypedValueParser<Value = i64> {
    clap::value_parser!(i64).range(0..)
}

/// Runs `worker changes`.
///
/// # Errors
/// When there is no such repository or change, or the database is away.
pub(super) async fn run(context: &Context, args: &ChangesArgs) -> Result<(), CommandError> {
    let database = context.open().await?;
    let repository = context.repository(&database, &args.repo).await?;
    let database = &database.database;
    match (args.number, args.overlaps, args.retry) {
        (Some(number), ..) => one(context, database, &repository, args, number).await,
        (_, Some(number), _) => related(context, database, &repository, args, number).await,
        (.., Some(number)) => again(context, database, &repository, args, number).await,
        (None, None, None) => many(context, database, &repository, args).await,
    }
}

async fn many(
    context: &Context,
    database: &Database,
    repository: &Repository,
    args: &ChangesArgs,
) -> Result<(), CommandError> {
    let filter = ChangeFilter {
        open: (args.open || args.closed).then_some(args.open),
        parked: args.parked,
        family: args.family,
        ..ChangeFilter::default()
    };
    let cursor = args.cursor.as_deref();
    let page = list(database, repository.id, &filter, args.limit, cursor).await?;
    if args.json {
        return context.output().json(&page);
    }
    if page.items.is_empty() {
        context.note(nothing(args));
        return Ok(());
    }
    let table = render_list(&page.items, args.parked, context.output().style());
    context.output().line(table)?;
    if let Some(cursor) = &page.next_cursor {
        context.note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(())
}

async fn one(
    context: &Context,
    database: &Database,
    repository: &Repository,
    args: &ChangesArgs,
    number: i64,
) -> Result<(), CommandError> {
    let found = show(database, repository.id, number, args.family).await?;
    let detail = found.ok_or_else(|| missing(repository, number))?;
    if args.json {
        return context.output().json(&detail);
    }
    let text = render(&detail, context.output().style());
    context.output().line(text)
}

async fn related(
    context: &Context,
    database: &Database,
    repository: &Repository,
    args: &ChangesArgs,
    number: i64,
) -> Result<(), CommandError> {
    let found = overlaps(database, repository.id, number, args.family, args.limit).await?;
    let found = found.ok_or_else(|| missing(repository, number))?;
    if args.json {
        return context
            .output()
            .json(&json!({"items": found, "next_cursor": null}));
    }
    if found.is_empty() {
        let own = show(database, repository.id, number, args.family).await?;
        let is_known = own.is_some_and(|own| own.change.studied_at.is_some());
        context.note(if is_known {
            "no open change touches the same files"
        } else {
            "it was not studied yet: what it touches is not known"
        });
        return Ok(());
    }
    let table = render_overlaps(&found, context.output().style());
    context.output().line(table)?;
    if found.len() == usize::from(args.limit) {
        context.note("there may be more: --limit shows up to 200");
    }
    Ok(())
}

/// Why a list is empty.
fn nothing(args: &ChangesArgs) -> &'static str {
    if args.parked {
        "no change was given up"
    } else if args.open || args.closed || args.family.is_some() {
        "no such change is known"
    } else {
        "no changes; `worker backfill` has them studied once a fetch has seen them"
    }
}

async fn again(
    context: &Context,
    database: &Database,
    repository: &Repository,
    args: &ChangesArgs,
    number: i64,
) -> Result<(), CommandError> {
    let had_failed = unpark(database, repository.id, number, args.family).await?;
    if !had_failed {
        let found = show(database, repository.id, number, args.family).await?;
        if found.is_none() {
            return Err(missing(repository, number));
        }
        return Err(CommandError::new(
            Exit::Failed,
            format!("change {number} did not fail: there is nothing to try again"),
        ));
    }
    if args.json {
        return context
            .output()
            .json(&json!({"number": number, "retried": true}));
    }
    context
        .output()
        .line("the next pass tries it; `worker backfill` starts one")
}

fn missing(repository: &Repository, number: i64) -> CommandError {
    CommandError::new(
        Exit::NotFound,
        format!("{} has no change {number}", repository.name),
    )
    .hint("worker changes REPO lists those that the last fetch saw")
}

fn short(id: ObjectId) -> String {
    id.to_string().chars().take(SHORT).collect()
}

fn or_nothing<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn whether_open(open: Option<bool>) -> &'static str {
    match open {
        Some(true) => "open",
        Some(false) => "merged",
        None => "",
    }
}

fn freshness(change: &ChangeRow) -> (&'static str, Tone) {
    let tone = match change.freshness {
        Some(Freshness::Current) => Tone::Good,
        Some(Freshness::Failed) => Tone::Bad,
        Some(Freshness::StaleHeadChanged | Freshness::StaleBaseMoved) | None => Tone::Warning,
    };
    let word = match change.freshness {
        _ if change.parked => "parked",
        Some(known) => known.as_str(),
        None => "missing",
    };
    (word, tone)
}

fn render_list(changes: &[ChangeRow], with_errors: bool, style: Style) -> String {
    let mut columns = vec![
        Column::whole("CHANGE"),
        Column::whole("HEAD"),
        Column::whole("STATE"),
        Column::whole("FRESHNESS"),
        Column::number("COMMITS").extra(),
        Column::number("FILES"),
        Column::number("+"),
        Column::number("-"),
    ];
    if with_errors {
        columns.push(Column::text("ERROR"));
    }
    let mut grid = Grid::new(&columns);
    for change in changes {
        let (word, tone) = freshness(change);
        let mut row = vec![
            cell(format!("{}:{}", change.family, change.number)),
            cell(short(change.head)),
            cell(whether_open(change.open)),
            cell(word).tone(tone),
            cell(or_nothing(change.commits)),
            cell(or_nothing(change.files_changed)),
            cell(or_nothing(change.additions)),
            cell(or_nothing(change.deletions)),
        ];
        if with_errors {
            row.push(cell(or_nothing(change.last_error.as_ref())));
        }
        grid.row(row);
    }
    grid.render(style)
}

/// One change as lines of `name  value`, then its files and its commits.
fn render(detail: &ChangeDetail, style: Style) -> String {
    let change = &detail.change;
    let mut facts = Grid::new(&[Column::whole(""), Column::text("")]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.row(vec![cell(name), cell(value)]);
        }
    };
    fact("change", format!("{}:{}", change.family, change.number));
    fact("ref", change.reference.clone());
    fact("head", change.head.to_string());
    fact("base", or_nothing(change.base));
    fact("merge base", or_nothing(change.merge_base));
    fact("state", whether_open(change.open).to_owned());
    fact("freshness", freshness(change).0.to_owned());
    fact("commits", or_nothing(change.commits));
    fact("files", or_nothing(change.files_changed));
    fact("additions", or_nothing(change.additions));
    fact("deletions", or_nothing(change.deletions));
    fact(
        "left out",
        change.limits.as_deref().unwrap_or_default().join(", "),
    );
    fact("studied", change.studied_at.map(moment).unwrap_or_default());
    fact(
        "failures",
        match change.tries {
            0 => String::new(),
            tries => tries.to_string(),
        },
    );
    fact(
        "tried again",
        change.retry_at.map(moment).unwrap_or_default(),
    );
    fact("last error", or_nothing(change.last_error.as_ref()));
    let mut text = facts.render(style);
    if !detail.files.is_empty() {
        text.push_str("\n\n");
        text.push_str(&render_files(detail, style));
    }
    if !detail.commit_list.is_empty() {
        text.push_str("\n\n");
        text.push_str(&render_commits(detail, style));
    }
    text
}

fn render_files(detail: &ChangeDetail, style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::whole("STATUS"),
        Column::number("+"),
        Column::number("-"),
        Column::number("HUNKS"),
        Column::text("FILE"),
    ]);
    let mut hunks: HashMap<&str, usize> = HashMap::new();
    for hunk in &detail.hunks {
        *hunks.entry(&hunk.path).or_default() += 1;
    }
    for file in &detail.files {
        let name = match &file.old_path {
            Some(old) => format!("{old} => {}", file.path),
            None => file.path.clone(),
        };
        grid.row(vec![
            cell(file.status.as_str()),
            cell(or_nothing(file.additions)),
            cell(or_nothing(file.deletions)),
            cell(hunks.get(file.path.as_str()).copied().unwrap_or(0)),
            cell(name),
        ]);
    }
    grid.render(style)
}

fn render_commits(detail: &ChangeDetail, style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::whole("COMMIT"),
        Column::whole("COMMITTED").extra(),
        Column::text("AUTHOR").extra(),
        Column::text("SUMMARY"),
    ]);
    for commit in &detail.commit_list {
        grid.row(vec![
            cell(short(commit.commit)),
            cell(moment(commit.committed_at)),
            cell(&commit.author_name),
            cell(&commit.summary),
        ]);
    }
    grid.render(style)
}

/// The first of the paths that two changes have in common.
fn paths(other: &Overlap) -> String {
    let mut text = other.paths[..other.paths.len().min(PATHS)].join(", ");
    let more = other.files.saturating_sub(PATHS);
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn render_overlaps(found: &[Overlap], style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::whole("CHANGE"),
        Column::whole("HEAD"),
        Column::number("HUNKS"),
        Column::whole("LINES"),
        Column::number("FILES"),
        Column::text("PATHS"),
    ]);
    for other in found {
        grid.row(vec![
            cell(format!("{}:{}", other.family, other.number)),
            cell(short(other.head)),
            cell(other.hunks),
            cell(if other.exact { "exact" } else { "estimate" }),
            cell(other.files),
            cell(paths(other)),
        ]);
    }
    grid.render(style)
}
