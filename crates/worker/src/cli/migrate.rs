//! `worker migrate`: brings the schema up to date, or says whether it is.

use clap::Args;
use leasectl_core::kind::Kinds;
use leasectl_core::migrations;
use serde_json::json;

use super::{CommandError, Context, Exit};

/// Arguments of `worker migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Change nothing; exit code 1 when a migration is pending
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `worker migrate`.
///
/// # Errors
/// When the database is away or newer than this program, a migration fails, or, with `--check`,
/// one is pending.
pub(super) async fn run(context: &Context, args: &MigrateArgs) -> Result<(), CommandError> {
    let database = context.open_unmigrated().await?;
    if args.check {
        return check(context, args, &database.database).await;
    }
    let done = migrations::apply(&database.database, &Kinds::standard()).await?;
    if args.json {
        return context.output().json(&json!({"applied": done.applied}));
    }
    if done.applied.is_empty() {
        return context.output().line("the schema is up to date");
    }
    for name in &done.applied {
        context.output().line(format!("applied {name}"))?;
    }
    Ok(())
}

async fn check(
    context: &Context,
    args: &MigrateArgs,
    database: &leasectl_core::database::Database,
) -> Result<(), CommandError> {
    let state = migrations::pending(database).await?;
    if args.json {
        context
            .output()
            .json(&json!({"pending": state.pending, "newer": state.newer}))?;
    } else {
        for name in &state.pending {
            context.output().line(format!("pending {name}"))?;
        }
    }
    if let Some(found) = state.newer {
        return Err(CommandError::new(
            Exit::Failed,
            format!("the database has schema version {found}, which is newer than this program"),
        )
        .hint("update this program"));
    }
    if state.pending.is_empty() {
        return if args.json {
            Ok(())
        } else {
            context.output().line("the schema is up to date")
        };
    }
    Err(CommandError::new(
        Exit::Failed,
        format!("{} migration(s) are pending", state.pending.len()),
    )
    .hint("worker migrate applies them"))
}
