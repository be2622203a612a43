//! `worker run`: the daemon.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use leasectl_core::database::Database;
use leasectl_core::ids::Owner;
use leasectl_core::kind::Kinds;
use leasectl_core::lease::LeaseSettings;
use leasectl_core::liveness;
use leasectl_repo::RecloneReason;
use leasectl_service::{MetricsServer, install_metrics};

use super::{
    ByteSize, CommandError, ConcurrencyArg, Context, DeathGrace, Exit, positive_duration,
    with_causes,
};
use crate::daemon::{Handlers, Shutdown, WorkerSettings};
use crate::kinds::backfill::BackfillHandler;
use crate::kinds::fetch::FetchHandler;
use crate::kinds::index::IndexHandler;

/// Why a clone may be made again; each is a series of its metric.
const RECLONE_REASONS: [RecloneReason; 7] = [
    RecloneReason::Unfinished,
    RecloneReason::DamagedPack,
    RecloneReason::DamagedHead,
    RecloneReason::DamagedRefs,
    RecloneReason::DamagedLayout,
    RecloneReason::CorruptObject,
    RecloneReason::OtherRemote,
];

/// Arguments of `worker run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Handlers that run at once, by lane; 0 switches a lane off, and a lane that is not named
    /// keeps its default
    #[arg(
        long,
        env = "LEASECTL_CONCURRENCY",
        value_name = "LANE=N,..",
        default_value_t
    )]
    concurrency: ConcurrencyArg,
    /// Time between two heartbeats
    #[arg(
        long,
        env = "LEASECTL_HEARTBEAT_INTERVAL",
        value_name = "DUR",
        default_value = "10s"
    )]
    #[arg(value_parser = positive_duration)]
    heartbeat_interval: Duration,
    /// Silence after which others may take over this worker's leases; at least three heartbeats
    #[arg(
        long,
        env = "LEASECTL_STALE_AFTER",
        value_name = "DUR",
        default_value = "30s"
    )]
    #[arg(value_parser = positive_duration)]
    stale_after: Duration,
    /// Time without progress after which a lease expires although its owner lives
    #[arg(
        long,
        env = "LEASECTL_LEASE_TTL",
        value_name = "DUR",
        default_value = "15m"
    )]
    #[arg(value_parser = positive_duration)]
    lease_ttl: Duration,
    /// How long this worker's liveness session may be missing before it counts as dead, at least 200ms;
    /// "off": heartbeats alone decide
    #[arg(
        long,
        env = "LEASECTL_DEATH_GRACE",
        value_name = "DUR|off",
        default_value = "300ms"
    )]
    death_grace: DeathGrace,
    /// Time between two looks for work and for dead leases when nothing wakes the worker
    #[arg(
        long,
        env = "LEASECTL_POLL_INTERVAL",
        value_name = "DUR",
        default_value = "1s"
    )]
    #[arg(value_parser = positive_duration)]
    poll_interval: Duration,
    /// How long running jobs may finish after SIGTERM before they are stopped and handed back
    #[arg(
        long,
        env = "LEASECTL_DRAIN_TIMEOUT",
        value_name = "DUR",
        default_value = "30s"
    )]
    #[arg(value_parser = leasectl_service::parse_duration)]
    drain_timeout: Duration,
    /// How long finished jobs are kept
    #[arg(
        long,
        env = "LEASECTL_RETENTION",
        value_name = "DUR",
        default_value = "30d"
    )]
    #[arg(value_parser = positive_duration)]
    retention: Duration,
    /// Serve Prometheus metrics on this address, such as 127.0.0.1:9090
    #[arg(long, env = "LEASECTL_METRICS_LISTEN", value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
    /// Clones that nobody uses are removed, least recently used first, above this size
    #[arg(
        long,
        env = "LEASECTL_DISK_BUDGET",
        value_name = "SIZE",
        default_value = "50GiB"
    )]
    disk_budget: ByteSize,
    /// Drain when standard input closes, so that this worker ends with the program that started it
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl RunArgs {
    /// What the supervisor is told to do.
    ///
    /// # Errors
    /// When the settings contradict each other.
    fn settings(&self) -> Result<WorkerSettings, CommandError> {
        let lease = LeaseSettings::new(self.heartbeat_interval, self.stale_after, self.lease_ttl)
            .map_err(|error| {
            CommandError::new(Exit::Usage, error.to_string()).hint(
                "check --heartbeat-interval, --stale-after and --lease-ttl, or the variables \
                     LEASECTL_HEARTBEAT_INTERVAL, LEASECTL_STALE_AFTER and LEASECTL_LEASE_TTL",
            )
        })?;
        let death_grace = match self.death_grace {
            DeathGrace::Off => None,
            DeathGrace::After(grace) => {
                Some(liveness::DeathGrace::new(grace).map_err(|error| {
                    CommandError::new(Exit::Usage, error.to_string()).hint(
                        "check --death-grace or LEASECTL_DEATH_GRACE; \"off\" switches it off",
                    )
                })?)
            }
        };
        Ok(WorkerSettings {
            death_grace,
            poll_interval: self.poll_interval,
            drain_timeout: self.drain_timeout,
            retention: self.retention,
            ..WorkerSettings::new(
                Owner::of_this_process(),
                lease,
                self.concurrency.for_daemon(),
            )
        })
    }
}

/// Runs `worker run`.
///
/// # Errors
/// When the settings make no sense, the database cannot be used, or the worker breaks.
pub(super) async fn run(context: &Context, args: &RunArgs) -> Result<(), CommandError> {
    let settings = args.settings()?;
    let shutdown = Shutdown::on_signals().map_err(|error| {
        CommandError::new(Exit::Failed, format!("cannot listen for signals: {error}"))
    })?;
    if args.until_stdin_closes {
        drain_at_end_of_input(shutdown.clone());
    }
    let database = context.open_for_service(pool_size(args, &settings)).await?;
    let clones = context.clones()?;
    let budget = Some(args.disk_budget.bytes());
    let locality = context.environment().locality;
    let handlers = Handlers::new()
        .with(Arc::new(FetchHandler::new(
            clones.clone(),
            locality,
            budget,
        )))
        .with(Arc::new(IndexHandler::new(clones.clone(), locality)))
        .with(Arc::new(BackfillHandler::new(clones, locality)));
    if let Some(address) = args.metrics_listen {
        serve_metrics(address, database.database.clone(), shutdown.clone()).await?;
    }
    let direct = database.direct_url.clone();
    crate::daemon::run(
        settings,
        database.database.clone(),
        direct,
        handlers,
        shutdown,
    )
    .await
    .map_err(|error| CommandError::new(Exit::Failed, with_causes(&error)))?;
    Ok(database.close().await?)
}

/// Binds the address before work begins, then serves in the background.
async fn serve_metrics(
    address: SocketAddr,
    database: Database,
    shutdown: Shutdown,
) -> Result<(), CommandError> {
    let handle = install_metrics(&Kinds::standard()).map_err(|error| failed(&error))?;
    handle.expect_reclones(RECLONE_REASONS.into_iter().map(RecloneReason::as_str));
    let server = MetricsServer::bind(address)
        .await
        .map_err(|error| failed(&error).hint("choose a free address with --metrics-listen"))?;
    tracing::info!(address = %server.address(), "serving metrics");
    tokio::spawn(async move {
        let stop = async move { shutdown.requested_at_once().await };
        if let Err(error) = server.serve(handle, database, stop).await {
            tracing::error!(
                error = with_causes(&error),
                "metrics are not served any more"
            );
        }
    });
    Ok(())
}

fn failed(error: &dyn std::error::Error) -> CommandError {
    CommandError::caused(Exit::Failed, error)
}

/// Connections of the worker's pool; heartbeats have their own beside it.
fn pool_size(args: &RunArgs, settings: &WorkerSettings) -> usize {
    // Claims, sweeps and settlers, and one for every few handlers that write at the same time.
    settings.pipeline.settlers + 3 + args.concurrency.total().div_ceil(2).min(13)
}

fn drain_at_end_of_input(shutdown: Shutdown) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0_u8; 256];
        // An error means the same as the end: whoever started this worker is gone.
        while input.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        shutdown.request();
    });
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: RunArgs,
    }

    fn parse(flags: &[&str]) -> Result<RunArgs, clap::Error> {
        let words = std::iter::once("worker").chain(flags.iter().copied());
        Alone::try_parse_from(words).map(|alone| alone.args)
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let settings = parse(&[]).unwrap().settings().unwrap();
        assert_eq!(settings.lease, LeaseSettings::default());
        assert_eq!(settings.poll_interval, Duration::from_secs(1));
        assert_eq!(settings.drain_timeout, Duration::from_secs(30));
        assert_eq!(settings.retention, Duration::from_secs(30 * 86_400));
        let args = parse(&[]).unwrap();
        assert_eq!(args.concurrency, ConcurrencyArg::default());
        assert_eq!(args.disk_budget.bytes(), 50 << 30);
        assert_eq!(settings.death_grace, Some(liveness::DeathGrace::default()));
    }

    #[test]
    fn the_death_signal_can_be_switched_off_but_not_be_hasty() {
        let grace = |text| parse(&["--death-grace", text]).unwrap().settings();
        assert_eq!(grace("off").unwrap().death_grace, None);
        assert_eq!(grace("199ms").unwrap_err().exit(), Exit::Usage);
        assert!(grace("200ms").is_ok());
    }

    #[test]
    fn a_stale_after_below_three_heartbeats_is_a_usage_error() {
        let args = parse(&["--heartbeat-interval", "10s", "--stale-after", "29s"]).unwrap();
        assert_eq!(args.settings().unwrap_err().exit(), Exit::Usage);
        let args = parse(&["--heartbeat-interval", "10s", "--stale-after", "30s"]).unwrap();
        assert!(args.settings().is_ok());
    }

    #[test]
    fn flags_of_the_wrong_type_are_refused_with_their_name() {
        for flags in [
            ["--concurrency", "fetch"],
            ["--concurrency", "push=1"],
            ["--heartbeat-interval", "10"],
            ["--stale-after", "0s"],
            ["--death-grace", "never"],
            ["--metrics-listen", "9090"],
            ["--disk-budget", "much"],
        ] {
            let error = parse(&flags)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(error.contains(flags[0]), "{flags:?}: {error}");
        }
    }
}
