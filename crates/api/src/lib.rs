//! The thin HTTP service: accepts work in milliseconds, reports jobs and leases, never runs Git.
//!
//! Every request is at most a few short statements; waiting for work is the client's business
//! (`GET /v1/jobs/{id}`, `GET /v1/events`). The OpenAPI document is made from the same code.

mod accept;
mod access;
mod body;
pub mod config;
mod failure;
mod layers;
mod openapi;
mod paging;
pub mod problem;
pub mod program;
mod readiness;
mod repo_ref;
mod request_id;
mod router;
mod routes;
pub mod server;
mod service;
mod service_manager;
mod strict_json;
mod webhook;

pub use access::{Access, Tokens};
pub use body::{MAX_BODY_BYTES, MAX_WEBHOOK_BYTES};
pub use router::{document, router};
pub use service::{Parts, Service};
pub use webhook::{BadWebhookSecret, WebhookSecrets};
