//! The thin HTTP service: accepts work in milliseconds, reports jobs and leases, never runs Git.
