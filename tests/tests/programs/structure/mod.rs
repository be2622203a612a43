//! `worker deps` and `worker impact` on layouts as people have them, indexed by a real worker.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod answers;
mod indexed;
mod layouts;
