//! Worktrees of every kind, and what must not be read of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use leasectl_repo::{BlobRead, EntryKind, ObjectId, RepoError, Worktree, WorktreeError};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tempfile::TempDir;

use crate::support::git;
use crate::worktree::{Place, by_git, look, read_all, write};

#[test]
fn a_linked_worktree_and_a_folder_inside_of_one_are_that_worktree() {
    let place = Place::new();
    let linked = place.dir.path().join("linked");
    let path = linked.to_str().unwrap();
    git(
        &place.root(),
        &["worktree", "add", "-q", path, "-b", "other"],
    );
    git(
        &place.root(),
        &["remote", "add", "origin", "https://example.org/a/b"],
    );
    let real = linked.canonicalize().unwrap();
    for inside in [linked.clone(), linked.join("src/deep")] {
        let worktree = Worktree::containing(&inside).unwrap();
        assert_eq!(worktree.root(), real);
        assert_eq!(worktree.repository(), place.root().canonicalize().unwrap());
        assert_eq!(
            worktree.origin().as_deref(),
            Some("https://example.org/a/b")
        );
    }
    write(&linked, OsStr::new("src/lib.rs"), b"other\n");
    let present = look(&linked);
    assert_eq!(present.tree.to_string(), by_git(&linked));
    read_all(&present.content.handle(), present.tree);
    place.check("the main worktree is as it was");
}

#[test]
fn what_is_no_worktree_is_told() {
    let place = Place::new();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("file"), "").unwrap();
    let bare = outside.path().join("bare.git");
    git(outside.path(), &["init", "-q", "--bare", "bare.git"]);
    fs::create_dir(outside.path().join("broken")).unwrap();
    fs::write(
        outside.path().join("broken/.git"),
        "gitdir: /no/such/place\n",
    )
    .unwrap();
    let told = |path: PathBuf| Worktree::containing(&path).unwrap_err();
    assert!(matches!(
        told(place.at("nothing")),
        WorktreeError::NotThere(_)
    ));
    assert!(matches!(
        told(place.at("README")),
        WorktreeError::NoFolder(_)
    ));
    assert!(matches!(
        told(outside.path().into()),
        WorktreeError::NoWorktree(_)
    ));
    for inside in [place.at(".git"), place.at(".git/objects/pack"), bare] {
        assert!(matches!(told(inside), WorktreeError::InsideRepository(_)));
    }
    let broken = told(outside.path().join("broken"));
    assert!(matches!(broken, WorktreeError::Unusable { .. }), "{broken}");
}

#[test]
fn a_worktree_without_a_commit_has_a_tree_and_no_head() {
    let dir = TempDir::new().unwrap();
    git(dir.path(), &["init", "-q"]);
    let empty = look(dir.path());
    assert!(empty.head.is_null());
    assert!(empty.tree.is_empty_tree());
    assert!(empty.content.handle().dir(empty.tree).unwrap().is_empty());
    write(dir.path(), OsStr::new("a/b"), b"first\n");
    let present = look(dir.path());
    assert_eq!(present.tree.to_string(), by_git(dir.path()));
    read_all(&present.content.handle(), present.tree);
}

#[test]
fn nothing_outside_of_the_worktree_is_read() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret\n").unwrap();
    symlink("../outside", place.at("out")).unwrap();
    fs::remove_dir_all(place.at("src/deep")).unwrap();
    symlink("../../outside", place.at("src/deep")).unwrap();
    fs::write(outside.join("mod.rs"), "secret\n").unwrap();
    // Neither what the configuration says is looked at.
    for (key, value) in [
        ("core.worktree", outside.to_str().unwrap()),
        ("core.fsmonitor", "touch ran"),
        ("core.excludesFile", "/etc/passwd"),
        ("filter.f.clean", "touch ran"),
        ("filter.f.smudge", "touch ran"),
    ] {
        git(&place.root(), &["--work-tree=.", "config", key, value]);
    }
    place.write(".gitattributes", "* filter=f\n");
    place.write("new", "text\n");
    let present = place.look();
    let paths = read_all(&present.content.handle(), present.tree);
    let expected = [
        ".gitattributes",
        "README",
        "new",
        "src.rs",
        "src/lib.rs",
        "tests/it.rs",
    ];
    assert_eq!(paths, expected.map(str::to_owned).into());
    assert!(!place.at("ran").exists() && !Path::new("ran").exists());
}

#[test]
fn repositories_inside_of_a_worktree_are_not_its_content() {
    let place = Place::new();
    let inner = place.at("inner");
    fs::create_dir(&inner).unwrap();
    git(&inner, &["init", "-q"]);
    fs::write(inner.join("file"), "of another\n").unwrap();
    let before = git(&place.root(), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(place.look().tree.to_string(), before);
    // A submodule stays the commit that the index has.
    git(&inner, &["add", "-A"]);
    git(&inner, &["commit", "-q", "-m", "x"]);
    git(&place.root(), &["add", "inner"]);
    let present = place.check("a submodule");
    let root = present.content.handle().dir(present.tree).unwrap();
    let entry = root.iter().find(|entry| entry.name == "inner").unwrap();
    assert_eq!(entry.kind, EntryKind::Submodule);
    fs::remove_dir_all(&inner).unwrap();
    place.check("a submodule that is gone");
}

#[test]
fn parts_of_a_sparse_worktree_that_are_not_there_count_as_they_are() {
    let place = Place::new();
    for sparse in ["--no-sparse-index", "--sparse-index"] {
        let set = ["sparse-checkout", "set", "--cone", sparse, "tests"];
        git(&place.root(), &set);
        assert!(!place.at("src").exists());
        let present = place.look();
        let head = git(&place.root(), &["rev-parse", "HEAD^{tree}"]);
        assert_eq!(present.tree.to_string(), head, "{sparse}");
        read_all(&present.content.handle(), present.tree);
    }
    place.write("tests/it.rs", "fn changed() {}\n");
    place.check("a part that is there changed");
}

#[test]
fn a_file_that_changed_within_the_second_of_its_commit_is_seen() {
    let place = Place::new();
    for text in ["one\n", "two\n", "six\n", "ten\n"] {
        place.write("README", text);
        git(&place.root(), &["add", "README"]);
        place.write("README", text.to_uppercase());
        let present = place.look();
        let root = present.content.handle().dir(present.tree).unwrap();
        let mut bytes = Vec::new();
        let entry = root.iter().find(|entry| entry.name == "README").unwrap();
        present
            .content
            .handle()
            .blob(entry.id, 9, &mut bytes)
            .unwrap();
        assert_eq!(bytes, text.to_uppercase().as_bytes());
    }
}

#[test]
fn a_file_that_changed_since_it_was_seen_is_told_and_not_read() {
    let place = Place::new();
    place.write("new/file.rs", "fn before() {}\n");
    let present = place.look();
    let handle = present.content.handle();
    let in_dir = |tree, name: &str| {
        let entries = handle.dir(tree).unwrap();
        entries
            .into_iter()
            .find(|entry| entry.name == name)
            .unwrap()
            .id
    };
    let blob = in_dir(in_dir(present.tree, "new"), "file.rs");
    let mut bytes = Vec::new();
    assert_eq!(handle.blob(blob, 99, &mut bytes).unwrap(), BlobRead::Whole);
    place.write("new/file.rs", "fn behind() {}\n");
    let error = handle.blob(blob, 99, &mut bytes).unwrap_err();
    assert!(matches!(&error, RepoError::Changed { path } if path == "new/file.rs"));
    assert!(error.retryable());
    // Nor through a link that took the place of its folder.
    fs::rename(place.at("new"), place.dir.path().join("moved")).unwrap();
    fs::write(place.dir.path().join("moved/file.rs"), "fn before() {}\n").unwrap();
    symlink("../moved", place.at("new")).unwrap();
    assert!(handle.blob(blob, 99, &mut bytes).is_err());
}

#[test]
fn what_was_seen_before_is_read_from_the_repository_or_from_the_file() {
    let place = Place::new();
    place.write("new.rs", "fn new() {}\n");
    let id = |text: &str| {
        let file = place.dir.path().join("text");
        fs::write(&file, text).unwrap();
        let hex = git(&place.root(), &["hash-object", file.to_str().unwrap()]);
        ObjectId::from_hex(hex.as_bytes()).unwrap()
    };
    let (new, committed, gone) = (id("fn new() {}\n"), id("fn deep() {}\n"), id("gone\n"));
    let worktree = Worktree::containing(&place.root()).unwrap();
    let files = [(new, "new.rs"), (committed, "moved.rs"), (gone, "README")];
    let files = files.map(|(id, path)| (id, path.into(), 12));
    let handle = worktree.seen_before(files).unwrap().handle();
    let mut bytes = Vec::new();
    handle.blob(new, 99, &mut bytes).unwrap();
    assert_eq!(bytes, b"fn new() {}\n");
    handle.blob(committed, 99, &mut bytes).unwrap();
    assert_eq!(bytes, b"fn deep() {}\n");
    let error = handle.blob(gone, 99, &mut bytes).unwrap_err();
    assert!(matches!(error, RepoError::Changed { .. }), "{error}");
}

#[test]
fn who_is_told_to_stop_stops_and_says_how_far_it_came() {
    let place = Place::new();
    for number in 0..600 {
        place.write(format!("many/file{number}"), "");
    }
    let worktree = Worktree::containing(&place.root()).unwrap();
    let stop = AtomicBool::new(false);
    let seen = |count| {
        assert_eq!(count, 256);
        stop.store(true, Ordering::Relaxed);
    };
    let stopped = worktree.look(&stop, &seen);
    assert!(matches!(stopped, Err(RepoError::Cancelled)));
}

#[test]
fn an_index_that_leads_out_of_the_worktree_is_refused() {
    let place = Place::new();
    // Git itself writes no such index; a byte of a name is changed, and the checksum left out.
    git(&place.root(), &["config", "index.skipHash", "true"]);
    place.write("ab/x", "x\n");
    git(&place.root(), &["-c", "index.version=2", "add", "-A"]);
    let file = place.at(".git/index");
    let mut index = fs::read(&file).unwrap();
    let at = index.windows(4).position(|four| four == b"ab/x").unwrap();
    index[at..at + 4].copy_from_slice(b"../x");
    let end = index.len() - 20;
    index[end..].fill(0);
    fs::write(&file, index).unwrap();
    let worktree = Worktree::containing(&place.root()).unwrap();
    let refused = worktree.look(&AtomicBool::new(false), &|_| ());
    assert!(matches!(refused, Err(RepoError::InvalidArgument { .. })));
}

/// Works on a thread for which permissions count, though it be root's.
fn as_its_owner<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            let overrides = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            sets.effective.remove(overrides);
            set_capabilities(None, sets).unwrap();
            work()
        });
        worker.join().unwrap()
    })
}

#[test]
fn what_may_not_be_read_is_left_out_and_counted() {
    let place = Place::new();
    place.write("private/x", "x\n");
    place.write("closed", "x\n");
    fs::set_permissions(place.at("private"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(place.at("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let present = as_its_owner(|| place.look());
    fs::set_permissions(place.at("private"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(present.unreadable, 2);
    let head = git(&place.root(), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(present.tree.to_string(), head);
}

#[test]
fn an_object_counts_only_as_what_its_id_says() {
    let place = Place::new();
    let root = place.root();
    let id = |path: &str| ObjectId::from_hex(git(&root, &["hash-object", path]).trim().as_bytes());
    let (asked, other) = (id("README").unwrap(), id("src/lib.rs").unwrap());
    let read = || {
        let present = look(&root);
        let mut bytes = Vec::new();
        let handle = present.content.handle();
        let read = handle.blob(asked, 1_000, &mut bytes);
        read.map(|_| bytes)
    };
    // Git itself would read another blob in its place.
    let replaced = [asked, other].map(|id| id.to_string());
    git(&root, &["replace", &replaced[0], &replaced[1]]);
    assert_eq!(read().unwrap(), b"read me\n");
    // An object that lies is not taken for the truth.
    let object = |id: ObjectId| {
        let id = id.to_string();
        root.join(".git/objects").join(&id[..2]).join(&id[2..])
    };
    fs::remove_file(object(asked)).unwrap();
    fs::copy(object(other), object(asked)).unwrap();
    assert!(read().is_err());
}
