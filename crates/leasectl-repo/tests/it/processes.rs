//! Several processes on one disk, and processes that die.
//!
//! This test program starts itself again as "another worker" by asking for the one test that serves
//! as its entry.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdout, Command, Stdio},
};

use leasectl_remote::{Locality, RemoteUrl};
use leasectl_repo::{
    CacheSettings, CloneCache, CloneTarget, CredentialSource, Phase, Progress, RecloneReason,
    serve::Fault,
};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, test_kill_process},
};

use tokio_util::sync::CancellationToken;

use crate::support::{self, World, ensure, fetch, hermetic, until};

const ROLE: &str = "LEASECTL_TEST_OTHER_WORKER";

/// Not a test of its own: the entry of "another worker". Clones and prints how it went.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test talks to another run of itself"
)]
async fn another_worker() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let [root, id, url] = role.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{role}")
    };
    let cache = CloneCache::open(CacheSettings {
        root: root.into(),
        locality: Locality::AllowLocal,
        limits: support::limits(),
        credentials: CredentialSource::none(),
        git_child: support::git_child(),
    })
    .unwrap();
    let url = RemoteUrl::parse(url, Locality::AllowLocal).unwrap();
    let target = CloneTarget {
        id: id.parse().unwrap(),
        url,
    };
    let sink = |progress: &Progress| {
        if progress.phase == Phase::Waiting {
            println!("waiting");
        }
    };
    match cache
        .ensure_clone(&target, &[], &sink, &CancellationToken::new())
        .await
    {
        Ok(clone) => println!("ready {:?}", clone.recloned()),
        Err(error) => println!("failed {}", error.code()),
    }
}

fn start_worker(world: &World, url: &str) -> Child {
    let mut command: Command = hermetic(std::env::current_exe().unwrap());
    command
        .args(["--exact", "processes::another_worker", "--nocapture"])
        .env(
            ROLE,
            format!("{}\n{}\n{url}", world.root().display(), world.id),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// How it went for a worker.
fn said(worker: Child) -> String {
    Lines::of(worker).find("")
}

/// What a worker says, line by line.
struct Lines(Child, std::io::Lines<BufReader<ChildStdout>>);

impl Lines {
    fn of(mut worker: Child) -> Self {
        let stdout = worker.stdout.take().unwrap();
        Self(worker, BufReader::new(stdout).lines())
    }

    /// The next line that begins so; the outcome, if nothing is given.
    fn find(&mut self, begin: &str) -> String {
        let words = ["ready", "failed"];
        let wanted = |line: &String| match begin {
            "" => words.iter().any(|word| line.starts_with(word)),
            begin => line.starts_with(begin),
        };
        let line = self.1.by_ref().map(Result::unwrap).find(wanted);
        line.unwrap_or_else(|| panic!("it never said {begin:?}"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_that_want_one_repository_make_one_clone() {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    let remote = world.serve().await;
    remote.set_bytes_per_second(Some(2_000_000));
    let url = remote.url("origin.git");
    let workers = [(); 3].map(|()| start_worker(&world, &url));
    let mut answers = tokio::task::spawn_blocking(|| workers.map(said))
        .await
        .unwrap();
    answers.sort();
    assert_eq!(answers, ["ready None", "ready None", "ready Some(Missing)"]);
    assert_eq!((remote.seen().handshakes, remote.seen().packs), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_share_the_failure_of_one_clone() {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let url = remote.url("origin.git");
    let first = start_worker(&world, &url);
    until("the first one clones", || remote.seen().packs == 1).await;
    let others = [(); 2].map(|()| start_worker(&world, &url));
    let answers = tokio::task::spawn_blocking(move || {
        let mut others = others.map(Lines::of);
        for other in &mut others {
            other.find("waiting");
        }
        remote.set_fault(Fault::CutAfter(100_000));
        let mut answers = vec![said(first)];
        answers.extend(others.map(|mut other| other.find("failed")));
        (answers, remote.seen().handshakes)
    });
    let (answers, handshakes) = answers.await.unwrap();
    assert_eq!(answers, ["failed repo_unavailable"; 3]);
    assert_eq!(handshakes, 1, "nobody who waited tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_one_process_make_one_clone_and_share_its_failure() {
    let world = World::new();
    world.origin.fatten("main", 500_000);
    let remote = world.serve().await;
    remote.set_bytes_per_second(Some(1_000_000));
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    let ensured = futures::future::join_all((0..20).map(|_| ensure(&cache, &target))).await;
    let cloned = ensured
        .iter()
        .filter(|clone| clone.as_ref().unwrap().recloned().is_some())
        .count();
    assert_eq!((cloned, remote.seen().packs), (1, 1));

    drop(ensured);
    assert!(cache.remove(world.id).unwrap());
    remote.set_fault(Fault::CutAfter(50_000));
    let ensured = futures::future::join_all((0..20).map(|_| ensure(&cache, &target))).await;
    assert!(
        ensured
            .iter()
            .all(|clone| clone.as_ref().unwrap_err().code() == "repo_unavailable")
    );
    assert_eq!(
        remote.seen().packs,
        2,
        "nineteen waited for the attempt of one"
    );
}

/// The process that `parent` started to do Git work.
fn git_child_of(parent: u32) -> Option<i32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let ppid: u32 = stat
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()?;
        (ppid == parent && stat.contains("(leasectl-git-ch")).then_some(pid)
    })
}

fn alive(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.starts_with(" Z"))
    });
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && !zombie
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_takes_its_git_child_along_and_frees_the_lock() {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let url = remote.url("origin.git");
    let mut worker = start_worker(&world, &url);
    until("the pack is being sent", || remote.seen().packs == 1).await;
    let child = git_child_of(worker.id()).unwrap();
    let wanted = fs::read_to_string(format!("/proc/{child}/oom_score_adj")).unwrap();
    assert_eq!(wanted, "1000\n", "it goes first when memory is short");
    worker.kill().unwrap();
    worker.wait().unwrap();
    until("the child is gone", || !alive(child)).await;
    assert!(!world.clone_dir().exists(), "nothing half-made is visible");
    remote.set_fault(Fault::None);
    let clone = ensure(&world.cache(), &world.target_at(&url))
        .await
        .unwrap();
    assert_eq!(clone.recloned(), Some(RecloneReason::Missing));
    assert!(world.leftovers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_child_holds_the_lock_for_as_long_as_it_lives() {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let lock = world.dir.path().join("lock");
    let request = serde_json::json!({
        "dir": world.dir.path().join("new"),
        "create": true,
        "url": remote.url("origin.git"),
        "allow_local": true,
        "refspecs": ["+refs/heads/*:refs/heads/*"],
        "limits": support::limits(),
    });
    let held = File::create(&lock).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut command = hermetic(support::git_child().program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(held)
        .process_group(0);
    let mut child = command.spawn().unwrap();
    // The command holds the last copy on this side.
    drop(command);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{request}").unwrap();
    until("the pack is being sent", || remote.seen().packs == 1).await;
    let free = || {
        let lock = File::open(&lock).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    };
    assert!(!free(), "the child holds the lock that it was given");
    drop(stdin);
    until("the child ends and the lock is free", free).await;
    assert!(!child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_elsewhere_is_waited_for_only_so_long() {
    let world = World::new();
    world.origin.fatten("main", 500_000);
    let remote = world.serve_with(Fault::StallAfter(10_000)).await;
    let target = world.target_at(&remote.url("origin.git"));
    let mut worker = start_worker(&world, target.url.as_str());
    until("the other one clones", || remote.seen().packs == 1).await;
    let limits = leasectl_repo::Limits {
        lock_wait: std::time::Duration::from_millis(300),
        ..support::limits()
    };
    let cache = CloneCache::open(CacheSettings {
        limits,
        ..world.settings()
    })
    .unwrap();
    let error = fetch(&cache, &target).await.unwrap_err();
    assert!(
        matches!(error, leasectl_repo::RepoError::Busy { .. }),
        "{error:?}"
    );
    assert!(error.retryable());
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_any_moment_leave_only_complete_clones() {
    let world = World::new();
    world.origin.fatten("main", 1_000_000);
    let remote = world.serve().await;
    let url = remote.url("origin.git");
    let making = |file: &'static str| {
        let dir = world.root().join(world.id.to_string());
        move || {
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).any(|path| {
                path.file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"new-"))
                    && path.join(file).exists()
            })
        }
    };
    let sent = |bytes: u64| {
        let (remote, before) = (&remote, remote.seen().bytes_sent);
        move || remote.seen().bytes_sent >= before + bytes
    };
    for bytes in (1..10).map(|tenth| tenth * 100_000) {
        kill_when(&world, &url, sent(bytes)).await;
    }
    for file in [
        "config",
        "packed-refs.lock",
        "HEAD.lock",
        "packed-refs",
        "leasectl-stamp.json",
    ] {
        kill_when(&world, &url, making(file)).await;
    }
    kill_when(&world, &url, || world.clone_dir().exists()).await;
    let _ = fs::remove_dir_all(world.clone_dir());
    ensure(&world.cache(), &world.target_at(&url))
        .await
        .unwrap();
    support::git(&world.clone_dir(), &["fsck", "--strict"]);
    assert!(world.leftovers().is_empty());
}

/// Has a worker clone and kills it at that moment, or when the clone stands if it missed it.
async fn kill_when(world: &World, url: &str, moment: impl Fn() -> bool) {
    let _ = fs::remove_dir_all(world.clone_dir());
    let mut worker = start_worker(world, url);
    let started = std::time::Instant::now();
    while !moment() && !world.clone_dir().exists() {
        assert!(
            started.elapsed() < std::time::Duration::from_secs(30),
            "the worker does nothing"
        );
        tokio::task::yield_now().await;
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    if world.clone_dir().exists() {
        support::git(&world.clone_dir(), &["fsck", "--strict"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_deleted_in_the_middle_of_a_clone_is_made_anew() {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    let clone = tokio::spawn({
        let (cache, target) = (cache.clone(), target.clone());
        async move { ensure(&cache, &target).await }
    });
    until("the pack is being sent", || remote.seen().packs == 1).await;
    until("the cache is deleted", || {
        let _ = fs::remove_dir_all(world.root());
        !world.root().exists()
    })
    .await;
    remote.set_fault(Fault::None);
    let clone = clone.await.unwrap().unwrap();
    support::git(clone.path(), &["fsck", "--strict"]);
    assert!(world.leftovers().is_empty());
}
