//! Clones and fetches against real remotes, with real damage, real processes and real signals.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod changes_diff;
mod changes_history;
mod changes_hostile;
mod changes_open;
mod changes_random;
mod content;
mod damage;
mod disk;
mod faults;
mod lost_pages;
mod mirror;
mod processes;
mod safety;
mod story;
mod support;
mod warm;
mod worktree;
mod worktree_safety;
