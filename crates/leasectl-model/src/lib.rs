//! A model of the lease protocol, explored exhaustively.
//!
//! The world is one lane with a few jobs, a few owners, a database and the network between them.
//! Statements are delayed, overtake each other, are sent twice or get lost with or without effect;
//! processes are killed or stopped and continued; living owners are judged dead; the server
//! restarts. In every state that can be reached, every [`Rule`] must hold. A [`Mutant`] changes the
//! protocol in one point, and some rule must catch it: that is how the model shows that it looks.
//!
//! **Invariant.** A rule is judged by [`History`]'s own books or by the rows as a reader sees them,
//! never by the guard of the statement under judgement.
//!
//! [`Statement`] says which SQL files each step stands for.

mod action;
mod calm;
mod clock;
mod database;
mod deliver;
mod fate;
mod history;
mod ids;
mod model;
mod mutant;
mod packet;
mod rule;
mod scenario;
mod scenarios;
mod send;
mod state;
mod statement;
mod step;
mod unheard;
mod worker;

pub use action::Action;
pub use database::{Database, Job, Stored};
pub use history::History;
pub use ids::{JOBS, JobId, OWNERS, OwnerId, Token};
pub use model::{LeaseModel, Sight};
pub use mutant::Mutant;
pub use packet::{Answer, Network, Outcome, Packet};
pub use rule::Rule;
pub use scenario::{DeathSignal, Faults, Plan, Route, Scenario};
pub use scenarios::{LONG_SCENARIOS, SCENARIOS};
pub use state::State;
pub use statement::{OUTSIDE, Statement};
pub use worker::{Handler, Mode, Owed, Stage, Suspicion, Worker};
