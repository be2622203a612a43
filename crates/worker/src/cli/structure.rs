//! What `worker deps` and `worker impact` share: the file that is asked about, and how far that is known.

use clap::Args;
use leasectl_core::repository::Repository;
use leasectl_index::{Coverage, Language};
use leasectl_remote::{RefName, TreePath};
use serde::Serialize;
use serde_json::{Value, json};

use super::indexed::{index_failed, indexed_tree};
use super::{CommandError, Context, Exit, RepoArg, with_causes};
use crate::search::IndexedTree;
use crate::structure::{Depth, Structure, StructureFailure, paths};

/// Which file is asked about, and how much is to be told.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The repository: id, owner/name, URL or path
    repo: RepoArg,
    /// The file, by its path from the top of the repository
    #[arg(value_parser = TreePath::parse)]
    file: TreePath,
    /// An indexed branch, tag or commit [default: the default branch]
    #[arg(long = "ref", value_name = "REF", value_parser = RefName::parse)]
    reference: Option<RefName>,
    /// Only files that are one import away
    #[arg(long)]
    direct: bool,
    /// At most this many files, from 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl FileArgs {
    /// How far the answer goes.
    pub(super) fn depth(&self) -> Depth {
        if self.direct {
            Depth::Direct
        } else {
            Depth::Transitive
        }
    }

    /// Leaves as many files as are to be told, and answers whether those were all.
    pub(super) fn cut<T>(&self, files: &mut Vec<T>) -> bool {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let complete = files.len() <= limit;
        files.truncate(limit);
        complete
    }

    /// The file among the others of its tree, and whose it is.
    ///
    /// # Errors
    /// When there is no such repository or file, the ref was never indexed, or the database is away.
    pub(super) async fn find(
        &self,
        context: &Context,
    ) -> Result<(Repository, Structure), CommandError> {
        let database = context.open().await?;
        let repository = context.repository(&database, &self.repo).await?;
        let reference = self.reference.as_ref().map(RefName::as_str);
        let tree = indexed_tree(&database.database, &repository, reference).await?;
        let not_found = self.not_found(&repository, &tree);
        let structure = Structure::of(&database.database, tree, self.file.as_str()).await;
        let structure = structure.map_err(|error| failed(&error))?;
        Ok((repository, structure.ok_or(not_found)?))
    }

    fn not_found(&self, repository: &Repository, tree: &IndexedTree) -> CommandError {
        let (name, file, at) = (&repository.name, &self.file, &tree.name);
        let message = format!("there is no file {file} in {at} of {name} as it was indexed");
        let folder = format!("{file}/");
        let hint = if paths(&tree.files).any(|path| path.starts_with(&folder)) {
            "it is a folder; name a file in it".to_owned()
        } else {
            format!("worker enqueue index {name} --arg ref={at} --wait indexes what is new")
        };
        CommandError::new(Exit::NotFound, message).hint(hint)
    }
}

/// What both answers say in JSON.
pub(super) fn answer(
    structure: &Structure,
    coverage: Coverage,
    items: &impl Serialize,
    complete: bool,
) -> Value {
    json!({
        "ref": structure.tree().name,
        "commit": structure.tree().state.commit.to_string(),
        "file": structure.path(),
        "language": structure.language().map(Language::name),
        "coverage": coverage.name(),
        "items": items,
        "next_cursor": null,
        "complete": complete,
    })
}

/// What is not resolved of the imports of a language, if anything.
pub(super) fn gap(language: Language, coverage: Coverage) -> Option<String> {
    let name = language.name();
    match coverage {
        Coverage::Full => None,
        Coverage::Relative => Some(format!(
            "of {name}, only files that are named relative to the importing one are resolved"
        )),
        Coverage::None => Some(format!("imports of {name} are not resolved")),
    }
}

/// A failure to answer as a failure of the command.
pub(super) fn failed(error: &StructureFailure) -> CommandError {
    match error {
        StructureFailure::Index(error) => index_failed(error),
        StructureFailure::Ended => CommandError::new(Exit::Failed, with_causes(error)),
    }
}
