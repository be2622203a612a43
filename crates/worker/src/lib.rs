//! The worker: daemon and operator's command line.
