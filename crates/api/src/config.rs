//! The settings: flags first, then the environment. Nothing else reads the environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Parser;
use leasectl_core::webhook::Forge;
use leasectl_remote::Locality;
use leasectl_service::{DatabaseArgs, LogArgs};
use thiserror::Error;

use crate::access::Access;
use crate::webhook::{BadWebhookSecret, WebhookSecrets};

/// Where the service listens when nothing else is said.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "leasectl-api",
    version,
    about = "The HTTP service of leasectl: accepts work in milliseconds, reports jobs and leases",
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 4 database unavailable.\n\
                  Durations are written 500ms, 10s, 15m, 6h, 7d.\n\
                  Webhooks are received from forges whose secrets are set, comma-separated, in\n\
                  LEASECTL_WEBHOOK_SECRET_GITHUB, LEASECTL_WEBHOOK_SECRET_GITLAB and\n\
                  LEASECTL_WEBHOOK_SECRET_GITEA (also Forgejo)."
)]
pub struct Arguments {
    /// The database.
    #[command(flatten)]
    database: DatabaseArgs,
    /// The log.
    #[command(flatten)]
    log: LogArgs,
    /// Address to listen on, IP:PORT; port 0 picks a free one. Without a token only a loopback
    /// address is accepted. [env: PORT (port only, on 0.0.0.0), else LEASECTL_LISTEN]
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Bearer tokens that are valid, comma-separated, so that they can be rotated. Prefer the
    /// environment: other users of the machine can read arguments.
    #[arg(
        long,
        value_name = "TOKENS",
        env = "LEASECTL_API_TOKEN",
        hide_env_values = true
    )]
    api_token: Option<String>,
}

/// The settings, checked.
#[derive(Debug)]
pub struct Settings {
    /// The database.
    pub database: DatabaseArgs,
    /// The log.
    pub log: LogArgs,
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Who may ask.
    pub access: Access,
    /// Which remotes may be registered.
    pub locality: Locality,
    /// Which forges may send webhooks.
    pub webhooks: WebhookSecrets,
}

/// The settings cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Not an address.
    #[error("{source_name} is not an address to listen on; write IP:PORT, such as 127.0.0.1:8080")]
    Listen {
        /// Which setting it is.
        source_name: &'static str,
    },
    /// Not a port.
    #[error("PORT must be a number from 0 to 65535")]
    Port,
    /// Everybody could use the service.
    #[error(
        "refusing to listen on {0} without a token; set LEASECTL_API_TOKEN, or listen on 127.0.0.1"
    )]
    OpenToAll(SocketAddr),
    /// Not the secret of a webhook.
    #[error("{name} cannot be used")]
    WebhookSecret {
        /// Which setting it is.
        name: &'static str,
        /// Why not.
        #[source]
        source: BadWebhookSecret,
    },
    /// Neither on nor off.
    #[error("LEASECTL_ALLOW_LOCAL must be 0 or 1")]
    AllowLocal,
}

impl Arguments {
    /// Reads the rest of the environment and checks everything.
    ///
    /// # Errors
    /// When a value cannot be used, or the service would be open to other machines without a token.
    pub fn resolve(self) -> Result<Settings, ConfigError> {
        let port = environment("PORT");
        let listen_variable = environment("LEASECTL_LISTEN");
        let listen = listen_address(
            self.listen.as_deref(),
            port.as_deref(),
            listen_variable.as_deref(),
        )?;
        let access = Access::from_list(self.api_token.as_deref().unwrap_or_default());
        if access.is_loopback_only() && !listen.ip().is_loopback() {
            return Err(ConfigError::OpenToAll(listen));
        }
        let locality = locality(environment("LEASECTL_ALLOW_LOCAL").as_deref())?;
        Ok(Settings {
            database: self.database,
            log: self.log,
            listen,
            access,
            locality,
            webhooks: webhook_secrets(environment)?,
        })
    }
}

/// The variables that hold the secrets of webhooks.
const WEBHOOK_SECRETS: [(Forge, &str); 3] = [
    (Forge::GitHub, "LEASECTL_WEBHOOK_SECRET_GITHUB"),
    (Forge::GitLab, "LEASECTL_WEBHOOK_SECRET_GITLAB"),
    (Forge::Gitea, "LEASECTL_WEBHOOK_SECRET_GITEA"),
];

fn webhook_secrets(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<WebhookSecrets, ConfigError> {
    let mut secrets = WebhookSecrets::default();
    for (forge, name) in WEBHOOK_SECRETS {
        let list = variable(name).unwrap_or_default();
        let with = secrets.with(forge, &list);
        secrets = with.map_err(|source| ConfigError::WebhookSecret { name, source })?;
    }
    Ok(secrets)
}

/// A variable's value; an empty one counts as unset, as compose files leave them.
fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The flag wins; then `PORT`, which platforms probe; then the variable.
fn listen_address(
    flag: Option<&str>,
    port: Option<&str>,
    variable: Option<&str>,
) -> Result<SocketAddr, ConfigError> {
    if let Some(address) = flag {
        return parse_address(address, "--listen");
    }
    if let Some(port) = port {
        let port = port.parse().map_err(|_not_a_port| ConfigError::Port)?;
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    variable.map_or(Ok(DEFAULT_LISTEN), |address| {
        parse_address(address, "LEASECTL_LISTEN")
    })
}

fn parse_address(text: &str, source_name: &'static str) -> Result<SocketAddr, ConfigError> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric
        .parse()
        .map_err(|_not_an_address| ConfigError::Listen { source_name })
}

fn locality(variable: Option<&str>) -> Result<Locality, ConfigError> {
    match variable {
        None | Some("0" | "false") => Ok(Locality::PublicOnly),
        Some("1" | "true") => Ok(Locality::AllowLocal),
        Some(_) => Err(ConfigError::AllowLocal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_port_and_port_over_the_variable() {
        let address = |flag, port, variable| {
            listen_address(flag, port, variable).map(|address| address.to_string())
        };
        assert_eq!(address(None, None, None).unwrap(), "127.0.0.1:8080");
        assert_eq!(address(None, None, Some("[::1]:1")).unwrap(), "[::1]:1");
        assert_eq!(
            address(None, Some("9000"), Some("[::1]:1")).unwrap(),
            "0.0.0.0:9000"
        );
        assert_eq!(
            address(Some("localhost:2"), Some("9000"), None).unwrap(),
            "127.0.0.1:2"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_and_named() {
        for text in [
            "",
            "8080",
            ":8080",
            "example.com:80",
            "1.2.3.4:65536",
            "1.2.3.4",
        ] {
            assert_eq!(
                listen_address(Some(text), None, None),
                Err(ConfigError::Listen {
                    source_name: "--listen"
                }),
                "{text}"
            );
        }
        assert_eq!(
            listen_address(None, Some("http"), None),
            Err(ConfigError::Port)
        );
    }

    #[test]
    fn local_remotes_are_allowed_only_when_said_so() {
        assert_eq!(locality(None), Ok(Locality::PublicOnly));
        assert_eq!(locality(Some("1")), Ok(Locality::AllowLocal));
        assert_eq!(locality(Some("yes please")), Err(ConfigError::AllowLocal));
    }

    #[test]
    fn each_forge_has_secrets_of_its_own() {
        let only = |name: &'static str, list: &'static str| {
            webhook_secrets(move |asked| (asked == name).then(|| list.to_owned()))
        };
        let secrets = only("LEASECTL_WEBHOOK_SECRET_GITEA", "one,two").unwrap();
        assert_eq!(
            format!("{secrets:?}"),
            "WebhookSecrets { github: 0, gitlab: 0, gitea: 2 }"
        );
        let refused = only("LEASECTL_WEBHOOK_SECRET_GITLAB", "whsec_?").unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("LEASECTL_WEBHOOK_SECRET_GITLAB")
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
