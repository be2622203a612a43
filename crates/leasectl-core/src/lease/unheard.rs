//! Leases that their owner never heard of: a claim committed, and its answer was lost on the way.

use super::promote::lane_of;
use super::{LeaseKey, Outcome, Settlement};
use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, Token};
use crate::kind::Lane;

/// Finds the leases that this owner took after the token `since`, or ever, and that are not among `heard`, and
/// answers with their releases, to be sent by [`super::settle`]: no attempt is spent.
///
/// Whoever calls this must not have a claim under way, whose answer may yet come.
///
/// # Errors
/// When the database is away.
pub async fn unheard(
    client: &Client,
    owner: &Owner,
    since: Option<Token>,
    heard: &[Token],
) -> Result<Vec<Settlement>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("unheard.sql")).await?;
    let heard: Vec<_> = heard.iter().map(|token| token.get()).collect();
    let lanes = Lane::ALL.map(Lane::as_str);
    let rows = client
        .query(
            &statement,
            &[
                &owner.as_str(),
                &since.map_or(0, Token::get),
                &heard,
                &lanes.as_slice(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Settlement {
                key: LeaseKey {
                    job_id: row.get::<_, uuid::Uuid>("id").into(),
                    token: Token::new(row.get("lease_token")),
                },
                owner: owner.clone(),
                attempt: row.get("attempt"),
                max_attempts: row.get("max_attempts"),
                outcome: Outcome::Released,
                kind: row.get("kind"),
                repo_id: row.get::<_, uuid::Uuid>("repo_id").into(),
                lane: lane_of(row.get("lane"))?,
            })
        })
        .collect()
}
