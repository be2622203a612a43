//! The owner dies by SIGKILL in the middle of its job.

use leasectl_core::job::JobView;

use super::world::{Plan, Running, World};
use super::{Bars, add_none, add_times, report};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::process::Signal;
use crate::report::Bar;
use crate::server::Server;
use crate::tell::{milliseconds, monotonic_nanos};

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// The owner; the detector is another.
    DetectorSurvives,
    /// The owner, which is the detector.
    DetectorItself,
    /// The owner and the detector, which is another; the third takes over.
    WithDetector,
}

impl Death {
    const ALL: [Self; 3] = [
        Self::DetectorSurvives,
        Self::DetectorItself,
        Self::WithDetector,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DetectorSurvives => "killed, the detector survives",
            Self::DetectorItself => "killed, it was the detector",
            Self::WithDetector => "killed together with the detector",
        }
    }

    fn bars(self) -> Bars {
        let median = match self {
            Self::DetectorSurvives => 500.0,
            Self::DetectorItself | Self::WithDetector => 800.0,
        };
        Bars {
            median: Bar::AtMost(median),
            p99: Bar::AtMost(1_000.0),
            longest: Bar::None,
        }
    }
}

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = report("takeover after SIGKILL");
    let mut world = World::open(server, Plan::ONE_EACH).await?;
    let mut unfinished = 0;
    for death in Death::ALL {
        let mut times = Vec::with_capacity(options.kills);
        for _ in 0..options.kills {
            let (time, is_finished) = round(&mut world, death).await?;
            times.push(time);
            unfinished += usize::from(!is_finished);
        }
        add_times(&mut report, death.name(), &times, death.bars());
    }
    add_none(
        &mut report,
        "jobs that did not complete in their second attempt",
        unfinished,
    );
    world.close().await?;
    Ok(report.print()?)
}

/// Kills once; answers the milliseconds until the handler started elsewhere, and whether the job
/// then ended as it should.
async fn round(world: &mut World, death: Death) -> Result<(f64, bool), BenchError> {
    let detector = world.some_detector().await?;
    let victim = owned_by(world, |pid| {
        (pid == detector) == (death == Death::DetectorItself)
    })
    .await?;
    let mut dead = vec![victim.pid];
    if death == Death::WithDetector {
        dead.push(detector);
    }
    let at = monotonic_nanos();
    for pid in &dead {
        world.member(*pid)?.process.signal(Signal::KILL)?;
    }
    let heir = world.started(victim.job, victim.pid).await?;
    let is_finished = finish(world, &victim).await?;
    for pid in dead {
        world.take(pid)?.process.kill().await?;
    }
    world.fill_up().await?;
    Ok((milliseconds(at, heir.at), is_finished))
}

/// Starts jobs until a process that is wanted has one, cancels the others, and answers it when it is
/// in its middle.
pub(super) async fn owned_by(
    world: &mut World,
    is_wanted: impl Fn(u32) -> bool,
) -> Result<Running, BenchError> {
    world.forget();
    world.remote.drip();
    let before = world.remote.packs();
    let (mut begun, mut others) = (0, Vec::new());
    loop {
        let running = world.start_job().await?;
        begun += 1;
        if !is_wanted(running.pid) {
            others.push(running.job);
            continue;
        }
        world.remote.begun(before + begun).await?;
        world.cancel(&others).await?;
        return Ok(running);
    }
}

/// Lets the job end; whether it completed in its second attempt, after it lost its first owner.
pub(super) async fn finish(world: &World, taken_over: &Running) -> Result<bool, BenchError> {
    world.remote.hurry();
    let job = world.over(taken_over.job).await?;
    Ok(outcomes(&job) == ["lost", "completed"])
}

/// How each attempt of a job ended.
pub(super) fn outcomes(job: &JobView) -> Vec<&str> {
    let attempts = job.attempts.iter();
    attempts
        .map(|attempt| attempt.outcome.as_deref().unwrap_or("nothing yet"))
        .collect()
}
