//! What the two programs do, as their users see it. They are one test program, so that its tests wait beside each
//! other and not one file after another.

mod api;
mod api_bad_input;
mod api_service;
mod backfill;
mod bad_input;
mod bad_remotes;
mod chaos;
mod cli;
mod damaged_clones;
mod demo;
mod drain;
mod embedded;
mod hung;
mod index;
mod index_follows;
mod json;
mod like_git_grep;
mod main_job;
mod outage;
mod queue;
mod structure;
mod takeover;
mod worktree;
