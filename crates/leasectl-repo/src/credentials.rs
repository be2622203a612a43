//! Where credentials come from: asked for at use, kept nowhere, never printed.

use std::{collections::BTreeMap, ffi::OsString, fmt, io, path::PathBuf, time::Duration};

use leasectl_remote::RemoteUrl;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use crate::{process, wire::Login};

/// The user that goes with a token that names none.
const DEFAULT_USER: &str = "x-access-token";
/// Longest time a credential helper may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);
/// Most that a credential helper may answer.
const LONGEST_ANSWER_BYTES: u64 = 64 * 1024;

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

impl CredentialSource {
    /// Looks for the credentials of a remote, now.
    pub(crate) async fn look_up(&self, url: &RemoteUrl) -> Option<Login> {
        let host = url.host()?;
        let with_port = url.port().map(|port| format!("{host}:{port}"));
        let names = || with_port.as_deref().into_iter().chain([host]);
        if let Some(token) = names().find_map(|name| self.tokens.get(name)) {
            return login(&token.0);
        }
        if let Some(dir) = &self.token_dir {
            for name in names() {
                let file = dir.join(name.replace(':', "_"));
                match tokio::fs::read_to_string(&file).await {
                    Ok(token) => return login(token.trim()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => tracing::warn!(host, %error, "a token file cannot be read"),
                }
            }
        }
        let helper = self.helper.as_ref()?;
        match tokio::time::timeout(HELPER_TIMEOUT, ask(helper, url, host)).await {
            Ok(Ok(login)) => login,
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "the credential helper failed");
                None
            }
            Err(_) => {
                tracing::warn!(host, "the credential helper did not answer in time");
                None
            }
        }
    }
}

/// Asks a credential helper; dropping the future kills it.
async fn ask(helper: &HelperProgram, url: &RemoteUrl, host: &str) -> io::Result<Option<Login>> {
    let mut command = Command::from(process::credential_helper(&helper.program, &helper.args));
    let mut child = command.kill_on_drop(true).spawn()?;
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let path = url.path().trim_start_matches('/');
    let question = format!(
        "protocol={}\nhost={host}{port}\npath={path}\n\n",
        url.scheme().as_str()
    );
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input is still worth listening to.
        let _ = stdin.write_all(question.as_bytes()).await;
    }
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(LONGEST_ANSWER_BYTES)
            .read_to_string(&mut answer)
            .await?;
    }
    child.wait().await?;
    let field = |name: &str| {
        answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    Ok(field("username")
        .zip(field("password"))
        .map(|(user, secret)| Login { user, secret }))
}

/// Reads `user:secret`, or a secret alone.
fn login(token: &str) -> Option<Login> {
    let (user, secret) = token.split_once(':').unwrap_or((DEFAULT_USER, token));
    (!secret.is_empty()).then(|| Login {
        user: user.to_owned(),
        secret: secret.to_owned(),
    })
}

/// Text that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
