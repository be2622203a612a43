//! Migrations, and every statement against the migrated schema.

use std::fs;
use std::path::{Path, PathBuf};

use leasectl_core::migrations::{self, MigrateError};

use crate::fixture::{FETCH, Fixture, kinds, owner};

fn statements(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            statements(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_schema() {
    let fixture = Fixture::new().await;
    let client = fixture.client().await;
    let mut files = Vec::new();
    statements(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let sql = fs::read_to_string(&file).unwrap();
        assert!(
            sql.starts_with("-- "),
            "{} says nothing of itself",
            file.display()
        );
        client
            .prepare(&sql)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let fixture = Fixture::new().await;
    assert!(
        migrations::pending(&fixture.database)
            .await
            .unwrap()
            .pending
            .is_empty()
    );
    let again = migrations::apply(&fixture.database, &kinds())
        .await
        .unwrap();
    assert!(again.applied.is_empty());
}

#[tokio::test]
async fn programs_that_migrate_at_once_do_not_collide() {
    let fixture = Fixture::new().await;
    fixture
        .client()
        .await
        .batch_execute("drop schema leasectl cascade")
        .await
        .unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let database = fixture.database.clone();
        racers.spawn(async move { migrations::apply(&database, &kinds()).await });
    }
    let mut applied = 0;
    while let Some(raced) = racers.join_next().await {
        applied += raced.unwrap().unwrap().applied.len();
    }
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let files = fs::read_dir(migrations).unwrap().count();
    assert_eq!(applied, files, "each migration is applied once");
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let fixture = Fixture::new().await;
    fixture
        .execute("insert into leasectl.schema_history (version, name, applied_on, checksum) values (999, 'later', '', '1')", &[])
        .await;
    assert_eq!(
        migrations::pending(&fixture.database).await.unwrap().newer,
        Some(999)
    );
    let refused = migrations::apply(&fixture.database, &kinds()).await;
    assert!(matches!(
        refused,
        Err(MigrateError::Newer { found: 999, .. })
    ));
}

#[tokio::test]
async fn a_job_cannot_be_running_without_a_lease() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let error = fixture
        .client()
        .await
        .execute("update leasectl.job set state = 'running'", &[])
        .await
        .unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().constraint(),
        Some("job_running_has_a_lease")
    );
}

#[tokio::test]
async fn claims_read_their_index_however_full_the_table_is() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture
        .execute(
            "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
             select leasectl.uuid_v7(), gen_random_uuid(), 't_fetch', 'fetch', '{}', 'ready' from generate_series(1, 20000)",
            &[],
        )
        .await;
    fixture
        .execute(
            "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
             select leasectl.uuid_v7(), $1, 't_fetch', 'fetch', '{}', 'waiting' from generate_series(1, 20000)",
            &[&repo.as_uuid()],
        )
        .await;
    fixture
        .client()
        .await
        .batch_execute("analyze leasectl.job")
        .await
        .unwrap();
    let sql = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lease/claim.sql"))
        .unwrap();
    let client = fixture.client().await;
    let statement = client.prepare(&format!("explain {sql}")).await.unwrap();
    let rows = client
        .query(
            &statement,
            &[
                &vec!["fetch"],
                &vec![10i64],
                &vec!["t_fetch"],
                &owner("me").as_str(),
                &1f64,
                &3f64,
                &9f64,
                &vec![i16::MIN],
                &vec![0i64],
            ],
        )
        .await
        .unwrap();
    let plan: String = rows
        .iter()
        .map(|row| row.get::<_, String>(0) + "\n")
        .collect();
    assert!(plan.contains("job_ready"), "{plan}");
    assert!(plan.contains("job_pkey"), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}
