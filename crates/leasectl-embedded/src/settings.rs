//! The server's configuration files, written anew at every start.

use std::path::Path;

/// The role and the database that every cluster of this crate has.
pub(crate) const NAME: &str = "leasectl";
/// The part of a socket's file name; a private folder makes any other port pointless.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct Address<'a> {
    pub(crate) socket_dir: &'a Path,
    pub(crate) port: u16,
    /// Whether the loopback address is listened on too.
    pub(crate) tcp: bool,
}

/// Settings of every server, durable or not.
const COMMON: [(&str, &str); 9] = [
    ("unix_socket_permissions", "0700"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_min_messages", "warning"),
    ("log_checkpoints", "off"),
    ("log_line_prefix", "%m [%p] %a "),
    ("jit", "off"),
    ("shared_buffers", "128MB"),
];

/// The text of `postgresql.conf`; later settings win.
pub(crate) fn postgresql_conf(address: &Address<'_>, settings: &[(String, String)]) -> String {
    let mut text = String::from(
        "# Written by leasectl at every start; put your own settings into postgresql.local.conf.\n",
    );
    let mut set = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        text.push_str(&format!("{name} = '{value}'\n"));
    };
    set(
        "listen_addresses",
        if address.tcp { "127.0.0.1" } else { "" },
    );
    set("port", &address.port.to_string());
    set(
        "unix_socket_directories",
        &format!("\"{}\"", address.socket_dir.display()),
    );
    COMMON.iter().for_each(|(name, value)| set(name, value));
    settings.iter().for_each(|(name, value)| set(name, value));
    text.push_str("include_if_exists = 'postgresql.local.conf'\n");
    text
}

/// The text of `pg_hba.conf`: whoever can enter the socket's private folder is trusted.
pub(crate) fn pg_hba_conf(tcp: bool) -> String {
    let mut text = String::from("local all all trust\n");
    if tcp {
        text.push_str("host all all 127.0.0.1/32 scram-sha-256\n");
    }
    text
}

/// The URL of a database over the Unix socket.
pub(crate) fn socket_url(socket_dir: &Path, port: u16, database: &str) -> String {
    let mut host = String::new();
    for byte in socket_dir.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                host.push(char::from(*byte));
            }
            other => host.push_str(&format!("%{other:02X}")),
        }
    }
    format!("postgres://{NAME}@{host}:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Address, postgresql_conf, socket_url};

    #[test]
    fn a_socket_folder_survives_the_way_through_the_url() {
        let url = socket_url(Path::new("/tmp/a b%c/ü"), 5432, "leasectl");
        let config: tokio_postgres::Config = url.parse().expect("a valid URL");
        assert_eq!(
            config.get_hosts(),
            [tokio_postgres::config::Host::Unix("/tmp/a b%c/ü".into())]
        );
        assert_eq!(config.get_ports(), [5432]);
        assert_eq!(config.get_user(), Some("leasectl"));
    }

    #[test]
    fn a_quote_in_a_setting_cannot_end_its_value() {
        let address = Address {
            socket_dir: Path::new("/s"),
            port: 1,
            tcp: false,
        };
        let settings = [("search_path".to_owned(), "a'\nfsync = 'off".to_owned())];
        let text = postgresql_conf(&address, &settings);
        assert!(text.contains("search_path = 'a''"), "{text}");
    }
}
