//! Filling a queue: repositories and jobs that the scenarios start from.

use leasectl_core::database::Database;
use leasectl_core::ids::RepoId;
use leasectl_core::job::{EnqueueRequest, enqueue};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::error::BenchError;
use crate::noop;

/// Registers that many repositories; answers their ids in the order of registration.
pub(crate) async fn repositories(client: &Client, count: usize) -> Result<Vec<RepoId>, BenchError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = client
        .query(
            "insert into leasectl.repository (name, git_url) \
             select 'bench/r' || n, 'https://bench.example/r' || n from generate_series(1, $1::bigint) n \
             returning id",
            &[&count],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<_, Uuid>(0).into())
        .collect())
}

/// One no-op job for each repository.
pub(crate) fn requests(repositories: &[RepoId]) -> Result<Vec<EnqueueRequest>, BenchError> {
    let args = noop::kinds().canonical_args(noop::SPEC.name, &json!({}))?;
    Ok(repositories
        .iter()
        .map(|id| EnqueueRequest::new(*id, &noop::SPEC, args.clone()))
        .collect())
}

/// Enqueues one no-op job for each repository, in large batches.
pub(crate) async fn jobs(database: &Database, repositories: &[RepoId]) -> Result<(), BenchError> {
    for batch in requests(repositories)?.chunks(5_000) {
        enqueue(database, batch).await?;
    }
    Ok(())
}
