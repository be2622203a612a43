//! Plans at realistic counts: made while the tables were empty, and used with 60,000 changes.

use leasectl_core::changes::{self, ChangeFilter, Mode};
use leasectl_core::database::{Client, Database};
use leasectl_core::repository::change_status;
use leasectl_remote::RepoName;

use crate::world::{MAIN, World, entries, oid, open_change};

/// Other repositories: a large one, and many.
const FILL: &str = "
    set session_replication_role = replica;
    insert into leasectl.repository (name, git_url)
    select 'fill/r' || n, 'https://git.example.com/fill/r' || n from generate_series(1, 100) n;
    insert into leasectl.change_inventory (repo_id, generation)
    select id, 1 from leasectl.repository where name like 'fill/%';
    insert into leasectl.backfill (repo_id) select id from leasectl.repository where name like 'fill/%';
    insert into leasectl.change (repo_id, family, number, ref, head)
    select r.id, 'pull', n, 'refs/pull/' || n || '/head', substr(sha256(n::text::bytea), 1, 20)
      from leasectl.repository r
     cross join generate_series(1, case r.name when 'fill/r1' then 20000 else 400 end) n
     where r.name like 'fill/%';
    insert into leasectl.change_snapshot (change_id, head, epoch, open, commit_count, file_count, additions, deletions)
    select c.id, c.head, 0, true, 1, 1, 1, 1 from leasectl.change c join leasectl.repository r on r.id = c.repo_id
     where r.name like 'fill/%';
    insert into leasectl.change_file (change_id, ord, path, status, path_key)
    select c.id, k, 'src/f' || k, 'modified', leasectl.change_path_key(c.repo_id, 'src/f' || k)
      from leasectl.change c join leasectl.repository r on r.id = c.repo_id cross join generate_series(1, 2) k
     where r.name like 'fill/%';
    insert into leasectl.change_failure (change_id, repo_id, head, tries, retry_at, error)
    select c.id, c.repo_id, c.head, 1, now(), '{}' from leasectl.change c join leasectl.repository r on r.id = c.repo_id
     where r.name like 'fill/%' and c.number % 10 = 0;
    set session_replication_role = origin";

/// What stands about changes.
const TABLES: &str = "^(change|backfill$)";

/// Has one session do everything from now on, which keeps its plans; answers the pool for others. Nothing when the
/// server cannot be asked what is read.
#[expect(clippy::print_stderr, reason = "CI looks for what was skipped")]
pub(crate) async fn keep_plans(world: &mut World) -> Option<Database> {
    let server = "select current_setting('server_version_num')::bigint";
    if world.fixture.count(server).await < 150_000 {
        eprintln!("SKIPPED: a server before 15 cannot be asked to publish its statistics");
        return None;
    }
    let several = world.fixture.database.clone();
    world.fixture.database = several.dedicated("plans").unwrap();
    Some(several)
}

/// Rows of those tables that sessions have read; those of this session are published first.
pub(crate) async fn read_so_far(client: &Client, tables: &str) -> i64 {
    let publish = "select pg_stat_force_next_flush()";
    client.batch_execute(publish).await.unwrap();
    let read = "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint from pg_stat_user_tables \
                 where schemaname = 'leasectl' and relname ~ $1";
    client.query_one(read, &[&tables]).await.unwrap().get(0)
}

/// All that is done with changes, in one session.
async fn everything(world: &World, round: u64) {
    let mut next = entries(64);
    next[1].head = oid(5_000 + round);
    next.truncate(63 + usize::try_from(round % 2).unwrap());
    world.fetch(MAIN + round, &next).await;
    world.run(Mode::FullHistory, open_change).await;
    world.counts().await;
    let database = &world.fixture.database;
    changes::list(database, world.repo, &ChangeFilter::default(), 20, None)
        .await
        .unwrap();
    changes::show(database, world.repo, 7, None).await.unwrap();
    changes::overlaps(database, world.repo, 7, None, 20)
        .await
        .unwrap();
    let name: RepoName = "team/a".parse().unwrap();
    change_status(database, &name).await.unwrap();
}

#[tokio::test]
async fn no_plan_reads_all_of_a_table_that_was_empty_when_it_was_made() {
    let mut world = World::new().await;
    let Some(several) = keep_plans(&mut world).await else {
        return;
    };
    for round in 0..3 {
        everything(&world, round).await;
    }
    let filler = several.client().await.unwrap();
    filler.batch_execute(FILL).await.unwrap();
    let own = world.fixture.client().await;
    let before = read_so_far(&own, TABLES).await;
    drop(own);
    everything(&world, 3).await;
    let own = world.fixture.client().await;
    let read = read_so_far(&own, TABLES).await - before;
    eprintln!("{read} rows were read for 64 changes");
    assert!((500..20_000).contains(&read), "{read} rows were read");
}

#[tokio::test]
async fn the_planner_of_any_session_finds_the_changes_of_one_repository() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(20)).await;
    world.run(Mode::OpenOnly, open_change).await;
    world
        .fixture
        .client()
        .await
        .batch_execute(FILL)
        .await
        .unwrap();
    let client = world.fixture.client().await;
    client.batch_execute("analyze").await.unwrap();
    client
        .batch_execute("reset enable_seqscan; reset plan_cache_mode")
        .await
        .unwrap();
    for view in ["changes", "change_files", "change_hunks", "change_commits"] {
        let before = read_so_far(&client, TABLES).await;
        let sql = format!("select * from leasectl.{view} where repo_id = $1 and number = 7");
        client.query(&sql, &[&world.repo.as_uuid()]).await.unwrap();
        let read = read_so_far(&client, TABLES).await - before;
        assert!(read < 500, "{view} read {read} rows");
    }
}
