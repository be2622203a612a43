//! The index: what is known of the content of trees, durable and shared.
//!
//! A payload belongs to a blob and a version of an extractor, and is stored once for each trust domain
//! however many repositories, branches and containers have the blob. A directory is a row too, named by
//! its tree object, so trees share all that they have in common, and publishing a tree costs what it
//! differs by from those that were there.
//!
//! **Invariants.**
//! - A row of a payload or a directory never changes. A directory is stored after everything below it, with
//!   every payload that its ruleset asks for, and what it names stays: one that is there is complete. This
//!   is also what makes a run resume: whoever walks the tree again stops at directories that are there.
//! - A transaction stores one kind of thing, in the order of its key. So two runs that store the same
//!   wait for each other, for one batch at most, and never in a circle.
//! - A ref leads to a tree only once all of it is there. Branches, tags and commits are published under the
//!   fence of the lease that made the tree, worktrees by who read them ([`Author`]).
//! - No transaction is open while anything is extracted.

mod author;
mod collect;
mod dirs;
mod error;
mod ids;
mod known;
mod links;
mod payload;
mod publish;
mod read;
mod scope;
mod tags;
mod treatment;
mod worktree;

pub use self::author::{Author, LocalRun};
pub use self::collect::{CollectCursor, Collected, collect};
pub use self::dirs::{NewDir, NewFile, store_dirs};
pub use self::error::IndexError;
pub use self::ids::{
    BadEntryName, BadLength, BlobId, Context, DirId, DomainId, EntryName, ExtractorId, LinksId,
    ObjectId, RulesetId, TreatmentId, path_bytes,
};
pub use self::known::{KnownBlob, KnownText, known_blobs, known_commit, known_dirs, known_root};
pub use self::links::{Resolutions, store_links};
pub use self::payload::{NewBlob, TagsPayload, TextPayload, store_payloads};
pub use self::publish::{
    NewRef, RefState, Root, publish, ref_state, unpublish, unpublish_branches,
};
pub use self::read::{
    FileImport, FileSymbol, IndexedFile, files, imports, left_out, symbols, symbols_named, vectors,
};
pub use self::scope::{Extractor, IndexScope, TEXT_EXTRACTOR, open_scope};
pub use self::tags::{Import, ImportKind, Symbol, SymbolKind};
pub use self::treatment::{Treatment, treatment_ids};
pub use self::worktree::{
    Published, WorktreeRef, forget_worktree, publish_worktree, repository_of_worktree,
};
