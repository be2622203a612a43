//! Content that means harm: what it costs, and what becomes of the rest.

use std::fs::File;

use leasectl_repo::serve::{LocalRemote, ServeOptions};

use super::corpus::{Commits, Remote, SourceFile};
use super::world::World;
use crate::error::BenchError;
use crate::process::{git, git_hash};
use crate::report::{Bar, Report, Unit};
use crate::server::Server;

/// The bytes of the blob that is nothing once it is packed.
const BOMB: u64 = 1_500_000_000;
/// Files of one directory.
const MANY: usize = 100_000;
/// Directories in each other; a path has 4,096 bytes at most.
const DEEP: usize = 1_000;
/// Brackets in each other.
const NESTED: usize = 100_000;

pub(super) async fn run(server: &Server) -> Result<(), BenchError> {
    let mut report = Report::new("hostile content");
    report.note(Server::describe());
    let folder = tempfile::tempdir()?;
    let remote = Remote::new(folder.path().join("bench/source.git")).await?;
    let mut commits = Commits::default();
    commits.add("main", None, &files());
    remote.import(commits).await?;
    add_bomb(&remote).await?;
    let world = World::open(server).await?;
    // Over HTTP: a server on the same disk would work within the limits of our own child process.
    let served = LocalRemote::start(folder.path().to_owned(), ServeOptions::default()).await?;
    let repo = world.register(&served.url("bench/source.git")).await?;
    let done = world.fetch_and_index(repo).await?;
    report.add("index", Unit::Seconds, Bar::AtMost(120.0), done.seconds);
    let bar = Bar::AtMost(f64::from(400 << 20));
    report.add(
        "most memory of the worker",
        Unit::Bytes,
        bar,
        world.peak_bytes()?,
    );
    report.add("files", Unit::Count, Bar::None, done.count("files"));
    let reasons = "select f.path, coalesce(f.skip, g.skip, 'indexed') \
                     from leasectl.index_ref r \
                    cross join lateral leasectl.index_tree_files(r.root_id) f \
                     left join leasectl.index_tags g on g.blob_id = f.blob_id \
                    where f.path !~ '^(many|deep)/' order by 1";
    for row in world.queue.own.query(reasons, &[]).await? {
        let (path, reason): (String, String) = (row.get(0), row.get(1));
        report.note(format!("{path}: {reason}"));
    }
    world.close().await?;
    Ok(report.print()?)
}

fn files() -> Vec<SourceFile> {
    let file = |path: String, content: Vec<u8>| SourceFile { path, content };
    let mut files = vec![
        file("good.rs".to_owned(), b"pub fn found() {}\n".to_vec()),
        file("nested.js".to_owned(), "(".repeat(NESTED).into_bytes()),
        file(
            "slow.cpp".to_owned(),
            "a<b<c>(d)*e,".repeat(40_000).into_bytes(),
        ),
        file(
            "bytes.py".to_owned(),
            [&b"def f():\n    return '"[..], &[0xff, 0xfe, 0x80], b"'\n"].concat(),
        ),
        file(
            format!("deep/{}x.rs", "d/".repeat(DEEP)),
            b"fn deep() {}\n".to_vec(),
        ),
    ];
    files.extend((0..MANY).map(|number| {
        let content = format!("pub fn number_{number}() {{}}\n");
        file(format!("many/{number}.rs"), content.into_bytes())
    }));
    files
}

/// Adds a blob of zeros to the default branch.
async fn add_bomb(remote: &Remote) -> Result<(), BenchError> {
    let zeros: File = tempfile::tempfile()?;
    zeros.set_len(BOMB)?;
    let blob = git_hash(remote.path(), zeros).await?;
    let place = remote.path().display().to_string();
    let entry = format!("100644,{blob},bomb.rs");
    git(["-C", &place, "read-tree", "main"]).await?;
    git(["-C", &place, "update-index", "--add", "--cacheinfo", &entry]).await?;
    let tree = git(["-C", &place, "write-tree"]).await?;
    let author = [
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@bench.example",
    ];
    let commit = ["commit-tree", "-p", "main", "-m", "bomb", tree.trim()];
    let commit = git(["-C", &place].into_iter().chain(author).chain(commit)).await?;
    git(["-C", &place, "update-ref", "refs/heads/main", commit.trim()]).await?;
    Ok(())
}
