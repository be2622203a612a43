//! Collecting what no ref has led to for a while: trees, directories, links, blobs with their payloads,
//! payloads of versions that no release uses any more, and rulesets. A round begins with the refs of worktrees
//! that nobody indexes any more.
//!
//! **Invariant.** Nothing goes that something names: whoever names a row holds it as a foreign key does, and
//! what is to go is locked first and looked at again. A run that had looked up what is gone is told so when it
//! names it, and looks again. The functions in the database say more.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::error::{IndexError, TRIES};
use super::worktree::forget_old;
use crate::database::{Database, DatabaseError};
use crate::time::seconds;

/// The rows that one transaction looks at: some tens of milliseconds.
const BATCH: i32 = 500;

/// How long the ref of a worktree stays that nobody indexes again: whoever works in it does so more often.
const WORKTREE_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where a round of collecting stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CollectCursor {
    step: Step,
    /// The last row that was looked at.
    at: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Step {
    #[default]
    Roots,
    Dirs,
    Links,
    Blobs,
    Rulesets,
}

/// What a part of a round did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Rows that were looked at.
    pub seen: u64,
    /// Refs of worktrees forgotten.
    pub worktrees: u64,
    /// Trees deleted.
    pub roots: u64,
    /// Directories deleted.
    pub dirs: u64,
    /// Links deleted.
    pub links: u64,
    /// Blobs deleted, with all their payloads.
    pub blobs: u64,
    /// Payloads of retired extractors deleted.
    pub payloads: u64,
    /// Rulesets deleted.
    pub rulesets: u64,
}

/// Collects in at most so many batches, from where the last call stopped; the cursor is gone when the round is
/// complete. What nothing names goes once it was seen so and `grace` has passed since, by the database's clock.
///
/// A round is a walk over all rows, so once in an hour is often enough. One caller works at a time; a second
/// finds nothing to do. No batch waits for a run, and a run waits for one batch at most.
///
/// # Errors
/// When the database is away; the next call may go on from the same place.
pub async fn collect(
    database: &Database,
    grace: Duration,
    batches: u32,
    from: CollectCursor,
) -> Result<(Collected, Option<CollectCursor>), IndexError> {
    let mut done = Collected::default();
    let mut cursor = from;
    for _ in 0..batches {
        let at = collect_batch(database, grace, cursor, &mut done).await?;
        cursor = match at {
            Some(_) => CollectCursor { at, ..cursor },
            None => match cursor.step.next() {
                Some(step) => CollectCursor { step, at: None },
                None => return Ok((done, None)),
            },
        };
    }
    Ok((done, Some(cursor)))
}

impl Step {
    /// From what names to what is named.
    fn next(self) -> Option<Self> {
        match self {
            Self::Roots => Some(Self::Dirs),
            Self::Dirs => Some(Self::Links),
            Self::Links => Some(Self::Blobs),
            Self::Blobs => Some(Self::Rulesets),
            Self::Rulesets => None,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Roots => include_str!("collect_roots.sql"),
            Self::Dirs => include_str!("collect_dirs.sql"),
            Self::Links => include_str!("collect_links.sql"),
            Self::Blobs => include_str!("collect_blobs.sql"),
            Self::Rulesets => include_str!("collect_rulesets.sql"),
        }
    }
}

/// One batch, tried again if it lost a deadlock; answers where it ended.
async fn collect_batch(
    database: &Database,
    grace: Duration,
    cursor: CollectCursor,
    done: &mut Collected,
) -> Result<Option<i64>, IndexError> {
    for _ in 1..TRIES {
        match try_batch(database, grace, cursor, done).await {
            Err(error) if error.is_deadlock() => {}
            answer => return Ok(answer?),
        }
    }
    Ok(try_batch(database, grace, cursor, done).await?)
}

async fn try_batch(
    database: &Database,
    grace: Duration,
    cursor: CollectCursor,
    done: &mut Collected,
) -> Result<Option<i64>, DatabaseError> {
    let client = database.client().await?;
    if cursor == CollectCursor::default() {
        let kept = seconds(WORKTREE_KEPT);
        done.worktrees += forget_old(&client, kept, i64::from(BATCH)).await?;
    }
    let statement = client.prepare_cached(cursor.step.sql()).await?;
    let grace = seconds(grace);
    let batch: [&(dyn ToSql + Sync); 3] = [&cursor.at, &BATCH, &grace];
    let parameters = if cursor.step == Step::Rulesets {
        &batch[2..]
    } else {
        &batch[..]
    };
    let row = client.query_one(&statement, parameters).await?;
    let count = |column| u64::from(row.get::<_, i32>(column).unsigned_abs());
    let deleted = count("deleted");
    match cursor.step {
        Step::Roots => done.roots += deleted,
        Step::Dirs => done.dirs += deleted,
        Step::Links => done.links += deleted,
        Step::Blobs => {
            done.blobs += deleted;
            done.payloads += row.get::<_, i64>("payloads").unsigned_abs();
        }
        Step::Rulesets => {
            done.rulesets += deleted;
            return Ok(None);
        }
    }
    done.seen += count("seen");
    Ok(row.get("next"))
}
