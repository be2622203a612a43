//! What the environment says. Only this module and the `env` of clap's flags read it.
//!
//! Credentials for Git are looked for here and nowhere else:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `LEASECTL_GIT_TOKEN_<HOST>` | a token for one host; in `<HOST>` write `_` for a dot and `__` for a dash |
//! | `LEASECTL_GIT_TOKEN_DIR` | a folder with one file per host, named like the host, read at every use |
//! | `LEASECTL_GIT_CREDENTIAL_HELPER` | a program that speaks git's credential protocol |

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use leasectl_remote::Locality;
use leasectl_repo::CredentialSource;
use thiserror::Error;

/// Allows local paths, clear text and private addresses as remotes.
pub const ALLOW_LOCAL: &str = "LEASECTL_ALLOW_LOCAL";
const TOKEN_PREFIX: &str = "LEASECTL_GIT_TOKEN_";
const TOKEN_DIR: &str = "LEASECTL_GIT_TOKEN_DIR";
const HELPER: &str = "LEASECTL_GIT_CREDENTIAL_HELPER";

/// Settings that have no flag.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Which remotes are acceptable.
    pub locality: Locality,
    /// Where credentials for Git come from.
    pub credentials: CredentialSource,
    /// Whether colour is unwelcome (`NO_COLOR`).
    pub no_colour: bool,
    /// The folders in which programs are looked for (`PATH`).
    pub program_folders: Vec<PathBuf>,
}

/// A variable that cannot be understood. No variant carries the value: it may be a secret.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// Not 0 or 1.
    #[error("LEASECTL_ALLOW_LOCAL must be 0 or 1")]
    AllowLocal,
    /// Not text.
    #[error("the value of {0} is not valid UTF-8")]
    NotText(String),
    /// No program is named.
    #[error("LEASECTL_GIT_CREDENTIAL_HELPER names no program")]
    Helper,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// When a variable has a value that makes no sense.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads it"
    )]
    pub fn read() -> Result<Self, EnvironmentError> {
        Self::of(env::vars_os())
    }

    /// Reads the given variables.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, EnvironmentError> {
        let mut read = Self {
            locality: Locality::PublicOnly,
            credentials: CredentialSource::none(),
            no_colour: false,
            program_folders: Vec::new(),
        };
        for (name, value) in variables {
            if let Some(name) = name.to_str()
                && !value.is_empty()
            {
                read.take(name, &value)?;
            }
        }
        Ok(read)
    }

    /// Takes one variable; an empty one counts as unset.
    fn take(&mut self, name: &str, value: &OsStr) -> Result<(), EnvironmentError> {
        match name {
            ALLOW_LOCAL => self.locality = locality(value)?,
            "NO_COLOR" => self.no_colour = true,
            "PATH" => self.program_folders = env::split_paths(value).collect(),
            TOKEN_DIR => self.add(|source| source.with_token_dir(PathBuf::from(value))),
            HELPER => {
                let (program, args) = helper(text(name, value)?)?;
                self.add(|source| source.with_helper(program, args));
            }
            _ => {
                if let Some(host) = name.strip_prefix(TOKEN_PREFIX) {
                    let token = text(name, value)?.trim();
                    self.add(|source| source.with_token(&host_of(host), token));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, change: impl FnOnce(CredentialSource) -> CredentialSource) {
        self.credentials = change(std::mem::take(&mut self.credentials));
    }
}

fn locality(value: &OsStr) -> Result<Locality, EnvironmentError> {
    match value.to_str() {
        Some("1") => Ok(Locality::AllowLocal),
        Some("0") => Ok(Locality::PublicOnly),
        Some(_) | None => Err(EnvironmentError::AllowLocal),
    }
}

fn text<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, EnvironmentError> {
    value
        .to_str()
        .ok_or_else(|| EnvironmentError::NotText(name.to_owned()))
}

/// `GIT__HUB_EXAMPLE_COM` is `git-hub.example.com`.
fn host_of(variable: &str) -> String {
    variable
        .replace("__", "-")
        .replace('_', ".")
        .to_ascii_lowercase()
}

fn helper(line: &str) -> Result<(PathBuf, Vec<OsString>), EnvironmentError> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or(EnvironmentError::Helper)?;
    Ok((PathBuf::from(program), words.map(OsString::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        Environment::of(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn local_remotes_are_allowed_only_by_exactly_one() {
        assert_eq!(of(&[]).unwrap().locality, Locality::PublicOnly);
        assert_eq!(
            of(&[(ALLOW_LOCAL, "")]).unwrap().locality,
            Locality::PublicOnly
        );
        assert_eq!(
            of(&[(ALLOW_LOCAL, "0")]).unwrap().locality,
            Locality::PublicOnly
        );
        assert_eq!(
            of(&[(ALLOW_LOCAL, "1")]).unwrap().locality,
            Locality::AllowLocal
        );
        assert!(of(&[(ALLOW_LOCAL, "yes")]).is_err());
    }

    #[test]
    fn a_variable_names_its_host() {
        assert_eq!(host_of("GITHUB_COM"), "github.com");
        assert_eq!(host_of("GIT__HUB_EXAMPLE_COM"), "git-hub.example.com");
    }

    #[test]
    fn tokens_are_taken_and_never_shown() {
        let environment = of(&[
            ("LEASECTL_GIT_TOKEN_GITHUB_COM", "canary-secret\n"),
            ("LEASECTL_GIT_TOKEN_DIR", "/run/secrets/git"),
            ("LEASECTL_GIT_CREDENTIAL_HELPER", "my-helper --quiet"),
        ])
        .unwrap();
        let shown = format!("{environment:?}");
        assert!(!shown.contains("canary"), "{shown}");
        for part in ["github.com", "/run/secrets/git", "my-helper"] {
            assert!(shown.contains(part), "{part} is missing: {shown}");
        }
    }

    #[test]
    fn no_color_counts_only_when_it_is_not_empty() {
        assert!(!of(&[("NO_COLOR", "")]).unwrap().no_colour);
        assert!(of(&[("NO_COLOR", "1")]).unwrap().no_colour);
    }
}
