//! Prometheus metrics (contract §6): counted in this process, queue gauges read at each scrape.

mod queue;
mod server;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::kind::Kinds;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::server::{MetricsError, MetricsServer};

/// How often samples of histograms are summed up, so that a process nobody scrapes keeps none.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds in seconds. Jobs take from milliseconds to an hour.
const JOB_SECONDS: [f64; 14] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0,
];
/// Claims follow within milliseconds, or wait for a lane.
const WAIT_SECONDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0,
];
/// One statement, or a database in trouble.
const HEARTBEAT_SECONDS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0,
];

/// Values of the label `outcome`, as in the attempts of a job.
const OUTCOMES: [&str; 4] = ["completed", "failed", "cancelled", "released"];
/// Values of the label `reason` of a reclaim.
const RECLAIM_REASONS: [&str; 3] = ["stale", "expired", "dead"];
/// Values of the label `mode`: what decides that a worker is dead.
const LIVENESS_MODES: [&str; 2] = ["session", "heartbeat"];

/// What this process has counted so far; cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    recorder: PrometheusHandle,
    kinds: Vec<&'static str>,
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsHandle")
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

/// Installs the process's recorder; later calls return the handle of the first.
///
/// Every series that the contract names exists from then on, at zero.
///
/// # Errors
/// When another recorder was installed before.
pub fn install_metrics(kinds: &Kinds) -> Result<MetricsHandle, MetricsError> {
    static INSTALLED: Mutex<Option<MetricsHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let recorder = build().map_err(MetricsError::Install)?;
    let handle = MetricsHandle {
        recorder,
        kinds: kinds.iter().map(|kind| kind.name).collect(),
    };
    *installed = Some(handle.clone());
    describe();
    handle.zero();
    let upkeep = handle.recorder.clone();
    let thread = std::thread::Builder::new().name("metrics-upkeep".into());
    let started = thread.spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    });
    started.map_err(MetricsError::Upkeep)?;
    Ok(handle)
}

fn build() -> Result<PrometheusHandle, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full("leasectl_job_seconds"), &JOB_SECONDS)?
        .set_buckets_for_metric(full("leasectl_queue_wait_seconds"), &WAIT_SECONDS)?
        .set_buckets_for_metric(full("leasectl_heartbeat_seconds"), &HEARTBEAT_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &WAIT_SECONDS)?
        .install_recorder()
}

impl MetricsHandle {
    /// The Prometheus text: what this process counted, and the queue as the database has it now.
    ///
    /// While the database is away the queue's series are absent, rather than old, and
    /// `leasectl_database_up` is 0.
    pub async fn render(&self, database: &Database) -> String {
        let queue = queue::render(database, &self.kinds).await;
        let mut text = self.recorder.render();
        text.push_str(&queue);
        text
    }

    /// Makes the series of `leasectl_repos_recloned_total` exist, for a process that clones.
    pub fn expect_reclones(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            counter!("leasectl_repos_recloned_total", "reason" => reason).increment(0);
        }
    }

    fn zero(&self) {
        for kind in &self.kinds {
            let kind = *kind;
            counter!("leasectl_jobs_enqueued_total", "kind" => kind).increment(0);
            counter!("leasectl_claims_total", "kind" => kind).increment(0);
            counter!("leasectl_leases_lost_total", "kind" => kind).increment(0);
            for outcome in OUTCOMES {
                counter!("leasectl_jobs_settled_total", "kind" => kind, "outcome" => outcome)
                    .increment(0);
            }
            for reason in RECLAIM_REASONS {
                counter!("leasectl_reclaims_total", "kind" => kind, "reason" => reason)
                    .increment(0);
            }
            // Asking for a histogram makes its series.
            drop(histogram!("leasectl_job_seconds", "kind" => kind));
            drop(histogram!("leasectl_queue_wait_seconds", "kind" => kind));
        }
        drop(histogram!("leasectl_heartbeat_seconds"));
        for mode in LIVENESS_MODES {
            gauge!("leasectl_liveness_mode", "mode" => mode).set(0.0);
        }
    }
}

fn describe() {
    for (name, text) in [
        (
            "leasectl_jobs_enqueued_total",
            "Jobs accepted by this process.",
        ),
        (
            "leasectl_jobs_settled_total",
            "Attempts that this process ended, by outcome.",
        ),
        ("leasectl_claims_total", "Leases that this process claimed."),
        (
            "leasectl_reclaims_total",
            "Leases that this process took over, by reason.",
        ),
        (
            "leasectl_leases_lost_total",
            "Leases that this process lost before its job ended.",
        ),
        (
            "leasectl_repos_recloned_total",
            "Clones that this process made again, by reason.",
        ),
    ] {
        describe_counter!(name, text);
    }
    for (name, text) in [
        ("leasectl_job_seconds", "How long attempts took."),
        (
            "leasectl_queue_wait_seconds",
            "How long jobs were ready before they were claimed.",
        ),
        (
            "leasectl_heartbeat_seconds",
            "How long heartbeats took, from sending to answer.",
        ),
    ] {
        describe_histogram!(name, Unit::Seconds, text);
    }
    describe_gauge!(
        "leasectl_liveness_mode",
        "1 for what decides that this worker is dead: its session, or its heartbeats."
    );
}
