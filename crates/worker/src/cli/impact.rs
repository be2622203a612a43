//! `worker impact`: what depends on a file of an indexed tree, tests among it.

use clap::Args;

use super::structure::{FileArgs, answer, gap};
use super::{Column, CommandError, Context, Grid, Style, cell};
use crate::structure::Dependent;

/// Arguments of `worker impact`.
#[derive(Debug, Args)]
pub struct ImpactArgs {
    #[command(flatten)]
    about: FileArgs,
    /// Only tests
    #[arg(long)]
    tests: bool,
}

/// Runs `worker impact`.
///
/// # Errors
/// When there is no such file, the ref was never indexed, or the database is away.
pub(super) async fn run(context: &Context, args: &ImpactArgs) -> Result<(), CommandError> {
    let (_repository, structure) = args.about.find(context).await?;
    let mut found = structure.impact(args.about.depth());
    found.retain(|file| file.test || !args.tests);
    let complete = args.about.cut(&mut found);
    let coverage = structure.impact_coverage();
    if let Some(note) = structure
        .language()
        .and_then(|language| gap(language, coverage))
    {
        context.note(&note);
    }
    if args.about.json {
        let shown = answer(&structure, coverage, &found, complete);
        return context.output().json(&shown);
    }
    if found.is_empty() {
        let what = if args.tests { "test" } else { "file" };
        let path = structure.path();
        context.note(&format!("no {what} is known that depends on {path}"));
        return Ok(());
    }
    context
        .output()
        .line(render(&found, context.output().style()))?;
    if !complete {
        context.note("there are more files; --limit shows them");
    }
    Ok(())
}

fn render(found: &[Dependent], style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::number("DISTANCE"),
        Column::whole("KIND"),
        Column::text("PATH"),
    ]);
    for file in found {
        let kind = if file.test { "test" } else { "file" };
        grid.row(vec![cell(file.distance), cell(kind), cell(&file.path)]);
    }
    grid.render(style)
}
