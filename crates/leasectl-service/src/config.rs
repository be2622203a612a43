//! Flags and variables that all programs share (contract §1); nothing else reads the environment.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{BoolishValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, Command, ValueEnum};
use leasectl_embedded::{Downloads, EmbeddedOptions};

/// The data directory of root: its home is closed to the account that runs the embedded server.
const ROOT_DATA_DIR: &str = "/var/lib/leasectl";

/// A database URL as given. It is read only when the database is opened, and never shown: it may
/// hold a password, which an error of the command line's parser would repeat.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL with its password, if any. Not for logs or errors.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}

/// Which database to use, and where data lies.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// PostgreSQL 14 or newer, as postgres://user:password@host:5432/database?sslmode=verify-full
    /// [default: the embedded database in the data directory]
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<SecretUrl>,

    /// The same database without a connection pooler in between, for liveness and wakeups
    /// [default: the database URL]
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_DIRECT_URL",
        hide_env_values = true
    )]
    database_direct_url: Option<SecretUrl>,

    /// Folder of the embedded database and of the clones [default: $XDG_DATA_HOME/leasectl, else
    /// ~/.local/share/leasectl, as root /var/lib/leasectl]
    #[arg(long, value_name = "DIR", env = "LEASECTL_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Let the daemon and the HTTP service use the embedded database: everything is lost with the
    /// data directory's disk
    #[arg(long, env = "LEASECTL_EMBEDDED", action = ArgAction::SetTrue, value_parser = switch)]
    embedded: bool,

    /// Apply pending migrations before work begins
    #[arg(long, value_name = "BOOL", env = "LEASECTL_AUTO_MIGRATE", action = ArgAction::Set,
          default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    auto_migrate: bool,

    /// Folder with the programs `postgres` and `initdb` for the embedded database [default: the
    /// newest in PATH and the usual folders, else downloaded once]
    #[arg(long, value_name = "DIR", env = "LEASECTL_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
}

/// On or off, and off when empty: any other word would be a guess at where accepted jobs go.
fn switch(word: &str) -> Result<bool, String> {
    if word.is_empty() {
        return Ok(false);
    }
    let command = Command::new("switch");
    BoolishValueParser::new()
        .parse_ref(&command, None, OsStr::new(word))
        .map_err(|_refused| format!("{word:?} is neither true nor false"))
}

/// There is no place for the data directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory to keep data in; pass --data-dir or set LEASECTL_DATA_DIR")]
pub struct DataDirError;

impl DatabaseArgs {
    /// The database's URL, if one is given; an empty one counts as not given.
    #[must_use]
    pub fn database_url(&self) -> Option<&SecretUrl> {
        given(self.database_url.as_ref())
    }

    /// The URL that bypasses a pooler, if one is given.
    #[must_use]
    pub fn database_direct_url(&self) -> Option<&SecretUrl> {
        given(self.database_direct_url.as_ref())
    }

    /// Whether the embedded database may be used by programs that must be told so.
    #[must_use]
    pub fn embedded(&self) -> bool {
        self.embedded
    }

    /// Whether pending migrations are applied.
    #[must_use]
    pub fn auto_migrate(&self) -> bool {
        self.auto_migrate
    }

    /// The folder of the embedded database and, unless set otherwise, of the clones.
    ///
    /// # Errors
    /// When none is given and there is no home directory.
    pub fn data_dir(&self) -> Result<PathBuf, DataDirError> {
        if let Some(folder) = self
            .data_dir
            .as_ref()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            return Ok(folder.clone());
        }
        default_data_dir(
            environment("XDG_DATA_HOME"),
            rustix::process::geteuid().is_root(),
            std::env::home_dir(),
        )
    }

    /// Where to look for the embedded server's programs.
    #[must_use]
    pub fn embedded_options(&self) -> EmbeddedOptions {
        EmbeddedOptions {
            bin_dir: self
                .postgres_bin
                .clone()
                .filter(|folder| !folder.as_os_str().is_empty()),
            search_path: environment("PATH"),
            downloads: Downloads::WhenMissing,
        }
    }
}

fn given(url: Option<&SecretUrl>) -> Option<&SecretUrl> {
    url.filter(|url| !url.expose().trim().is_empty())
}

fn environment(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the crate's configuration module"
    )]
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn default_data_dir(
    xdg_data_home: Option<OsString>,
    root: bool,
    home: Option<PathBuf>,
) -> Result<PathBuf, DataDirError> {
    // The specification says to ignore a relative path there.
    let xdg = xdg_data_home
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute());
    if let Some(folder) = xdg {
        return Ok(folder.join("leasectl"));
    }
    if root {
        return Ok(PathBuf::from(ROOT_DATA_DIR));
    }
    let home = home.filter(|home| home.is_absolute()).ok_or(DataDirError)?;
    Ok(home.join(".local/share/leasectl"))
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How logs are written; `RUST_LOG` chooses which.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Format of the log on standard error; RUST_LOG filters it [default: text on a terminal, else
    /// json]
    #[arg(long, value_name = "FORMAT", env = "LEASECTL_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

impl LogArgs {
    /// The format, with the default for a log that goes to a terminal or not.
    #[must_use]
    pub fn format(&self, to_terminal: bool) -> LogFormat {
        self.log_format.unwrap_or(if to_terminal {
            LogFormat::Text
        } else {
            LogFormat::Json
        })
    }

    /// The filter of `RUST_LOG`, if it is set.
    pub(crate) fn filter() -> Option<String> {
        environment("RUST_LOG").map(|value| value.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser, Debug)]
    struct Program {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        log: LogArgs,
    }

    fn parse(words: &[&str]) -> Program {
        let words = std::iter::once("program").chain(words.iter().copied());
        Program::try_parse_from(words).expect("a valid command line")
    }

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn a_password_shows_neither_in_help_nor_in_debug_output() {
        let program = parse(&["--database-url", "postgres://u:canary@h/d"]);
        assert!(!format!("{program:?}").contains("canary"));
        let url = program.database.database_url().expect("given");
        assert_eq!(url.expose(), "postgres://u:canary@h/d");
        let mut command = Program::command();
        let urls = command
            .get_arguments()
            .filter(|arg| arg.get_id().as_str().ends_with("url"));
        let hidden: Vec<bool> = urls.map(clap::Arg::is_hide_env_values_set).collect();
        assert_eq!(hidden, [true, true]);
        assert!(
            command
                .render_long_help()
                .to_string()
                .contains("DATABASE_DIRECT_URL")
        );
    }

    #[test]
    fn an_empty_url_counts_as_none() {
        assert_eq!(
            parse(&["--database-url", " "]).database.database_url(),
            None
        );
    }

    #[test]
    fn migrations_are_applied_unless_switched_off() {
        assert!(parse(&[]).database.auto_migrate());
        assert!(parse(&["--auto-migrate"]).database.auto_migrate());
        assert!(!parse(&["--auto-migrate=false"]).database.auto_migrate());
    }

    #[test]
    fn logs_are_text_only_for_people_unless_said_otherwise() {
        assert_eq!(parse(&[]).log.format(true), LogFormat::Text);
        assert_eq!(parse(&[]).log.format(false), LogFormat::Json);
        assert_eq!(
            parse(&["--log-format", "text"]).log.format(false),
            LogFormat::Text
        );
    }

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (word, is_on) in [
            ("1", true),
            ("yes", true),
            ("0", false),
            ("off", false),
            ("", false),
        ] {
            assert_eq!(switch(word), Ok(is_on), "{word:?}");
        }
        for word in ["maybe", "nope", "0 ", "2"] {
            assert!(switch(word).is_err(), "{word:?}");
        }
    }

    #[test]
    fn the_data_directory_follows_the_flag_then_xdg_then_who_runs_it() {
        let given = parse(&["--data-dir", "/d"]).database.data_dir();
        assert_eq!(given, Ok(PathBuf::from("/d")));
        let home = || Some(PathBuf::from("/home/u"));
        let default = |xdg: Option<&str>, root, home| {
            default_data_dir(xdg.map(OsString::from), root, home)
                .map(|folder| folder.display().to_string())
        };
        assert_eq!(
            default(Some("/x"), false, home()).as_deref(),
            Ok("/x/leasectl")
        );
        assert_eq!(
            default(Some("relative"), false, home()).as_deref(),
            Ok("/home/u/.local/share/leasectl")
        );
        assert_eq!(
            default(None, true, home()).as_deref(),
            Ok("/var/lib/leasectl")
        );
        assert_eq!(default(None, false, None), Err(DataDirError));
    }
}
