//! Random faults on everything at once. Afterwards every invariant holds, every job has ended, and
//! every repository can be fetched. The seed is printed.

use std::fs;

use leasectl_tests::{
    Dice, Fault, Origin, PATIENCE, Remote, Stage, Worker, assert_job_view, wait_until,
};

const WORKERS: usize = 2;
const REPOSITORIES: usize = 4;
const STEPS: usize = 40;
/// Changes that each repository offers at most.
const CHANGES: usize = 4;

struct Chaos {
    dice: Dice,
    stage: Stage,
    remote: Remote,
    origins: Vec<Origin>,
    repos: Vec<String>,
    workers: Vec<Worker>,
    frozen: Vec<usize>,
    jobs: Vec<String>,
    commits: usize,
}

impl Chaos {
    fn new() -> Self {
        let dice = Dice::new();
        let stage = Stage::new();
        let remote = Remote::start();
        let names: Vec<String> = (0..REPOSITORIES).map(|n| format!("acme/r{n}")).collect();
        let origins = names
            .iter()
            .map(|name| remote.heavy_repository(name, 100_000))
            .collect();
        let repos = names
            .iter()
            .map(|name| stage.register(&remote.url(name)))
            .collect::<Vec<String>>();
        for repo in &repos {
            drop(stage.json(&["backfill", repo, "--mode", "full_history"]));
        }
        remote.set_bytes_per_second(Some(400_000));
        let workers = (0..WORKERS).map(|_| start(&stage)).collect();
        Self {
            dice,
            stage,
            remote,
            origins,
            repos,
            workers,
            frozen: Vec::new(),
            jobs: Vec::new(),
            commits: 0,
        }
    }

    /// One fault or one piece of work.
    fn step(&mut self) {
        let repo = self.dice.roll(REPOSITORIES);
        let worker = self.dice.roll(WORKERS);
        match self.dice.roll(12) {
            0 => self.replace(worker, Worker::kill),
            1 => self.replace(worker, |worker| {
                worker.terminate();
                worker.wait();
            }),
            2 => self.freeze(worker),
            3 => self.thaw_all(),
            4 => self.damage(repo),
            5 => self.cut_connections(),
            6 => self.remote.set_fault(Fault::CutAfter(20_000)),
            7 => self.remote.set_fault(Fault::None),
            8 => self.cancel(),
            9 => {
                self.commits += 1;
                self.origins[repo].commit("main", &format!("c{}", self.commits), b"more");
            }
            10 => self.propose(repo),
            _ => {}
        }
        let job = self.stage.json(&["enqueue", "fetch", &self.repos[repo]]);
        if let Some(job) = job["job_id"].as_str() {
            self.jobs.push(job.to_owned());
        }
    }

    fn replace(&mut self, at: usize, end: impl FnOnce(&mut Worker)) {
        self.thaw_all();
        end(&mut self.workers[at]);
        self.workers[at] = start(&self.stage);
    }

    fn freeze(&mut self, at: usize) {
        if !self.frozen.contains(&at) {
            self.workers[at].freeze();
            self.frozen.push(at);
        }
    }

    fn thaw_all(&mut self) {
        for at in self.frozen.drain(..) {
            self.workers[at].thaw();
        }
    }

    /// Deletes or truncates something of a clone, which may be in the making at this moment.
    fn damage(&mut self, repo: usize) {
        let clone = self.stage.clone_dir(&self.repos[repo]);
        let victim = match self.dice.roll(3) {
            0 => {
                drop(fs::remove_dir_all(&clone));
                return;
            }
            1 => clone.join("HEAD"),
            _ => clone.join("packed-refs"),
        };
        if let Ok(file) = fs::OpenOptions::new().write(true).open(victim) {
            drop(file.set_len(0));
        }
    }

    /// Offers a change, pushes it again, or withdraws it.
    fn propose(&mut self, repo: usize) {
        let number = self.dice.roll(CHANGES) + 1;
        let name = format!("refs/pull/{number}/head");
        let origin = &self.origins[repo];
        if self.dice.roll(4) == 0 {
            origin.git(&["update-ref", "-d", &name]);
            return;
        }
        self.commits += 1;
        origin.set_ref("refs/heads/proposal", "main");
        let head = origin.commit("proposal", &format!("p{}", self.commits), b"change");
        origin.set_ref(&name, &head);
        origin.delete_branch("proposal");
    }

    /// Whether what is known of a repository's changes is what its remote offers.
    fn check_changes(&self, repo: usize) {
        let heads = [
            "for-each-ref",
            "--format=%(objectname)",
            "--sort=-refname",
            "refs/pull",
        ];
        let heads = self.origins[repo].git(&heads);
        let offered: Vec<&str> = heads.lines().collect();
        let list = self.stage.json(&["changes", &self.repos[repo]]);
        let items: Vec<_> = list["items"].as_array().into_iter().flatten().collect();
        let known: Vec<_> = items.iter().map(|item| item["head"].as_str()).collect();
        assert_eq!(known, offered.into_iter().map(Some).collect::<Vec<_>>());
        for item in items {
            assert_eq!(item["freshness"], "current", "{item:#}");
        }
    }

    fn cut_connections(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
                    where datname = current_database() and pid <> pg_backend_pid()";
        assert!(!self.stage.sql().rows(cut, &[]).is_empty());
    }

    fn cancel(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let job = self.dice.roll(self.jobs.len());
        let cancelled = self.stage.run(&["job", "cancel", &self.jobs[job]]);
        assert!(
            matches!(cancelled.code, Some(0 | 1)),
            "{}",
            cancelled.stderr
        );
    }

    /// Ends the faults, and waits until every accepted job has ended.
    fn calm(&mut self) {
        self.thaw_all();
        self.remote.set_fault(Fault::None);
        self.remote.set_bytes_per_second(None);
        wait_until(PATIENCE, "every job to end", || {
            // Age the rows instead of waiting for backoffs.
            self.stage.sql().run(
                "update leasectl.change_failure set retry_at = now() where retry_at > now(); \
                 update leasectl.job set not_before = now() where state = 'scheduled'",
            );
            let left: i64 = self
                .stage
                .sql()
                .one("select count(*) from leasectl.job", &[]);
            (left == 0).then_some(())
        });
    }
}

fn start(stage: &Stage) -> Worker {
    stage.worker().flag("--drain-timeout", "100ms").start()
}

#[test]
fn random_faults_lose_no_job_and_break_no_invariant() {
    let mut chaos = Chaos::new();
    for _ in 0..STEPS {
        chaos.step();
        chaos.stage.history().check();
    }
    chaos.calm();

    chaos.stage.whole_history().check_all_ended();
    for job in &chaos.jobs {
        let job = chaos.stage.job(job);
        assert_job_view(&job);
        // A job that lost its worker again and again counts as poison; nothing else may fail.
        if job["state"] == "error" {
            assert_eq!(job["last_error"]["code"], "attempts_exhausted", "{job:#}");
        }
    }
    for (origin, repo) in chaos.origins.iter().zip(&chaos.repos) {
        let job = chaos.stage.fetch(repo);
        assert_eq!(
            job["result"]["head"].as_str(),
            origin.find("main").as_deref(),
            "{job:#}"
        );
        Origin::at(&chaos.stage.clone_dir(repo)).git(&["fsck", "--full"]);
    }
    chaos.calm();
    (0..REPOSITORIES).for_each(|repo| chaos.check_changes(repo));
}
