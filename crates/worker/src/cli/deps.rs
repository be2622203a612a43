//! `worker deps`: what a file of an indexed tree depends on.

use std::sync::Arc;

use clap::Args;
use leasectl_core::index::IndexedFile;
use leasectl_core::repository::Repository;
use leasectl_repo::{Content, ObjectId};
use serde_json::json;

use super::indexed::TreeClone;
use super::structure::{FileArgs, answer, failed, gap};
use super::{Column, CommandError, Context, Grid, Style, cell};
use crate::structure::{Dependencies, Manifest, Structure, read_manifests};

/// Arguments of `worker deps`.
#[derive(Debug, Args)]
pub struct DepsArgs {
    #[command(flatten)]
    about: FileArgs,
}

/// Runs `worker deps`.
///
/// # Errors
/// When there is no such file, the ref was never indexed, or the database or remote is away.
pub(super) async fn run(context: &Context, args: &DepsArgs) -> Result<(), CommandError> {
    let args = &args.about;
    let (repository, structure) = args.find(context).await?;
    let structure = Arc::new(structure);
    let manifests = manifests(context, &repository, &structure, args).await?;
    let found = structure.dependencies(manifests, args.depth()).await;
    let mut found = found.map_err(|error| failed(&error))?;
    let complete = args.cut(&mut found.files);
    if let Some(note) = note(&structure) {
        context.note(&note);
    }
    if args.json {
        let mut shown = answer(&structure, structure.coverage(), &found.files, complete);
        shown["skip"] = json!(structure.skip());
        shown["external"] = json!(found.external);
        shown["transitive_external"] = json!(found.transitive_external);
        shown["unresolved"] = json!(found.unresolved);
        return context.output().json(&shown);
    }
    let table = render(&found, context.output().style());
    if table.is_empty() {
        let path = structure.path();
        context.note(&format!("{path} depends on nothing that is known"));
        return Ok(());
    }
    context.output().line(table)?;
    if !complete {
        context.note("there are more files; --limit shows them");
    }
    Ok(())
}

/// The manifests that name what lies outside, from the clone; nobody touches it where none is needed.
async fn manifests(
    context: &Context,
    repository: &Repository,
    structure: &Structure,
    args: &FileArgs,
) -> Result<Vec<Manifest>, CommandError> {
    let wanted = structure.wanted_manifests(args.depth());
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let clone = TreeClone::of(context, repository, structure.tree())?;
    let wanted = Arc::new(wanted);
    // What is not committed in a worktree no clone has: its manifests say nothing then.
    let may_lack = structure.tree().is_worktree();
    let read = move |content: &Content| {
        let handle = content.handle();
        let is_there = |file: &IndexedFile| {
            let id = ObjectId::try_from(file.oid.as_bytes());
            !may_lack || id.is_ok_and(|id| handle.has(id))
        };
        let there: Vec<_> = wanted
            .iter()
            .filter(|file| is_there(file))
            .cloned()
            .collect();
        read_manifests(content, &there)
    };
    clone.read(read).await
}

/// Why the answer may lack something, if it does.
fn note(structure: &Structure) -> Option<String> {
    let path = structure.path();
    match (structure.skip(), structure.language()) {
        (Some(reason), _) => Some(format!("what {path} imports is not indexed: {reason}")),
        (None, Some(language)) => gap(language, structure.coverage()),
        (None, None) => Some(format!(
            "{path} is in no language whose imports are indexed"
        )),
    }
}

/// One line for each file and name; empty when there is none.
fn render(found: &Dependencies, style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::number("DISTANCE"),
        Column::whole("KIND"),
        Column::text("NAME"),
    ]);
    for file in &found.files {
        grid.row(vec![cell(file.distance), cell("file"), cell(&file.path)]);
    }
    for name in &found.external {
        grid.row(vec![cell(1), cell("external"), cell(name)]);
    }
    // How far away they are is not told: several files may import one.
    for name in found.transitive_external.iter().flatten() {
        grid.row(vec![cell(""), cell("external"), cell(name)]);
    }
    for target in &found.unresolved {
        grid.row(vec![cell(1), cell("unresolved"), cell(target)]);
    }
    if grid.is_empty() {
        return String::new();
    }
    grid.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::Dependency;

    #[test]
    fn files_come_first_and_names_after_them() {
        let found = Dependencies {
            files: vec![Dependency {
                path: "src/a.rs".to_owned(),
                distance: 2,
            }],
            external: vec!["serde".to_owned()],
            transitive_external: Some(vec!["libc".to_owned()]),
            unresolved: vec!["Local::Variant".to_owned()],
        };
        let text = render(&found, Style::PLAIN);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                ["DISTANCE", "KIND", "NAME"],
                ["2", "file", "src/a.rs"],
                ["1", "external", "serde"],
                ["-", "external", "libc"],
                ["1", "unresolved", "Local::Variant"],
            ]
        );
    }

    #[test]
    fn nothing_is_no_table() {
        let found = Dependencies {
            files: Vec::new(),
            external: Vec::new(),
            transitive_external: None,
            unresolved: Vec::new(),
        };
        assert_eq!(render(&found, Style::PLAIN), "");
    }
}
