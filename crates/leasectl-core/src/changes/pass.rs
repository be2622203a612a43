//! A pass: one look at every change of an inventory, in as many jobs as its budgets make of it.

use tokio_postgres::Row;

use super::key::ChangeKey;
use super::mode::{self, Budget, Mode};
use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;
use crate::index::ObjectId;
use crate::job::{FollowUp, NotBefore, enqueue_fenced};
use crate::lease::{FenceError, FencedTransaction};
use crate::time::Timestamp;

/// What a job begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// Nothing: the latest word is `off`, or the repository is gone.
    Off,
    /// Nothing: no fetch has recorded what changes there are.
    NeverFetched,
    /// A pass.
    Pass(Pass),
}

/// A pass under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pass {
    /// The repository.
    pub repo_id: RepoId,
    /// Which changes are kept current: the latest word, which may be later than the job's.
    pub mode: Mode,
    /// The inventory that there was when the job began.
    pub generation: i64,
    /// The head of the default branch in that inventory.
    pub default_head: Option<ObjectId>,
    /// The head of the default branch that passes last worked with. Where it differs, [`confirm_default`] comes
    /// before anything else.
    pub previous_default_head: Option<ObjectId>,
    /// Counts how often the default branch was rewritten.
    pub epoch: i32,
    /// The last change that it came past; changes that failed are behind it too.
    pub cursor: Option<ChangeKey>,
    /// Whether it goes on where another job left it.
    pub resumed: bool,
    /// All commits up to this one are recorded.
    pub history_head: Option<ObjectId>,
}

/// How many changes stand where. The total is the sum of the next four.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// All that the last fetch saw.
    pub total: i64,
    /// Whose facts are those of today.
    pub current: i64,
    /// Whose facts are older.
    pub stale: i64,
    /// Which could not be studied.
    pub failed: i64,
    /// Which were not studied yet.
    pub missing: i64,
    /// Of those that failed: which are not tried again unasked.
    pub parked: i64,
    /// Recorded commits of the default branch.
    pub commits: i64,
}

/// Begins a pass for a job, or resumes the one of the same mode that did not come to its end.
///
/// The mode that a job was enqueued with is a word like that of [`super::set_mode`]; the later one wins.
///
/// # Errors
/// When the database is away.
pub async fn begin_pass(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    mode: Mode,
) -> Result<Begun, FenceError> {
    let transaction = fenced.statements();
    let open = transaction
        .prepare_cached(include_str!("setting_open.sql"))
        .await?;
    transaction.execute(&open, &[&repo_id.as_uuid()]).await?;
    let begin = transaction
        .prepare_cached(include_str!("pass_begin.sql"))
        .await?;
    let row = transaction
        .query_opt(
            &begin,
            &[
                &repo_id.as_uuid(),
                &mode.as_str(),
                &fenced.job_id().as_uuid(),
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Begun::Off);
    };
    let mode = Mode::from_sql_name(row.get("mode"))?;
    if mode == Mode::Off {
        return Ok(Begun::Off);
    }
    let Some(generation) = row.get("generation") else {
        return Ok(Begun::NeverFetched);
    };
    Ok(Begun::Pass(Pass {
        repo_id,
        mode,
        generation,
        default_head: row.get("default_head"),
        previous_default_head: row.get("previous_default_head"),
        epoch: row.get("epoch"),
        cursor: ChangeKey::of_cursor(&row)?,
        resumed: row.get("resumes"),
        history_head: row.get("history_head"),
    }))
}

/// Notes the head of the default branch that a pass works with, and whether the branch was rewritten, so that the
/// head before is no ancestor of it: then closed changes may be open again and all are studied once more, and the
/// history is walked anew.
///
/// # Errors
/// When the database is away.
pub async fn confirm_default(
    fenced: &FencedTransaction<'_>,
    pass: Pass,
    is_rewritten: bool,
) -> Result<Pass, FenceError> {
    let transaction = fenced.statements();
    let statement = transaction
        .prepare_cached(include_str!("pass_confirm_default.sql"))
        .await?;
    let row = transaction
        .query_opt(
            &statement,
            &[&pass.repo_id.as_uuid(), &pass.default_head, &is_rewritten],
        )
        .await?;
    let Some(row) = row else {
        return Ok(pass);
    };
    Ok(Pass {
        previous_default_head: pass.default_head,
        epoch: row.get("epoch"),
        cursor: ChangeKey::of_cursor(&row)?,
        history_head: row.get("history_head"),
        ..pass
    })
}

/// Notes that a pass has looked at every change. A job follows at once when a fetch has recorded another inventory since
/// the pass began; else, where changes failed, at the time of the first that is to be tried again, and where some were
/// studied without their test merge, in a minute. Make it the transaction's last statement.
///
/// # Errors
/// When the database is away.
pub async fn finish_pass(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    budget: Budget,
) -> Result<Option<FollowUp>, FenceError> {
    let transaction = fenced.statements();
    let statement = transaction
        .prepare_cached(include_str!("pass_finish.sql"))
        .await?;
    let row = transaction
        .query_opt(&statement, &[&pass.repo_id.as_uuid(), &pass.mode.as_str()])
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let retry_at: Option<Timestamp> = row.get("retry_at");
    let not_before = match (row.get("is_outrun"), retry_at) {
        (Some(true), _) => NotBefore::Now,
        (_, Some(retry_at)) => NotBefore::At(retry_at),
        (_, None) => return Ok(None),
    };
    follow(fenced, pass, budget, not_before).await
}

/// Has another job go on with a pass whose budget is used up; none when the latest word is `off`. Make it the
/// transaction's last statement.
///
/// # Errors
/// When the database is away.
pub async fn pause_pass(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    budget: Budget,
) -> Result<Option<FollowUp>, FenceError> {
    follow(fenced, pass, budget, NotBefore::Now).await
}

async fn follow(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    budget: Budget,
    not_before: NotBefore,
) -> Result<Option<FollowUp>, FenceError> {
    let Some(request) = mode::repeated(fenced, pass.repo_id, budget).await? else {
        return Ok(None);
    };
    let follow_ups = enqueue_fenced(fenced, &[request.not_before(not_before)]).await?;
    Ok(follow_ups.into_iter().next())
}

/// How many changes of a repository stand where.
///
/// # Errors
/// When the database is away.
pub async fn counts(client: &Client, repo_id: RepoId) -> Result<Counts, DatabaseError> {
    let statement = client.prepare_cached(include_str!("counts.sql")).await?;
    let row = client.query_one(&statement, &[&repo_id.as_uuid()]).await?;
    Ok(Counts::from_row(&row))
}

impl Counts {
    fn from_row(row: &Row) -> Self {
        Self {
            total: row.get("total"),
            current: row.get("current"),
            stale: row.get("stale"),
            failed: row.get("failed"),
            missing: row.get("missing"),
            parked: row.get("parked"),
            commits: row.get("commits"),
        }
    }
}
