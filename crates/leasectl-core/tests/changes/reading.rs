//! What people and programs see of changes.

use leasectl_core::changes::{
    self, ChangeFilter, ChangeKey, Family, FileStatus, InventoryEntry, Mode, Outcome,
};
use leasectl_core::job::LookupError;
use serde_json::{Value, json};

use crate::world::{MAIN, World, entries, entry, file, odd_ones_merged, oid, snapshot};

impl World {
    async fn list(&self, filter: &ChangeFilter) -> Vec<i64> {
        let page = changes::list(&self.fixture.database, self.repo, filter, 200, None).await;
        let items = page.unwrap().items;
        items.iter().map(|change| change.number).collect()
    }
}

fn with_everything() -> Outcome {
    let mut renamed = file("new.rs", &[(3, 2), (9, 0)]);
    renamed.old_path = Some("old.rs".to_owned());
    renamed.status = FileStatus::Renamed;
    let mut binary = file("logo.png", &[]);
    (binary.additions, binary.deletions, binary.blob) = (None, None, None);
    let mut found = snapshot(true, vec![renamed, binary]);
    found.limits = vec!["files", "hunks"];
    found.merge_base = None;
    Outcome::Snapshot(Box::new(found))
}

#[tokio::test]
async fn a_change_is_shown_with_all_that_is_known_of_it() {
    let world = World::new().await;
    world.fetch(MAIN, &[entry(7, 7)]).await;
    world.run(Mode::OpenOnly, |_| with_everything()).await;
    let shown = changes::show(&world.fixture.database, world.repo, 7, None).await;
    let shown = serde_json::to_value(shown.unwrap().unwrap()).unwrap();
    let hex = |number| oid(number).to_string();
    for (field, expected) in [
        ("number", json!(7)),
        ("ref", json!("refs/pull/7/head")),
        ("family", json!("pull")),
        ("head", json!(hex(7))),
        ("studied_head", json!(hex(7))),
        ("base", json!(hex(MAIN))),
        ("merge_base", Value::Null),
        ("open", json!(true)),
        ("freshness", json!("current")),
        ("commits", json!(2)),
        ("files_changed", json!(2)),
        ("additions", json!(10)),
        ("deletions", json!(20)),
        ("limits", json!(["files", "hunks"])),
        ("parked", json!(false)),
        (
            "files",
            json!([
                {"path": "new.rs", "old_path": "old.rs", "status": "renamed", "additions": 1,
                 "deletions": 2, "blob": hex(5)},
                {"path": "logo.png", "old_path": null, "status": "modified", "additions": null,
                 "deletions": null, "blob": null},
            ]),
        ),
        (
            "hunks",
            json!([
                {"path": "new.rs", "old_start": 3, "old_lines": 2, "new_start": 9, "new_lines": 1},
                {"path": "new.rs", "old_start": 9, "old_lines": 0, "new_start": 9, "new_lines": 1},
            ]),
        ),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    let commits = shown["commit_list"].as_array().unwrap();
    assert_eq!(commits.len(), 2);
    assert_eq!(commits[0]["commit"], hex(70));
    assert_eq!(commits[0]["parents"], json!([hex(71), hex(72)]));
    assert_eq!(commits[0]["author_name"], "Ann\u{fffd}");
    assert_eq!(commits[0]["authored_at"], "1970-01-01T00:16:40.000000Z");
    assert_eq!(commits[0]["committed_at"], "9999-12-31T23:59:59.000000Z");
}

#[tokio::test]
async fn the_views_say_the_same() {
    let world = World::new().await;
    world.fetch(MAIN, &[entry(7, 7), entry(8, 8)]).await;
    world.run(Mode::OpenOnly, |_| with_everything()).await;
    let one = |view: &str, columns: &str| {
        format!("select concat_ws(' ', {columns}) from leasectl.{view} where number = 7 order by 1")
    };
    let sql = one(
        "change_files",
        "ord, path, old_path, status, additions, deletions",
    );
    assert_eq!(
        world.texts(&sql).await,
        ["0 new.rs old.rs renamed 1 2", "1 logo.png modified"]
    );
    let sql = one(
        "change_hunks",
        "ord, file_ord, path, old_start, old_lines, new_start, new_lines",
    );
    assert_eq!(
        world.texts(&sql).await,
        ["0 0 new.rs 3 2 9 1", "1 0 new.rs 9 0 9 1"]
    );
    let sql = one("change_commits", "ord, summary, cardinality(parents)");
    assert_eq!(world.texts(&sql).await, ["0 commit 70 2", "1 commit 80 2"]);
    let sql = one(
        "changes",
        "family, number, ref, open, freshness, commits, files_changed",
    );
    assert_eq!(
        world.texts(&sql).await,
        ["pull 7 refs/pull/7/head t current 2 2"]
    );
}

#[tokio::test]
async fn what_was_not_studied_is_null() {
    let world = World::new().await;
    world.fetch(MAIN, &[entry(7, 7)]).await;
    let shown = changes::show(&world.fixture.database, world.repo, 7, None).await;
    let shown = serde_json::to_value(shown.unwrap().unwrap()).unwrap();
    for field in [
        "base",
        "open",
        "freshness",
        "commits",
        "additions",
        "studied_at",
        "limits",
    ] {
        assert_eq!(shown[field], Value::Null, "{field}");
    }
    assert_eq!(shown["files"], json!([]));
    let nobody = changes::show(&world.fixture.database, world.repo, 8, None).await;
    assert!(nobody.unwrap().is_none());
}

#[tokio::test]
async fn changes_are_listed_newest_first_page_by_page() {
    let world = World::new().await;
    let other = world.fixture.repository("b").await;
    world.fetch(MAIN, &entries(25)).await;
    let (database, all) = (&world.fixture.database, ChangeFilter::default());
    let mut numbers = Vec::new();
    let mut cursor = None;
    loop {
        let page = changes::list(database, world.repo, &all, 10, cursor.as_deref())
            .await
            .unwrap();
        numbers.extend(page.items.iter().map(|change| change.number));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(numbers, (1..=25).rev().collect::<Vec<i64>>());
    let none = changes::list(database, other, &all, 10, None)
        .await
        .unwrap();
    assert!(none.items.is_empty());
    for bad in ["", "7", "pull:x", "issue:7"] {
        let refused = changes::list(database, world.repo, &all, 10, Some(bad)).await;
        assert!(matches!(refused, Err(LookupError::BadCursor)), "{bad}");
    }
    let refused = changes::list(database, world.repo, &all, 0, None).await;
    assert!(matches!(refused, Err(LookupError::BadLimit)));
}

#[tokio::test]
async fn a_list_has_what_is_asked_for() {
    let world = World::new().await;
    let gerrit = InventoryEntry {
        key: ChangeKey {
            family: Family::Gerrit,
            number: 2,
        },
        ..entry(2, 22)
    };
    let mut all = entries(4);
    all.push(gerrit);
    world.fetch(MAIN, &all).await;
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    let any = ChangeFilter::default();
    assert_eq!(world.list(&any).await, [4, 3, 2, 1, 2]);
    let open = ChangeFilter {
        open: Some(true),
        ..any.clone()
    };
    assert_eq!(world.list(&open).await, [4, 2, 2]);
    let closed = ChangeFilter {
        open: Some(false),
        ..any.clone()
    };
    assert_eq!(world.list(&closed).await, [3, 1]);
    let two = ChangeFilter {
        number: Some(2),
        ..any.clone()
    };
    assert_eq!(world.list(&two).await, [2, 2]);
    let one_family = ChangeFilter {
        family: Some(Family::Gerrit),
        ..two
    };
    assert_eq!(world.list(&one_family).await, [2]);
    let database = &world.fixture.database;
    for (family, head) in [(None, 2), (Some(Family::Gerrit), 22)] {
        let shown = changes::show(database, world.repo, 2, family).await;
        assert_eq!(shown.unwrap().unwrap().change.head, oid(head));
    }
}
