//! A folder whose content is opened without following a link, at any component of a path.
//!
//! Each component is opened by itself, from the folder above it: where a link stands, or is put while this
//! reads, opening fails. So whatever a worktree holds, nothing outside of it is read.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gix::bstr::{BStr, BString, ByteSlice as _};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

/// A folder, held open.
#[derive(Debug)]
pub(crate) struct Beneath {
    root: OwnedFd,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The names, without those of Git's own folder.
    pub(super) names: Vec<BString>,
    /// It has a folder or file of Git's.
    pub(super) has_git: bool,
}

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opening a pipe must not wait for who writes to it, and no terminal becomes this process's own.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl Beneath {
    /// Holds the folder at `root`.
    pub(super) fn hold(root: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(root, DIR, Mode::empty())?;
        Ok(Self { root })
    }

    /// The folder at `path`, from the root; the root for an empty one.
    pub(super) fn dir(&self, path: &BStr) -> Result<OwnedFd, Errno> {
        let mut dir = openat(&self.root, c".", DIR, Mode::empty())?;
        if !path.is_empty() {
            for name in path.split_str("/") {
                dir = openat(&dir, plain(name)?, DIR, Mode::empty())?;
            }
        }
        Ok(dir)
    }

    /// The regular file at `path`, from the root.
    pub(super) fn file(&self, path: &BStr) -> Result<File, Errno> {
        let (dir, name) = match path.rfind_byte(b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (b"".as_bstr(), path),
        };
        file_in(&self.dir(dir)?, name.as_bstr())
    }
}

/// The regular file of that name in an open folder.
pub(super) fn file_in(dir: impl AsFd, name: &BStr) -> Result<File, Errno> {
    let file = openat(dir, plain(name)?, FILE, Mode::empty())?;
    // It may have been replaced since it was looked at.
    if kind(&fstat(&file)?) != FileType::RegularFile {
        return Err(Errno::LOOP);
    }
    Ok(File::from(file))
}

/// What stands in an open folder under a name.
pub(super) fn stat_in(dir: impl AsFd, name: &BStr) -> Result<Stat, Errno> {
    statat(dir, plain(name)?, AtFlags::SYMLINK_NOFOLLOW)
}

/// Where a link in an open folder points.
pub(super) fn link_in(dir: impl AsFd, name: &BStr) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(dir, plain(name)?, Vec::new())?.into_bytes())
}

/// The names in an open folder.
pub(super) fn list(dir: impl AsFd) -> Result<Listing, Errno> {
    let mut listing = Listing::default();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.eq_ignore_ascii_case(b".git") {
            listing.has_git = true;
        } else if name != b"." && name != b".." {
            listing.names.push(name.into());
        }
    }
    Ok(listing)
}

/// What a file is.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether what was looked for is not there any more, or is something else now.
pub(super) fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV
    )
}

/// Whether this user may not read it.
pub(super) fn is_denied(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM)
}

/// One component that leads downwards. A damaged index of Git may name others.
pub(super) fn is_plain(name: &[u8]) -> bool {
    !(name.is_empty()
        || name == b"."
        || name == b".."
        || name.eq_ignore_ascii_case(b".git")
        || name.iter().any(|byte| matches!(byte, 0 | b'/')))
}

fn plain(name: &[u8]) -> Result<&[u8], Errno> {
    is_plain(name).then_some(name).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn world() -> (tempfile::TempDir, Beneath) {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir_all(world.path().join("root/a/b")).unwrap();
        fs::create_dir(world.path().join("outside")).unwrap();
        fs::write(world.path().join("outside/secret"), "secret").unwrap();
        fs::write(world.path().join("root/a/b/c"), "content").unwrap();
        let root = Beneath::hold(&world.path().join("root")).unwrap();
        (world, root)
    }

    #[test]
    fn a_file_is_opened_by_its_path_from_the_root() {
        let (_world, root) = world();
        let mut text = String::new();
        let mut file = root.file(b"a/b/c".as_bstr()).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert_eq!(list(root.dir(b"".as_bstr()).unwrap()).unwrap().names, ["a"]);
    }

    #[test]
    fn no_link_is_followed_at_any_component() {
        let (world, root) = world();
        let at = |name: &str| world.path().join("root").join(name);
        symlink("../outside", at("out")).unwrap();
        symlink("a", at("in")).unwrap();
        symlink("../../../outside/secret", at("a/b/link")).unwrap();
        for path in ["out/secret", "in/b/c", "a/b/link", "out"] {
            assert!(root.file(path.as_bytes().as_bstr()).is_err(), "{path}");
        }
        for path in ["out", "in", "in/b"] {
            let error = root.dir(path.as_bytes().as_bstr()).unwrap_err();
            assert!(is_gone(error), "{path}: {error}");
        }
    }

    #[test]
    fn nothing_leads_upwards() {
        let (_world, root) = world();
        for path in [
            "..",
            "../outside/secret",
            "a/../../outside/secret",
            "a//b/c",
            "./a/b/c",
            "/etc/passwd",
        ] {
            assert!(root.file(path.as_bytes().as_bstr()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let (world, root) = world();
        let pipe = world.path().join("root/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(root.file(b"pipe".as_bstr()).is_err());
    }
}
