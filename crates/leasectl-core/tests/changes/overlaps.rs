//! Which other changes touch the same lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leasectl_core::changes::{self, File, FileStatus, Mode, Outcome, Overlap};
use leasectl_core::job::LookupError;

use crate::world::{MAIN, World, entries, file, oid, snapshot};

impl World {
    /// Changes with these files, numbered from 1; a merge base of its own where one is given.
    async fn with(changes: &[(Vec<File>, bool, u64)]) -> Self {
        let world = Self::new().await;
        let numbered: BTreeMap<i64, _> = (1..).zip(changes).collect();
        world
            .fetch(MAIN, &entries(i64::try_from(changes.len()).unwrap()))
            .await;
        world
            .run(Mode::OpenOnly, |due| {
                let (files, open, merge_base) = numbered[&due.key.number];
                let mut found = snapshot(*open, files.clone());
                found.merge_base = Some(oid(*merge_base));
                Outcome::Snapshot(Box::new(found))
            })
            .await;
        world
    }

    async fn overlaps(&self, number: i64) -> Vec<Overlap> {
        let found = changes::overlaps(&self.fixture.database, self.repo, number, None, 20).await;
        found.unwrap().expect("there is such a change")
    }
}

#[tokio::test]
async fn hunks_come_before_files_and_closed_changes_not_at_all() {
    let a = |hunks: &[(u32, u32)]| file("a", hunks);
    let b = |hunks: &[(u32, u32)]| file("b", hunks);
    let world = World::with(&[
        (vec![a(&[(10, 5), (50, 1)]), b(&[(1, 1)])], true, 1),
        // Both files, and no line.
        (vec![a(&[(1, 1)]), b(&[(9, 1)])], true, 1),
        // One file, two hunks, of another merge base.
        (vec![a(&[(12, 40)])], true, 2),
        // Closed.
        (vec![a(&[(10, 5)])], false, 1),
        // Another file.
        (vec![file("c", &[(10, 5)])], true, 1),
        // One hunk.
        (vec![b(&[(1, 0)])], true, 1),
        // One file, and no line.
        (vec![b(&[(7, 7)])], true, 1),
    ])
    .await;
    let found = world.overlaps(1).await;
    let ranked: Vec<_> = found
        .iter()
        .map(|o| (o.number, o.hunks, o.files, o.exact))
        .collect();
    assert_eq!(
        ranked,
        [
            (3, 2, 1, false),
            (6, 1, 1, true),
            (2, 0, 2, true),
            (7, 0, 1, true)
        ]
    );
    assert_eq!(found[2].paths, ["a", "b"]);
    assert_eq!(found[0].reference, "refs/pull/3/head");
    assert!(world.overlaps(5).await.is_empty());
    let nobody = changes::overlaps(&world.fixture.database, world.repo, 99, None, 20).await;
    assert!(nobody.unwrap().is_none());
    let refused = changes::overlaps(&world.fixture.database, world.repo, 1, None, 0).await;
    assert!(matches!(refused, Err(LookupError::BadLimit)));
}

#[tokio::test]
async fn a_renamed_file_is_met_by_either_name() {
    let renamed = |hunks: &[(u32, u32)]| File {
        old_path: Some("old".to_owned()),
        status: FileStatus::Renamed,
        ..file("new", hunks)
    };
    let world = World::with(&[
        (vec![renamed(&[(5, 5)])], true, 1),
        (vec![file("old", &[(7, 1)])], true, 1),
        (vec![renamed(&[(1, 1)])], true, 1),
        (vec![file("new", &[])], true, 1),
    ])
    .await;
    let found = world.overlaps(1).await;
    let ranked: Vec<_> = found
        .iter()
        .map(|o| (o.number, o.hunks, o.paths.join("+")))
        .collect();
    // A pair of files counts its hunks once, though it has two names in common.
    assert_eq!(
        ranked,
        [
            (2, 1, "old".to_owned()),
            (3, 0, "new+old".to_owned()),
            (4, 0, "new".to_owned())
        ]
    );
    assert_eq!(world.overlaps(2).await[0].number, 1);
}

#[tokio::test]
async fn changes_of_other_repositories_do_not_count() {
    let world = World::with(&[(vec![file("a", &[(1, 1)])], true, 1)]).await;
    let other = World {
        repo: world.fixture.repository("b").await,
        fixture: world.fixture,
    };
    other.fetch(MAIN, &entries(2)).await;
    other
        .run(Mode::OpenOnly, |_| {
            Outcome::Snapshot(Box::new(snapshot(true, vec![file("a", &[(1, 1)])])))
        })
        .await;
    let found = other.overlaps(1).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].number, 2);
}

#[tokio::test]
async fn a_thousand_changes_are_compared_in_milliseconds() {
    let changes: Vec<_> = (0..1_150_u32)
        .map(|n| {
            let files = (0..8).map(|k| {
                // Some files are everybody's.
                let name = if k == 0 { 0 } else { n * 7 % 100 + k };
                file(&format!("src/file{name}.rs"), &[(n % 50 * 10, 4), (700, 2)])
            });
            (files.collect(), n % 4 == 0, 1)
        })
        .collect();
    let world = World::with(&changes).await;
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(world.overlaps(1).await.len(), 20);
        quickest = quickest.min(start.elapsed());
    }
    eprintln!("overlaps among 1,150 changes are found in {quickest:?}");
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}
