//! A database, a worker process and its disk.

use std::path::Path;
use std::time::{Duration, Instant};

use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::{EnqueueRequest, enqueue};
use leasectl_core::kind::{FETCH, INDEX, KindSpec, Kinds};
use leasectl_core::repository::{NewRepository, register};
use leasectl_remote::{Locality, RemoteUrl};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::IndexWorker;
use crate::error::BenchError;
use crate::process::{Process, Signal, index_worker};
use crate::server::{Queue, Server};

/// How long one job may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Between two looks at a job.
const LOOK: Duration = Duration::from_millis(5);

/// Connections of the benchmark's own pool.
const CONNECTIONS: usize = 4;

/// A database of its own, and a worker.
pub(in crate::scenario) struct World {
    pub(in crate::scenario) queue: Queue,
    disk: TempDir,
    worker: Process,
}

/// A job that completed.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Done {
    /// From its claim to its settlement, by the database's clock.
    pub(in crate::scenario) seconds: f64,
    pub(in crate::scenario) result: Value,
}

impl Done {
    /// A number of its result.
    pub(in crate::scenario) fn count(&self, field: &str) -> f64 {
        self.result[field].as_f64().unwrap_or(f64::NAN)
    }
}

impl World {
    pub(in crate::scenario) async fn open(server: &Server) -> Result<Self, BenchError> {
        let queue = server.queue(CONNECTIONS).await?;
        let disk = tempfile::tempdir()?;
        let worker = start(&queue, &disk)?;
        Ok(Self {
            queue,
            disk,
            worker,
        })
    }

    /// Ends the worker and starts another one, whose disk is empty.
    pub(in crate::scenario) async fn replace_container(&mut self) -> Result<(), BenchError> {
        let disk = tempfile::tempdir()?;
        let worker = start(&self.queue, &disk)?;
        let old = std::mem::replace(&mut self.worker, worker);
        old.end().await?;
        self.disk = disk;
        Ok(())
    }

    /// Kills the worker, and leaves its disk as it is.
    pub(in crate::scenario) fn kill(&self) -> Result<(), BenchError> {
        self.worker.signal(Signal::KILL)
    }

    /// Starts another worker on the same disk.
    pub(in crate::scenario) async fn start_worker(&mut self) -> Result<(), BenchError> {
        let worker = start(&self.queue, &self.disk)?;
        std::mem::replace(&mut self.worker, worker).kill().await
    }

    /// Ends the worker.
    pub(in crate::scenario) async fn close(self) -> Result<(), BenchError> {
        self.worker.end().await
    }

    /// The worker's disk.
    pub(super) fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// The worker's process.
    pub(super) fn worker_pid(&self) -> u32 {
        self.worker.pid()
    }

    /// The most memory that the worker had at once, in bytes.
    pub(in crate::scenario) fn peak_bytes(&self) -> Result<f64, BenchError> {
        let pid = i32::try_from(self.worker.pid()).unwrap_or_default();
        let status = procfs::process::Process::new(pid)?.status()?;
        let kib = u32::try_from(status.vmhwm.unwrap_or_default()).unwrap_or(u32::MAX);
        Ok(f64::from(kib) * 1024.0)
    }

    /// Registers a repository by its URL, or by its path on this disk.
    pub(in crate::scenario) async fn register(&self, remote: &str) -> Result<RepoId, BenchError> {
        let url = RemoteUrl::parse(remote, Locality::AllowLocal);
        let new = NewRepository {
            git_url: url.map_err(|error| BenchError::Unexpected(error.to_string()))?,
            name: None,
            default_branch: None,
            fetch_every: None,
        };
        let registered = register(&self.queue.database, &new).await;
        let registered = registered.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        Ok(registered.repository.id)
    }

    /// Fetches, and answers the job that indexes what is new in the default branch.
    pub(in crate::scenario) async fn fetch_and_index(
        &self,
        repo: RepoId,
    ) -> Result<Done, BenchError> {
        self.run(repo, &FETCH, &json!({})).await?;
        // The fetch may have enqueued it.
        self.run_newest_index(repo).await
    }

    /// Indexes a ref.
    pub(in crate::scenario) async fn index(
        &self,
        repo: RepoId,
        reference: &str,
    ) -> Result<Done, BenchError> {
        self.run(repo, &INDEX, &json!({"ref": reference})).await
    }

    /// Indexes refs, one after the other as the repository's lane has it.
    pub(in crate::scenario) async fn index_all(
        &self,
        repo: RepoId,
        references: &[String],
    ) -> Result<Vec<Done>, BenchError> {
        let mut jobs = Vec::with_capacity(references.len());
        for reference in references {
            let args = json!({"ref": reference});
            jobs.push(self.enqueue(repo, &INDEX, &args).await?);
        }
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            done.push(self.wait(job).await?);
        }
        Ok(done)
    }

    /// Runs a job to its end.
    pub(in crate::scenario) async fn run(
        &self,
        repo: RepoId,
        kind: &KindSpec,
        args: &Value,
    ) -> Result<Done, BenchError> {
        let id = self.enqueue(repo, kind, args).await?;
        self.wait(id).await
    }

    pub(in crate::scenario) async fn enqueue(
        &self,
        repo: RepoId,
        kind: &KindSpec,
        args: &Value,
    ) -> Result<JobId, BenchError> {
        let args = Kinds::standard().canonical_args(kind.name, args)?;
        let request = EnqueueRequest::new(repo, kind, args);
        let accepted = enqueue(&self.queue.database, &[request]).await?;
        let first = accepted.first().map(|job| job.job_id);
        first.ok_or_else(|| BenchError::Unexpected("no job was accepted".to_owned()))
    }

    /// The job that indexes what the last fetch brought; it is enqueued if the fetch saw no need.
    pub(super) async fn run_newest_index(&self, repo: RepoId) -> Result<Done, BenchError> {
        let newest = "select i.id from leasectl.job_status i \
                       where i.repo_id = $1 and i.kind = 'index' and i.created_at > \
                             (select max(f.created_at) from leasectl.job_status f \
                               where f.repo_id = $1 and f.kind = 'fetch') \
                       order by i.created_at desc limit 1";
        let row = self.queue.own.query_opt(newest, &[&repo.as_uuid()]).await?;
        match row {
            Some(row) => self.wait(row.get::<_, uuid::Uuid>(0).into()).await,
            None => self.run(repo, &INDEX, &json!({})).await,
        }
    }

    /// Waits until a job has completed.
    pub(in crate::scenario) async fn wait(&self, id: JobId) -> Result<Done, BenchError> {
        let look = "select state, extract(epoch from finished_at - started_at)::float8, result, last_error \
                      from leasectl.job_status where id = $1";
        let look = self.queue.own.prepare(look).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let row = self.queue.own.query_one(&look, &[&id.as_uuid()]).await?;
            match row.get(0) {
                "completed" => {
                    return Ok(Done {
                        seconds: row.get(1),
                        result: row.get(2),
                    });
                }
                "error" | "cancelled" => {
                    let error: Option<Value> = row.get(3);
                    return Err(BenchError::Unexpected(format!("a job failed: {error:?}")));
                }
                _ if Instant::now() > deadline => {
                    return Err(BenchError::TooLate {
                        what: "the end of a job",
                        seconds: LIMIT.as_secs(),
                    });
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The bytes of tables of the index, with all that belongs to them.
    pub(in crate::scenario) async fn stored(&self, tables: &[&str]) -> Result<f64, BenchError> {
        let sum = "select sum(pg_total_relation_size(('leasectl.' || name)::regclass))::float8 \
                     from unnest($1::text[]) t(name)";
        let row = self.queue.own.query_one(sum, &[&tables]).await?;
        Ok(row.get(0))
    }
}

fn start(queue: &Queue, disk: &TempDir) -> Result<Process, BenchError> {
    index_worker(&IndexWorker {
        url: queue.url.clone(),
        folder: disk.path().to_owned(),
    })
}
