//! Database URLs, with the TLS settings that libpq knows and tokio-postgres does not.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use tokio_postgres::Config;

/// How much the server must prove, as in libpq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SslMode {
    /// Clear text.
    Disable,
    /// TLS if the server offers it, unverified.
    Prefer,
    /// TLS, unverified.
    Require,
    /// TLS with a certificate of a known authority, for whatever host.
    VerifyCa,
    /// TLS with a certificate of a known authority for this host.
    VerifyFull,
}

/// Where a database is and how to reach it. Never shown with its password.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    ssl_mode: SslMode,
    ssl_root_cert: Option<PathBuf>,
    shown: String,
}

/// The text is no database URL. It is not repeated: it may hold a password.
#[derive(Debug, Error)]
pub enum DatabaseUrlError {
    /// Another scheme.
    #[error("a database URL starts with postgres:// or postgresql://")]
    Scheme,
    /// An `sslmode` that does not exist.
    #[error("sslmode is one of disable, prefer, require, verify-ca and verify-full")]
    SslMode,
    /// Anything else.
    #[error(
        "the database URL cannot be read; it looks like postgres://user:password@host:5432/database?sslmode=verify-full"
    )]
    Malformed(#[source] tokio_postgres::Error),
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseUrlError::Scheme);
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut ssl_mode = SslMode::Prefer;
        let mut ssl_root_cert = None;
        let mut rest = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = mode.parse()?,
                Some(("sslrootcert", path)) if path != "system" => {
                    ssl_root_cert = Some(PathBuf::from(decoded(path)));
                }
                Some(("sslrootcert", _)) => {}
                _ => rest.push(parameter),
            }
        }
        let native = match ssl_mode {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => "require",
        };
        let mode = format!("sslmode={native}");
        rest.push(&mode);
        let config = Config::from_str(&format!("{base}?{}", rest.join("&")))
            .map_err(DatabaseUrlError::Malformed)?;
        Ok(Self {
            shown: shown(&config),
            config,
            ssl_mode,
            ssl_root_cert,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    pub(super) fn ssl_root_cert(&self) -> Option<&PathBuf> {
        self.ssl_root_cert.as_ref()
    }
}

impl FromStr for SslMode {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" | "allow" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(DatabaseUrlError::SslMode),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Host, port and database: what a person needs to recognise it, and no secret.
fn shown(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(_) => "socket".to_owned(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!(
        "postgres://{host}:{port}/{}",
        config.get_dbname().unwrap_or_default()
    )
}

/// Undoes percent-encoding; a path in a query may hold `%20`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_settings_of_libpq_are_understood() {
        let url = DatabaseUrl::parse(
            "postgresql://u:p@db.example/x?sslmode=verify-full&sslrootcert=/etc/ca%20s.pem",
        )
        .unwrap();
        assert_eq!(url.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(url.ssl_root_cert(), Some(&PathBuf::from("/etc/ca s.pem")));
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = DatabaseUrl::parse("postgres://u:canary@db.example:6000/x").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://db.example:6000/x postgres://db.example:6000/x"
        );
        let error = DatabaseUrl::parse("postgres://u:canary@db.example:port/x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        DatabaseUrl::parse("postgresql:///leasectl?host=/run/x&user=u").unwrap();
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "mysql://x/y",
            "host=localhost",
            "postgres://x/y?sslmode=maybe",
        ] {
            assert!(DatabaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
