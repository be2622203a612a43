//! Clones as a rebuildable cache: everything that touches Git, and nothing that touches SQL.
//!
//! A clone is a bare mirror in a directory named after the repository's id. Any of it may vanish or
//! rot at any moment; the next call notices, clones again and goes on. Network work happens in a
//! child process, so that time, memory and bytes can be bounded from outside and a kill is clean.
//!
//! **Invariants**
//! - Only complete clones stand at their final path: they are made next to it and renamed.
//! - Whoever changes a clone holds its lock, and so does every process that it started for that.
//! - Nothing inside a repository is trusted: no configuration, hook, filter or helper of it runs.
//! - A worktree on this machine is only read, and never through a link.
//! - Credentials are never in a URL, an argument, a log or an error.

mod cache;
mod changes;
mod child;
mod config;
mod content;
mod credentials;
mod error;
mod layout;
mod lock;
mod lost_pages;
mod parent;
mod process;
mod progress;
mod refs;
mod repository;
pub mod serve;
mod settings;
mod stamp;
mod wire;
mod worktree;

pub use cache::{CloneCache, CloneTarget, Evicted, FetchReport, ReadyClone, RecloneReason};
pub use changes::{
    ChangeBase, ChangeFacts, ChangeFamily, ChangeRef, ChangeTotals, Changes, CommitFacts,
    FileFacts, FileStatus, History, HistoryCommit, HunkFacts, MergedAs, Person, StudyError,
    StudyLimit,
};
pub use child::git_child_main;
pub use content::{
    AttributeRules, BlobRead, Content, DirEntry, EntryKind, Handle, Marks, MarksReader, Snapshot,
};
pub use credentials::CredentialSource;
pub use error::{AuthAdvice, Cause, RepoError, SizeLimit, TimeLimit};
pub use gix::{ObjectId, bstr};
pub use lost_pages::survive_lost_pages;
pub use progress::{NoProgress, Phase, Progress, ProgressSink};
pub use settings::{CacheSettings, ChildProgram, Limits};
pub use worktree::{Present, Worktree, WorktreeError};
