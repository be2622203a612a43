//! `worker doctor`: what is as it should be, what is not, and what to do about it.
//!
//! It changes nothing and never starts the embedded database.

mod database;
mod host;
mod liveness;
mod remotes;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Column, CommandError, Context, Exit, Grid, Style, Tone, cell};

/// Arguments of `worker doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also connect to the remote of every registered repository
    #[arg(long)]
    remotes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How one check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check: what was looked at, how it is, and what to do.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    name: String,
    status: Verdict,
    detail: String,
    advice: Option<String>,
}

impl Check {
    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: Verdict::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    pub(super) fn warn(
        name: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self {
            name: name.into(),
            status: Verdict::Warn,
            detail: detail.into(),
            advice,
        }
    }

    pub(super) fn fail(
        name: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self {
            name: name.into(),
            status: Verdict::Fail,
            detail: detail.into(),
            advice,
        }
    }
}

/// Runs `worker doctor`.
///
/// # Errors
/// When no database can be reached, or a check failed.
pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<(), CommandError> {
    let (mut checks, reached) = database::checks(context).await;
    checks.extend(host::checks(context));
    if args.remotes {
        match &reached {
            Some(database) => checks.extend(remotes::checks(context, database).await),
            None => checks.push(Check::fail(
                "remotes",
                "unknown: the registered repositories are in the database",
                "see database above",
            )),
        }
    }
    let failed = checks
        .iter()
        .filter(|check| check.status == Verdict::Fail)
        .count();
    if args.json {
        let shown = json!({"ok": failed == 0, "items": checks, "next_cursor": null});
        context.output().json(&shown)?;
    } else {
        context
            .output()
            .line(render(&checks, context.output().style()))?;
    }
    if reached.is_none() {
        return Err(CommandError::silent(Exit::Unavailable));
    }
    if failed > 0 {
        Err(CommandError::silent(Exit::Failed))
    } else {
        Ok(())
    }
}

fn render(checks: &[Check], style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::text("CHECK"),
        Column::whole("STATUS"),
        Column::text("FOUND"),
        Column::text("WHAT TO DO"),
    ]);
    for check in checks {
        let tone = match check.status {
            Verdict::Ok => Tone::Good,
            Verdict::Warn => Tone::Warning,
            Verdict::Fail => Tone::Bad,
        };
        grid.row(vec![
            cell(&check.name),
            cell(check.status.as_str()).tone(tone),
            cell(&check.detail),
            cell(check.advice.as_deref().unwrap_or_default()),
        ]);
    }
    grid.render(style)
}
