//! The queue's gauges, read from the database at each scrape.

use std::time::Duration;

use leasectl_core::database::{Database, DatabaseError};
use leasectl_core::job::PublicState;
use leasectl_core::status::{self, QueueStatus};
use leasectl_core::time::Timestamp;

/// A scrape must not wait for a slow database: Prometheus gives up after ten seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// The states in which a job is still to be done.
const STATES: [PublicState; 3] = [
    PublicState::Queued,
    PublicState::Waiting,
    PublicState::Running,
];

/// The queue's series as Prometheus text, without those that cannot be known now.
pub(super) async fn render(database: &Database, kinds: &[&'static str]) -> String {
    let cause = match tokio::time::timeout(LIMIT, read(database)).await {
        Ok(Ok((now, queue))) => return page(Some((now, &queue)), kinds),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    tracing::warn!(cause, "the queue is missing from this scrape");
    page(None, kinds)
}

async fn read(database: &Database) -> Result<(Timestamp, Vec<QueueStatus>), DatabaseError> {
    let client = database.client().await?;
    let now = client.query_one("select now()", &[]).await?.get(0);
    Ok((now, status::queue(&client).await?))
}

fn page(read: Option<(Timestamp, &[QueueStatus])>, kinds: &[&'static str]) -> String {
    let mut text = String::new();
    let up = vec![(String::new(), if read.is_some() { 1.0 } else { 0.0 })];
    gauge(
        &mut text,
        "leasectl_database_up",
        "1 when the database answered this scrape.",
        &up,
    );
    let Some((now, queue)) = read else {
        return text;
    };
    let of_kind = |kind: &str| queue.iter().find(|row| row.kind == kind);
    // Kinds of another release may be queued too; kinds of this one are shown though idle.
    let foreign = queue
        .iter()
        .map(|row| row.kind.as_str())
        .filter(|kind| !kinds.contains(kind));
    let kinds: Vec<&str> = kinds.iter().copied().chain(foreign).collect();
    let depth = |kind: &str, state| of_kind(kind).map_or(0, |row| row.in_state(state));

    let mut depths = Vec::new();
    let mut oldest = Vec::new();
    let mut leases = Vec::new();
    for kind in kinds {
        for state in STATES {
            let labels = format!("{{kind=\"{kind}\",state=\"{}\"}}", state.as_str());
            depths.push((labels, count(depth(kind, state))));
        }
        let labels = format!("{{kind=\"{kind}\"}}");
        let since = of_kind(kind).and_then(|row| row.oldest_queued_at);
        oldest.push((
            labels.clone(),
            since.map_or(0.0, |since| since.until(now).as_secs_f64()),
        ));
        leases.push((labels, count(depth(kind, PublicState::Running))));
    }
    gauge(
        &mut text,
        "leasectl_queue_depth",
        "Jobs that are still to be done.",
        &depths,
    );
    let help = "How long the oldest job that could be claimed has been waiting.";
    gauge(&mut text, "leasectl_oldest_queued_seconds", help, &oldest);
    gauge(
        &mut text,
        "leasectl_leases",
        "Leases that are held, by all workers.",
        &leases,
    );
    text
}

fn gauge(text: &mut String, name: &str, help: &str, samples: &[(String, f64)]) {
    text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    for (labels, value) in samples {
        text.push_str(&format!("{name}{labels} {value}\n"));
    }
    text.push('\n');
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts 2^53 jobs")]
fn count(jobs: i64) -> f64 {
    jobs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from(chrono::DateTime::from_timestamp(seconds, 0).expect("in range"))
    }

    fn row(kind: &str) -> QueueStatus {
        QueueStatus {
            kind: kind.to_owned(),
            queued: 2,
            scheduled: 1,
            waiting: 5,
            running: 4,
            error_24h: 9,
            oldest_queued_at: Some(moment(100)),
        }
    }

    #[test]
    fn a_kind_shows_its_depths_its_age_and_its_leases() {
        let text = page(Some((moment(130), &[row("fetch")])), &["fetch"]);
        for line in [
            "leasectl_database_up 1",
            "leasectl_queue_depth{kind=\"fetch\",state=\"queued\"} 3",
            "leasectl_queue_depth{kind=\"fetch\",state=\"waiting\"} 5",
            "leasectl_queue_depth{kind=\"fetch\",state=\"running\"} 4",
            "leasectl_oldest_queued_seconds{kind=\"fetch\"} 30",
            "leasectl_leases{kind=\"fetch\"} 4",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is missing from\n{text}"
            );
        }
    }

    #[test]
    fn an_idle_kind_is_zero_and_a_kind_of_another_release_is_shown() {
        let text = page(Some((moment(130), &[row("other")])), &["fetch"]);
        assert!(
            text.contains("leasectl_leases{kind=\"fetch\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("leasectl_leases{kind=\"other\"} 4\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_known_is_absent_rather_than_old() {
        let text = page(None, &["fetch"]);
        assert!(text.contains("leasectl_database_up 0\n"), "{text}");
        assert!(!text.contains("leasectl_queue_depth"), "{text}");
    }
}
