//! The routes, one file per noun.

pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod observe;
pub(crate) mod page;
pub(crate) mod repos;
pub(crate) mod webhooks;
