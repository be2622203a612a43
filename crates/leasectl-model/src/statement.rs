//! Which SQL the model stands for. Whoever changes one of these files changes the model too; a test
//! compares the list with the files.

use crate::action::Action;
use crate::packet::Packet;

/// A statement of the model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Statement {
    /// Accepting a job.
    Enqueue,
    /// Cancelling a job.
    Cancel,
    /// Running a finished job again.
    Retry,
    /// Activating a staged job.
    ActivateStaged,
    /// Waking a scheduled job.
    WakeDue,
    /// Bringing a lane into order.
    Promote,
    /// Ending a job that may not run again.
    Bury,
    /// Claiming.
    Claim,
    /// Reclaiming.
    Reclaim,
    /// Beating.
    Heartbeat,
    /// Looking at what a beat did not renew.
    Missing,
    /// Fencing.
    Fence,
    /// Recording durable progress.
    Durable,
    /// Settling.
    Settle,
    /// Looking for leases that were never heard of.
    Unheard,
    /// Looking for session locks.
    Sight,
    /// Taking a session lock.
    Hold,
    /// Judging an owner.
    Verdict,
}

impl Statement {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Enqueue,
        Self::Cancel,
        Self::Retry,
        Self::ActivateStaged,
        Self::WakeDue,
        Self::Promote,
        Self::Bury,
        Self::Claim,
        Self::Reclaim,
        Self::Heartbeat,
        Self::Missing,
        Self::Fence,
        Self::Durable,
        Self::Settle,
        Self::Unheard,
        Self::Sight,
        Self::Hold,
        Self::Verdict,
    ];

    /// The files that it stands for, beneath `crates/leasectl-core/src`.
    #[must_use]
    pub const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Enqueue => &["job/enqueue.sql", "job/enqueue_merge.sql"],
            Self::Cancel => &["job/cancel.sql"],
            Self::Retry => &["job/retry.sql"],
            Self::ActivateStaged => &["lease/activate_staged.sql"],
            Self::WakeDue => &["lease/wake_due.sql"],
            Self::Promote => &["lease/promote.sql", "lease/lanes_without_holder.sql"],
            Self::Bury => &["lease/bury.sql"],
            Self::Claim => &["lease/claim.sql"],
            Self::Reclaim => &["lease/reclaim.sql"],
            Self::Heartbeat => &["lease/heartbeat.sql"],
            Self::Missing => &["lease/heartbeat_missing.sql"],
            Self::Fence => &["lease/fence.sql"],
            Self::Durable => &["lease/durable.sql"],
            Self::Settle => &["lease/settle.sql", "lease/settled_before.sql"],
            Self::Unheard => &["lease/unheard.sql"],
            Self::Sight => &["liveness/sight.sql"],
            Self::Hold => &["liveness/hold.sql", "worker/beat.sql"],
            Self::Verdict => &["liveness/judge.sql"],
        }
    }
}

/// Files of `lease/`, `liveness/` and `job/` that no action stands for, and why.
pub const OUTSIDE: &[(&str, &str)] = &[
    (
        "lease/look.sql",
        "reads only: a hint, which any owner of the model may act on at any moment; handlers hear of a cancel request with their heartbeat's answer",
    ),
    (
        "liveness/next_key.sql",
        "owners of the model are told apart anyway",
    ),
    (
        "liveness/older.sql",
        "reads only: how rarely a worker looks, and any worker may look at any moment here",
    ),
    (
        "liveness/ping.sql",
        "asks whether the session lives, and elects the detector; any detector may look at any moment here",
    ),
    (
        "liveness/settled.sql",
        "tells whether the server runs long enough; the model's detector knows the uptime",
    ),
    ("job/find.sql", "reads only"),
    ("job/follow_ids.sql", "reads only"),
    ("job/follow_read.sql", "reads only"),
    ("job/lookup.sql", "reads only"),
    ("job/states.sql", "reads only"),
    (
        "job/maintain.sql",
        "touches the history's partitions, no lease",
    ),
];

impl Action {
    /// The statement that takes effect with it.
    #[must_use]
    pub fn statement(self) -> Option<Statement> {
        match self {
            Self::Enqueue(_) => Some(Statement::Enqueue),
            Self::Cancel(_) => Some(Statement::Cancel),
            Self::Retry(_) => Some(Statement::Retry),
            Self::ActivateStaged(_) => Some(Statement::ActivateStaged),
            Self::WakeDue(_) => Some(Statement::WakeDue),
            Self::Promote => Some(Statement::Promote),
            Self::Bury(_) => Some(Statement::Bury),
            Self::OpenFence(_) | Self::OpenLateFence(_) => Some(Statement::Fence),
            Self::CommitDurable(_) => Some(Statement::Durable),
            Self::LookForUnheard(_) => Some(Statement::Unheard),
            Self::Sight(_) => Some(Statement::Sight),
            Self::Relock(_) => Some(Statement::Hold),
            Self::Judge(_) => Some(Statement::Verdict),
            Self::Execute(packet) => match packet {
                Packet::Claim { .. }
                | Packet::Orphan {
                    reclaims: false, ..
                } => Some(Statement::Claim),
                Packet::Reclaim { .. } | Packet::Orphan { reclaims: true, .. } => {
                    Some(Statement::Reclaim)
                }
                Packet::Beat { .. } => Some(Statement::Heartbeat),
                Packet::Missing { .. } => Some(Statement::Missing),
                Packet::Settle { .. } => Some(Statement::Settle),
                Packet::None
                | Packet::Claimed { .. }
                | Packet::Beaten { .. }
                | Packet::BeatenNot { .. }
                | Packet::Settled { .. } => None,
            },
            Self::Tick
            | Self::CommitEnqueue(_)
            | Self::SendClaim(_)
            | Self::SendReclaim(..)
            | Self::SendBeat(..)
            | Self::Commit(_)
            | Self::CommitUnheard(_)
            | Self::Abort(_)
            | Self::SendSettle(..)
            | Self::GiveUp(_)
            | Self::StopHandler(_)
            | Self::Abandon(_)
            | Self::SendRelease(_)
            | Self::LockRow(_)
            | Self::UnlockRow(_)
            | Self::Deliver(_)
            | Self::Lose(_)
            | Self::Crash(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::StopServer
            | Self::StartServer
            | Self::Cut(_)
            | Self::Unwatch(_) => None,
        }
    }
}
