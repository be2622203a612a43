//! Factories: histories that are written down commit by commit, and told to a repository all at once.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use leasectl_repo::{ChangeFacts, ChangeRef, Changes, Content, FetchReport, ObjectId, StudyError};
use tokio_util::sync::CancellationToken;

use crate::support::{World, fetch};

/// A commit of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// What a commit does to the tree of its first parent.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Writes a thing with that mode.
    Put(&'static str, String, Vec<u8>),
    /// Names a commit of another repository.
    Module(String, String),
    /// Removes a file or a directory.
    Gone(String),
}

pub(crate) fn put(path: &str, content: impl AsRef<[u8]>) -> Edit {
    Edit::Put("100644", path.to_owned(), content.as_ref().to_vec())
}

pub(crate) fn put_program(path: &str, content: impl AsRef<[u8]>) -> Edit {
    Edit::Put("100755", path.to_owned(), content.as_ref().to_vec())
}

pub(crate) fn put_link(path: &str, content: impl AsRef<[u8]>) -> Edit {
    Edit::Put("120000", path.to_owned(), content.as_ref().to_vec())
}

pub(crate) fn put_module(path: &str, digit: char) -> Edit {
    Edit::Module(path.to_owned(), digit.to_string().repeat(40))
}

pub(crate) fn gone(path: &str) -> Edit {
    Edit::Gone(path.to_owned())
}

/// A history in the making; each commit is a minute younger than the one before.
#[derive(Default)]
pub(crate) struct Story {
    stream: Vec<u8>,
    commits: usize,
}

impl Story {
    pub(crate) fn commit(&mut self, parents: &[Mark], edits: &[Edit]) -> Mark {
        let at = self.commits;
        self.commit_at(parents, edits, 1_700_000_000 + 60 * at)
    }

    pub(crate) fn commit_at(&mut self, parents: &[Mark], edits: &[Edit], seconds: usize) -> Mark {
        self.commits += 1;
        let number = self.commits;
        let mut head = format!("commit refs/story/{number}\nmark :{number}\n");
        for who in ["author", "committer"] {
            let _ = writeln!(head, "{who} A <a@example.com> {seconds} +0100");
        }
        let message = format!("Commit {number}\nof a story\n\nAnd more.\n");
        let _ = write!(head, "data {}\n{message}", message.len());
        for (at, Mark(parent)) in parents.iter().enumerate() {
            let word = if at == 0 { "from" } else { "merge" };
            let _ = writeln!(head, "{word} :{parent}");
        }
        self.stream.extend(head.into_bytes());
        for edit in edits {
            match edit {
                Edit::Put(mode, path, content) => {
                    let head = format!("M {mode} inline {path}\ndata {}\n", content.len());
                    self.stream.extend(head.into_bytes());
                    self.stream.extend(content);
                    self.stream.push(b'\n');
                }
                Edit::Module(path, id) => {
                    self.stream
                        .extend(format!("M 160000 {id} {path}\n").into_bytes());
                }
                Edit::Gone(path) => self.stream.extend(format!("D {path}\n").into_bytes()),
            }
        }
        Mark(number)
    }

    pub(crate) fn reference(&mut self, name: &str, Mark(commit): Mark) {
        let text = format!("reset {name}\nfrom :{commit}\n");
        self.stream.extend(text.into_bytes());
    }

    pub(crate) fn main(&mut self, commit: Mark) {
        self.reference("refs/heads/main", commit);
    }

    pub(crate) fn pull(&mut self, number: u64, commit: Mark) {
        self.reference(&format!("refs/pull/{number}/head"), commit);
    }

    /// Tells it to a new repository and fetches that.
    pub(crate) async fn tell(self) -> Told {
        let world = World::new();
        world.origin.import(&self.stream);
        Told::fetch(world).await
    }
}

/// A story in a repository, and the clone of that.
pub(crate) struct Told {
    pub(crate) world: World,
    pub(crate) report: FetchReport,
    pub(crate) content: Content,
    pub(crate) changes: Changes,
}

impl Told {
    async fn fetch(world: World) -> Self {
        let (cache, target) = (world.cache(), world.target());
        let report = fetch(&cache, &target).await.unwrap();
        let content = cache.content(&report.clone).await.unwrap();
        let changes = Changes::open(&content, head(&report));
        Self {
            world,
            report,
            content,
            changes,
        }
    }

    /// Tells more of it and fetches again.
    pub(crate) async fn go_on(self, more: Story) -> Self {
        self.world.origin.import(&more.stream);
        Self::fetch(self.world).await
    }

    pub(crate) fn id(&self, Mark(number): Mark) -> ObjectId {
        id(&self.world.origin.id_of(&format!("refs/story/{number}")))
    }

    pub(crate) fn change(&self, number: u64) -> ChangeRef {
        let mut all = self.report.change_refs.iter();
        all.find(|change| change.number == number).unwrap().clone()
    }

    pub(crate) fn study(&self, number: u64) -> ChangeFacts {
        self.try_study(&self.change(number)).unwrap()
    }

    pub(crate) fn try_study(&self, change: &ChangeRef) -> Result<ChangeFacts, StudyError> {
        self.changes.study(change, &CancellationToken::new())
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.world.origin.git(args)
    }
}

fn head(report: &FetchReport) -> Option<ObjectId> {
    report.head.as_deref().map(id)
}

pub(crate) fn id(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).unwrap()
}

/// How a file shows: what happened, and how many lines were added and removed.
pub(crate) fn files(facts: &ChangeFacts) -> Vec<String> {
    let shown = facts.files.iter().map(|file| {
        let count = |lines: Option<u32>| lines.map_or("-".to_owned(), |lines| lines.to_string());
        let (added, removed) = (count(file.additions), count(file.deletions));
        let from = file.old_path.as_ref().map(|path| format!(" from {path}"));
        let (status, from) = (file.status.as_str(), from.unwrap_or_default());
        format!("{status} {}{from} +{added} -{removed}", file.path)
    });
    shown.collect()
}

pub(crate) fn threads(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// Numbered lines, with some replaced.
pub(crate) fn lines(number: usize, replaced: &[(usize, &str)]) -> String {
    let mut text = String::new();
    for line in 1..=number {
        let other = replaced.iter().find(|(at, _)| *at == line);
        match other {
            Some((_, other)) => text.push_str(&format!("{other}\n")),
            None => text.push_str(&format!("line {line}\n")),
        }
    }
    text
}
