//! The owner is dead or silent and no death signal says so: heartbeats decide.
//!
//! Each case runs in several worlds at once, since each takes longer than stale-after and the
//! machine is idle meanwhile.

use futures::future::try_join_all;

use super::audit::{Audit, Moment};
use super::kill::{finish, owned_by};
use super::world::{Plan, Running, World};
use super::{Bars, add_none, add_times, by_heartbeats, report};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::process::Signal;
use crate::proxy::Way;
use crate::report::Report;
use crate::server::Server;
use crate::tell::{Event, Told, milliseconds, monotonic_nanos};

/// The longest that handlers run on after the connection to the database fell silent (I11).
const SILENCE_LIMIT_MS: f64 = 3_000.0;

/// SIGKILL of the owner, with the death signal off.
pub(super) async fn without_signal(
    server: &Server,
    options: &TakeoverOptions,
) -> Result<(), BenchError> {
    let mut report = report("takeover with the death signal off");
    let plan = Plan {
        death_signal: false,
        ..Plan::ONE_EACH
    };
    let worlds = (0..options.slow).map(|_| async {
        let mut world = World::open(server, plan).await?;
        let victim = owned_by(&mut world, |_| true).await?;
        let at = monotonic_nanos();
        world.member(victim.pid)?.process.signal(Signal::KILL)?;
        let heir = world.started(victim.job, victim.pid).await?;
        let is_finished = finish(&world, &victim).await?;
        world.close().await?;
        Ok::<_, BenchError>((milliseconds(at, heir.at), is_finished))
    });
    let (times, finished): (Vec<_>, Vec<_>) = try_join_all(worlds).await?.into_iter().unzip();
    add_times(&mut report, "killed", &times, Bars::every(by_heartbeats()));
    let unfinished = finished.iter().filter(|is_finished| !**is_finished).count();
    add_none(
        &mut report,
        "jobs that did not complete in their second attempt",
        unfinished,
    );
    Ok(report.print()?)
}

/// What came of one silent owner.
struct Silence {
    takeover_ms: f64,
    /// From the silence to the handler's end in the silent owner.
    handler_ended_ms: f64,
    written_after: usize,
    is_finished: bool,
}

/// SIGSTOP of the owner, and SIGCONT after the takeover.
pub(super) async fn frozen(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let plan = Plan::ONE_EACH;
    let worlds = (0..options.slow).map(|_| async {
        let mut world = World::open(server, plan_of(plan, options)).await?;
        let audit = Audit::begin(&world.database).await?;
        let victim = owned_by(&mut world, |_| true).await?;
        let at = monotonic_nanos();
        world.member(victim.pid)?.process.signal(Signal::STOP)?;
        let heir = world.started(victim.job, victim.pid).await?;
        // What its handler waited for comes now, so that there is something it might write.
        world.remote.hurry();
        let woken = audit.now(&world.database).await?;
        world.member(victim.pid)?.process.signal(Signal::CONT)?;
        let silence = woken_up(&mut world, &victim, (at, heir), (&audit, woken)).await?;
        world.close().await?;
        Ok::<_, BenchError>(silence)
    });
    let silences = try_join_all(worlds).await?;
    let mut report = report("takeover after SIGSTOP");
    add_silences(&mut report, "frozen", &silences);
    Ok(report.print()?)
}

/// The way to the database swallows everything and keeps its connections open.
pub(super) async fn blackholed(
    server: &Server,
    options: &TakeoverOptions,
) -> Result<(), BenchError> {
    let plan = Plan {
        proxied: true,
        ..Plan::ONE_EACH
    };
    let worlds = (0..options.slow).map(|_| async {
        let mut world = World::open(server, plan_of(plan, options)).await?;
        let audit = Audit::begin(&world.database).await?;
        let victim = owned_by(&mut world, |_| true).await?;
        let at = monotonic_nanos();
        set_way(&world, victim.pid, Way::Silent)?;
        let heir = world.started(victim.job, victim.pid).await?;
        world.remote.hurry();
        let woken = audit.now(&world.database).await?;
        set_way(&world, victim.pid, Way::Open)?;
        let silence = woken_up(&mut world, &victim, (at, heir), (&audit, woken)).await?;
        world.close().await?;
        Ok::<_, BenchError>(silence)
    });
    let silences = try_join_all(worlds).await?;
    let mut report = report("takeover from behind a blackhole");
    add_silences(&mut report, "blackholed", &silences);
    if options.death_signal() {
        let ended: Vec<_> = silences
            .iter()
            .map(|silence| silence.handler_ended_ms)
            .collect();
        let name = "blackholed, its own handler ended";
        add_times(&mut report, name, &ended, Bars::every(SILENCE_LIMIT_MS));
    }
    Ok(report.print()?)
}

/// Changes the way between a member and the database.
pub(super) fn set_way(world: &World, pid: u32, way: Way) -> Result<(), BenchError> {
    let proxy = world.member(pid)?.proxy.as_ref();
    proxy
        .ok_or_else(|| BenchError::Unexpected("this world has no proxies".to_owned()))?
        .set(way);
    Ok(())
}

pub(super) fn plan_of(plan: Plan, options: &TakeoverOptions) -> Plan {
    Plan {
        death_signal: options.death_signal(),
        ..plan
    }
}

/// Waits until the heir completed the job and the silent owner's handler ended.
async fn woken_up(
    world: &mut World,
    victim: &Running,
    (at, heir): (u64, Told),
    (audit, woken): (&Audit, Moment),
) -> Result<Silence, BenchError> {
    let is_finished = finish(world, victim).await?;
    let ended = world.told(Event::Ended, victim.job, victim.pid).await?;
    let name = world.member(victim.pid)?.name.clone();
    audit.beat_of(&world.database, victim.pid, &woken).await?;
    Ok(Silence {
        takeover_ms: milliseconds(at, heir.at),
        handler_ended_ms: milliseconds(at, ended.at),
        written_after: audit
            .writes(&world.database, &name, victim.repo, &woken)
            .await?,
        is_finished,
    })
}

fn add_silences(report: &mut Report, name: &str, silences: &[Silence]) {
    let times: Vec<_> = silences.iter().map(|silence| silence.takeover_ms).collect();
    add_times(report, name, &times, Bars::every(by_heartbeats()));
    let written = silences.iter().map(|silence| silence.written_after).sum();
    add_none(report, "writes of the silent one after it woke", written);
    let unfinished = silences
        .iter()
        .filter(|silence| !silence.is_finished)
        .count();
    add_none(
        report,
        "jobs that did not complete in their second attempt",
        unfinished,
    );
}
