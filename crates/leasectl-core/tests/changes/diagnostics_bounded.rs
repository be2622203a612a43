//! How much of a repository's past its diagnostics read.

use leasectl_core::repository::{ChangeStatus, change_status};
use leasectl_remote::RepoName;

use crate::plans::{keep_plans, read_so_far};
use crate::world::{MAIN, World, entries};

/// The past of a busy repository: an index, and many fetches since. Also that of others.
const PAST: &str = "
    insert into leasectl.job_history
          (id, seq, repo_id, kind, lane, args, priority, state, created_at, attempt, max_attempts, started_at,
           finished_at, attempts)
    select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, n, $1::uuid,
           case n when 1 then 'index' else 'fetch' end, case n when 1 then 'index' else 'fetch' end, '{}'::jsonb, 0,
           'completed', t.at, 1, 3, t.at, t.at + interval '1 second', '[]'::jsonb
      from generate_series(1, 30000) n
     cross join lateral (select now() - interval '30000 seconds' + n * interval '1 second' as at) t
    union all
    select gen_random_uuid(), n, gen_random_uuid(), 'fetch', 'fetch', '{}'::jsonb, 0, 'completed', now(), 1, 3, now(),
           now(), '[]'::jsonb
      from generate_series(1, 30000) n";

async fn status(world: &World) -> ChangeStatus {
    let name: RepoName = "team/a".parse().unwrap();
    let status = change_status(&world.fixture.database, &name).await;
    status.unwrap().unwrap()
}

#[tokio::test]
async fn the_diagnostics_of_a_busy_repository_read_the_latest_of_its_past() {
    let mut world = World::new().await;
    // The plans were made while there was no past.
    let Some(several) = keep_plans(&mut world).await else {
        return;
    };
    world.fetch(MAIN, &entries(2)).await;
    for _ in 0..3 {
        status(&world).await;
    }
    let filler = several.client().await.unwrap();
    filler
        .execute(PAST, &[&world.repo.as_uuid()])
        .await
        .unwrap();
    let own = world.fixture.client().await;
    let before = read_so_far(&own, "^job_history").await;
    drop(own);
    let status = status(&world).await;
    let own = world.fixture.client().await;
    let read = read_so_far(&own, "^job_history").await - before;
    eprintln!("{read} finished jobs were read");
    assert!((1_000..5_000).contains(&read), "{read} rows were read");
    assert_eq!(status.dirty, Some(false));
    assert!(status.last_fetch_finished_at.is_some() && status.last_fetch_started_at.is_some());
}

#[tokio::test]
async fn an_index_older_than_the_jobs_that_are_looked_at_is_known_by_what_it_published() {
    let world = World::new().await;
    world.fixture.execute(PAST, &[&world.repo.as_uuid()]).await;
    let before = status(&world).await;
    assert_eq!(
        (before.last_index_started_at, before.last_index_finished_at),
        (None, None)
    );
    let publish = "
        insert into leasectl.index_ref (repo_id, ref, commit_oid, root_id, indexed_at, token)
        values ($1, 'refs/heads/main', substr(sha256(''), 1, 20), 1, now(), 1)";
    let mut client = world.fixture.client().await;
    let transaction = client.transaction().await.unwrap();
    // Only when it was published matters here, not what of.
    transaction
        .batch_execute("set local session_replication_role = replica")
        .await
        .unwrap();
    transaction
        .execute(publish, &[&world.repo.as_uuid()])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let after = status(&world).await;
    assert!(after.last_index_finished_at.is_some());
    assert_eq!(after.last_index_started_at, None);
}
