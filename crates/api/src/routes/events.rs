//! Server-sent events: a `job` event whenever a job's state or progress changed.
//!
//! A stream begins with the jobs that live, so a client never needs to ask twice. Each event holds
//! the whole job, and its id says up to when everything has been sent; a client that comes back
//! with `Last-Event-ID` also gets what finished since. It may see an event twice, never miss where
//! a job ended up.

#![expect(
    unused_qualifications,
    reason = "the OpenAPI macro qualifies the query types"
)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use futures::stream;
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::follow::{self, Look};
use leasectl_core::job::{JobView, PublicState};
use leasectl_core::lease::Progress;
use leasectl_core::time::Timestamp;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::IntoParams;

use crate::body::QueryOf;
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::routes::jobs::{find_repo, job_id, unknown_job};
use crate::service::Service;

/// The time between two looks of one stream.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The time after which a silent stream sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many jobs a stream remembers.
const MAX_REMEMBERED: usize = 4 * follow::MAX_FOLLOWED;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Which jobs to follow; all of them unless one is named.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only of this repository: its id, name or registered URL.
    repo: Option<String>,
    /// Only this job.
    #[param(value_type = Option<JobId>)]
    job: Option<String>,
}

/// Follow jobs.
#[utoipa::path(
    operation_id = "follow_jobs",
    get, path = "/v1/events", tag = "jobs",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream was cut off"),
    ),
    responses(
        (status = 200, description = "`job` events, each with the whole job as data",
         content_type = "text/event-stream", body = JobView),
        Problems,
    )
)]
pub(crate) async fn events(
    State(service): State<Service>,
    headers: HeaderMap,
    QueryOf(query): QueryOf<EventsQuery>,
) -> Result<Response, Problem> {
    let since = headers
        .get(LAST_EVENT_ID)
        .map(|id| position(id.as_bytes()))
        .transpose()?;
    let repo = match query.repo {
        Some(text) => Some(find_repo(&service, &text).await?),
        None => None,
    };
    let scope = match query.job {
        Some(text) => Scope::Job(find_job(&service, &text, repo).await?),
        None => Scope::Repo(repo),
    };
    let place = service
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_none_free| {
            Problem::new(
                Code::TooManyStreams,
                "too many event streams are open; close some",
            )
        })?;
    let follower = Follower::new(service, scope, since, place);
    let events = stream::unfold(follower, |mut follower| async move {
        Some((Ok::<_, Infallible>(follower.next().await?), follower))
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that collects the answer before passing it on would show nothing.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

async fn find_job(service: &Service, text: &str, repo: Option<RepoId>) -> Result<JobId, Problem> {
    let id = job_id(text)?;
    let look = follow::look_at(&service.database, id).await?;
    match look.jobs.first() {
        Some(job) if repo.is_none_or(|repo| repo == job.repo_id) => Ok(id),
        _ => Err(unknown_job()),
    }
}

/// An event's id: microseconds by the database's clock.
fn position(id: &[u8]) -> Result<Timestamp, Problem> {
    std::str::from_utf8(id)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .filter(|micros| (0..=MAX_POSITION_MICROS).contains(micros))
        .and_then(DateTime::from_timestamp_micros)
        .map(Timestamp::from)
        .ok_or_else(|| Problem::invalid("Last-Event-ID is not an id of this stream"))
}

/// The year 9999; the database can hold it.
const MAX_POSITION_MICROS: i64 = 253_402_300_799_000_000;

/// Which jobs a stream follows.
#[derive(Clone, Copy)]
enum Scope {
    Job(JobId),
    Repo(Option<RepoId>),
}

/// What counts as a change. A heartbeat alone does not.
#[derive(PartialEq)]
struct Face {
    state: PublicState,
    attempt: i16,
    progress: Option<Progress>,
    message: Option<String>,
}

impl Face {
    fn of(job: &JobView) -> Self {
        Self {
            state: job.state,
            attempt: job.attempt,
            progress: job.progress.clone(),
            message: job.message.clone(),
        }
    }
}

struct Follower {
    service: Service,
    scope: Scope,
    looks: Interval,
    /// Everything up to here has been sent.
    sent_until: Option<Timestamp>,
    /// Whether jobs that finished before the stream began are to be caught up on.
    catching_up: bool,
    /// Whether a look has succeeded yet.
    begun: bool,
    seen: HashMap<JobId, Face>,
    ready: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn new(
        service: Service,
        scope: Scope,
        since: Option<Timestamp>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            service,
            scope,
            looks,
            sent_until: since,
            catching_up: since.is_some(),
            begun: false,
            seen: HashMap::new(),
            ready: VecDeque::new(),
            _place: place,
        }
    }

    /// The next event; none when the service stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = self.service.stopping.cancelled() => return None,
                _now = self.looks.tick() => {}
            }
            match self.look().await {
                Ok(look) => self.take(look),
                // The stream outlives an outage: the next look that succeeds sends what changed.
                Err(error) => tracing::debug!(%error, "an event stream could not look"),
            }
        }
    }

    async fn look(&self) -> Result<Look, leasectl_core::database::DatabaseError> {
        let database = &self.service.database;
        match self.scope {
            Scope::Job(id) => follow::look_at(database, id).await,
            Scope::Repo(repo) => {
                let live: Vec<JobId> = self
                    .seen
                    .iter()
                    .filter(|(_, face)| !face.state.is_finished())
                    .map(|(id, _)| *id)
                    .collect();
                let since = if self.catching_up {
                    self.sent_until
                } else {
                    None
                };
                follow::look(database, repo, &live, since).await
            }
        }
    }

    fn take(&mut self, look: Look) {
        let first = !self.begun && !self.catching_up;
        let mut changed: Vec<JobView> = Vec::new();
        let present: HashSet<JobId> = look.jobs.iter().map(|job| job.id).collect();
        for job in look.jobs {
            let face = Face::of(&job);
            // What finished before the stream began is no news, unless it was asked for.
            let stale = first && job.state.is_finished() && matches!(self.scope, Scope::Repo(_));
            let known = self.seen.insert(job.id, face);
            if !stale && known.as_ref() != self.seen.get(&job.id) {
                changed.push(job);
            }
        }
        self.begun = true;
        self.catching_up = false;
        self.forget(&present);
        let last = changed.len().saturating_sub(1);
        for (place, job) in changed.iter().enumerate() {
            // Only the last event of a look says that the whole look has been sent.
            let position = if place == last {
                look.at
            } else {
                self.sent_until
            };
            self.ready.extend(event(job, position));
        }
        self.sent_until = look.at.or(self.sent_until);
    }

    /// Drops finished jobs that looks no longer return, and bounds the memory.
    fn forget(&mut self, present: &HashSet<JobId>) {
        self.seen
            .retain(|id, face| present.contains(id) || !face.state.is_finished());
        if self.seen.len() > MAX_REMEMBERED {
            self.seen.retain(|id, _| present.contains(id));
        }
    }
}

fn event(job: &JobView, position: Option<Timestamp>) -> Option<Event> {
    let event = Event::default().event("job").json_data(job).ok()?;
    Some(match position {
        Some(moment) => event.id(moment.as_datetime().timestamp_micros().to_string()),
        None => event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_that_this_service_did_not_make_is_refused() {
        assert!(position(b"1763640000000000").is_ok());
        for odd in [
            &b""[..],
            b"-1",
            b"x",
            b"1e9",
            b"9223372036854775807",
            b"\xff",
            b"1 2",
        ] {
            assert!(position(odd).is_err(), "{odd:?}");
        }
    }
}
