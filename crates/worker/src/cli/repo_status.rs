//! Where a repository's synchronisation stands, for `worker repo show`.

use leasectl_core::repository::ChangeStatus;
use leasectl_core::time::Timestamp;

use super::{Column, Grid, Style, Tone, cell, moment};

/// The facts that are known, then who holds which lane.
pub(super) fn render(status: &ChangeStatus, style: Style) -> String {
    let mut facts = Grid::new(&[Column::whole(""), Column::text("")]);
    for (name, value) in facts_of(status) {
        if let Some(value) = value {
            facts.row(vec![cell(name), cell(value)]);
        }
    }
    let mut text = String::new();
    if !facts.is_empty() {
        text.push_str(&facts.render(style));
        text.push_str("\n\n");
    }
    text.push_str(&lanes(status, style));
    text
}

fn facts_of(status: &ChangeStatus) -> Vec<(&'static str, Option<String>)> {
    let dirty = match status.dirty {
        Some(true) => Some(match status.dirty_since {
            Some(since) => format!("since {}", moment(since)),
            None => "yes".to_owned(),
        }),
        Some(false) => Some("no".to_owned()),
        None => None,
    };
    vec![
        ("fetch pending", dirty),
        ("last webhook", status.last_webhook_at.map(moment)),
        (
            "last fetch",
            span(status.last_fetch_started_at, status.last_fetch_finished_at),
        ),
        (
            "last index",
            span(status.last_index_started_at, status.last_index_finished_at),
        ),
        (
            "last backfill",
            span(
                status.last_backfill_started_at,
                status.last_backfill_finished_at,
            ),
        ),
        ("last whole pass", status.last_open_pr_scan_at.map(moment)),
        ("backfill mode", mode(status)),
        ("open changes", open_changes(status)),
        ("backfill cursor", cursor(status)),
        (
            "last error",
            status.last_error.as_ref().map(ToString::to_string),
        ),
    ]
}

fn span(started: Option<Timestamp>, finished: Option<Timestamp>) -> Option<String> {
    match (started, finished) {
        (Some(started), Some(finished)) if finished >= started => {
            Some(format!("{} to {}", moment(started), moment(finished)))
        }
        (Some(started), _) => Some(format!("since {}", moment(started))),
        (None, finished) => finished.map(|finished| format!("until {}", moment(finished))),
    }
}

fn mode(status: &ChangeStatus) -> Option<String> {
    let mode = status.backfill_mode.as_ref()?;
    Some(match status.backfill_priority {
        Some(priority) => format!("{mode}, priority {priority}"),
        None => mode.clone(),
    })
}

fn open_changes(status: &ChangeStatus) -> Option<String> {
    let total = status.open_pr_total?;
    let parts = [
        (status.open_pr_current, "current"),
        (status.open_pr_stale, "stale"),
        (status.open_pr_missing, "not studied"),
    ];
    let parts = parts.map(|(count, word)| format!("{} {word}", count.unwrap_or(0)));
    Some(format!("{total}: {}", parts.join(", ")))
}

fn cursor(status: &ChangeStatus) -> Option<String> {
    let number = status.open_pr_cursor_number?;
    Some(match status.open_pr_cursor_updated_at {
        Some(at) => format!("{number}, at {}", moment(at)),
        None => number.to_string(),
    })
}

/// All four, held or not.
fn lanes(status: &ChangeStatus, style: Style) -> String {
    let mut grid = Grid::new(&[
        Column::whole("LANE"),
        Column::whole("STATE"),
        Column::text("OWNER"),
        Column::whole("HEARTBEAT"),
        Column::whole("EXPIRES"),
    ]);
    let lanes = [
        (
            "fetch",
            status.fetch_in_progress,
            &status.fetch_lease_owner_id,
            status.fetch_lease_heartbeat_at,
            status.fetch_lease_expires_at,
        ),
        (
            "index",
            status.index_in_progress,
            &status.index_lease_owner_id,
            status.index_lease_heartbeat_at,
            status.index_lease_expires_at,
        ),
        (
            "backfill",
            status.backfill_in_progress,
            &status.backfill_lease_owner_id,
            status.backfill_lease_heartbeat_at,
            status.backfill_lease_expires_at,
        ),
        (
            "stack",
            status.stack_in_progress,
            &status.stack_lease_owner_id,
            status.stack_lease_heartbeat_at,
            status.stack_lease_expires_at,
        ),
    ];
    for (lane, runs, owner, heartbeat_at, expires_at) in lanes {
        let state = if runs {
            cell("running").tone(Tone::Good)
        } else {
            cell("idle")
        };
        grid.row(vec![
            cell(lane),
            state,
            cell(owner.as_deref().unwrap_or_default()),
            cell(heartbeat_at.map(moment).unwrap_or_default()),
            cell(expires_at.map(moment).unwrap_or_default()),
        ]);
    }
    grid.render(style)
}
