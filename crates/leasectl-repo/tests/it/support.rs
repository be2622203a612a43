//! Factories: small repositories made by the `git` program in a hermetic environment, caches, and
//! waiting on conditions with a deadline.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use leasectl_remote::{Locality, Refspec, RemoteUrl};
use leasectl_repo::{
    CacheSettings, ChildProgram, CloneCache, CloneTarget, CredentialSource, FetchReport, Limits,
    NoProgress, ReadyClone, RepoError,
    serve::{Fault, LocalRemote, ServeOptions},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest time a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with one bare repository to clone from, and a cache to clone into.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) origin: Origin,
    pub(crate) id: Uuid,
}

/// A bare repository.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) path: PathBuf,
}

impl World {
    /// One branch with a few commits.
    pub(crate) fn new() -> Self {
        Self::with_hash("sha1")
    }

    pub(crate) fn with_hash(hash: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("remotes/origin.git");
        fs::create_dir_all(&path).unwrap();
        let origin = Origin { path };
        origin.git(&[
            "init",
            "-q",
            "--bare",
            "-b",
            "main",
            &format!("--object-format={hash}"),
            ".",
        ]);
        for number in 0..3 {
            origin.commit(
                "main",
                &format!("file{number}"),
                &format!("content {number}\n"),
            );
        }
        Self {
            dir,
            origin,
            id: Uuid::new_v4(),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(crate) fn settings(&self) -> CacheSettings {
        CacheSettings {
            root: self.root(),
            locality: Locality::AllowLocal,
            limits: limits(),
            credentials: CredentialSource::none(),
            git_child: git_child(),
        }
    }

    pub(crate) fn cache(&self) -> CloneCache {
        CloneCache::open(self.settings()).unwrap()
    }

    /// The origin over `file://`.
    pub(crate) fn target(&self) -> CloneTarget {
        self.target_at(self.origin.path.to_str().unwrap())
    }

    pub(crate) fn target_at(&self, url: &str) -> CloneTarget {
        CloneTarget {
            id: self.id,
            url: RemoteUrl::parse(url, Locality::AllowLocal).unwrap(),
        }
    }

    /// The origin over HTTP.
    pub(crate) async fn serve(&self) -> LocalRemote {
        LocalRemote::start(self.dir.path().join("remotes"), ServeOptions::default())
            .await
            .unwrap()
    }

    pub(crate) async fn serve_with(&self, fault: Fault) -> LocalRemote {
        let remote = self.serve().await;
        remote.set_fault(fault);
        remote
    }

    /// Where the clone stands.
    pub(crate) fn clone_dir(&self) -> PathBuf {
        self.root().join(self.id.to_string()).join("clone.git")
    }

    /// What lies in the repository's directory besides the clone and lock files.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(self.id.to_string())).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("new-") || name.starts_with("old-"))
            .collect()
    }

    /// The only pack of the clone.
    pub(crate) fn pack(&self) -> PathBuf {
        let packs: Vec<_> = fs::read_dir(self.clone_dir().join("objects/pack"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "pack")
            })
            .collect();
        assert_eq!(packs.len(), 1, "{packs:?}");
        packs.into_iter().next().unwrap()
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        wall_clock: Duration::from_secs(60),
        lock_wait: Duration::from_secs(60),
        ..Limits::default()
    }
}

pub(crate) fn git_child() -> ChildProgram {
    ChildProgram {
        program: env!("CARGO_BIN_EXE_leasectl-git-child").into(),
        args: Vec::new(),
    }
}

impl Origin {
    /// Runs git in the repository and returns what it printed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }

    /// Adds a commit with one more file to a branch, making the branch if needed.
    pub(crate) fn commit(&self, branch: &str, file: &str, content: &str) -> String {
        self.commit_all(branch, &[(file.to_owned(), content)])
    }

    /// Adds a commit with many files of incompressible content, about `bytes` in all.
    pub(crate) fn fatten(&self, branch: &str, bytes: usize) {
        const FILE_BYTES: usize = 16 * 1024;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut text = String::with_capacity(bytes);
        while text.len() < bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{:016x}", state ^ (state >> 29)));
        }
        let pieces: Vec<_> = (0..text.len())
            .step_by(FILE_BYTES)
            .map(|at| {
                (
                    format!("fat{at}"),
                    &text[at..text.len().min(at + FILE_BYTES)],
                )
            })
            .collect();
        self.commit_all(branch, &pieces);
    }

    fn commit_all(&self, branch: &str, files: &[(String, &str)]) -> String {
        let reference = format!("refs/heads/{branch}");
        let exists = self.git(&["for-each-ref", &reference]);
        let mut stream = format!(
            "commit {reference}\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\n"
        );
        if !exists.is_empty() {
            stream.push_str(&format!("from {reference}^0\n"));
        }
        for (name, content) in files {
            stream.push_str(&format!(
                "M 100644 inline {name}\ndata {}\n{content}\n",
                content.len()
            ));
        }
        self.import(stream.as_bytes());
        self.id_of(&reference)
    }

    pub(crate) fn id_of(&self, name: &str) -> String {
        self.git(&["rev-parse", name])
    }

    /// Feeds a stream to git fast-import.
    pub(crate) fn import(&self, stream: &[u8]) {
        self.feed(&["fast-import", "--quiet", "--force"], stream);
    }

    /// Writes an object as it is, however malformed.
    pub(crate) fn write(&self, kind: &str, content: &[u8]) -> String {
        let args = ["hash-object", "-w", "--literally", "--stdin", "-t", kind];
        self.feed(&args, content)
    }

    fn feed(&self, args: &[&str], input: &[u8]) -> String {
        use std::io::Write as _;
        let mut command = hermetic("git");
        command.current_dir(&self.path).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

/// Runs git in a directory and returns what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = hermetic("git")
        .current_dir(dir)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim_end().to_owned()
}

/// A program that sees nothing of the developer's configuration.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' module that starts programs"
)]
pub(crate) fn hermetic(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    command
        .env_clear()
        .env("PATH", path)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@example.com");
    command
}

/// A fetch of the default refspecs.
pub(crate) async fn fetch(
    cache: &CloneCache,
    target: &CloneTarget,
) -> Result<FetchReport, RepoError> {
    fetch_some(cache, target, &[]).await
}

pub(crate) async fn fetch_some(
    cache: &CloneCache,
    target: &CloneTarget,
    refspecs: &[&str],
) -> Result<FetchReport, RepoError> {
    let refspecs: Vec<_> = refspecs
        .iter()
        .map(|text| Refspec::parse(text).unwrap())
        .collect();
    cache
        .fetch(target, &refspecs, &NoProgress, &CancellationToken::new())
        .await
}

/// A clone with no particular needs.
pub(crate) async fn ensure(
    cache: &CloneCache,
    target: &CloneTarget,
) -> Result<ReadyClone, RepoError> {
    cache
        .ensure_clone(target, &[], &NoProgress, &CancellationToken::new())
        .await
}

/// Everything that an error says, with its causes.
pub(crate) fn whole(error: &RepoError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
