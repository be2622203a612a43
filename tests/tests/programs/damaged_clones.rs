//! A disk is a cache: whatever happens to a clone, the next job notices, clones again and succeeds.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use leasectl_tests::{
    Origin, PATIENCE, Remote, SmallDisk, Stage, assert_error, noise, pack_of, rot, skip,
    wait_until, zero_the_middle,
};
use serde_json::Value;

/// A stage with a worker and a repository that was fetched once.
struct Fetched {
    stage: Stage,
    remote: Remote,
    repo: String,
    head: String,
    _worker: leasectl_tests::Worker,
}

impl Fetched {
    fn new() -> Self {
        let stage = Stage::new();
        let remote = Remote::start();
        let origin = remote.heavy_repository("acme/app", 50_000);
        let repo = stage.register(&remote.url("acme/app"));
        let worker = stage.worker().start();
        stage.fetch(&repo);
        // The index that follows must not be the one that notices the damage.
        stage.wait_until_idle();
        let head = origin.find("main").unwrap();
        Self {
            stage,
            remote,
            repo,
            head,
            _worker: worker,
        }
    }

    fn clone_dir(&self) -> PathBuf {
        self.stage.clone_dir(&self.repo)
    }

    fn pack(&self) -> PathBuf {
        pack_of(&self.clone_dir())
    }

    /// Fetches, expects that the clone was made anew and that it is whole; why it was.
    #[track_caller]
    fn assert_recloned(&self, damage: &str) -> String {
        let packs = self.remote.seen().packs;
        let job = self.stage.fetch(&self.repo);
        assert_eq!(job["attempt"], 1, "{damage}: nobody noticed: {job:#}");
        assert_eq!(job["result"]["head"], self.head, "{damage}");
        self.assert_whole(damage);
        assert!(
            self.remote.seen().packs > packs,
            "{damage}: nothing was downloaded"
        );
        let reason = job["result"]["recloned"].as_str();
        reason
            .unwrap_or_else(|| panic!("{damage}: no reason: {job:#}"))
            .to_owned()
    }

    #[track_caller]
    fn assert_whole(&self, damage: &str) {
        let clone = Origin::at(&self.clone_dir());
        clone.git(&["fsck", "--full"]);
        assert_eq!(clone.find("main").as_ref(), Some(&self.head), "{damage}");
        for entry in fs::read_dir(self.stage.repos_dir().join(&self.repo)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let half_made = name.starts_with("new-") || name.starts_with("old-");
            assert!(!half_made, "{damage}: {name} is left");
        }
    }
}

fn truncate(path: &Path, keep: u64) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(keep)
        .unwrap();
}

#[test]
fn a_clone_that_vanished_is_made_again() {
    let fetched = Fetched::new();
    for (what, path) in [
        ("the clone", fetched.clone_dir()),
        (
            "all of the repository",
            fetched.stage.repos_dir().join(&fetched.repo),
        ),
        ("the whole cache", fetched.stage.repos_dir()),
    ] {
        fs::remove_dir_all(path).unwrap();
        assert_eq!(fetched.assert_recloned(what), "missing", "{what}");
    }
    fetched.stage.whole_history().check_all_ended();
}

#[test]
fn a_clone_with_a_damaged_pack_is_made_again() {
    let fetched = Fetched::new();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("deleted", |pack| fs::remove_file(pack).unwrap()),
        ("truncated", |pack| truncate(pack, 1000)),
        ("emptied", |pack| truncate(pack, 0)),
        ("zeroed in the middle", zero_the_middle),
        ("without its index", |pack| {
            fs::remove_file(pack.with_extension("idx")).unwrap()
        }),
    ];
    for (what, damage) in damages {
        damage(&fetched.pack());
        fetched.assert_recloned(what);
    }
}

#[test]
fn a_clone_without_its_other_files_is_made_again() {
    let fetched = Fetched::new();
    let clone = fetched.clone_dir();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("without HEAD", |clone| {
            fs::remove_file(clone.join("HEAD")).unwrap()
        }),
        ("with an empty HEAD", |clone| {
            fs::write(clone.join("HEAD"), "").unwrap()
        }),
        ("with no packed refs", |clone| {
            fs::write(clone.join("packed-refs"), "").unwrap()
        }),
        ("without packed refs", |clone| {
            fs::remove_file(clone.join("packed-refs")).unwrap()
        }),
        ("without objects", |clone| {
            fs::remove_dir_all(clone.join("objects")).unwrap()
        }),
        ("emptied", |clone| {
            fs::remove_dir_all(clone).unwrap();
            fs::create_dir(clone).unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage(&clone);
        fetched.assert_recloned(what);
    }
}

#[test]
fn a_pack_that_is_cut_short_under_an_index_costs_neither_the_worker_nor_an_attempt() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    for number in 0..4 {
        let text = noise(40_000, number).into_iter();
        let text: String = text.map(|byte| format!("{byte:02x}")).collect();
        origin.commit("main", &format!("src/{number}.txt"), text.as_bytes());
    }
    let repo = stage.register(&remote.url("acme/app"));
    let mut worker = stage.worker().start();
    // The clone is open and its pack mapped when the index asks what is known of the first directory.
    let sql = stage.sql();
    let held = sql.hold("lock table leasectl.index_dir in access exclusive mode");
    let job = stage.run(&["enqueue", "index", &repo]).ok().line();
    sql.wait_for_waiter();
    truncate(&pack_of(&stage.clone_dir(&repo)), 1000);
    drop(held);

    let ended = stage.wait_for_end(&job);
    assert!(!worker.has_ended(), "{}", worker.log());
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"completed".into(), &1.into()),
        "{ended:#}"
    );
    assert_eq!(ended["result"]["files"], 5, "{ended:#}");
    Origin::at(&stage.clone_dir(&repo)).git(&["fsck", "--full"]);
    let log = worker.log();
    assert_eq!(log.matches("cloning repository").count(), 2, "{log}");
}

#[test]
fn rot_that_only_reading_finds_is_repaired_while_reading() {
    let fetched = Fetched::new();
    rot(&fetched.pack());

    let tree = fetched
        .stage
        .run(&["repo", "path", &fetched.repo, "--ref", "main"])
        .ok()
        .line();

    assert_eq!(
        fs::metadata(Path::new(&tree).join("heavy.bin"))
            .unwrap()
            .len(),
        50_000
    );
    fetched.assert_whole("rot");
}

#[test]
fn what_earlier_processes_left_behind_is_in_nobodys_way() {
    let fetched = Fetched::new();
    let folder = fetched.stage.repos_dir().join(&fetched.repo);
    let clone = fetched.clone_dir();
    // Killed between two renames: the clone is aside and the next one half there.
    fs::rename(&clone, folder.join("old-1-2.3-4")).unwrap();
    fs::create_dir_all(folder.join("new-1-2.3-5/objects/pack")).unwrap();
    fs::write(folder.join("new-1-2.3-5/objects/pack/tmp_pack_x"), "PACK").unwrap();
    fetched.assert_recloned("half renamed");

    // Locks as git and gix leave them when they are killed, in a good clone.
    for name in [
        "HEAD.lock",
        "packed-refs.lock",
        "config.lock",
        "refs/heads/main.lock",
    ] {
        fs::write(clone.join(name), "").unwrap();
    }
    fs::write(clone.join("objects/pack/tmp_pack_old"), "PACK").unwrap();
    let origin = Origin::at(&fetched.remote.folder("acme/app"));
    let next = origin.commit("main", "more.txt", b"more");
    let job = fetched.stage.fetch(&fetched.repo);
    assert_eq!(
        (&job["attempt"], &job["result"]["head"]),
        (&1.into(), &next.into()),
        "{job:#}"
    );
}

#[test]
fn a_lock_counts_only_while_its_process_lives() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    let url = remote.url("acme/app");
    let repo = stage.register(&url);
    remote.set_bytes_per_second(Some(10_000));
    let log = stage.folder().join("path.log");
    let mut other = stage.command(["repo", "path", &url]).start(&log);
    wait_until(PATIENCE, "the other process to clone", || {
        (remote.seen().packs > 0).then_some(())
    });

    let _worker = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    wait_until(PATIENCE, "the job to wait for the other process", || {
        let message = stage.job(&job)["message"].as_str().map(str::to_owned);
        message.filter(|text| text.contains("waiting"))
    });
    assert_eq!(remote.seen().packs, 1, "it does not clone beside the other");
    other.kill();
    remote.set_bytes_per_second(None);

    assert_eq!(stage.wait_for_end(&job)["state"], "completed");
}

#[test]
fn processes_that_want_the_same_clone_at_once_share_one() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 200_000);
    let url = remote.url("acme/app");
    let repo = stage.register(&url);
    remote.set_bytes_per_second(Some(50_000));
    let _worker = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    let logs: Vec<PathBuf> = (0..3)
        .map(|n| stage.folder().join(format!("path-{n}.log")))
        .collect();
    let mut others: Vec<_> = logs
        .iter()
        .map(|log| stage.command(["repo", "path", &repo]).start(log))
        .collect();

    for other in &mut others {
        assert_eq!(other.wait(PATIENCE), 0, "{}", other.log());
        assert_eq!(other.log().trim(), stage.clone_dir(&repo).to_str().unwrap());
    }
    let ended = stage.wait_for_end(&job);

    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"completed".into(), &1.into()),
        "{ended:#}"
    );
    assert_eq!(remote.seen().packs, 1, "one clone was downloaded");
    Origin::at(&stage.clone_dir(&repo)).git(&["fsck", "--full"]);
}

#[test]
fn a_full_disk_is_named_and_the_job_succeeds_once_there_is_space() {
    let stage = Stage::new();
    let small = match SmallDisk::mount(&stage.folder().join("small"), 1_000_000) {
        Ok(small) => small,
        Err(reason) => return skip(&reason),
    };
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 3_000_000);
    let repos = small.path().join("repos");
    let repos = repos.to_str().unwrap();
    let worker = stage.worker().flag("--repos-dir", repos).start();
    let repo = stage.register(&remote.url("acme/app"));
    let job = stage.enqueue_fetch(&repo);

    let failed = wait_until(PATIENCE, "the first attempt to fail", || {
        Some(stage.job(&job)).filter(|job| job["last_error"].is_object())
    });
    assert_error(&failed["last_error"], "disk_full");
    assert_eq!(failed["last_error"]["retryable"], true);
    let message = failed["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("space"), "{message}");
    assert!(!message.contains(repos), "no path of the worker: {message}");
    let path = stage
        .command(["repo", "path", &repo, "--repos-dir", repos])
        .run()
        .expect_code(1);
    assert!(path.stderr.contains("disk"), "{}", path.stderr);

    small.resize(64_000_000);
    let ended = stage.wait_for_end(&job);
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(ended["last_error"], Value::Null, "{ended:#}");
    let folder = Path::new(repos).join(&repo);
    Origin::at(&folder.join("clone.git")).git(&["fsck", "--full"]);
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with("new-"), "{name} takes up space");
    }
    stage.whole_history().check_all_ended();
    drop(worker);
}
