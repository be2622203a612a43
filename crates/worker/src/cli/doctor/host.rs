//! This machine: the folder of the clones and the programs that Git work needs.

use std::path::Path;

use super::Check;
use crate::cli::{ByteSize, Context};

/// Less free space than this is worth a look.
const LITTLE_BYTES: u64 = 5 << 30;
/// Less free space than this and the next clone fails.
const NOTHING_BYTES: u64 = 100 << 20;

/// All checks of this machine.
pub(super) fn checks(context: &Context) -> Vec<Check> {
    let clones = match context.repos_dir() {
        Ok(folder) => repos_dir(&folder),
        Err(error) => Check::fail("repos-dir", error.to_string(), "set --repos-dir"),
    };
    vec![clones, git(context), ssh(context)]
}

fn repos_dir(folder: &Path) -> Check {
    const NAME: &str = "repos-dir";
    // Nothing is created here: a folder that is not there yet is judged by its closest parent.
    let Some(existing) = folder.ancestors().find(|folder| folder.exists()) else {
        return Check::fail(
            NAME,
            folder.display().to_string(),
            "name a folder that can exist",
        );
    };
    let writable = rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok();
    if !existing.is_dir() || !writable {
        return Check::fail(
            NAME,
            format!("{} cannot be written to", existing.display()),
            "give this user the right to write there, or set --repos-dir",
        );
    }
    match rustix::fs::statvfs(existing) {
        Ok(space) => judge(folder, space.f_bavail.saturating_mul(space.f_frsize)),
        Err(error) => Check::warn(
            NAME,
            format!("{}: free space is unknown: {error}", folder.display()),
            "check the disk",
        ),
    }
}

fn judge(folder: &Path, free: u64) -> Check {
    const NAME: &str = "repos-dir";
    let detail = format!("{}, {} free", folder.display(), ByteSize::from(free));
    if free < NOTHING_BYTES {
        return Check::fail(NAME, detail, "free space or lower --disk-budget");
    }
    if free < LITTLE_BYTES {
        return Check::warn(NAME, detail, "free space or lower --disk-budget");
    }
    Check::ok(NAME, detail)
}

fn git(context: &Context) -> Check {
    if context.finds_program("git") {
        return Check::ok("git", "found");
    }
    Check::fail("git", "not found in PATH", "install the package git")
}

fn ssh(context: &Context) -> Check {
    if context.finds_program("ssh") {
        return Check::ok("ssh", "found");
    }
    Check::warn(
        "ssh",
        "not found in PATH",
        "install the package openssh-client if any remote is reached over ssh",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let folder = Path::new("/repos");
        assert_eq!(judge(folder, 50 << 30).status, Verdict::Ok);
        assert_eq!(judge(folder, 1 << 30).status, Verdict::Warn);
        assert_eq!(judge(folder, 1 << 20).status, Verdict::Fail);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_its_parent() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("not/yet");
        let check = repos_dir(&folder);
        assert_ne!(check.detail, "", "{check:?}");
        assert!(!folder.exists(), "the doctor creates nothing");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_fails() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(repos_dir(&file).status, Verdict::Fail);
    }
}
