//! The history as claims, ends and effects.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::faults::record::{
    Change, FenceAsked, FinishedRow, JobRow, Micros, PassRow, Trial, What,
};

/// The lane in which fetches work.
pub(super) const FETCH: &str = "fetch";
/// The lane in which changes are studied.
pub(super) const BACKFILL: &str = "backfill";

/// A history that has been read once.
pub(super) struct Digest<'a> {
    pub(super) trial: &'a Trial,
    /// In the order of their commits.
    pub(super) claims: Vec<Claim<'a>>,
    /// In the order of the rows.
    pub(super) ends: Vec<End<'a>>,
    pub(super) effects: Vec<Effect<'a>>,
    /// When a lease was ended early because its owner was seen to be dead, by job and token.
    pub(super) judged: HashMap<(&'a str, i64), Micros>,
    /// Finished jobs by id and transaction.
    pub(super) finished: HashMap<(&'a str, &'a str), &'a FinishedRow>,
}

/// A job came under a new token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) change: &'a Change,
    pub(super) job: &'a str,
    pub(super) token: i64,
    pub(super) before: Option<&'a JobRow>,
    pub(super) after: &'a JobRow,
}

impl Claim<'_> {
    /// Whether it took another lease away.
    pub(super) fn is_takeover(&self) -> bool {
        self.before.is_some_and(JobRow::is_running)
    }

    pub(super) fn owner(&self) -> &str {
        self.after.owner.as_deref().unwrap_or_default()
    }
}

/// A lease ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) change: &'a Change,
    pub(super) job: &'a str,
    pub(super) token: i64,
    pub(super) before: &'a JobRow,
    /// The live row afterwards; none when the job finished.
    pub(super) after: Option<&'a JobRow>,
}

/// A transaction wrote what a fetch found, where an index has a ref lead, or what a backfill studied.
#[derive(Debug)]
pub(super) struct Effect<'a> {
    pub(super) repo: &'a str,
    pub(super) xid: &'a str,
    pub(super) committed: Micros,
    /// The fence that it was written under.
    pub(super) fence: Option<&'a FenceAsked>,
    /// The head that was recorded, when the repository's row was written.
    pub(super) head: Option<Option<&'a str>>,
    /// The lanes in which jobs write such rows, where only one does.
    pub(super) lanes: BTreeSet<&'static str>,
    /// Where the backfill stood after it, when its row was written.
    pub(super) pass: Option<&'a PassRow>,
}

impl<'a> Digest<'a> {
    pub(super) fn of(trial: &'a Trial) -> Self {
        let mut claims = Vec::new();
        let mut ends = Vec::new();
        let mut judged = HashMap::new();
        let mut finished = HashMap::new();
        for change in &trial.changes {
            match &change.what {
                What::Job { id, before, after } => {
                    let held = before.as_deref().filter(|row| row.is_running());
                    let taken = after.as_deref().filter(|row| row.is_running());
                    let old = held.and_then(|row| row.token);
                    let new = taken.and_then(|row| row.token);
                    if let (Some(held), Some(taken), Some(token)) = (held, taken, new)
                        && old == new
                        && taken.expires < held.expires
                    {
                        judged.insert((id.as_str(), token), change.committed);
                    }
                    if let (Some(row), Some(token)) = (held, old)
                        && old != new
                    {
                        ends.push(End {
                            change,
                            job: id,
                            token,
                            before: row,
                            after: after.as_deref(),
                        });
                    }
                    if let (Some(row), Some(token)) = (taken, new)
                        && old != new
                    {
                        claims.push(Claim {
                            change,
                            job: id,
                            token,
                            before: before.as_deref(),
                            after: row,
                        });
                    }
                }
                What::Finished { id, row } => {
                    finished.insert((id.as_str(), change.xid.as_str()), row);
                }
                What::Repository { .. }
                | What::Pass { .. }
                | What::Snapshot
                | What::Inventory { .. }
                | What::Branch => {}
            }
        }
        claims.sort_by_key(|claim| (claim.change.committed, claim.change.seq));
        Self {
            trial,
            claims,
            ends,
            effects: effects(trial),
            judged,
            finished,
        }
    }
}

/// Gathers the rows of each writing transaction of a worker, and finds its fence: the last one that
/// its connection had asked for.
fn effects(trial: &Trial) -> Vec<Effect<'_>> {
    let mut fences: BTreeMap<i32, Vec<&FenceAsked>> = BTreeMap::new();
    for fence in &trial.fences {
        fences.entry(fence.server_port).or_default().push(fence);
    }
    for asked in fences.values_mut() {
        asked.sort_by_key(|fence| fence.at);
    }
    let mut effects: BTreeMap<&str, Effect<'_>> = BTreeMap::new();
    for change in &trial.changes {
        let (lane, head, pass) = match &change.what {
            What::Repository { head } => (Some(FETCH), Some(head.as_deref()), None),
            What::Inventory { .. } => (Some(FETCH), None, None),
            What::Pass { after, .. } => (Some(BACKFILL), None, Some(&**after)),
            What::Snapshot => (Some(BACKFILL), None, None),
            What::Branch => (None, None, None),
            What::Job { .. } | What::Finished { .. } => continue,
        };
        // Those on the socket are the operator's.
        let Some(port) = change.port else { continue };
        let asked = fences.get(&port).map_or(&[][..], Vec::as_slice);
        let before = asked.partition_point(|fence| fence.at <= change.at);
        let fence = before.checked_sub(1).map(|last| asked[last]);
        let effect = effects.entry(&change.xid).or_insert(Effect {
            repo: &change.repo,
            xid: &change.xid,
            committed: change.committed,
            fence,
            head: None,
            lanes: BTreeSet::new(),
            pass: None,
        });
        effect.head = effect.head.or(head);
        effect.lanes.extend(lane);
        effect.pass = pass.or(effect.pass);
    }
    effects.into_values().collect()
}
