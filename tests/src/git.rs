//! Repositories to serve, made with the git program alone and the same bytes every time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::process::Invocation;

/// A bare repository that a remote serves.
#[derive(Clone, Debug)]
pub struct Origin {
    path: PathBuf,
}

impl Origin {
    /// Makes an empty repository whose default branch is `main`.
    ///
    /// # Panics
    /// When git refuses.
    #[must_use]
    pub fn create(path: &Path) -> Self {
        let origin = Self {
            path: path.to_owned(),
        };
        std::fs::create_dir_all(path).expect("a folder");
        origin.git(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        // Objects stay as they were made, whatever is pushed.
        origin.git(&["config", "gc.auto", "0"]);
        origin
    }

    /// A repository that is there already, such as a clone.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits one file on top of a branch, which is made if it is missing; the commit's id.
    ///
    /// # Panics
    /// When git refuses.
    pub fn commit(&self, branch: &str, file: &str, content: &[u8]) -> String {
        let mut stream = Vec::new();
        let before = self.find(branch);
        let mut head = format!("commit refs/heads/{branch}\n");
        head.push_str("committer Test <test@example.invalid> 1700000000 +0000\n");
        let message = format!("Change {file}");
        write!(head, "data {}\n{message}\n", message.len()).expect("a string");
        if let Some(before) = before {
            writeln!(head, "from {before}").expect("a string");
        }
        writeln!(head, "M 100644 inline {file}\ndata {}", content.len()).expect("a string");
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(content);
        stream.extend_from_slice(b"\n\ndone\n");
        self.invocation(&["fast-import", "--quiet", "--done", "--force"])
            .input(stream)
            .run()
            .ok();
        self.find(branch).expect("the commit that was just made")
    }

    /// Commits that many changes on top of a branch, one after another; their ids, oldest first.
    ///
    /// # Panics
    /// When git refuses.
    #[must_use]
    pub fn commit_many(&self, branch: &str, count: usize) -> Vec<String> {
        let mut stream = String::new();
        let mut before = self.find(branch);
        for number in 0..count {
            let head = format!(
                "commit refs/heads/{branch}\ncommitter Test <test@example.invalid> 1700000000 +0000\n\
                 data 6\nChange\n"
            );
            stream.push_str(&head);
            if let Some(before) = before.take() {
                writeln!(stream, "from {before}").expect("a string");
            }
            let content = format!("{number} of {branch}");
            let file = number % 7;
            write!(
                stream,
                "M 100644 inline file{file}\ndata {}\n{content}\n\n",
                content.len()
            )
            .expect("a string");
        }
        stream.push_str("done\n");
        self.invocation(&["fast-import", "--quiet", "--done", "--force"])
            .input(stream)
            .run()
            .ok();
        let ids = self.git(&[
            "rev-list",
            "--reverse",
            "--max-count",
            &count.to_string(),
            branch,
        ]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Feeds `git fast-import`; what it prints.
    ///
    /// # Panics
    /// When git refuses.
    pub(crate) fn import(&self, stream: String) -> String {
        self.invocation(&["fast-import", "--quiet", "--done", "--force"])
            .input(stream)
            .run()
            .ok()
            .stdout
    }

    /// Points a ref, by its full name, at a commit.
    ///
    /// # Panics
    /// When git refuses.
    pub fn set_ref(&self, name: &str, commit: &str) {
        self.git(&["update-ref", name, commit]);
    }

    /// Deletes a branch.
    ///
    /// # Panics
    /// When git refuses.
    pub fn delete_branch(&self, branch: &str) {
        self.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    }

    /// Makes a branch the default one.
    ///
    /// # Panics
    /// When git refuses.
    pub fn set_default_branch(&self, branch: &str) {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
    }

    /// The commit of a branch.
    #[must_use]
    pub fn find(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let found = self
            .invocation(&["rev-parse", "--verify", "--quiet", &name])
            .run();
        (found.code == Some(0)).then(|| found.line())
    }

    /// Runs git here; what it prints.
    ///
    /// # Panics
    /// When git refuses.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        self.invocation(args).run().ok().line()
    }

    /// Runs git here; how it ended.
    #[must_use]
    #[track_caller]
    pub fn try_git(&self, args: &[&str]) -> crate::process::Finished {
        self.invocation(args).run()
    }

    fn invocation(&self, args: &[&str]) -> Invocation {
        // No configuration of the machine or the user, a fixed identity and fixed dates.
        Invocation::new("git")
            .dir(&self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Test")
            .env("GIT_AUTHOR_EMAIL", "test@example.invalid")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_NAME", "Test")
            .env("GIT_COMMITTER_EMAIL", "test@example.invalid")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .args(args)
    }
}

/// Bytes that do not compress, the same for the same seed: they make a clone take its time.
#[must_use]
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
