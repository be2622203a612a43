//! `worker search`: finds text and symbols in an indexed ref or worktree.

use clap::Args;
use leasectl_core::database::Database;
use leasectl_index::{Case, PathFilter, Query};
use leasectl_remote::{PathGlob, RefName};
use leasectl_repo::{Content, Worktree};
use serde_json::json;

use super::index::indexed_worktree;
use super::indexed::{TreeClone, indexed_tree, search_failed};
use super::{CommandError, Context, Exit, RepoArg, clone_failed, with_causes};
use crate::search::{Answer, Found, IndexedTree, SearchFailure, Wanted};

/// Arguments of `worker search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The repository: id, owner/name, URL or path; or a folder in a worktree that was indexed
    repo: RepoArg,
    /// What to look for: a text, case-sensitive, within one line
    query: String,
    /// An indexed branch, tag, commit or worktree [default: that worktree, else the default branch]
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
    /// Show that many lines before and after each, at most 100
    #[arg(long, short = 'C', value_name = "N", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u8).range(..=100))]
    context: u8,
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
    let asked = Asked {
        args,
        query,
        filter,
    };
    let indexed = match (&args.repo, &args.reference) {
        (RepoArg::Path(path), None) => indexed_worktree(&database, path).await?,
        _ => None,
    };
    let answer = if let Some((worktree, repository, name)) = indexed {
        let name = Some(name.as_str());
        let tree = indexed_tree(&database.database, &repository, name).await?;
        let content = content_of_worktree(worktree, &tree).await?;
        let answer = asked.answer(&database.database, tree, content).await;
        answer.map_err(|error| search_failed(&error))?
    } else {
        let repository = context.repository(&database, &args.repo).await?;
        let name = args.reference.as_ref().map(RefName::as_str);
        let tree = indexed_tree(&database.database, &repository, name).await?;
        let clone = TreeClone::of(context, &repository, &tree)?;
        let answer = async |content| {
            asked
                .answer(&database.database, tree.clone(), content)
                .await
        };
        clone.answer(answer).await?
    };
    show(context, &answer, args.json)
}

/// A search that makes sense.
struct Asked<'a> {
    args: &'a SearchArgs,
    query: Query,
    filter: Option<PathFilter>,
}

impl Asked<'_> {
    async fn answer(
        &self,
        database: &Database,
        tree: IndexedTree,
        content: Content,
    ) -> Result<Answer, SearchFailure> {
        let filter = self.filter.clone();
        let wanted = Wanted {
            lines: usize::from(self.args.limit),
            context: usize::from(self.args.context),
        };
        if self.args.symbol {
            let name = &self.args.query;
            return tree.symbols(database, content, name, filter, wanted).await;
        }
        let query = self.query.clone();
        let searcher = tree.open(database, content).await?;
        let searching = move || searcher.search(&query, filter.as_ref(), wanted);
        let searched = tokio::task::spawn_blocking(searching).await;
        searched.map_err(|_panicked| SearchFailure::Ended)?
    }
}

/// What a worktree's repository has, and the files that are what they were.
async fn content_of_worktree(
    worktree: Worktree,
    tree: &IndexedTree,
) -> Result<Content, CommandError> {
    let blobs: Vec<_> = tree.blobs().collect();
    let opening = tokio::task::spawn_blocking(move || worktree.seen_before(blobs)).await;
    let opened = opening.map_err(|error| CommandError::caused(Exit::Failed, &error))?;
    opened.map_err(|error| clone_failed(&error))
}

/// As grep does: a colon marks the line that matches, a dash those around it.
fn show_hit(context: &Context, hit: &Found, is_first: bool) -> Result<(), CommandError> {
    let Found { path, line, .. } = hit;
    let output = context.output();
    let around = hit.around.as_ref();
    if around.is_some() && !is_first {
        output.line("--")?;
    }
    let before = around.map_or(&[][..], |around| &around.before);
    for (text, line) in before.iter().zip(line - before.len() as u64..) {
        output.line(format!("{path}-{line}-{text}"))?;
    }
    output.line(format!("{path}:{line}:{}", hit.text))?;
    let after = around.map_or(&[][..], |around| &around.after);
    for (text, line) in after.iter().zip(line + 1..) {
        output.line(format!("{path}-{line}-{text}"))?;
    }
    Ok(())
}

fn show(context: &Context, answer: &Answer, json: bool) -> Result<(), CommandError> {
    let changed = answer.changed;
    if json {
        let shown = json!({
            "items": answer.found, "next_cursor": null, "complete": answer.complete,
            "changed": changed,
        });
        return context.output().json(&shown);
    }
    for (number, hit) in answer.found.iter().enumerate() {
        show_hit(context, hit, number == 0)?;
    }
    if !answer.complete {
        context.note("there are more; --limit shows them");
    }
    if changed > 0 {
        context.note(&format!(
            "{changed} files changed since they were indexed, or are only in the worktree; \
             index it again, and search it by its path on its machine"
        ));
    }
    Ok(())
}
