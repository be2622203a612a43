//! `worker search`: finds text and symbols in an indexed ref.

use clap::Args;
use leasectl_core::database::Database;
use leasectl_core::index::IndexError;
use leasectl_core::repository::Repository;
use leasectl_index::{Case, PathFilter, Query};
use leasectl_remote::{PathGlob, RefName};
use leasectl_repo::{CloneCache, CloneTarget, Content, NoProgress, RepoError};
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
    let cache = context.clones()?;
    let target = CloneTarget {
        id: repository.id.as_uuid(),
        url: context.stored_remote(&repository)?,
    };
    let asked = Asked {
        args,
        query,
        filter,
        repository: &repository,
        target,
    };
    let mut answer = asked.answer(&database.database, &cache).await;
    if let Err(SearchFailure::Clone(RepoError::Corrupt { .. })) = answer {
        // The clone was put aside; the next one has what this one lost.
        answer = asked.answer(&database.database, &cache).await;
    }
    let answer = answer.map_err(|error| failed(&error))?;
    let (found, complete) = answer.ok_or_else(|| asked.never_indexed())?;
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

/// A search that makes sense.
struct Asked<'a> {
    args: &'a SearchArgs,
    query: Query,
    filter: Option<PathFilter>,
    repository: &'a Repository,
    target: CloneTarget,
}

impl Asked<'_> {
    fn reference(&self) -> Option<&str> {
        self.args.reference.as_ref().map(RefName::as_str)
    }

    /// The lines that match, and whether these are all; nothing when the ref was never indexed. A clone that turns
    /// out to be damaged is put aside.
    async fn answer(
        &self,
        database: &Database,
        cache: &CloneCache,
    ) -> Result<Option<(Vec<Found>, bool)>, SearchFailure> {
        let tree = IndexedTree::of(database, self.repository, self.reference()).await?;
        let Some(tree) = tree else {
            return Ok(None);
        };
        let needs: Vec<_> = tree.commit().into_iter().collect();
        // Ctrl-C drops this future, and with it the child process.
        let cancel = CancellationToken::new();
        let clone = cache.ensure_clone(&self.target, &needs, &NoProgress, &cancel);
        let clone = clone.await?;
        let answer = match cache.content(&clone).await {
            Ok(content) => self.answer_from(database, tree, content).await,
            Err(error) => Err(error.into()),
        };
        if let Err(SearchFailure::Clone(RepoError::Corrupt { .. })) = answer {
            cache.quarantine(&clone)?;
        }
        answer.map(Some)
    }

    async fn answer_from(
        &self,
        database: &Database,
        tree: IndexedTree,
        content: Content,
    ) -> Result<(Vec<Found>, bool), SearchFailure> {
        let filter = self.filter.clone();
        let limit = usize::from(self.args.limit);
        if self.args.symbol {
            let name = &self.args.query;
            tree.symbols(database, content, name, filter, limit).await
        } else {
            let query = self.query.clone();
            let searcher = tree.open(database, content).await?;
            let searching = move || searcher.search(&query, filter.as_ref(), limit);
            let searched = tokio::task::spawn_blocking(searching).await;
            searched.map_err(|_panicked| SearchFailure::Ended)?
        }
    }

    fn never_indexed(&self) -> CommandError {
        let what = self.reference().unwrap_or("its default branch");
        let name = &self.repository.name;
        let text = format!("{what} of {name} was never indexed");
        CommandError::new(Exit::NotFound, text)
            .hint(format!("worker enqueue index {name} --wait indexes it"))
    }
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
