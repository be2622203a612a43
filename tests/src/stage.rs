//! A database and a data directory of its own for each test, and the commands run against them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use leasectl_embedded::scratch::{self, ScratchServer, ScratchSettings};
use serde_json::Value;
use tempfile::TempDir;

use crate::api::ApiBuilder;
use crate::history::History;
use crate::process::{Finished, Invocation};
use crate::programs::worker_program;
use crate::sql::Sql;
use crate::wait::{PATIENCE, wait_until};
use crate::worker::WorkerBuilder;

/// Where a test happens.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    database: Option<Database>,
}

#[derive(Debug)]
struct Database {
    url: String,
    /// The server, when it belongs to this test alone.
    own: Option<Box<ScratchServer>>,
}

impl Stage {
    /// A migrated database on the server that all tests of this program share.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started.
    #[must_use]
    pub fn new() -> Self {
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        let server = scratch::shared().unwrap_or_else(|error| panic!("{error}"));
        let template = TEMPLATE.get_or_init(|| migrated(server));
        let url = server.create_database_from(template).expect("a database");
        Self::with(Some(Database { url, own: None }))
    }

    /// A migrated database on a server of its own, which may be stopped and restarted.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started.
    #[must_use]
    pub fn with_own_server() -> Self {
        // Durable, because an immediate stop of a server without fsync proves nothing.
        let settings = ScratchSettings::new()
            .with("fsync", "on")
            .with("full_page_writes", "on");
        Self::on(ScratchServer::start(settings).unwrap_or_else(|error| panic!("{error}")))
    }

    /// A migrated database on that server, which belongs to this stage from now on.
    pub(crate) fn on(server: ScratchServer) -> Self {
        let url = migrated(&server);
        Self::with(Some(Database {
            url,
            own: Some(Box::new(server)),
        }))
    }

    /// An empty database on the shared server, without leasectl's schema.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started.
    #[must_use]
    pub fn unmigrated() -> Self {
        let server = scratch::shared().unwrap_or_else(|error| panic!("{error}"));
        let url = server.create_database().expect("a database");
        Self::with(Some(Database { url, own: None }))
    }

    /// No database: programs use the embedded one in the data directory, or none.
    ///
    /// # Panics
    /// When there is no temporary folder.
    #[must_use]
    pub fn without_database() -> Self {
        Self::with(None)
    }

    fn with(database: Option<Database>) -> Self {
        // A short name: the path of the embedded server's socket has at most 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("lt-")
            .tempdir()
            .expect("a folder");
        // As root the embedded server runs as another account, which must be able to pass.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
        for name in ["home", "data", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self { folder, database }
    }

    /// A folder for the test's own files; everything in it goes with the stage.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the clones.
    #[must_use]
    pub fn repos_dir(&self) -> PathBuf {
        self.data_dir().join("repos")
    }

    /// The bare clone of a repository, whether it is there or not.
    #[must_use]
    pub fn clone_dir(&self, repo_id: &str) -> PathBuf {
        self.repos_dir().join(repo_id).join("clone.git")
    }

    /// A log file of that name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    /// The database's URL.
    ///
    /// # Panics
    /// When the stage has none.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database.as_ref().expect("a stage with a database").url
    }

    /// The database server.
    ///
    /// # Panics
    /// When it does not belong to this test alone.
    #[must_use]
    pub fn server(&self) -> &ScratchServer {
        let database = self.database.as_ref().expect("a stage with a database");
        database.own.as_ref().expect("a stage with its own server")
    }

    /// The database itself.
    #[must_use]
    pub fn sql(&self) -> Sql {
        Sql::new(self.database_url())
    }

    /// What the jobs went through.
    #[must_use]
    pub fn history(&self) -> History {
        History::read(&self.sql())
    }

    /// What the jobs went through, once all have ended: those too that followed from others.
    ///
    /// # Panics
    /// When one does not end.
    #[must_use]
    #[track_caller]
    pub fn whole_history(&self) -> History {
        self.wait_until_idle();
        self.history()
    }

    /// Waits until there is no live job.
    ///
    /// # Panics
    /// When one does not end.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        wait_until(PATIENCE, "every job to end", || {
            let live: i64 = self.sql().one("select count(*) from leasectl.job", &[]);
            (live == 0).then_some(())
        });
    }

    /// The environment of every program on this stage.
    pub(crate) fn environment(&self) -> Vec<(String, OsString)> {
        let mut variables: Vec<(String, OsString)> = vec![
            ("HOME".into(), self.folder.path().join("home").into()),
            ("LEASECTL_DATA_DIR".into(), self.data_dir().into()),
            ("LEASECTL_ALLOW_LOCAL".into(), "1".into()),
        ];
        if let Some(database) = &self.database {
            variables.push(("DATABASE_URL".into(), database.url.clone().into()));
        }
        variables
    }

    /// A `worker` command that has not been run yet.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Invocation {
        self.command_of(&worker_program()).args(args)
    }

    /// The program `worker` in another place, such as a copy that the test replaces.
    fn command_of(&self, program: &Path) -> Invocation {
        Invocation::new(program)
            .envs(self.environment())
            .dir(&self.folder.path().join("home"))
    }

    /// Runs a `worker` command, given as words.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Finished {
        self.command(args).run()
    }

    /// Runs a `worker` command with `--json` that must succeed; its answer.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.command(args).args(["--json"]).run().ok().json()
    }

    /// Registers a repository; its id.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    #[track_caller]
    pub fn register(&self, url: &str) -> String {
        self.run(&["repo", "add", url]).ok().line()
    }

    /// Enqueues a fetch of a repository; the job's id.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    #[track_caller]
    pub fn enqueue_fetch(&self, repo: &str) -> String {
        self.run(&["enqueue", "fetch", repo]).ok().line()
    }

    /// Fetches a repository, which must succeed; the job's view.
    ///
    /// # Panics
    /// When it is refused or does not complete.
    #[track_caller]
    pub fn fetch(&self, repo: &str) -> Value {
        let job = self.enqueue_fetch(repo);
        let ended = self.wait_for_end(&job);
        assert_eq!(ended["state"], "completed", "{ended:#}");
        ended
    }

    /// A job as `worker job show --json` has it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn job(&self, id: &str) -> Value {
        self.json(&["job", "show", id])
    }

    /// The state of a job, read from the public view.
    ///
    /// # Panics
    /// When there is no such job.
    #[must_use]
    #[track_caller]
    pub fn state(&self, id: &str) -> String {
        self.sql().one(
            "select state from leasectl.job_status where id::text = $1",
            &[&id],
        )
    }

    /// Waits until the job has ended; its view.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait_for_end(&self, id: &str) -> Value {
        self.wait_for_end_within(id, PATIENCE)
    }

    /// Waits that long until the job has ended; its view.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait_for_end_within(&self, id: &str, limit: Duration) -> Value {
        wait_until(limit, &format!("the end of job {id}"), || {
            matches!(self.state(id).as_str(), "completed" | "error" | "cancelled").then_some(())
        });
        self.job(id)
    }

    /// Waits until a worker has the job's lease; owner and token.
    ///
    /// # Panics
    /// When none takes it.
    #[track_caller]
    pub fn wait_for_lease(&self, id: &str) -> (String, i64) {
        wait_until(PATIENCE, &format!("a lease of job {id}"), || self.lease(id))
    }

    /// Waits until the job has received something; its lease's owner and token.
    ///
    /// # Panics
    /// When it does not get that far.
    #[track_caller]
    pub fn wait_for_progress(&self, id: &str) -> (String, i64) {
        wait_until(PATIENCE, &format!("progress of job {id}"), || {
            let done: Option<i64> = self.sql().one(
                "select (progress ->> 'done')::bigint from leasectl.job_status where id::text = $1",
                &[&id],
            );
            done.filter(|done| *done > 0).and_then(|_| self.lease(id))
        })
    }

    /// Who holds the job's lease and with which token.
    #[must_use]
    pub fn lease(&self, id: &str) -> Option<(String, i64)> {
        let rows = self.sql().rows(
            "select owner, token from leasectl.lease_status where job_id::text = $1",
            &[&id],
        );
        rows.first().map(|row| (row.get(0), row.get(1)))
    }

    /// A worker about to be started, with times scaled for tests.
    #[must_use]
    pub fn worker(&self) -> WorkerBuilder<'_> {
        self.worker_of(&worker_program())
    }

    /// The same from another file of the program `worker`.
    #[must_use]
    pub fn worker_of(&self, program: &Path) -> WorkerBuilder<'_> {
        WorkerBuilder::new(self, self.command_of(program).args(["run"]))
    }

    /// A service about to be started.
    #[must_use]
    pub fn api(&self) -> ApiBuilder<'_> {
        ApiBuilder::new(self)
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// A database with leasectl's schema that nobody is connected to.
fn migrated(server: &ScratchServer) -> String {
    let url = server.create_database().expect("a database");
    Invocation::new(worker_program())
        .env("DATABASE_URL", &url)
        .args(["migrate"])
        .run()
        .ok();
    url
}
