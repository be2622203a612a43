//! Where credentials come from: asked for at use, kept nowhere, never printed.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

/// Where to look for the credentials of a host, in this order: given tokens (usually from the
/// environment), a directory with one file per host, a credential helper.
///
/// A token is `user:secret`, or a secret alone (the user is then `x-access-token`, which the
/// large forges accept for any kind of token).
#[derive(Clone, Default)]
pub struct CredentialSource {
    pub(crate) tokens: BTreeMap<String, Secret>,
    pub(crate) token_dir: Option<PathBuf>,
    pub(crate) helper: Option<HelperProgram>,
}

/// A credential helper: it speaks the protocol of `git credential-…`, action `get`.
#[derive(Debug, Clone)]
pub(crate) struct HelperProgram {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl CredentialSource {
    /// No credentials at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a token for a host (`host` or `host:port`).
    #[must_use]
    pub fn with_token(mut self, host: &str, token: &str) -> Self {
        self.tokens
            .insert(host.to_ascii_lowercase(), Secret(token.to_owned()));
        self
    }

    /// Looks for files named like the host (`host` or `host_port`) in `dir`, read anew at every use.
    #[must_use]
    pub fn with_token_dir(mut self, dir: PathBuf) -> Self {
        self.token_dir = Some(dir);
        self
    }

    /// Asks a credential helper, started with `args` and `get`.
    #[must_use]
    pub fn with_helper(mut self, program: PathBuf, args: Vec<OsString>) -> Self {
        self.helper = Some(HelperProgram { program, args });
        self
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource")
            .field("hosts", &self.tokens.keys())
            .field("token_dir", &self.token_dir)
            .field(
                "helper",
                &self.helper.as_ref().map(|helper| &helper.program),
            )
            .finish()
    }
}

/// Text that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
