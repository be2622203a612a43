//! What every leasectl program shares: settings, logging, metrics, and opening the database.
//!
//! The worker and the HTTP service must agree on flags, variables and defaults, so they are written
//! down once, here. Programs decide when to call; nothing here prints or exits.

mod config;
mod duration;
mod logging;
mod metrics;
mod open;

pub use config::{DataDirError, DatabaseArgs, LogArgs, LogFormat, SecretUrl};
pub use duration::{DurationError, parse_duration};
pub use logging::{LogError, init_logging};
pub use metrics::{MetricsError, MetricsHandle, MetricsServer, install_metrics};
pub use open::{OpenDatabase, OpenError, OpenOptions, Schema, Use, open_database};
