//! Finding installed PostgreSQL server programs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::account::Account;
use crate::config::EmbeddedOptions;
use crate::process::{Program, RunError};

/// The oldest major version that leasectl supports.
pub(crate) const OLDEST_MAJOR: u32 = 14;

/// Folders of distributions; `*` stands for any one name.
const USUAL_FOLDERS: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
    "/usr/bin",
];

/// The programs of one installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) bin_dir: PathBuf,
    pub(crate) version: Version,
}

/// A server's version; ordered by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Why no usable PostgreSQL server program was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Nothing is installed.
    #[error(
        "no PostgreSQL server (version {OLDEST_MAJOR} or newer) is installed; {}, or set LEASECTL_POSTGRES_BIN to the folder of `postgres` and `initdb`, or set DATABASE_URL to use a server of your own",
        install_hint(None)
    )]
    NoneInstalled,
    /// Servers are installed, but not the version that made the cluster.
    #[error(
        "the embedded database was made by PostgreSQL {needed}, and that version is not installed (found: {found}); {}, or set LEASECTL_POSTGRES_BIN to its folder",
        install_hint(Some(*needed))
    )]
    OtherVersion {
        /// The major version in the cluster's `PG_VERSION`.
        needed: u32,
        /// What was found instead.
        found: String,
    },
    /// The folder that the caller named holds no usable server.
    #[error(
        "LEASECTL_POSTGRES_BIN names {}, which holds no usable PostgreSQL server (version {OLDEST_MAJOR} or newer): {reason}",
        bin_dir.display()
    )]
    NamedFolder {
        /// The folder.
        bin_dir: PathBuf,
        /// Why it is of no use.
        reason: String,
    },
}

fn install_hint(major: Option<u32>) -> String {
    let of = |fallback: &str, versioned: &str| match major {
        Some(major) => format!("{versioned}{major}"),
        None => fallback.to_owned(),
    };
    format!(
        "install it with `apt-get install {}` (Debian, Ubuntu), `dnf install {}` (Fedora) or `brew install {}` (macOS)",
        of("postgresql", "postgresql-"),
        of("postgresql-server", "postgresql-server-").replace("server-", "server"),
        of("postgresql@17", "postgresql@"),
    )
}

impl Programs {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Finds the newest usable server, installed or downloaded, or the one whose major version a cluster needs.
    pub(crate) fn find(
        options: &EmbeddedOptions,
        downloads: &Path,
        needed_major: Option<u32>,
        account: &Account,
    ) -> Result<Self, FindError> {
        if let Some(bin_dir) = &options.bin_dir {
            let named = |reason| FindError::NamedFolder {
                bin_dir: bin_dir.clone(),
                reason,
            };
            let programs = inspect(bin_dir, account).map_err(named)?;
            return match needed_major {
                Some(needed) if needed != programs.version.major => Err(FindError::OtherVersion {
                    needed,
                    found: programs.version.to_string(),
                }),
                _ => Ok(programs),
            };
        }
        let listed = options.search_path.iter().flat_map(std::env::split_paths);
        let usual = USUAL_FOLDERS.iter().flat_map(|pattern| expand(pattern));
        let downloaded = expand(&format!("{}/*/bin", downloads.display()));
        let folders = listed.chain(usual).chain(downloaded);
        pick(folders, needed_major, |folder| {
            inspect(folder, account).ok()
        })
    }
}

/// Chooses among folders: the newest version, the earlier folder among equals.
fn pick(
    folders: impl Iterator<Item = PathBuf>,
    needed_major: Option<u32>,
    inspect: impl Fn(&Path) -> Option<Programs>,
) -> Result<Programs, FindError> {
    let mut found: BTreeMap<Version, Programs> = BTreeMap::new();
    for folder in folders {
        if let Some(programs) = inspect(&folder) {
            found.entry(programs.version.clone()).or_insert(programs);
        }
    }
    let usable = |programs: &&Programs| needed_major.is_none_or(|it| it == programs.version.major);
    match (found.values().rev().find(usable), needed_major) {
        (Some(programs), _) => Ok(programs.clone()),
        (None, Some(needed)) if !found.is_empty() => {
            let names: Vec<String> = found.keys().map(Version::to_string).collect();
            Err(FindError::OtherVersion {
                needed,
                found: names.join(", "),
            })
        }
        (None, Some(needed)) => Err(FindError::OtherVersion {
            needed,
            found: "none".to_owned(),
        }),
        (None, None) => Err(FindError::NoneInstalled),
    }
}

/// Looks whether a folder holds a server that this account can run.
fn inspect(bin_dir: &Path, account: &Account) -> Result<Programs, String> {
    if !bin_dir.is_absolute() {
        return Err("the path is not absolute".to_owned());
    }
    for name in ["postgres", "initdb"] {
        if !bin_dir.join(name).is_file() {
            return Err(format!("there is no program `{name}` in it"));
        }
    }
    let postgres = bin_dir.join("postgres");
    let text = Program::new(&postgres, account)
        .arg("--version")
        .run(Duration::from_secs(10))
        .map_err(|error| describe(&error))?;
    let version = Version::parse(&text)
        .ok_or_else(|| format!("`postgres --version` printed {:?}", text.trim()))?;
    if version.major < OLDEST_MAJOR {
        return Err(format!("its version is {version}"));
    }
    Ok(Programs {
        bin_dir: bin_dir.to_owned(),
        version,
    })
}

fn describe(error: &RunError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Version {
    /// Reads the output of `postgres --version`, such as `postgres (PostgreSQL) 15.18 (Debian …)`.
    fn parse(text: &str) -> Option<Self> {
        let number = text
            .split("(PostgreSQL)")
            .nth(1)?
            .split_whitespace()
            .next()?;
        let leading = |text: &str| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        let mut parts = number.split('.');
        let major = leading(parts.next()?)?;
        // `17devel` and `18beta1` have no minor version.
        let minor = parts.next().and_then(leading).unwrap_or(0);
        Some(Self { major, minor })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The major version that made a cluster, or `None` when there is no cluster.
pub(crate) fn cluster_major(data: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => {
            text.trim().parse().map(Some).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "PG_VERSION is not a number")
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The existing folders that a pattern with at most one `*` names.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let Some((parent, prefix)) = before.rsplit_once('/') else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .map(|name| PathBuf::from(format!("{parent}/{name}{after}")))
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{FindError, Programs, Version, expand, pick};

    fn installed(folder: &Path) -> Option<Programs> {
        let (major, minor) = match folder.to_str()? {
            "/path" | "/usual/15" => (15, 3),
            "/usual/16" => (16, 1),
            _ => return None,
        };
        Some(Programs {
            bin_dir: folder.to_owned(),
            version: Version { major, minor },
        })
    }

    fn folders() -> impl Iterator<Item = PathBuf> {
        ["/none", "/path", "/usual/15", "/usual/16"]
            .into_iter()
            .map(PathBuf::from)
    }

    #[test]
    fn versions_of_all_forms_are_read() {
        let parse = |text| Version::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(
            parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some((15, 18))
        );
        assert_eq!(parse("postgres (PostgreSQL) 18beta2\n"), Some((18, 0)));
        assert_eq!(parse("postgres: not found"), None);
    }

    #[test]
    fn a_new_cluster_gets_the_newest_version() {
        let programs = pick(folders(), None, installed).expect("16 is there");
        assert_eq!(programs.bin_dir, Path::new("/usual/16"));
    }

    #[test]
    fn an_existing_cluster_gets_its_own_version_from_the_earliest_folder() {
        let programs = pick(folders(), Some(15), installed).expect("15 is there");
        assert_eq!(programs.bin_dir, Path::new("/path"));
    }

    #[test]
    fn a_missing_version_is_named_with_what_was_found_instead() {
        let error = pick(folders(), Some(14), installed).expect_err("14 is not there");
        let text = error.to_string();
        assert!(
            text.contains("PostgreSQL 14") && text.contains("15.3, 16.1"),
            "{text}"
        );
        assert!(text.contains("postgresql-14"), "{text}");
    }

    #[test]
    fn with_nothing_installed_the_error_names_the_packages() {
        let error = pick(std::iter::empty(), None, installed).expect_err("nothing is there");
        assert!(matches!(error, FindError::NoneInstalled));
        let text = error.to_string();
        for package in [
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "brew install",
        ] {
            assert!(text.contains(package), "{text}");
        }
    }

    #[test]
    fn a_pattern_names_only_folders_that_exist() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["pgsql-14", "pgsql-16", "other"] {
            std::fs::create_dir(root.path().join(name)).expect("a folder");
        }
        let found = expand(&format!("{}/pgsql-*/bin", root.path().display()));
        assert_eq!(
            found,
            [
                root.path().join("pgsql-14/bin"),
                root.path().join("pgsql-16/bin")
            ]
        );
        assert!(expand("/does/not/exist-*/bin").is_empty());
    }
}
