//! What a worker counts, as whoever scrapes it reads it.

use std::sync::LazyLock;

use leasectl_core::job::PublicState;
use leasectl_core::kind::{KindSpec, Lane};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::handlers::{Gate, handler};
use crate::world::{World, until};

/// The process has one recorder; the tests here tell theirs apart by the kind.
pub(crate) static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let recorder = PrometheusBuilder::new().install_recorder();
    recorder.expect("the process has no other recorder")
});

/// The value of a series; nothing before it is counted for the first time.
pub(crate) fn counted(series: &str) -> Option<u64> {
    let text = RECORDER.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map(|value| value.trim().parse().expect("a number"))
}

/// A kind that no other test counts.
pub(crate) const fn kind(name: &'static str) -> KindSpec {
    KindSpec {
        name,
        lane: Lane::Fetch,
        args: &[],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_waits_and_settlements_are_counted_by_kind() {
    LazyLock::force(&RECORDER);
    let world = World::new().await;
    let kind = kind("counted");
    let gate = Gate::closed();
    let job = world.job(world.repository(0).await, &kind, 0).await;
    let worker = world.worker([gate.handler(kind)]).start();
    until("the handler runs", || gate.entered() == 1).await;
    assert_eq!(counted("leasectl_claims_total{kind=\"counted\"}"), Some(1));
    let waits = "leasectl_queue_wait_seconds_count{kind=\"counted\"}";
    assert_eq!(counted(waits), Some(1));
    gate.open();
    world.until_state(job, PublicState::Completed).await;
    worker.drain().await;
    let settled = "leasectl_jobs_settled_total{kind=\"counted\",outcome=\"completed\"}";
    assert_eq!(counted(settled), Some(1));
    let ran = "leasectl_job_seconds_count{kind=\"counted\"}";
    assert_eq!(counted(ran), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_loss_only_its_settlement_tells_is_counted_as_lost() {
    LazyLock::force(&RECORDER);
    let world = World::new().await;
    let kind = kind("robbed");
    let gate = Gate::closed();
    let job = world.job(world.repository(0).await, &kind, 0).await;
    let worker = world
        .worker([gate.handler(kind)])
        .lease_ms(30_000, 120_000, 600_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let robbed = "update leasectl.job set lease_token = nextval('leasectl.lease_token') where state = 'running'";
    assert_eq!(world.sql(robbed).await, 1);
    gate.open();
    until("the loss is counted", || {
        counted("leasectl_leases_lost_total{kind=\"robbed\"}") == Some(1)
    })
    .await;
    worker.drain().await;
    assert_eq!(world.view(job).await.state, PublicState::Running);
    let settled = "leasectl_jobs_settled_total{kind=\"robbed\",outcome=\"completed\"}";
    assert_eq!(counted(settled).unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_others_took_after_trust_had_ended_is_counted_as_lost_once() {
    LazyLock::force(&RECORDER);
    let world = World::new().await;
    let kind = kind("distrusted");
    let gate = Gate::closed();
    let job = world.job(world.repository(0).await, &kind, 0).await;
    let worker = world
        .worker([gate.handler(kind)])
        .lease_ms(100, 1_500, 60_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    // No beat gets through to the row, so its holder trusts its lease no longer and hands it back, once it may.
    let mut psql = world.database.client().await.expect("a connection");
    let open = psql.transaction().await.expect("begun");
    let lock = "select from leasectl.job where id = $1 for update";
    open.execute(lock, &[&job.as_uuid()]).await.expect("locked");
    let lost = "leasectl_leases_lost_total{kind=\"distrusted\"}";
    until("the end of trust is counted", || counted(lost) == Some(1)).await;
    let take = "update leasectl.job set lease_owner = 'elsewhere:1:1', \
                lease_token = nextval('leasectl.lease_token') where id = $1";
    open.execute(take, &[&job.as_uuid()]).await.expect("taken");
    open.commit().await.expect("committed");
    worker.drain().await;
    assert_eq!(world.view(job).await.state, PublicState::Running);
    assert_eq!(counted(lost), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_reclaimed_leases_are_counted_by_kind() {
    LazyLock::force(&RECORDER);
    let world = World::new().await;
    let kind = kind("contested");
    let gate = Gate::closed();
    let job = world.job(world.repository(0).await, &kind, 0).await;
    let loser = world
        .worker([gate.handler(kind)])
        .lease_ms(100, 120_000, 600_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let rival = world
        .worker([handler(kind, |_| async { Ok(serde_json::json!({})) })])
        .start();
    // Nobody beats for the lease any more: its owner is another one meanwhile.
    world
        .sql(
            "update leasectl.job set lease_owner = 'elsewhere:1:1', \
             lease_heartbeat_at = now() - interval '1 hour', \
             lease_expires_at = now() - interval '1 minute' where state = 'running'",
        )
        .await;
    until("the loser has noticed", || {
        counted("leasectl_leases_lost_total{kind=\"contested\"}") == Some(1)
    })
    .await;
    // Whoever takes it over, the loser included.
    gate.open();
    world.until_state(job, PublicState::Completed).await;
    let reclaimed = "leasectl_reclaims_total{kind=\"contested\",reason=\"expired\"}";
    let stale = "leasectl_reclaims_total{kind=\"contested\",reason=\"stale\"}";
    let all = counted(reclaimed).unwrap_or(0) + counted(stale).unwrap_or(0);
    assert_eq!(all, 1, "{}", RECORDER.render());
    loser.drain().await;
    rival.drain().await;
    let lost = counted("leasectl_leases_lost_total{kind=\"contested\"}");
    assert_eq!(lost, Some(1), "each lease is lost once");
}
