//! `worker search`: finds text and symbols in an indexed ref.

use clap::Args;
use leasectl_core::database::Database;
use leasectl_core::index::IndexError;
use leasectl_index::{Case, PathFilter, Query};
use leasectl_remote::{PathGlob, RefName};
use leasectl_repo::{CloneTarget, Content, NoProgress};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{CommandError, Context, Exit, RepoArg, clone_failed, with_causes};
use crate::search::{Found, IndexedTree, SearchFailure};

/// Arguments of `worker search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The repository: id, owner/name, URL or path
    repo: RepoArg,
    /// What to look for: a text, case-sensitive, within one line
    query: String,
    /// An indexed branch, tag or commit [default: the default branch]
    #[arg(long = "ref", value_name = "REF", value_parser = RefName::parse)]
    reference: Option<RefName>,
    /// Look for definitions of a symbol of exactly this name
    #[arg(long, conflicts_with_all = ["regex", "ignore_case"])]
    symbol: bool,
    /// QUERY is a regular expression
    #[arg(long)]
    regex: bool,
    /// Upper and lower case are equal
    #[arg(long, short)]
    ignore_case: bool,
    /// Only in files whose path matches, such as 'src/**/*.rs'
    #[arg(long, value_name = "GLOB", value_parser = PathGlob::parse)]
    path: Option<PathGlob>,
    /// At most this many lines, from 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker search`.
///
/// # Errors
/// When the query makes no sense, the ref was never indexed, or the database or remote is away.
pub(super) async fn run(context: &Context, args: &SearchArgs) -> Result<(), CommandError> {
    let usage = |error: &dyn std::error::Error| CommandError::new(Exit::Usage, with_causes(error));
    let case = if args.ignore_case {
        Case::Ignored
    } else {
        Case::Sensitive
    };
    let query = if args.regex {
        Query::regex(&args.query, case)
    } else {
        Query::literal(&args.query, case)
    };
    let query = query.map_err(|error| usage(&error))?;
    let filter = args.path.as_ref().map(PathFilter::new).transpose();
    let filter = filter.map_err(|error| usage(&error))?;
    let database = context.open().await?;
    let repository = context.repository(&database, &args.repo).await?;
    let reference = args.reference.as_ref().map(RefName::as_str);
    let tree = IndexedTree::of(&database.database, &repository, reference).await;
    let tree = tree.map_err(|error| failed(&error))?.ok_or_else(|| {
        let what = reference.unwrap_or("its default branch");
        CommandError::new(
            Exit::NotFound,
            format!("{what} of {} was never indexed", repository.name),
        )
        .hint(format!(
            "worker enqueue index {} --wait indexes it",
            repository.name
        ))
    })?;
    let cache = context.clones()?;
    let target = CloneTarget {
        id: repository.id.as_uuid(),
        url: context.stored_remote(&repository)?,
    };
    let needs: Vec<_> = tree.commit().into_iter().collect();
    // Ctrl-C drops this future, and with it the child process.
    let cancel = CancellationToken::new();
    let clone = cache.ensure_clone(&target, &needs, &NoProgress, &cancel);
    let clone = clone.await.map_err(|error| clone_failed(&error))?;
    let content = cache.content(&clone).await;
    let content = content.map_err(|error| clone_failed(&error))?;
    let limit = usize::from(args.limit);
    let answer = if args.symbol {
        tree.symbols(&database.database, content, &args.query, filter, limit)
            .await
    } else {
        search(&database.database, tree, content, query, filter, limit).await
    };
    let (found, complete) = answer.map_err(|error| failed(&error))?;
    if args.json {
        let shown = json!({"items": found, "next_cursor": null, "complete": complete});
        return context.output().json(&shown);
    }
    for hit in &found {
        let line = format!("{}:{}:{}", hit.path, hit.line, hit.text);
        context.output().line(line)?;
    }
    if !complete {
        context.note("there are more; --limit shows them");
    }
    Ok(())
}

async fn search(
    database: &Database,
    tree: IndexedTree,
    content: Content,
    query: Query,
    filter: Option<PathFilter>,
    limit: usize,
) -> Result<(Vec<Found>, bool), SearchFailure> {
    let searcher = tree.open(database, content).await?;
    let searching = move || searcher.search(&query, filter.as_ref(), limit);
    let searched = tokio::task::spawn_blocking(searching).await;
    searched.map_err(|_panicked| SearchFailure::Ended)?
}

fn failed(error: &SearchFailure) -> CommandError {
    let exit = match error {
        SearchFailure::Clone(error) => return clone_failed(error),
        SearchFailure::Index(IndexError::Database(error)) if error.is_unavailable() => {
            Exit::Unavailable
        }
        SearchFailure::Index(_)
        | SearchFailure::Vector(_)
        | SearchFailure::Assemble(_)
        | SearchFailure::Search(_)
        | SearchFailure::Ended => Exit::Failed,
    };
    CommandError::new(exit, with_causes(error))
}
