//! Changes of a repository, such as pull requests: what a fetch saw of them, what each one changes, and how far
//! the backfill is.
//!
//! Three writers share this. A fetch replaces the *inventory*, which says what changes there are. A backfill runs
//! *passes*, which study what is missing or stale. An operator says the *mode*. None of them waits for another for
//! longer than a batch.
//!
//! **Invariants.**
//! - An inventory is replaced in one transaction, that of the fetch which saw it; one that is like the one before
//!   writes nothing. What the remote no longer has is forgotten together with all that is known of it.
//! - What is due is decided by what is known, not by who has looked at it: a pass that is begun anew studies nothing
//!   twice. The cursor only spares it from looking again at what it came past.
//! - A batch and its cursor are one transaction, under the fence of the backfill's lease.
//! - Freshness is computed, never stored, in one place: the view `leasectl.change_state`.
//! - A change that fails waits for its own time and holds up no other.
//! - Whoever locks several changes locks them in the order of their ids.

mod columns;
mod due;
mod facts;
mod history;
mod inventory;
mod key;
mod mode;
mod overlap;
mod pass;
mod read;
mod record;

pub use self::due::{Due, Known, due};
pub use self::facts::{Commit, File, FileStatus, Hunk, Snapshot};
pub use self::history::{
    HistoryCommit, HistoryFile, finish_history, known_history, record_history,
};
pub use self::inventory::{InventoryEntry, InventoryOutcome, record_inventory};
pub use self::key::{ChangeId, ChangeKey, Family, UnknownChange};
pub use self::mode::{Budget, Mode, Setting, UnknownMode, pass_request, set_mode, setting};
pub use self::overlap::{Overlap, overlaps};
pub use self::pass::{
    Begun, Counts, Pass, begin_pass, confirm_default, counts, finish_pass, pause_pass,
};
pub use self::read::{
    ChangeDetail, ChangeFilter, ChangeRow, CommitRow, FileRow, Freshness, HunkRow, list, show,
    unpark,
};
pub use self::record::{BATCH, BatchOutcome, Outcome, Studied, record_batch};
