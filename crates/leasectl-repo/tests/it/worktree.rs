//! Worktrees, as `git add -A` and `git write-tree` would have them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use leasectl_repo::{BlobRead, EntryKind, Handle, ObjectId, Present, Worktree};
use tempfile::TempDir;

use crate::support::{git, hermetic};

/// A worktree with one commit.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with_hash("sha1")
    }

    fn with_hash(hash: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.root()).unwrap();
        let format = format!("--object-format={hash}");
        git(&place.root(), &["init", "-q", "-b", "main", &format]);
        for (path, text) in [
            ("README", "read me\n"),
            ("src/lib.rs", "pub mod deep;\n"),
            ("src/deep/mod.rs", "fn deep() {}\n"),
            ("src.rs", "between a folder's name and its slash\n"),
            ("tests/it.rs", "fn it() {}\n"),
        ] {
            place.write(path, text);
        }
        place.commit();
        place
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<OsStr>, text: impl AsRef<[u8]>) {
        write(&self.root(), path.as_ref(), text.as_ref());
    }

    pub(crate) fn commit(&self) {
        git(&self.root(), &["add", "-A"]);
        git(&self.root(), &["commit", "-q", "--allow-empty", "-m", "x"]);
    }

    pub(crate) fn look(&self) -> Present {
        look(&self.root())
    }

    /// Holds what is seen against Git.
    pub(crate) fn check(&self, what: &str) -> Present {
        let present = self.look();
        assert_eq!(present.tree.to_string(), by_git(&self.root()), "{what}");
        read_all(&present.content.handle(), present.tree);
        present
    }
}

pub(crate) fn write(root: &Path, path: &OsStr, text: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn look(root: &Path) -> Present {
    let worktree = Worktree::containing(root).unwrap();
    worktree.look(&AtomicBool::new(false), &|_| ()).unwrap()
}

/// The tree of everything, as Git makes it: with an index and a place for objects of its own, so that what
/// is only in the worktree stays there.
pub(crate) fn by_git(root: &Path) -> String {
    let own = TempDir::new().unwrap();
    let real = git(root, &["rev-parse", "--git-path", "objects"]);
    let index = root.join(git(root, &["rev-parse", "--git-path", "index"]));
    let copy = own.path().join("index");
    if index.exists() {
        fs::copy(&index, &copy).unwrap();
        // Git compares content that is as old as its index: a younger copy would have it trust times by the second.
        let written = fs::metadata(&index).unwrap().modified().unwrap();
        let opened = fs::OpenOptions::new().write(true).open(&copy).unwrap();
        opened.set_modified(written).unwrap();
    }
    fs::create_dir(own.path().join("objects")).unwrap();
    let run = |args: &[&str]| {
        let output = hermetic("git")
            .current_dir(root)
            .env("GIT_INDEX_FILE", &copy)
            .env("GIT_OBJECT_DIRECTORY", own.path().join("objects"))
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", root.join(&real))
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    };
    run(&["add", "-A"]);
    run(&["write-tree"])
}

/// Reads every file of a tree, each as the blob that it is, and answers the paths.
pub(crate) fn read_all(handle: &Handle, tree: ObjectId) -> BTreeSet<String> {
    let (mut paths, mut rest) = (BTreeSet::new(), vec![(String::new(), tree)]);
    let mut bytes = Vec::new();
    while let Some((dir, tree)) = rest.pop() {
        for entry in handle.dir(tree).unwrap() {
            let path = format!("{dir}{}", entry.name);
            match entry.kind {
                EntryKind::Dir => rest.push((format!("{path}/"), entry.id)),
                EntryKind::File => {
                    let read = handle.blob(entry.id, 1 << 20, &mut bytes).unwrap();
                    assert_eq!(read, BlobRead::Whole, "{path}");
                    paths.insert(path);
                }
                EntryKind::Link | EntryKind::Submodule => {}
            }
        }
    }
    paths
}

#[test]
fn a_clean_worktree_has_the_tree_of_its_commit_and_nothing_of_its_own() {
    for hash in ["sha1", "sha256"] {
        let place = Place::with_hash(hash);
        let present = place.check(hash);
        let head = git(&place.root(), &["rev-parse", "HEAD", "HEAD^{tree}"]);
        assert_eq!(format!("{}\n{}", present.head, present.tree), head);
        assert_eq!(present.unreadable, 0);
    }
}

#[test]
fn every_change_counts_as_git_add_would_have_it() {
    let place = Place::new();
    place.write("src/lib.rs", "pub mod shallow;\n");
    place.check("modified");
    place.write("src/new/a/b.rs", "fn new() {}\n");
    place.check("untracked in folders of its own");
    fs::remove_file(place.at("src/deep/mod.rs")).unwrap();
    place.check("deleted, and its folder is empty");
    fs::create_dir_all(place.at("empty/below")).unwrap();
    place.check("an empty folder");
    fs::set_permissions(place.at("README"), fs::Permissions::from_mode(0o755)).unwrap();
    place.check("executable");
    symlink("README", place.at("link")).unwrap();
    symlink("/no/such/place", place.at("src/dangling")).unwrap();
    place.check("links");
    place.write(OsStr::from_bytes(b"caf\xe9/na\xefve"), "not text\n");
    place.write("quo\"ted \\ \n name", "odd\n");
    place.check("names that are no text");
    fs::remove_dir_all(place.at("tests")).unwrap();
    place.write("tests", "a file now\n");
    place.check("a folder became a file");
    fs::remove_file(place.at("src.rs")).unwrap();
    place.write("src.rs/x", "a folder now\n");
    place.check("a file became a folder");
    fs::remove_file(place.at("src/lib.rs")).unwrap();
    symlink("new", place.at("src/lib.rs")).unwrap();
    place.check("a file became a link");
    git(&place.root(), &["add", "src"]);
    git(&place.root(), &["rm", "-q", "--cached", "README"]);
    git(&place.root(), &["add", "-N", "link"]);
    place.check("partly staged");
    place.commit();
    place.check("committed");
}

#[test]
fn what_rules_leave_out_is_left_out_unless_it_is_tracked() {
    let place = Place::new();
    place.write("build/kept/tracked.o", "tracked\n");
    place.commit();
    place.write(".gitignore", "/build/\n*.log\n!keep.log\n# no rule\n");
    place.write(".git/info/exclude", "secret*\n");
    place.write("src/.gitignore", "local\n!*.log\n");
    for path in [
        "build/out.o",
        "build/kept/more.o",
        "a.log",
        "keep.log",
        "src/b.log",
        "src/local",
        "src/deep/local/x",
        "local",
        "secret.txt",
        "tests/secrets/x",
        "build.txt",
    ] {
        place.write(path, path);
    }
    let present = place.check("ignored");
    let paths = read_all(&present.content.handle(), present.tree);
    for (path, is_in) in [
        ("build/kept/tracked.o", true),
        ("build/kept/more.o", false),
        ("keep.log", true),
        ("src/b.log", true),
        ("src/deep/local/x", false),
        ("local", true),
        ("tests/secrets/x", false),
    ] {
        assert_eq!(paths.contains(path), is_in, "{path}");
    }
    place.write("build/kept/tracked.o", "changed\n");
    place.check("a tracked file in an ignored folder changed");
    fs::remove_file(place.at("build/kept/tracked.o")).unwrap();
    place.check("and is gone");
}

#[test]
fn whatever_a_worktree_looks_like_it_has_the_tree_that_git_would_write() {
    // Deterministic: a failure names its round.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from((state >> 11) % sides).unwrap()
    };
    let names: [&[u8]; 8] = [b"a", b"a.b", b"a-b", b"b", b"A", b"\xff", b"x y", b"z.log"];
    for round in 0..12 {
        let place = Place::new();
        for step in 0..60 {
            let depth = 1 + roll(3);
            let mut path = PathBuf::new();
            for _ in 0..depth {
                path.push(OsStr::from_bytes(names[roll(8)]));
            }
            let full = place.root().join(&path);
            let is_blocked = full
                .ancestors()
                .skip(1)
                .take_while(|above| *above != place.root())
                .any(|above| above.symlink_metadata().is_ok_and(|found| !found.is_dir()));
            if is_blocked {
                continue;
            }
            let there = full.symlink_metadata().ok();
            match (roll(10), there) {
                (0 | 1, Some(found)) if found.is_dir() => fs::remove_dir_all(&full).unwrap(),
                (0..=2, Some(found)) if !found.is_dir() => fs::remove_file(&full).unwrap(),
                (3, None) => {
                    fs::create_dir_all(full.parent().unwrap()).unwrap();
                    symlink(["a", "../b", "/etc"][roll(3)], &full).unwrap();
                }
                (4, Some(found)) if found.is_file() => {
                    fs::set_permissions(&full, fs::Permissions::from_mode(0o755)).unwrap();
                }
                (5, None) => fs::create_dir_all(&full).unwrap(),
                (6, None) => write(&full, OsStr::new(".gitignore"), b"*.log\n/a\n!b/\nx*/\n"),
                (_, Some(found)) if !found.is_file() => {}
                _ => write(&place.root(), path.as_os_str(), &[b'x'; 3][..roll(4)]),
            }
            if roll(12) == 0 {
                git(&place.root(), &["add", "-A"]);
            }
            if roll(25) == 0 {
                place.commit();
            }
            if step % 20 == 19 {
                place.check(&format!("round {round}, step {step}"));
            }
        }
    }
}

#[test]
fn files_that_git_was_told_to_assume_unchanged_count_as_they_were() {
    let place = Place::new();
    let assumed = ["update-index", "--assume-unchanged", "README", "src.rs"];
    git(&place.root(), &assumed);
    place.write("README", "changed\n");
    fs::remove_file(place.at("src.rs")).unwrap();
    let present = place.check("assumed");
    let head = git(&place.root(), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(present.tree.to_string(), head);
}

#[test]
fn an_index_of_any_form_is_understood() {
    for form in [
        &["update-index", "--index-version", "4"][..],
        &["update-index", "--split-index"],
        &["update-index", "--untracked-cache"],
    ] {
        let place = Place::new();
        git(&place.root(), form);
        place.check(&format!("{form:?}"));
        place.write("src/lib.rs", "changed\n");
        place.write("src/staged.rs", "staged\n");
        git(&place.root(), &["add", "src/staged.rs"]);
        place.write("src/untracked.rs", "untracked\n");
        place.check(&format!("{form:?}, with changes"));
    }
}
