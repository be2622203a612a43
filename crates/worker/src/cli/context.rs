//! What commands share: settings, standard output, the database, the clones.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasectl_core::database::PoolOptions;
use leasectl_core::kind::Kinds;
use leasectl_core::migrations;
use leasectl_core::repository::{self, NewRepository, Registered, RepoRef, Repository};
use leasectl_remote::{Locality, RemoteUrl, RepoName};
use leasectl_repo::{CacheSettings, ChildProgram, CloneCache};
use leasectl_service::{OpenDatabase, OpenError, OpenOptions, Schema, Use, open_database};

use super::{CommandError, Exit, Output, RepoArg, SharedArgs, repo_path};
use crate::config::Environment;

/// Connections that a command needs; it does one thing at a time.
const COMMAND_CONNECTIONS: usize = 3;

/// How another worker is told to use the same database.
#[derive(Debug, Default)]
pub struct ForChildren {
    /// Flags of `worker run`.
    pub flags: Vec<OsString>,
    /// Variables.
    pub variables: Vec<(&'static str, OsString)>,
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    settings: SharedArgs,
    environment: Environment,
    output: Output,
}

impl Context {
    /// For one run of the program.
    #[must_use]
    pub fn new(settings: SharedArgs, environment: Environment) -> Self {
        let output = Output::stdout(environment.no_colour);
        Self {
            settings,
            environment,
            output,
        }
    }

    /// Standard output.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What the environment says.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The database, started if it is the embedded one, with an up-to-date schema.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn open(&self) -> Result<OpenDatabase, CommandError> {
        Ok(self
            .open_as(Use::MayStartEmbedded, Schema::Migrate, COMMAND_CONNECTIONS)
            .await?)
    }

    /// The database as the daemon wants it: the embedded one only when told so.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn open_for_service(&self, connections: usize) -> Result<OpenDatabase, CommandError> {
        Ok(self
            .open_as(Use::EmbeddedOnlyIfFlag, Schema::Migrate, connections)
            .await?)
    }

    /// The database as it is, started if it is the embedded one.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn open_unmigrated(&self) -> Result<OpenDatabase, CommandError> {
        Ok(self
            .open_as(Use::MayStartEmbedded, Schema::Ignore, COMMAND_CONNECTIONS)
            .await?)
    }

    /// The database if it runs already, whatever its schema. Creates and starts nothing.
    ///
    /// # Errors
    /// When it does not run or cannot be reached.
    pub async fn open_unchecked(&self) -> Result<OpenDatabase, CommandError> {
        Ok(self
            .open_as(Use::NeverStart, Schema::Ignore, COMMAND_CONNECTIONS)
            .await?)
    }

    /// The database if it runs already and has all tables. Creates and starts nothing, and works
    /// on the database of a newer release too.
    ///
    /// # Errors
    /// When it does not run, cannot be reached, or lacks migrations.
    pub async fn open_running(&self) -> Result<OpenDatabase, CommandError> {
        let database = self.open_unchecked().await?;
        let state = migrations::pending(&database.database).await?;
        match state.pending.first() {
            None => Ok(database),
            Some(first) => {
                let count = state.pending.len();
                Err(OpenError::Pending {
                    count,
                    first: first.clone(),
                }
                .into())
            }
        }
    }

    /// The database in words, without its password.
    #[must_use]
    pub fn describe(&self, database: &OpenDatabase) -> String {
        match self.settings.database.data_dir() {
            Ok(folder) if self.settings.database.database_url().is_none() => {
                format!("embedded PostgreSQL in {}", folder.display())
            }
            Ok(_) | Err(_) => database.describe(),
        }
    }

    async fn open_as(
        &self,
        usage: Use,
        schema: Schema,
        connections: usize,
    ) -> Result<OpenDatabase, OpenError> {
        let pool = PoolOptions {
            max_size: connections,
            application_name: "worker".to_owned(),
        };
        let options = OpenOptions {
            usage,
            schema,
            kinds: Kinds::standard(),
            pool,
        };
        open_database(&self.settings.database, options).await
    }

    /// Flags and variables with which another worker uses the same database. A URL, which may hold
    /// a password, is never a flag: those can be read by everybody on the machine.
    ///
    /// # Errors
    /// When there is no data directory.
    pub fn database_for_children(&self) -> Result<ForChildren, CommandError> {
        let mut given = ForChildren::default();
        let database = &self.settings.database;
        if let Some(url) = database.database_url() {
            given.variables.push(("DATABASE_URL", url.expose().into()));
        } else {
            given.flags.push("--embedded".into());
            given.flags.push("--data-dir".into());
            given.flags.push(self.data_dir()?.into());
        }
        if let Some(url) = database.database_direct_url() {
            given
                .variables
                .push(("DATABASE_DIRECT_URL", url.expose().into()));
        }
        if let Some(folder) = database.embedded_options().bin_dir {
            given
                .variables
                .push(("LEASECTL_POSTGRES_BIN", folder.into()));
        }
        Ok(given)
    }

    fn data_dir(&self) -> Result<PathBuf, CommandError> {
        let folder = self.settings.database.data_dir();
        folder.map_err(|error| CommandError::caused(Exit::Usage, &error))
    }

    /// The folder of the clones.
    ///
    /// # Errors
    /// When none is given and there is no data directory.
    pub fn repos_dir(&self) -> Result<PathBuf, CommandError> {
        match &self.settings.repos_dir {
            Some(folder) if !folder.as_os_str().is_empty() => Ok(folder.clone()),
            Some(_) | None => Ok(self.data_dir()?.join("repos")),
        }
    }

    /// Whether a moving line on standard error is seen by somebody.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Tells a person something that programs do not read. A closed standard error is no failure.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Whether a program can be found in `PATH`.
    #[must_use]
    pub fn finds_program(&self, name: &str) -> bool {
        let folders = &self.environment.program_folders;
        folders.iter().any(|folder| {
            let file = folder.join(name);
            file.is_file() && rustix::fs::access(&file, rustix::fs::Access::EXEC_OK).is_ok()
        })
    }

    /// The clones on this disk.
    ///
    /// # Errors
    /// When their folder cannot be used.
    pub fn clones(&self) -> Result<CloneCache, CommandError> {
        self.clones_with(self.environment.locality)
    }

    /// The same, for remotes of another locality.
    ///
    /// # Errors
    /// As [`Self::clones`].
    pub fn clones_with(&self, locality: Locality) -> Result<CloneCache, CommandError> {
        let program = own_program()?;
        let root = self.repos_dir()?;
        let hint = format!(
            "the clones are in {}; --repos-dir moves them",
            root.display()
        );
        let settings = CacheSettings {
            root,
            locality,
            limits: self.settings.git.limits(),
            credentials: self.environment.credentials.clone(),
            git_child: ChildProgram {
                program,
                args: vec!["git-child".into()],
            },
        };
        CloneCache::open(settings).map_err(|error| repo_path::failed(&error).hint(hint))
    }

    /// Removes the clone of a repository that is not registered any more, where there is one.
    pub fn forget_clone(&self, id: leasectl_core::ids::RepoId) {
        if !self.repos_dir().is_ok_and(|folder| folder.is_dir()) {
            return;
        }
        // The folder is a cache: what stays goes with the disk budget.
        if let Ok(clones) = self.clones() {
            let _ = clones.remove(id.as_uuid());
        }
    }

    /// The remote that a URL or a path means; `None` for an id or a name.
    ///
    /// # Errors
    /// When it is refused.
    pub fn remote(&self, wanted: &RepoArg) -> Result<Option<RemoteUrl>, CommandError> {
        let refused = |error| CommandError::caused(Exit::Usage, &error);
        wanted.remote(self.environment.locality).map_err(refused)
    }

    /// The remote of a registered repository, where this machine accepts it.
    ///
    /// # Errors
    /// When it does not.
    pub fn stored_remote(&self, repository: &Repository) -> Result<RemoteUrl, CommandError> {
        RemoteUrl::parse(&repository.git_url, self.environment.locality)
            .map_err(|error| CommandError::caused(Exit::Failed, &error))
    }

    /// A registered repository. It registers nothing.
    ///
    /// # Errors
    /// When there is none, or the database is away.
    pub async fn repository(
        &self,
        database: &OpenDatabase,
        wanted: &RepoArg,
    ) -> Result<Repository, CommandError> {
        let reference = match wanted {
            RepoArg::Id(id) => RepoRef::Id(*id),
            RepoArg::Name(name) => RepoRef::Name(name.clone()),
            // Looking something up reaches nobody, so what it may be is not judged here.
            RepoArg::Url(_) | RepoArg::Path(_) => match wanted.remote(Locality::AllowLocal) {
                Ok(Some(url)) => RepoRef::Url(url),
                Ok(None) => return Err(not_registered(wanted)),
                Err(error) => return Err(CommandError::caused(Exit::Usage, &error)),
            },
        };
        let found = repository::find(&database.database, &reference).await?;
        found.ok_or_else(|| not_registered(wanted))
    }

    /// A registered repository; a URL or a path is registered on first use.
    ///
    /// # Errors
    /// When there is none of that id or name, the remote is refused, or the database is away.
    pub async fn repository_or_register(
        &self,
        database: &OpenDatabase,
        wanted: &RepoArg,
    ) -> Result<Repository, CommandError> {
        let Some(remote) = self.remote(wanted)? else {
            return self.repository(database, wanted).await;
        };
        Ok(self
            .register(database, remote, None, None)
            .await?
            .repository)
    }

    /// Registers a repository, or finds the one that has this URL already.
    ///
    /// # Errors
    /// When its name is taken, or the database is away.
    pub async fn register(
        &self,
        database: &OpenDatabase,
        git_url: RemoteUrl,
        name: Option<RepoName>,
        fetch_every: Option<Duration>,
    ) -> Result<Registered, CommandError> {
        let new = NewRepository {
            git_url,
            name,
            default_branch: None,
            fetch_every,
        };
        Ok(repository::register(&database.database, &new).await?)
    }
}

/// This very program, for the processes that do its Git work and for the demo's workers. Where the
/// kernel knows it, by way of the kernel: an upgrade may have replaced the file, and halves of two
/// releases need not fit.
pub(crate) fn own_program() -> Result<PathBuf, CommandError> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe().map_err(|error| {
        CommandError::new(
            Exit::Failed,
            format!("cannot find this program's own file: {error}"),
        )
    })
}

/// The failure of looking for a repository that is not registered.
#[must_use]
pub(super) fn not_registered(wanted: &RepoArg) -> CommandError {
    CommandError::new(Exit::NotFound, format!("there is no repository {wanted}"))
        .hint("worker repo list shows the registered ones; worker repo add URL registers one")
}
