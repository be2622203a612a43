//! The judge: a repository with the same files, and `git grep` in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{File, Line, Pattern};

pub(crate) struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// A repository of all files in that folder; they are in its index, in no commit.
    pub(crate) fn with(folder: &Path, files: &[File]) -> Self {
        for file in files {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &file.bytes).unwrap();
        }
        let repository = Self {
            folder: folder.to_owned(),
        };
        repository.run(&["init", "--quiet"]);
        repository.run(&["add", "--all", "--force"]);
        repository
    }

    pub(crate) fn grep(&self, pattern: &Pattern) -> Vec<Line> {
        let mut arguments = vec![
            "grep",
            "--cached",
            "-I",
            "-n",
            "--column",
            "-z",
            "--no-color",
        ];
        arguments.push(if pattern.is_literal { "-F" } else { "-E" });
        if pattern.ignores_case {
            arguments.push("-i");
        }
        arguments.extend(["-e", &pattern.text]);
        self.run(&arguments)
            .split_inclusive(|byte| *byte == b'\n')
            .map(parse)
            .collect()
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = git(&self.folder).args(arguments).output().unwrap();
        // `git grep` ends with 1 where nothing matches, and says nothing.
        assert!(
            output.status.success() || output.stderr.is_empty(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

/// Git that sees nothing of the developer's configuration.
#[expect(
    clippy::disallowed_methods,
    reason = "the test asks git for its judgement"
)]
fn git(folder: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .current_dir(folder);
    command
}

/// One line of output: path, NUL, line, NUL, column, NUL, text.
fn parse(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == 0);
    let mut text = || String::from_utf8(parts.next().unwrap().to_vec()).unwrap();
    let (path, line, column) = (text(), text(), text());
    (
        path,
        line.parse().unwrap(),
        column.parse().unwrap(),
        parts.next().unwrap().to_vec(),
    )
}
