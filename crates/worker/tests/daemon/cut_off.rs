//! Workers whose connections break or fall silent.

use std::time::{Duration, Instant};

use leasectl_core::job::PublicState;
use leasectl_core::liveness::DeathGrace;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::death::slow;
use crate::granted_time::GrantedTime;
use crate::handlers::{WORK, handler, no_op, stopped};
use crate::reached::Reached;

/// What a proxy does with connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Passes them on.
    Open,
    /// Takes bytes and answers nothing.
    Silent,
    /// Breaks them, and refuses new ones.
    Cut,
}

async fn pass(mut inner: TcpStream, port: u16, mut line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Open {
        let server = TcpStream::connect(("127.0.0.1", port));
        let mut server = server.await.expect("the server listens");
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut inner, &mut server) => return,
            _ = line.wait_for(|line| *line != Line::Open) => {}
        }
        if *line.borrow() == Line::Silent {
            // The server keeps its half as well: nobody tells it anything.
            let _ = line.wait_for(|line| *line == Line::Cut).await;
        }
    } else if *line.borrow() == Line::Silent {
        let _ = line.wait_for(|line| *line == Line::Cut).await;
    }
}

/// A server behind a line that the test cuts.
async fn behind_a_line() -> (Reached, watch::Sender<Line>) {
    let line = watch::Sender::new(Line::Open);
    let of_all = line.clone();
    let reached = Reached::through(move |inner, port| pass(inner, port, of_all.subscribe()));
    (reached.await, line)
}

/// How long a handler went on.
#[derive(Debug)]
struct WentOn {
    /// By the clock.
    by_clock: Duration,
    /// Without the time that the host took.
    granted: Duration,
}

/// A worker behind a proxy is cut off in that way; answers how long its handler went on.
async fn cut_off(by: Line) -> WentOn {
    let time = GrantedTime::start();
    let (Reached { world, far, .. }, line) = &behind_a_line().await;
    world.settle_server().await;
    let (told, mut hears) = mpsc::channel(2);
    let clock = time.clone();
    let listening = handler(WORK, move |context| {
        let (told, clock) = (told.clone(), clock.clone());
        let tell = async move || {
            let now = (Instant::now(), clock.passed());
            told.send(now).await.expect("the test listens");
        };
        async move {
            tell().await;
            context.cancel.cancelled().await;
            tell().await;
            Err(stopped())
        }
    });
    let job = world.one_job().await;
    let worker = slow(far.worker([listening])).start();
    hears.recv().await.expect("the handler runs");
    world.until_liveness(&worker.owner, "session").await;
    let cut = (Instant::now(), time.passed());
    line.send_replace(by);
    let stopped = hears.recv().await.expect("the handler stops");
    let went_on = WentOn {
        by_clock: stopped.0 - cut.0,
        granted: stopped.1 - cut.1,
    };
    // Now the server notices as well, and others take over.
    line.send_replace(Line::Cut);
    let rival = slow(world.worker([no_op()])).start();
    world.until_state(job, PublicState::Completed).await;
    worker.shutdown.request();
    worker.shutdown.request();
    worker.ended().await;
    rival.drain().await;
    went_on
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_break_stops_its_handlers_when_its_grace_ends() {
    let went_on = cut_off(Line::Cut).await;
    assert!(
        went_on.by_clock >= DeathGrace::default().to_hold_again(),
        "{went_on:?}"
    );
    // Far from the three seconds of a silent session, and from the end of its trust. The rest is for a busy test
    // machine: how exact it is the benchmark says.
    assert!(
        went_on.granted <= Duration::from_millis(1_000),
        "{went_on:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_fall_silent_stops_its_handlers_within_three_seconds() {
    let went_on = cut_off(Line::Silent).await;
    // Three seconds after something was sent that was answered, or less by as much as the host stood still before
    // the cut; two after a ping that was sent before the job came.
    assert!(
        went_on.by_clock >= Duration::from_millis(1_500),
        "{went_on:?}"
    );
    assert!(
        went_on.granted <= Duration::from_millis(4_000),
        "{went_on:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_cut_off_for_long_hands_its_lease_back_before_it_takes_any_over() {
    let (Reached { world, far, .. }, line) = &behind_a_line().await;
    let (told, mut hears) = mpsc::channel(4);
    let listening = handler(WORK, move |context| {
        let told = told.clone();
        async move {
            told.send("runs").await.expect("the test listens");
            context.cancel.cancelled().await;
            told.send("stopped").await.expect("the test listens");
            Err(stopped())
        }
    });
    let job = world.one_job().await;
    let worker = far.worker([listening]).lease_ms(200, 4_000, 60_000);
    let worker = worker.with(|settings| settings.death_grace = None).start();
    assert_eq!(hears.recv().await, Some("runs"));
    line.send_replace(Line::Cut);
    assert_eq!(hears.recv().await, Some("stopped"));
    // Everybody may have the lease now, and whatever else is written takes longer than taking over.
    world.age_leases().await;
    world
        .sql(
            "create function slow() returns trigger language plpgsql as $$ begin \
               if current_query() not like '-- Takes over jobs%' then perform pg_sleep(2); end if; \
               return null; end $$",
        )
        .await;
    world
        .sql(
            "create trigger slow before update or delete on leasectl.job \
             for each statement execute function slow()",
        )
        .await;
    line.send_replace(Line::Open);
    assert_eq!(hears.recv().await, Some("runs"));
    let again = world
        .until_job(job, "the second lease", |job| job.attempts.len() == 2)
        .await;
    assert_eq!(again.attempts[0].outcome.as_deref(), Some("released"));
    assert_eq!(again.attempt, 1);
    worker.shutdown.request();
    worker.shutdown.request();
    worker.ended().await;
}
