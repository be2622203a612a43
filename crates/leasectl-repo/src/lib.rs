//! Clones as a rebuildable cache: everything that touches Git, and nothing that touches SQL.

mod cache;
mod child;
mod credentials;
mod error;
mod progress;
pub mod serve;
mod settings;

pub use cache::{CloneCache, CloneTarget, Evicted, FetchReport, ReadyClone, RecloneReason};
pub use child::git_child_main;
pub use credentials::CredentialSource;
pub use error::{AuthAdvice, Cause, RepoError, SizeLimit, TimeLimit};
pub use gix::ObjectId;
pub use progress::{NoProgress, Phase, Progress, ProgressSink};
pub use settings::{CacheSettings, ChildProgram, Limits};
