//! The metrics as Prometheus sees them.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::kind::Kinds;
use leasectl_core::migrations;
use leasectl_embedded::scratch;
use leasectl_service::{MetricsServer, install_metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

fn database(url: &str) -> Database {
    let url = DatabaseUrl::parse(url).expect("a URL");
    let pool = PoolOptions {
        max_size: 2,
        application_name: "test".to_owned(),
    };
    Database::open(&url, pool).expect("a pool")
}

#[tokio::test]
async fn every_series_of_the_contract_is_there_from_the_start() {
    let server = scratch::shared().expect("a server");
    let database = database(&server.create_database().expect("a database"));
    migrations::apply(&database, &Kinds::standard())
        .await
        .expect("migrated");
    let metrics = install_metrics(&Kinds::standard()).expect("installed");
    metrics.expect_reclones(["missing"]);
    let text = metrics.render(&database).await;
    for series in [
        "leasectl_jobs_enqueued_total{kind=\"fetch\"} 0",
        "leasectl_jobs_settled_total{kind=\"fetch\",outcome=\"completed\"} 0",
        "leasectl_claims_total{kind=\"fetch\"} 0",
        "leasectl_reclaims_total{kind=\"fetch\",reason=\"stale\"} 0",
        "leasectl_reclaims_total{kind=\"fetch\",reason=\"expired\"} 0",
        "leasectl_reclaims_total{kind=\"fetch\",reason=\"dead\"} 0",
        "leasectl_leases_lost_total{kind=\"fetch\"} 0",
        "leasectl_repos_recloned_total{reason=\"missing\"} 0",
        "leasectl_queue_depth{kind=\"fetch\",state=\"queued\"} 0",
        "leasectl_queue_depth{kind=\"fetch\",state=\"waiting\"} 0",
        "leasectl_queue_depth{kind=\"fetch\",state=\"running\"} 0",
        "leasectl_oldest_queued_seconds{kind=\"fetch\"} 0",
        "leasectl_leases{kind=\"fetch\"} 0",
        "leasectl_job_seconds_count{kind=\"fetch\"} 0",
        "leasectl_queue_wait_seconds_count{kind=\"fetch\"} 0",
        "leasectl_heartbeat_seconds_count 0",
        "leasectl_liveness_mode{mode=\"session\"} 0",
        "leasectl_liveness_mode{mode=\"heartbeat\"} 0",
        "leasectl_database_up 1",
    ] {
        assert!(
            text.lines().any(|line| line == series),
            "{series} is missing from\n{text}"
        );
    }
}

#[tokio::test]
async fn a_scrape_without_a_database_still_shows_the_process() {
    let database = database("postgres://nobody@127.0.0.1:1/none");
    let metrics = install_metrics(&Kinds::standard()).expect("installed, perhaps before");
    let server = MetricsServer::bind(([127, 0, 0, 1], 0).into())
        .await
        .expect("bound");
    let address = server.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(metrics, database, async {
        drop(stopped.await);
    }));

    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("received");
        answer
    };
    let answer = get("/metrics").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("version=0.0.4"),
        "{answer}"
    );
    assert!(answer.contains("leasectl_database_up 0"), "{answer}");
    assert!(
        answer.contains("leasectl_claims_total{kind=\"fetch\"} 0"),
        "{answer}"
    );
    assert!(get("/healthz").await.ends_with("ok\n"));
    assert!(get("/jobs").await.starts_with("HTTP/1.1 404"));

    stop.send(()).expect("still serving");
    serving
        .await
        .expect("not panicked")
        .expect("stopped cleanly");
}

#[tokio::test]
async fn an_address_in_use_shows_before_work_begins() {
    let first = MetricsServer::bind(([127, 0, 0, 1], 0).into())
        .await
        .expect("bound");
    let error = MetricsServer::bind(first.address())
        .await
        .expect_err("in use");
    assert!(
        error.to_string().contains(&first.address().to_string()),
        "{error}"
    );
}
