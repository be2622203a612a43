//! What may happen next.

use crate::ids::{JobId, OwnerId};
use crate::packet::{Outcome, Packet};

/// One step of somebody, or a stroke of fate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A heartbeat interval passes.
    Tick,
    /// A client enqueues a job; its transaction stays open.
    Enqueue(JobId),
    /// That transaction commits.
    CommitEnqueue(JobId),
    /// A user asks to cancel a job.
    Cancel(JobId),
    /// A user runs a finished job again.
    Retry(JobId),
    /// A sweep activates a staged job.
    ActivateStaged(JobId),
    /// A sweep wakes a scheduled job.
    WakeDue(JobId),
    /// A sweep, or whoever changed the lane, brings it into order.
    Promote,
    /// A sweep buries a job that may not run again.
    Bury(JobId),
    /// A worker sends a claim.
    SendClaim(OwnerId),
    /// A worker sends a reclaim, having seen that this job's lease is over.
    SendReclaim(OwnerId, JobId),
    /// A worker waits no longer for the answer to its claim, which may yet be carried out.
    GiveUp(Packet),
    /// A worker that gave up a claim looks for what it took, and hands that back.
    LookForUnheard(OwnerId),
    /// A worker sends a heartbeat; `true`: its handler advanced.
    SendBeat(OwnerId, bool),
    /// A handler opens its fenced transaction.
    OpenFence(OwnerId),
    /// A handler that was stopped and blocks its thread opens one.
    OpenLateFence(OwnerId),
    /// A handler's transaction commits its result.
    Commit(OwnerId),
    /// The same, but the handler does not hear of it.
    CommitUnheard(OwnerId),
    /// A handler's transaction commits durable progress.
    CommitDurable(OwnerId),
    /// A handler's transaction is rolled back.
    Abort(OwnerId),
    /// A worker sends a settlement, for the first time or again.
    SendSettle(OwnerId, Outcome),
    /// A worker stops a handler whose lease it does not trust any more, to hand the lease back.
    StopHandler(OwnerId),
    /// A worker that stood still stops a handler and leaves its lease to be taken over.
    Abandon(OwnerId),
    /// A worker hands back the lease of a handler that it stopped.
    SendRelease(OwnerId),
    /// A statement takes effect.
    Execute(Packet),
    /// An answer arrives.
    Deliver(Packet),
    /// A statement or an answer is lost.
    Lose(Packet),
    /// A process is killed.
    Crash(OwnerId),
    /// A process is stopped.
    Pause(OwnerId),
    /// It continues.
    Resume(OwnerId),
    /// Somebody outside locks a job's row for as long as they like.
    LockRow(JobId),
    /// They let go of it.
    UnlockRow(JobId),
    /// The database server stops.
    StopServer,
    /// It starts again.
    StartServer,
    /// A detector says that an owner is dead.
    Judge(OwnerId),
    /// A detector looks for an owner's session lock.
    Sight(OwnerId),
    /// An owner's liveness session is cut.
    Cut(OwnerId),
    /// It takes its session lock again.
    Relock(OwnerId),
    /// It says that heartbeats alone speak for it.
    Unwatch(OwnerId),
}
