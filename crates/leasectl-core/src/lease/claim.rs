//! Claiming: taking ready jobs' leases, in batches, in one statement.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::promote::lane_of;
use super::{ClaimedJob, Lease, LeaseSettings};
use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, Token};
use crate::kind::Lane;
use crate::time::{BootInstant, seconds};

/// What a worker is free to take.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// Free slots of each lane.
    pub slots: &'a [(Lane, usize)],
    /// The kinds that the worker runs.
    pub kinds: &'a [&'a str],
}

/// Claims the most urgent ready jobs, up to the free slots of each lane.
///
/// # Errors
/// As [`claim_onward`].
pub async fn claim(
    client: &Client,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
) -> Result<Vec<Lease>, DatabaseError> {
    claim_onward(
        client,
        owner,
        settings,
        request,
        &mut ClaimCursor::default(),
    )
    .await
}

/// Claims like [`claim`], looking in each lane after the last job that the cursor's claims took.
///
/// A claim leaves a dead entry at the head of the index. While some session holds an old snapshot
/// nothing can remove those, and a claim that begins at the head walks over all of them. A lane that
/// comes back short is looked at again from its head, so the cursor hides nothing from a worker
/// with room; [`ClaimCursor::rewind`] now and then lets more urgent newcomers in under load.
///
/// # Errors
/// When the database is away. The claim may have happened all the same: such a lease has no
/// holder, until [`super::unheard`] finds it or others take it over when it is stale.
pub async fn claim_onward(
    client: &Client,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
    cursor: &mut ClaimCursor,
) -> Result<Vec<Lease>, DatabaseError> {
    let mut leases = Vec::new();
    let mut slots = request.slots.to_vec();
    loop {
        let request = ClaimRequest {
            slots: &slots,
            ..*request
        };
        let (ranks, seqs): (Vec<i16>, Vec<i64>) =
            slots.iter().map(|(lane, _)| cursor.after(*lane)).unzip();
        let statement = include_str!("claim.sql");
        let taken = take(
            client,
            statement,
            owner,
            settings,
            &request,
            &[&ranks, &seqs],
        )
        .await;
        let (sent, rows) = match taken {
            // What was claimed already has a holder, whatever became of the second look.
            Err(_) if !leases.is_empty() => {
                cursor.is_cut_short = true;
                return Ok(leases);
            }
            taken => taken?,
        };
        let mut again = Vec::new();
        for (lane, free) in slots {
            let of_lane = rows
                .iter()
                .filter(|row| row.get::<_, &str>("lane") == lane.as_str());
            let taken = of_lane.clone().count();
            if taken < free && cursor.forget(lane) {
                again.push((lane, free - taken));
            } else if let Some(last) = of_lane.last().filter(|_| taken == free) {
                cursor
                    .positions
                    .insert(lane, (last.get("rank"), last.get("seq")));
            }
        }
        for row in &rows {
            leases.push(lease(row, owner, sent)?);
        }
        if again.is_empty() {
            return Ok(leases);
        }
        slots = again;
    }
}

/// Where the claims of one worker have got to in each lane.
#[derive(Clone, Debug, Default)]
pub struct ClaimCursor {
    positions: BTreeMap<Lane, (i16, i64)>,
    is_cut_short: bool,
}

impl ClaimCursor {
    /// Looks from the head of every lane again.
    pub fn rewind(&mut self) {
        self.positions.clear();
    }

    /// Whether part of the last claim got no answer although the whole of it did; asking forgets it.
    pub fn take_cut_short(&mut self) -> bool {
        std::mem::take(&mut self.is_cut_short)
    }

    /// The rank and seq after which to look; before every job at first.
    fn after(&self, lane: Lane) -> (i16, i64) {
        self.positions.get(&lane).copied().unwrap_or((i16::MIN, 0))
    }

    /// Forgets a lane's position; tells whether there was one.
    fn forget(&mut self, lane: Lane) -> bool {
        self.positions.remove(&lane).is_some()
    }
}

/// Sends a statement that claims; rows come most urgent first.
pub(super) async fn take(
    client: &Client,
    statement: &str,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
    more: &[&(dyn ToSql + Sync)],
) -> Result<(BootInstant, Vec<Row>), DatabaseError> {
    let statement = client.prepare_cached(statement).await?;
    let (lanes, free): (Vec<&str>, Vec<i64>) = request
        .slots
        .iter()
        .map(|(lane, free)| (lane.as_str(), i64::try_from(*free).unwrap_or(i64::MAX)))
        .unzip();
    let owner = owner.as_str();
    let heartbeat_interval = seconds(settings.heartbeat_interval());
    let stale_after = seconds(settings.stale_after());
    let ttl = seconds(settings.ttl());
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
        &lanes,
        &free,
        &request.kinds,
        &owner,
        &heartbeat_interval,
        &stale_after,
        &ttl,
    ];
    parameters.extend_from_slice(more);
    let sent = BootInstant::now();
    let mut rows = client.query(&statement, &parameters).await?;
    rows.sort_by_key(|row| (row.get::<_, i16>("rank"), row.get::<_, i64>("seq")));
    Ok((sent, rows))
}

/// Mints a lease from a row of a claiming statement.
pub(super) fn lease(row: &Row, owner: &Owner, sent: BootInstant) -> Result<Lease, DatabaseError> {
    Ok(Lease {
        job: ClaimedJob {
            id: row.get::<_, uuid::Uuid>("id").into(),
            repo_id: row.get::<_, uuid::Uuid>("repo_id").into(),
            kind: row.get("kind"),
            lane: lane_of(row.get("lane"))?,
            args: row.get("args"),
            attempt: row.get("attempt"),
            max_attempts: row.get("max_attempts"),
            ready_at: row.get("ready_at"),
            claimed_at: row.get("claimed_at"),
        },
        owner: owner.clone(),
        token: Token::new(row.get("lease_token")),
        trusted_from: sent,
    })
}
