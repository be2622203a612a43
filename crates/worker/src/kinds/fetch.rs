//! `fetch`: brings the clone, the branch projection and the inventory of changes up to date with the remote, has
//! the default branch indexed where it moved, and changes studied where they or it moved.

use async_trait::async_trait;
use leasectl_core::changes::{self, InventoryEntry};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::ObjectId;
use leasectl_core::job::{EnqueueRequest, enqueue_fenced};
use leasectl_core::kind::{CanonicalArgs, FETCH, INDEX, KindSpec};
use leasectl_core::lease::{FenceError, FencedTransaction};
use leasectl_core::repository::{self, FetchRecord, Recorded};
use leasectl_remote::{Locality, Refspec};
use leasectl_repo::{CloneCache, FetchReport, RepoError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::backfill::{inventory_entry, object};
use super::clone::{self, Reporting, job_error};
use super::follow_up;
use crate::daemon::{Handler, JobContext, metrics, outage};

/// Runs `fetch` jobs.
#[derive(Clone, Debug)]
pub struct FetchHandler {
    cache: CloneCache,
    locality: Locality,
    disk_budget_bytes: Option<u64>,
}

impl FetchHandler {
    /// Fetches into that cache, which is kept within the budget where one is given.
    #[must_use]
    pub fn new(cache: CloneCache, locality: Locality, disk_budget_bytes: Option<u64>) -> Self {
        Self {
            cache,
            locality,
            disk_budget_bytes,
        }
    }
}

/// The arguments of a `fetch`.
#[derive(Deserialize)]
struct Args {
    #[serde(default)]
    refspecs: Vec<String>,
}

#[async_trait]
impl Handler for FetchHandler {
    fn spec(&self) -> KindSpec {
        FETCH
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        let refspecs = refspecs(&context.job.args)?;
        let fetched = self.fetch(&context, &refspecs).await;
        if let Err(error) = &fetched
            && refspecs.is_empty()
        {
            record_failure(&context, error).await;
        }
        fetched
    }
}

impl FetchHandler {
    async fn fetch(&self, context: &JobContext, refspecs: &[Refspec]) -> Result<Value, JobError> {
        let target = clone::target(context, self.locality).await?;
        let sink = Reporting::to(&context.progress);
        let fetched = self
            .cache
            .fetch(&target, refspecs, &sink, &context.cancel)
            .await;
        if matches!(fetched, Ok(_) | Err(RepoError::DiskFull)) {
            // The clone that was just fetched is in use, and stays.
            self.keep_to_budget().await;
        }
        let report = fetched.map_err(|error| job_error(&error))?;
        if let Some(reason) = report.recloned {
            metrics::recloned(reason.as_str());
            tracing::info!(
                repo = %context.job.repo_id, job = %context.job.id, reason = reason.as_str(),
                "cloned anew"
            );
        }
        context.progress.message("recording branches");
        record(context, refspecs, &report).await?;
        Ok(result(&report))
    }

    /// Evicts clones that nobody uses while the cache is over its budget.
    async fn keep_to_budget(&self) {
        let Some(budget) = self.disk_budget_bytes else {
            return;
        };
        let cache = self.cache.clone();
        match tokio::task::spawn_blocking(move || cache.evict_to_budget(budget)).await {
            Ok(Ok(evicted)) if evicted.clones.is_empty() => {}
            Ok(Ok(evicted)) => tracing::info!(
                clones = evicted.clones.len(),
                freed_bytes = evicted.freed_bytes,
                used_bytes = evicted.used_bytes,
                "evicted clones to stay within the disk budget"
            ),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = outage::chain(&error),
                    "the disk budget was not enforced"
                );
            }
            Err(error) => tracing::error!(%error, "the disk budget was not enforced"),
        }
    }
}

/// What is recorded of a fetch: with refspecs of its own only what these map, since this container's clone may have
/// older heads of the others than another one's.
fn what_was_fetched(refspecs: &[Refspec], report: &FetchReport) -> FetchRecord {
    let is_whole = refspecs.is_empty();
    let is_fetched = |name: &str| {
        let full = format!("refs/heads/{name}");
        is_whole || refspecs.iter().any(|refspec| maps_to(refspec, &full))
    };
    let mut branches = report.branches.clone();
    branches.retain(|(name, _)| is_fetched(name));
    let default = report.default_branch.clone();
    let default = default.filter(|name| is_fetched(name));
    FetchRecord {
        is_whole,
        branches,
        head: report
            .head
            .clone()
            .filter(|_| is_whole || default.is_some()),
        default_branch: default,
        // In a clone that was just made every ref is new.
        changed: report.recloned.is_none()
            && report.refs_created + report.refs_updated + report.refs_deleted > 0,
    }
}

/// Whether a refspec can write that ref: its destination, in which one part may stand for anything.
fn maps_to(refspec: &Refspec, reference: &str) -> bool {
    let text = refspec.to_string();
    let destination = text.rsplit(':').next().unwrap_or_default();
    let destination = destination.trim_start_matches('+');
    match destination.split_once('*') {
        Some((before, after)) => reference
            .strip_prefix(before)
            .is_some_and(|rest| rest.ends_with(after)),
        None => destination == reference,
    }
}

/// Writes what was fetched and what follows from it, under the fence.
async fn record(
    context: &JobContext,
    refspecs: &[Refspec],
    report: &FetchReport,
) -> Result<(), JobError> {
    let record = what_was_fetched(refspecs, report);
    let inventory = record.is_whole.then(|| Inventory::of(report)).transpose()?;
    let recorded = loop {
        match record_once(context, &record, inventory.as_ref()).await {
            Ok(recorded) => break recorded,
            Err(error) => clone::wait_out(error, &context.cancel).await?,
        }
    };
    match recorded {
        Recorded::Moved | Recorded::Unmoved => Ok(()),
        Recorded::Removed => Err(JobError::permanent(
            ErrorCode::RepoUnavailable,
            "the repository was removed while it was fetched; register it again to fetch it",
        )),
    }
}

/// The changes that the remote has, and what they are compared with.
struct Inventory {
    default_head: Option<ObjectId>,
    entries: Vec<InventoryEntry>,
}

impl Inventory {
    fn of(report: &FetchReport) -> Result<Self, JobError> {
        let entries = report.change_refs.iter().map(inventory_entry);
        let head = report.head.as_deref().map(str::as_bytes);
        let head = head.and_then(|hex| leasectl_repo::ObjectId::from_hex(hex).ok());
        Ok(Self {
            default_head: head.map(object).transpose()?,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

/// A second try, after a commit whose answer was lost, finds the head where it left it: nothing follows twice.
async fn record_once(
    context: &JobContext,
    record: &FetchRecord,
    inventory: Option<&Inventory>,
) -> Result<Recorded, FenceError> {
    let repo_id = context.job.repo_id;
    let mut client = context.database.client().await?;
    let fenced = context.fence.begin(&mut client).await?;
    let recorded = repository::record_fetch(&fenced, repo_id, record).await?;
    let mut follow = Vec::new();
    if matches!(recorded, Recorded::Moved) {
        // Without arguments, so that it is the same job as the one that an operator asks for. Whether the new
        // head is indexed already is not asked here: then the job is over in milliseconds.
        follow.push(EnqueueRequest::new(repo_id, &INDEX, CanonicalArgs::none()));
    }
    if !matches!(recorded, Recorded::Removed)
        && let Some(inventory) = inventory
    {
        follow.extend(record_changes(&fenced, context, inventory).await?);
    }
    let follow = enqueue_fenced(&fenced, &follow).await?;
    fenced.commit().await?;
    for job in follow {
        follow_up::start(context, &client, job).await;
    }
    Ok(recorded)
}

/// Puts the new inventory in the place of the old one, and answers the pass that is to follow if something moved
/// and the repository's mode asks for one.
async fn record_changes(
    fenced: &FencedTransaction<'_>,
    context: &JobContext,
    inventory: &Inventory,
) -> Result<Option<EnqueueRequest>, FenceError> {
    let repo_id = context.job.repo_id;
    let (head, entries) = (inventory.default_head, &inventory.entries);
    let outcome = changes::record_inventory(fenced, repo_id, head, entries).await?;
    if outcome.has_changed() {
        changes::pass_request(fenced, repo_id).await
    } else {
        Ok(None)
    }
}

/// Counts a fetch that will not be tried again. It is the job's error that matters: when this cannot be written, the
/// schedule goes on as if the fetch were still to come.
async fn record_failure(context: &JobContext, error: &JobError) {
    let is_last = !error.retryable || context.job.attempt >= context.job.max_attempts;
    if !is_last || matches!(error.code, ErrorCode::LeaseLost | ErrorCode::Cancelled) {
        return;
    }
    if let Err(error) = record_failure_once(context).await {
        let error = outage::chain(&error);
        tracing::debug!(job = %context.job.id, error, "a failed fetch was not counted");
    }
}

async fn record_failure_once(context: &JobContext) -> Result<(), FenceError> {
    let mut client = context.database.client().await?;
    let fenced = context.fence.begin(&mut client).await?;
    repository::record_failed_fetch(&fenced, context.job.repo_id).await?;
    fenced.commit().await
}

fn refspecs(args: &Value) -> Result<Vec<Refspec>, JobError> {
    let invalid = |message: String| JobError::permanent(ErrorCode::InvalidArgument, message);
    let args = Args::deserialize(args)
        .map_err(|_| invalid("the job's arguments are not those of a fetch".to_owned()))?;
    let parsed = args.refspecs.iter().map(|text| Refspec::parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(error.to_string()))
}

fn result(report: &FetchReport) -> Value {
    json!({
        "recloned": report.recloned.map(leasectl_repo::RecloneReason::as_str),
        "default_branch": report.default_branch,
        "head": report.head,
        "refs_created": report.refs_created,
        "refs_updated": report.refs_updated,
        "refs_deleted": report.refs_deleted,
        "bytes_received": report.bytes_received,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refspec_writes_where_it_leads_and_nowhere_else() {
        for (refspec, name, writes) in [
            ("+refs/heads/*:refs/heads/*", "refs/heads/a/b", true),
            ("refs/heads/main:refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main:refs/heads/main", "refs/heads/main2", false),
            (
                "+refs/pull/7/head:refs/pull/7/head",
                "refs/heads/main",
                false,
            ),
            ("+refs/heads/v*:refs/heads/v*", "refs/heads/main", false),
        ] {
            let parsed = Refspec::parse(refspec).unwrap();
            assert_eq!(maps_to(&parsed, name), writes, "{refspec} {name}");
        }
    }

    #[test]
    fn no_refspecs_means_the_default_ones() {
        assert_eq!(refspecs(&json!({})).unwrap().len(), 0);
        let given = refspecs(&json!({"refspecs": ["+refs/heads/*:refs/heads/*"]}));
        assert_eq!(given.unwrap().len(), 1);
    }

    #[test]
    fn arguments_that_got_past_the_door_are_refused_here() {
        for args in [
            json!({"refspecs": ["--upload-pack=x"]}),
            json!({"refspecs": 1}),
        ] {
            let error = refspecs(&args).unwrap_err();
            assert_eq!(
                (error.code, error.retryable),
                (ErrorCode::InvalidArgument, false)
            );
        }
    }
}
