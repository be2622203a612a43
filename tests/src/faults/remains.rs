//! What is recorded of a repository's changes when the faults have stopped, and what plain git says of them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::record::{FileSeen, Offered, ProposalsSeen, Recorded, SnapshotSeen};
use super::world::Source;
use crate::git::Origin;
use crate::sql::Sql;

/// What git calls the tree without files.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

const CHANGES: &str = "select c.family, c.number, c.ref, c.head, encode(i.test_merge, 'hex') as test_merge, \
                              c.freshness, c.studied_head, c.base, c.merge_base, c.open, c.commits, \
                              c.files_changed, c.additions, c.deletions \
                         from leasectl.changes c join leasectl.change i using (repo_id, family, number) \
                        where repo_id::text = $1 order by family, number";
const DEFAULT_HEAD: &str = "select encode(default_head, 'hex') from leasectl.change_inventory \
                             where repo_id::text = $1";
const FILES: &str = "select path, old_path, additions::bigint, deletions::bigint from leasectl.change_files \
                      where repo_id::text = $1 and family = $2 and number = $3 order by ord";
const COMMITS: &str = "select commit from leasectl.change_commits \
                        where repo_id::text = $1 and family = $2 and number = $3 order by ord";
const HISTORY: &str = "select commit from leasectl.commits where repo_id::text = $1";

/// Looks at both sides of a repository that nothing happens to any more.
pub(super) fn look(sql: &Sql, source: &Source) -> ProposalsSeen {
    let origin = &source.origin;
    let default_head = origin.find("main").unwrap_or_default();
    let rows = sql.rows(CHANGES, &[&source.id]);
    let recorded: Vec<Recorded> = rows
        .iter()
        .map(|row| recorded(sql, &source.id, row))
        .collect();
    let bases: BTreeMap<(String, i64), String> = recorded
        .iter()
        .filter_map(|change| {
            let base = change.snapshot.as_ref()?.base.clone()?;
            Some(((change.family.clone(), change.number), base))
        })
        .collect();
    ProposalsSeen {
        name: source.name.clone(),
        mode: source.mode.to_owned(),
        recorded_default_head: sql
            .rows(DEFAULT_HEAD, &[&source.id])
            .first()
            .and_then(|row| row.get(0)),
        offered: offered(origin, &default_head, &bases),
        recorded,
        log: lines(&origin.git(&["rev-list", &default_head])),
        default_head,
        commits: first_column(&sql.rows(HISTORY, &[&source.id])),
    }
}

fn recorded(sql: &Sql, repo: &str, row: &Row) -> Recorded {
    let (family, number): (String, i64) = (row.get("family"), row.get("number"));
    let head: Option<String> = row.get("studied_head");
    let snapshot = head.map(|head| SnapshotSeen {
        head,
        base: row.get("base"),
        merge_base: row.get("merge_base"),
        is_open: row.get("open"),
        totals: ["commits", "files_changed", "additions", "deletions"].map(|name| row.get(name)),
        commits: first_column(&sql.rows(COMMITS, &[&repo, &family, &number])),
        files: sql
            .rows(FILES, &[&repo, &family, &number])
            .iter()
            .map(|row| FileSeen {
                path: row.get(0),
                old_path: row.get(1),
                additions: row.get(2),
                deletions: row.get(3),
            })
            .collect(),
    });
    Recorded {
        reference: row.get("ref"),
        head: row.get("head"),
        test_merge: row.get("test_merge"),
        freshness: row.get("freshness"),
        snapshot,
        family,
        number,
    }
}

fn first_column(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.get(0)).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What a remote offers, each change as plain git compares it with its recorded base, or else the right one.
fn offered(
    origin: &Origin,
    default_head: &str,
    bases: &BTreeMap<(String, i64), String>,
) -> BTreeMap<(String, i64), Offered> {
    let namespaces = ["refs/pull", "refs/merge-requests", "refs/changes"];
    let list = |flags: &[&str]| {
        let mut args = vec!["for-each-ref", "--format=%(refname) %(objectname)"];
        args.extend(flags);
        args.extend(namespaces);
        let refs = origin.git(&args);
        let pairs = refs.lines().filter_map(|line| line.split_once(' '));
        pairs
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect::<BTreeMap<String, String>>()
    };
    let refs = list(&[]);
    let merged = list(&["--merged", default_head]);
    let mut heads: BTreeMap<(String, i64), (i64, &String)> = BTreeMap::new();
    for name in refs.keys() {
        if let Some((family, number, patch_set)) = key(name) {
            let newest = heads.entry((family, number)).or_insert((patch_set, name));
            *newest = (*newest).max((patch_set, name));
        }
    }
    let line = lines(&origin.git(&["rev-list", "--first-parent", default_head]));
    heads
        .into_iter()
        .map(|(key, (_, name))| {
            let mut offered = Offered {
                reference: name.clone(),
                head: refs[name].clone(),
                is_open: !merged.contains_key(name),
                ..Offered::default()
            };
            // Those of other forges are not fetched.
            offered.test_merge = name
                .strip_suffix("/head")
                .filter(|stem| stem.starts_with("refs/pull/"))
                .and_then(|stem| refs.get(&format!("{stem}/merge")).cloned());
            offered.base = base(origin, &offered, &line);
            let compared = bases.get(&key).unwrap_or(&offered.base).clone();
            compare(origin, &compared, &mut offered);
            (key, offered)
        })
        .collect()
}

/// Family, number and patch set of a ref that is the head of a change.
fn key(name: &str) -> Option<(String, i64, i64)> {
    let number = |text: &str| text.parse().ok();
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["refs", "pull", of, "head"] => Some(("pull".to_owned(), number(of)?, 0)),
        ["refs", "merge-requests", of, "head"] => {
            Some(("merge_request".to_owned(), number(of)?, 0))
        }
        ["refs", "changes", _, of, patch_set] => {
            Some(("gerrit".to_owned(), number(of)?, number(patch_set)?))
        }
        _ => None,
    }
}

/// The commit of the target with which a change is to be compared. `line` are the default branch's heads, newest
/// first.
fn base(origin: &Origin, change: &Offered, line: &[String]) -> String {
    let default_head = line.first().cloned().unwrap_or_default();
    let parents = |commit: &str| {
        let listed = origin.git(&["rev-list", "--no-walk", "--parents", commit]);
        let ids = listed.split_whitespace().skip(1);
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    if let Some(parents) = change.test_merge.as_deref().map(parents)
        && parents.get(1) == Some(&change.head)
    {
        return parents[0].clone();
    }
    if change.is_open || line.contains(&change.head) {
        return default_head;
    }
    let range = format!("{}..{default_head}", change.head);
    let after = lines(&origin.git(&["rev-list", "--ancestry-path", &range]));
    let after: BTreeSet<String> = after.into_iter().collect();
    let landed = line.iter().rev().find(|commit| after.contains(*commit));
    landed.map_or(default_head, |commit| parents(commit)[0].clone())
}

/// Compares a change as plain git does.
fn compare(origin: &Origin, base: &str, change: &mut Offered) {
    let found = origin.try_git(&["merge-base", base, &change.head]);
    change.merge_base = (found.code == Some(0)).then(|| found.line());
    let range = format!("{base}..{}", change.head);
    change.commits = lines(&origin.git(&["rev-list", &range]))
        .into_iter()
        .collect();
    let from = change.merge_base.as_deref().unwrap_or(EMPTY_TREE);
    let listed = origin.git(&["diff", "--numstat", "--no-renames", from, &change.head]);
    let files = listed.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let mut lines = || columns.next().map(|column| column.parse().ok());
        let (added, deleted) = (lines()?, lines()?);
        Some((columns.next()?.to_owned(), (added, deleted)))
    });
    change.files = files.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of three commits; a change that forks from the first and was merged with the second.
    fn merged() -> (tempfile::TempDir, Origin, Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::create(&folder.path().join("origin.git"));
        let first = origin.commit("main", "README.md", b"# here\n");
        let second = origin.commit("main", "a", b"1\n2\n");
        origin.set_ref("refs/heads/proposal", &first);
        let head = origin.commit("proposal", "b", b"1\n");
        origin.delete_branch("proposal");
        origin.set_ref("refs/pull/1/head", &head);
        let tree = origin.git(&["rev-parse", "main^{tree}"]);
        let merge = origin.git(&[
            "commit-tree",
            &tree,
            "-p",
            &second,
            "-p",
            &head,
            "-m",
            "Merge",
        ]);
        origin.set_ref("refs/heads/main", &merge);
        let last = origin.commit("main", "c", b"1\n");
        (folder, origin, vec![first, second, merge, last], head)
    }

    #[test]
    fn an_open_change_is_compared_with_the_default_branch_or_as_its_test_merge_says() {
        let (_folder, origin, line, head) = merged();
        let seen = |default_head: &str| {
            let offered = offered(&origin, default_head, &BTreeMap::new());
            offered[&("pull".to_owned(), 1)].clone()
        };
        let open = seen(&line[1]);
        assert!(open.is_open);
        assert_eq!(
            (&open.base, open.merge_base.as_ref()),
            (&line[1], Some(&line[0]))
        );
        assert_eq!(
            open.files,
            BTreeMap::from([("b".to_owned(), (Some(1), Some(0)))])
        );
        assert_eq!(open.commits, BTreeSet::from([head]));
        let tree = origin.git(&["rev-parse", "main^{tree}"]);
        let test_merge = origin.git(&[
            "commit-tree",
            &tree,
            "-p",
            &line[0],
            "-p",
            &open.head,
            "-m",
            "Try",
        ]);
        origin.set_ref("refs/pull/1/merge", &test_merge);
        assert_eq!(seen(&line[1]).base, line[0]);
    }

    #[test]
    fn a_merged_change_is_compared_with_what_the_branch_was_before() {
        let (_folder, origin, line, _) = merged();
        let offered = offered(&origin, &line[3], &BTreeMap::new());
        let change = &offered[&("pull".to_owned(), 1)];
        assert!(!change.is_open);
        assert_eq!(
            (&change.base, change.merge_base.as_ref()),
            (&line[1], Some(&line[0]))
        );
    }

    #[test]
    fn the_highest_patch_set_is_the_head_of_a_change_of_gerrit() {
        let (_folder, origin, line, head) = merged();
        origin.set_ref("refs/changes/12/12/9", &line[0]);
        origin.set_ref("refs/changes/12/12/10", &head);
        let offered = offered(&origin, &line[3], &BTreeMap::new());
        let change = &offered[&("gerrit".to_owned(), 12)];
        assert_eq!(change.reference, "refs/changes/12/12/10");
        assert_eq!(change.head, head);
    }
}
