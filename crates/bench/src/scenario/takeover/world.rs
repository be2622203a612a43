//! Three worker processes with a database of their own, and a remote that drips, so that every job has
//! a middle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::{self, EnqueueRequest, JobView, enqueue};
use leasectl_core::kind::{FETCH, Kinds, Lane};
use leasectl_core::wakeup;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::remote::Remote;
use crate::cli::FetchWorker;
use crate::error::BenchError;
use crate::process::{self, Process};
use crate::proxy::Proxy;
use crate::server::{Queue, Server};
use crate::tell::{Ear, Event, Told};

/// How long anything may take that is waited for; longer than stale-after.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the database.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the workers of a world are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// How many there are.
    pub(super) workers: usize,
    /// Handlers at once in each.
    pub(super) concurrency: usize,
    pub(super) death_signal: bool,
    /// Whether each reaches the database over a [`Proxy`] of its own.
    pub(super) proxied: bool,
    pub(super) drain_timeout: Duration,
}

impl Plan {
    /// Three workers with one handler each, so that a job's owner can be chosen.
    pub(super) const ONE_EACH: Self = Self {
        workers: 3,
        concurrency: 1,
        death_signal: true,
        proxied: false,
        drain_timeout: Duration::from_secs(30),
    };
}

/// One worker process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) process: Process,
    pub(super) pid: u32,
    /// What its connections are called.
    pub(super) name: String,
    pub(super) proxy: Option<Proxy>,
}

/// A job and the process that runs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) job: JobId,
    pub(super) repo: RepoId,
    pub(super) pid: u32,
}

/// The workers, their database and their remote.
#[derive(Debug)]
pub(super) struct World {
    pub(super) database: Database,
    pub(super) remote: Remote,
    pub(super) members: Vec<Member>,
    plan: Plan,
    pub(super) url: String,
    socket: PathBuf,
    ear: mpsc::UnboundedReceiver<Told>,
    told: Vec<Told>,
    names: usize,
    folder: TempDir,
}

impl World {
    /// Starts one on a database of its own and waits until every worker can claim.
    pub(super) async fn open(server: &Server, plan: Plan) -> Result<Self, BenchError> {
        let Queue { url, database, .. } = server.queue(4).await?;
        let folder = tempfile::tempdir()?;
        let ear = listen(&folder.path().join("handlers"))?;
        let mut world = Self {
            database,
            remote: Remote::start().await?,
            members: Vec::new(),
            plan,
            url,
            socket: server.socket(),
            ear,
            told: Vec::new(),
            names: 0,
            folder,
        };
        world.fill_up().await?;
        Ok(world)
    }

    /// Starts workers until there are as many as planned, and waits until every one can claim, and
    /// until a detector watches where the death signal is on.
    pub(super) async fn fill_up(&mut self) -> Result<(), BenchError> {
        while self.members.len() < self.plan.workers {
            let member = self.start_member().await?;
            self.members.push(member);
        }
        // A hundred processes take their time.
        let limit = LIMIT + Duration::from_secs(1) * u32::try_from(self.plan.workers).unwrap_or(0);
        let deadline = Instant::now() + limit;
        while !self.is_ready().await? {
            before(deadline, "the start of every worker")?;
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn start_member(&mut self) -> Result<Member, BenchError> {
        self.names += 1;
        let name = format!("member-{}", self.names);
        let proxy = match self.plan.proxied {
            true => Some(Proxy::start(self.socket.clone()).await?),
            false => None,
        };
        let url = match &proxy {
            Some(proxy) => Server::url_over(proxy.port(), &self.url),
            None => self.url.clone(),
        };
        let process = process::fetch_worker(&FetchWorker {
            url,
            // Workers share no disk, as in two containers.
            folder: self.folder.path().join(&name),
            name: name.clone(),
            tell: self.folder.path().join("handlers"),
            concurrency: self.plan.concurrency,
            drain_timeout_ms: u64::try_from(self.plan.drain_timeout.as_millis()).unwrap_or(0),
            no_death_signal: !self.plan.death_signal,
        })?;
        Ok(Member {
            pid: process.pid(),
            process,
            name,
            proxy,
        })
    }

    async fn is_ready(&self) -> Result<bool, BenchError> {
        let client = self.database.client().await?;
        let mode = match self.plan.death_signal {
            true => "session",
            false => "heartbeat",
        };
        let rows = client
            .query(
                "select w.pid from leasectl.worker_status w where w.state = 'live' and w.liveness = $1",
                &[&mode],
            )
            .await?;
        let live: Vec<u32> = rows
            .iter()
            .map(|row| row.get::<_, i32>(0).unsigned_abs())
            .collect();
        let all_live = self.members.iter().all(|member| live.contains(&member.pid));
        Ok(all_live && (!self.plan.death_signal || self.detector().await?.is_some()))
    }

    /// The member that watches the others, once one does.
    pub(super) async fn detector(&self) -> Result<Option<u32>, BenchError> {
        let client = self.database.client().await?;
        let row = client
            .query_opt(
                "select w.pid from leasectl.liveness_locks() detects \
                   join leasectl.liveness_locks() held on held.pid = detects.pid and held.key <> 0 \
                   join leasectl.worker w on w.liveness_key = held.key \
                  where detects.key = 0",
                &[],
            )
            .await?;
        let pid = row.map(|row| row.get::<_, i32>(0).unsigned_abs());
        Ok(pid.filter(|pid| self.members.iter().any(|member| member.pid == *pid)))
    }

    /// The same, waited for.
    pub(super) async fn some_detector(&self) -> Result<u32, BenchError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(pid) = self.detector().await? {
                return Ok(pid);
            }
            before(deadline, "the election of a detector")?;
            sleep(LOOK_EVERY).await;
        }
    }

    /// The member with that process.
    pub(super) fn member(&self, pid: u32) -> Result<&Member, BenchError> {
        let found = self.members.iter().find(|member| member.pid == pid);
        found.ok_or_else(|| BenchError::Unexpected(format!("process {pid} is no worker of ours")))
    }

    /// Takes the member with that process out of the world.
    pub(super) fn take(&mut self, pid: u32) -> Result<Member, BenchError> {
        let at = self.members.iter().position(|member| member.pid == pid);
        let at = at
            .ok_or_else(|| BenchError::Unexpected(format!("process {pid} is no worker of ours")))?;
        Ok(self.members.swap_remove(at))
    }

    /// Enqueues that many fetches of repositories that nobody has cloned; answers the jobs.
    pub(super) async fn enqueue(&self, jobs: usize) -> Result<Vec<(JobId, RepoId)>, BenchError> {
        self.enqueue_from(&self.remote, jobs).await
    }

    /// The same with repositories of that remote.
    pub(super) async fn enqueue_from(
        &self,
        remote: &Remote,
        jobs: usize,
    ) -> Result<Vec<(JobId, RepoId)>, BenchError> {
        let client = self.database.client().await?;
        let args = Kinds::standard().canonical_args(FETCH.name, &json!({}))?;
        let (mut repositories, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..jobs {
            let url = remote.new_repository()?;
            let name = format!("bench/{}", Uuid::new_v4().simple());
            let row = client
                .query_one(
                    "insert into leasectl.repository (name, git_url) values ($1, $2) returning id",
                    &[&name, &url],
                )
                .await?;
            let repo: RepoId = row.get::<_, Uuid>(0).into();
            repositories.push(repo);
            requests.push(EnqueueRequest::new(repo, &FETCH, args.clone()));
        }
        let accepted = enqueue(&self.database, &requests).await?;
        wakeup::announce(&client, &[Lane::Fetch]).await?;
        let ids = accepted.iter().map(|accepted| accepted.job_id);
        Ok(ids.zip(repositories).collect())
    }

    /// Enqueues one job and waits until a handler has it.
    pub(super) async fn start_job(&mut self) -> Result<Running, BenchError> {
        let accepted = self.enqueue(1).await?;
        let (job, repo) = accepted[0];
        let started = self.started(job, 0).await?;
        Ok(Running {
            job,
            repo,
            pid: started.pid,
        })
    }

    /// Waits for the start of the job's handler in any process but that one.
    pub(super) async fn started(&mut self, job: JobId, not: u32) -> Result<Told, BenchError> {
        let wanted =
            |told: &Told| told.event == Event::Started && told.job == job && told.pid != not;
        self.hear("the start of a handler", wanted).await
    }

    /// Waits for such an event of the job's handler in that process.
    pub(super) async fn told(
        &mut self,
        event: Event,
        job: JobId,
        pid: u32,
    ) -> Result<Told, BenchError> {
        let wanted = |told: &Told| told.event == event && told.job == job && told.pid == pid;
        self.hear("the end of a handler", wanted).await
    }

    async fn hear(
        &mut self,
        what: &'static str,
        wanted: impl Fn(&Told) -> bool,
    ) -> Result<Told, BenchError> {
        if let Some(told) = self.told.iter().find(|told| wanted(told)) {
            return Ok(*told);
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            let heard = timeout_at(deadline, self.ear.recv()).await;
            let told = heard.map_err(|_elapsed| too_late(what))?;
            let told = told.ok_or_else(|| BenchError::Unexpected("nobody listens".to_owned()))?;
            self.told.push(told);
            if wanted(&told) {
                return Ok(told);
            }
        }
    }

    /// Forgets what handlers told.
    pub(super) fn forget(&mut self) {
        while self.ear.try_recv().is_ok() {}
        self.told.clear();
    }

    /// Cancels jobs and waits until they are over.
    pub(super) async fn cancel(&self, jobs: &[JobId]) -> Result<(), BenchError> {
        for id in jobs {
            job::cancel(&self.database, *id).await?;
        }
        for id in jobs {
            self.over(*id).await?;
        }
        Ok(())
    }

    /// Waits until the job is over.
    pub(super) async fn over(&self, id: JobId) -> Result<JobView, BenchError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(view) = job::find(&self.database, id).await?
                && view.state.is_finished()
            {
                return Ok(view);
            }
            before(deadline, "the end of a job")?;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends every worker by SIGKILL.
    pub(super) async fn close(self) -> Result<(), BenchError> {
        for member in self.members {
            member.process.kill().await?;
        }
        Ok(())
    }
}

/// Takes what handlers tell off the socket at once: a full one would hold the handlers up.
fn listen(path: &Path) -> Result<mpsc::UnboundedReceiver<Told>, BenchError> {
    let ear = Ear::bind(path)?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(told) = ear.hear().await {
            if sender.send(told).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// An error once the deadline has passed.
pub(super) fn before(deadline: Instant, what: &'static str) -> Result<(), BenchError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(too_late(what))
}

fn too_late(what: &'static str) -> BenchError {
    BenchError::TooLate {
        what,
        seconds: LIMIT.as_secs(),
    }
}
