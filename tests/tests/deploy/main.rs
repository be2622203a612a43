//! Holds every file of `deploy/` against the real programs: the commands, flags, variables, ports,
//! probes and grace periods that a file names must exist and fit each other.

#![expect(
    clippy::expect_used,
    reason = "a broken deployment file must fail the test"
)]

mod compose;
mod files;
mod image;
mod kubernetes;
mod launch;
mod manual;
mod railway;
mod running;
mod settings;
mod systemd;
