//! What the demo needs around it: a database, a repository to work on, two workers; and taking all
//! of it down again.

use std::path::PathBuf;
use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::repository::{self, Repository};
use leasectl_remote::{Locality, RemoteUrl, Scheme};
use leasectl_repo::serve::{LocalRemote, ServeOptions};
use leasectl_repo::{CloneTarget, NoProgress};
use leasectl_service::OpenDatabase;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::facade::{FILLER, Facade};
use super::process::{WorkerCommand, WorkerProcess};
use super::source::{Refs, Source};
use super::story::Story;
use crate::cli::{ByteSize, CommandError, Context, Exit, RepoArg, clone_failed, own_program};
use crate::config::ALLOW_LOCAL;

/// How many workers the demo runs.
const WORKERS: usize = 2;
/// How long the demo's workers may finish when the demo ends: nobody wants to wait for them.
const DRAIN: &str = "3s";
/// How long a transfer should last so that there is a middle of it to die in.
const TRANSFER: Duration = Duration::from_secs(7);
/// What arrives in so few pieces that there is no middle to die in.
const TINY_BYTES: u64 = 192 * 1024;

/// The demo's surroundings.
pub(crate) struct Stage {
    database: OpenDatabase,
    repository: Repository,
    /// Whether the registration is forgotten at the end.
    only_for_the_demo: bool,
    served: Option<LocalRemote>,
    workers: Vec<WorkerProcess>,
    clones: leasectl_repo::CloneCache,
    _folder: TempDir,
}

impl Stage {
    /// Finds the repository, opens the database and registers the repository in it.
    pub(crate) async fn set(
        context: &Context,
        wanted: Option<&RepoArg>,
        crash: bool,
        story: &mut Story<'_>,
    ) -> Result<Self, CommandError> {
        let folder = tempfile::Builder::new()
            .prefix("worker-demo-")
            .tempdir()
            .map_err(|error| {
                CommandError::caused(Exit::Failed, &error)
                    .hint("set TMPDIR to a folder that can be written")
            })?;
        // Before anything is started: most mistakes are made here.
        let local = match wanted {
            None => Some(here()?),
            Some(RepoArg::Path(path)) => Some(Source::around(path)?),
            Some(RepoArg::Id(_) | RepoArg::Name(_) | RepoArg::Url(_)) => None,
        };
        // The first start of a private server takes a while.
        story.progress("opening the database")?;
        let database = context.open().await?;
        story.tell(&format!("database ready: {}", context.describe(&database)))?;
        story.took("database ready", story.elapsed());
        let clones = context.clones_with(Locality::AllowLocal)?;
        let mut stage = Setting {
            context,
            database: &database,
            clones: &clones,
            folder: &folder,
        };
        let (repository, served, only_for_the_demo) = match (local, wanted, crash) {
            (Some(source), _, false) => stage.local(&source, story).await?,
            (Some(source), _, true) => stage.served(&source, story).await?,
            (None, Some(wanted), false) => (stage.elsewhere(wanted).await?, None, false),
            (None, Some(wanted), true) => {
                let source = stage.cloned(wanted, story).await?;
                stage.served(&source, story).await?
            }
            (None, None, _) => {
                return Err(CommandError::new(Exit::Usage, "no repository is named"));
            }
        };
        story.tell(&format!(
            "repository {} is {}",
            repository.name, repository.git_url
        ))?;
        Ok(Self {
            database,
            repository,
            only_for_the_demo,
            served,
            workers: Vec::new(),
            clones,
            _folder: folder,
        })
    }

    /// Starts the workers and waits until both can claim.
    pub(crate) async fn start_workers(
        &mut self,
        context: &Context,
        story: &mut Story<'_>,
    ) -> Result<(), CommandError> {
        let before = story.elapsed();
        let program = own_program()?;
        for _ in 0..WORKERS {
            let command = Self::worker_command(context, program.clone())?;
            let worker = WorkerProcess::start(&command).await?;
            story.tell(&format!(
                "worker {} ready: {}",
                worker.pid(),
                worker.owner()
            ))?;
            self.workers.push(worker);
        }
        story.took("two workers ready", story.elapsed().saturating_sub(before));
        Ok(())
    }

    fn worker_command(context: &Context, program: PathBuf) -> Result<WorkerCommand, CommandError> {
        let mut args: Vec<std::ffi::OsString> = Vec::new();
        // Otherwise with the default timings: what is shown is what happens in production.
        for word in ["run", "--until-stdin-closes", "--log-format", "text"] {
            args.push(word.into());
        }
        for word in ["--drain-timeout", DRAIN] {
            args.push(word.into());
        }
        args.push("--repos-dir".into());
        args.push(context.repos_dir()?.into());
        let given = context.database_for_children()?;
        args.extend(given.flags);
        let mut variables = given.variables;
        variables.push((ALLOW_LOCAL, "1".into()));
        Ok(WorkerCommand {
            program: program.into(),
            args,
            variables,
        })
    }

    /// The database.
    pub(crate) fn database(&self) -> &Database {
        &self.database.database
    }

    /// The repository.
    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The worker of the demo that is this owner.
    pub(crate) fn worker(&mut self, owner: &str) -> Option<&mut WorkerProcess> {
        self.workers
            .iter_mut()
            .find(|worker| worker.owner() == owner)
    }

    /// A worker that ended although nobody asked it to, and the end of its log.
    pub(crate) fn fallen_worker(&mut self, killed: Option<&str>) -> Option<String> {
        self.workers
            .iter_mut()
            .filter(|worker| Some(worker.owner()) != killed)
            .find_map(|worker| {
                let status = worker.ended()?;
                let (pid, said) = (worker.pid(), worker.last_lines());
                Some(format!(
                    "worker {pid} of the demo ended by itself ({status}); it said:\n{said}"
                ))
            })
    }

    /// Stops the workers, forgets what exists only for the demo, and leaves the database.
    pub(crate) async fn clear(mut self, story: &mut Story<'_>) {
        for worker in self.workers.drain(..) {
            worker.stop().await;
        }
        if self.only_for_the_demo {
            let id = self.repository.id;
            let forgotten = match repository::remove(&self.database.database, id).await {
                Ok(_) => self
                    .clones
                    .remove(id.as_uuid())
                    .map(|_| ())
                    .map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = forgotten {
                // The demo did what it is for; a leftover is worth a line, not a failure.
                let _ = story.say(&format!(
                    "could not remove the demo's repository {id}: {error}"
                ));
            }
        }
        drop(self.served.take());
        if let Err(error) = self.database.close().await {
            let _ = story.say(&format!("the database could not be left in order: {error}"));
        }
    }
}

/// What is at hand while the stage is set.
struct Setting<'a> {
    context: &'a Context,
    database: &'a OpenDatabase,
    clones: &'a leasectl_repo::CloneCache,
    folder: &'a TempDir,
}

type Placed = (Repository, Option<LocalRemote>, bool);

impl Setting<'_> {
    /// A repository on this machine, as it is, by its path.
    async fn local(
        &mut self,
        source: &Source,
        story: &mut Story<'_>,
    ) -> Result<Placed, CommandError> {
        let refs = source.refs().await?;
        if refs.has_branches() && !source.is_shallow() && !source.is_foreign() {
            let repository = self.register(&source.folder.to_string_lossy()).await?;
            return Ok((repository, None, false));
        }
        let facade = self.facade(source, &refs, story).await?;
        let repository = self.register(&facade.git_dir.to_string_lossy()).await?;
        Ok((repository, None, true))
    }

    /// A repository on this machine, served over HTTP with a rate limit.
    async fn served(
        &mut self,
        source: &Source,
        story: &mut Story<'_>,
    ) -> Result<Placed, CommandError> {
        let refs = source.refs().await?;
        let mut facade = self.facade(source, &refs, story).await?;
        let mut bytes = facade.bytes().await?;
        if bytes < TINY_BYTES {
            facade.fill(&self.folder.path().join("filler")).await?;
            bytes = facade.bytes().await?;
            story.tell(&format!(
                "the repository is tiny: a branch {FILLER} of random data is added to what is served"
            ))?;
        }
        let bytes_per_second = rate(bytes);
        let options = ServeOptions {
            bytes_per_second: Some(bytes_per_second),
            ..ServeOptions::default()
        };
        let remote = LocalRemote::start(self.folder.path().to_path_buf(), options)
            .await
            .map_err(|error| CommandError::caused(Exit::Failed, &error))?;
        let url = remote.url(&format!("demo/{}.git", source.name()));
        story.tell(&format!(
            "serving {} over HTTP: {} at {} a second",
            source.folder.display(),
            ByteSize::from(bytes),
            ByteSize::from(bytes_per_second)
        ))?;
        let repository = self.register(&url).await?;
        Ok((repository, Some(remote), true))
    }

    /// A repository that is not on this machine, or is registered already.
    async fn elsewhere(&mut self, wanted: &RepoArg) -> Result<Repository, CommandError> {
        match wanted.remote(Locality::AllowLocal) {
            Ok(Some(remote)) => {
                let text = remote.as_str().to_owned();
                self.register(&text).await
            }
            Ok(None) => self.context.repository(self.database, wanted).await,
            Err(error) => Err(CommandError::caused(Exit::Usage, &error)),
        }
    }

    /// The same, cloned to this machine first, so that it can be served slowly.
    async fn cloned(
        &mut self,
        wanted: &RepoArg,
        story: &mut Story<'_>,
    ) -> Result<Source, CommandError> {
        let repository = self.elsewhere(wanted).await?;
        let url = RemoteUrl::parse(repository.git_url.as_str(), Locality::AllowLocal)
            .map_err(|error| CommandError::caused(Exit::Failed, &error))?;
        if url.scheme() == Scheme::File
            && let Some(path) = url.local_path()
        {
            return Ok(Source::around(path)?);
        }
        story.tell(&format!(
            "cloning {} once, to serve it slowly from here",
            repository.name
        ))?;
        let target = CloneTarget {
            id: repository.id.as_uuid(),
            url,
        };
        let cancel = CancellationToken::new();
        let ready = self
            .clones
            .ensure_clone(&target, &[], &NoProgress, &cancel)
            .await
            .map_err(|error| clone_failed(&error))?;
        Ok(Source::around(ready.path())?)
    }

    async fn facade(
        &self,
        source: &Source,
        refs: &Refs,
        story: &mut Story<'_>,
    ) -> Result<Facade, CommandError> {
        let git_dir = self
            .folder
            .path()
            .join("demo")
            .join(format!("{}.git", source.name()));
        if source.is_shallow() {
            story
                .tell("this clone is shallow: its newest state stands in for it, as one commit")?;
        }
        Ok(Facade::make(source, refs, git_dir).await?)
    }

    async fn register(&self, url: &str) -> Result<Repository, CommandError> {
        let remote = RemoteUrl::parse(url, Locality::AllowLocal)
            .map_err(|error| CommandError::caused(Exit::Usage, &error))?;
        Ok(self
            .context
            .register(self.database, remote, None, None)
            .await?
            .repository)
    }
}

/// The repository around the current directory.
fn here() -> Result<Source, CommandError> {
    let folder = std::env::current_dir().map_err(|error| {
        CommandError::new(
            Exit::Failed,
            format!("the current directory cannot be used: {error}"),
        )
    })?;
    Ok(Source::around(&folder)?)
}

/// How fast to serve so many bytes.
fn rate(bytes: u64) -> u64 {
    bytes / TRANSFER.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_lasts_seconds_however_large_the_repository_is() {
        for bytes in [TINY_BYTES, 3_000_000, 4_000_000_000_u64] {
            let seconds = bytes / rate(bytes);
            assert!((5..=8).contains(&seconds), "{bytes} bytes take {seconds} s");
        }
    }
}
