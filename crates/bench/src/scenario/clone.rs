//! A cold clone and a nothing-new fetch over HTTP on loopback, beside git with the same refspecs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use leasectl_remote::{Locality, RemoteUrl, default_refspecs};
use leasectl_repo::serve::{LocalRemote, ServeOptions};
use leasectl_repo::{
    CacheSettings, ChildProgram, CloneCache, CloneTarget, CredentialSource, Limits, NoProgress,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::GIT_CHILD;
use crate::cli::CloneOptions;
use crate::error::BenchError;
use crate::process::git;
use crate::report::{Bar, Report, Unit, median};

/// Nothing-new fetches of one round; a round's number is their median.
const FETCHES: usize = 9;

/// A repository served on loopback.
pub(crate) struct Source {
    remote: LocalRemote,
    _folder: TempDir,
}

/// Commits a file with that content in a work tree.
pub(crate) async fn commit_file(work: &str, content: &[u8]) -> Result<(), BenchError> {
    tokio::fs::write(Path::new(work).join("file"), content).await?;
    git(["-C", work, "add", "file"]).await?;
    let author = [
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@bench.example",
    ];
    let commit = ["commit", "-q", "-m", "change"];
    git(["-C", work].into_iter().chain(author).chain(commit)).await?;
    Ok(())
}

impl Source {
    /// A repository of a few commits.
    pub(crate) async fn small() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("work").display().to_string();
        git(["init", "-q", "--initial-branch=main", &work]).await?;
        for number in 0..5 {
            commit_file(&work, number.to_string().as_bytes()).await?;
        }
        let bare = folder.path().join("bench/source.git").display().to_string();
        git(["clone", "-q", "--mirror", &work, &bare]).await?;
        Self::serve(folder).await
    }

    /// What a bundle holds.
    async fn of_bundle(bundle: &Path) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir()?;
        let bare = folder.path().join("bench/source.git").display().to_string();
        git([
            "clone",
            "-q",
            "--mirror",
            &bundle.display().to_string(),
            &bare,
        ])
        .await?;
        Self::serve(folder).await
    }

    async fn serve(folder: TempDir) -> Result<Self, BenchError> {
        let remote = LocalRemote::start(folder.path().to_owned(), ServeOptions::default()).await?;
        Ok(Self {
            remote,
            _folder: folder,
        })
    }

    fn url(&self) -> String {
        self.remote.url("bench/source.git")
    }

    /// The same remote under an id that no clone has yet.
    pub(crate) fn target(&self) -> Result<CloneTarget, BenchError> {
        let url = RemoteUrl::parse(&self.url(), Locality::AllowLocal)
            .map_err(|error| BenchError::Unexpected(error.to_string()))?;
        Ok(CloneTarget {
            id: Uuid::new_v4(),
            url,
        })
    }
}

/// A clone cache in a folder, whose Git child is this program.
pub(crate) fn cache(folder: &Path) -> Result<CloneCache, BenchError> {
    Ok(CloneCache::open(CacheSettings {
        root: folder.to_owned(),
        locality: Locality::AllowLocal,
        limits: Limits::default(),
        credentials: CredentialSource::none(),
        git_child: ChildProgram {
            program: std::env::current_exe()?,
            args: vec![GIT_CHILD.into()],
        },
    })?)
}

pub(crate) async fn run(options: &CloneOptions) -> Result<(), BenchError> {
    let mut report = Report::new("clone");
    report.note("over HTTP on loopback; both sides with the same refspecs");
    let source = Source::of_bundle(&options.bundle).await?;
    for _ in 0..options.rounds.rounds {
        round(&source, &mut report).await?;
    }
    Ok(report.print()?)
}

async fn round(source: &Source, report: &mut Report) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let by_git = GitClone {
        path: folder.path().join("git"),
        url: source.url(),
    };
    let started = Instant::now();
    by_git.cold().await?;
    let git_cold = started.elapsed().as_secs_f64();

    let cache = cache(&folder.path().join("cache"))?;
    let (target, cancel) = (source.target()?, CancellationToken::new());
    let started = Instant::now();
    cache.fetch(&target, &[], &NoProgress, &cancel).await?;
    let our_cold = started.elapsed().as_secs_f64();

    let (mut git_fetches, mut our_fetches) = (Vec::new(), Vec::new());
    for _ in 0..FETCHES {
        let started = Instant::now();
        by_git.fetch().await?;
        git_fetches.push(started.elapsed().as_secs_f64() * 1_000.0);
        let started = Instant::now();
        cache.fetch(&target, &[], &NoProgress, &cancel).await?;
        our_fetches.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    let (git_fetch, our_fetch) = (median(&git_fetches), median(&our_fetches));
    report.add("git, cold", Unit::Seconds, Bar::None, git_cold);
    report.add("ours, cold", Unit::Seconds, Bar::None, our_cold);
    report.add(
        "cold clone ÷ git",
        Unit::Ratio,
        Bar::AtMost(1.0),
        our_cold / git_cold,
    );
    report.add(
        "git fetch, nothing new",
        Unit::Milliseconds,
        Bar::None,
        git_fetch,
    );
    report.add(
        "our fetch, nothing new",
        Unit::Milliseconds,
        Bar::None,
        our_fetch,
    );
    report.add(
        "nothing-new fetch ÷ git",
        Unit::Ratio,
        Bar::AtMost(0.5),
        our_fetch / git_fetch,
    );
    Ok(())
}

/// What a user of git would do.
struct GitClone {
    path: PathBuf,
    url: String,
}

impl GitClone {
    async fn cold(&self) -> Result<(), BenchError> {
        git(["init", "-q", "--bare", &self.path.display().to_string()]).await?;
        self.fetch().await
    }

    async fn fetch(&self) -> Result<(), BenchError> {
        let path = self.path.display().to_string();
        let options = [
            "-C",
            &path,
            "fetch",
            "-q",
            "--prune",
            "--no-tags",
            &self.url,
        ];
        let refspecs = default_refspecs()
            .into_iter()
            .map(|refspec| refspec.to_string());
        git(options.map(str::to_owned).into_iter().chain(refspecs)).await?;
        Ok(())
    }
}
