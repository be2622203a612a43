//! The only place that builds commands for other programs, each with fixed arguments and an
//! environment that holds nothing but what the program needs.

use std::{
    ffi::OsStr,
    io,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{config, settings::ChildProgram};

/// The worker's own program as Git child, leader of its own process group so that it can be killed
/// with everything that it starts.
pub(crate) fn git_child(program: &ChildProgram) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = bare(&program.program);
    command.args(&program.args).process_group(0);
    command
}

/// `git upload-pack` on a repository of this machine.
pub(crate) fn upload_pack(path: &Path) -> Command {
    let mut command = git();
    command
        .arg("upload-pack")
        .arg("--")
        .arg(path)
        .env("GIT_PROTOCOL", "version=2");
    command
}

/// `git repack` of the small packs of a clone, leaving large ones as they are.
pub(crate) fn repack(clone: &Path) -> Command {
    let mut command = git();
    command.arg("--git-dir").arg(clone);
    command.args([
        "repack",
        "-q",
        "-d",
        "--geometric=2",
        "--no-write-bitmap-index",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// `git http-backend`, which needs its CGI variables added.
pub(crate) fn http_backend() -> Command {
    let mut command = git();
    command.arg("http-backend");
    command
}

/// Asks the git program for its version.
pub(crate) fn git_version() -> Command {
    let mut command = git();
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A credential helper, asked to `get`.
pub(crate) fn credential_helper(program: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = bare(program);
    command.args(args).arg("get").process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Where and as whom ssh logs in.
#[derive(Debug, Clone)]
pub(crate) struct SshTarget<'a> {
    /// The name in the URL, which the host key is checked against.
    pub(crate) host: &'a str,
    /// The address that was found acceptable; nothing else is connected to.
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) user: Option<&'a str>,
    /// Path of the repository on the remote.
    pub(crate) path: &'a str,
}

/// `ssh`, running `git-upload-pack` on the remote; it reads no configuration and asks nothing.
pub(crate) fn ssh(target: &SshTarget<'_>, connect_timeout: Duration) -> Command {
    let mut command = bare("ssh");
    command.args(["-F", "none", "-T", "-x", "-a"]);
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "CheckHostIP=no",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ProxyCommand=none",
        "ProxyJump=none",
        "ControlMaster=no",
        "ControlPath=none",
        "CanonicalizeHostname=no",
        "SendEnv=GIT_PROTOCOL",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    ] {
        command.arg("-o").arg(option);
    }
    command
        .arg("-o")
        .arg(format!("HostName={}", target.address));
    command
        .arg("-o")
        .arg(format!("HostKeyAlias={}", host_key_name(target)));
    command.arg("-o").arg(format!(
        "ConnectTimeout={}",
        connect_timeout.as_secs().max(1)
    ));
    command.arg("-p").arg(target.port.to_string());
    if let Some(user) = target.user {
        command.arg("-l").arg(user);
    }
    command
        .arg("--")
        .arg(target.host)
        .arg(format!("git-upload-pack {}", quoted(target.path)));
    command.env("GIT_PROTOCOL", "version=2").env("LC_ALL", "C");
    command
}

/// How the host is called in `known_hosts`.
fn host_key_name(target: &SshTarget<'_>) -> String {
    let host = target.host.trim_matches(['[', ']']);
    if target.port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{}", target.port)
    }
}

/// The path as one word of the remote shell.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// `git` without configuration, hooks, prompts, replacement objects or lazy fetching.
fn git() -> Command {
    let mut command = bare("git");
    command.args([
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "protocol.allow=never",
    ]);
    command
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0");
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that builds commands"
)]
fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(config::passed_on());
    command
}

/// Starts a program, telling "it is not installed" from other failures.
pub(crate) fn spawn(command: &mut Command) -> Result<std::process::Child, SpawnError> {
    command
        .spawn()
        .map_err(|error| SpawnError::of(command, error))
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// It is not there.
    #[error("the program {program} is missing")]
    Missing { program: String },
    /// Something else.
    #[error("the program {program} could not be started")]
    Failed {
        program: String,
        #[source]
        error: io::Error,
    },
}

impl SpawnError {
    pub(crate) fn of(command: &Command, error: io::Error) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing { program }
        } else {
            Self::Failed { program, error }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_connects_to_the_checked_address_and_reads_no_configuration() {
        let target = SshTarget {
            host: "git.example.com",
            address: IpAddr::from([203, 0, 113, 7]),
            port: 2222,
            user: Some("git"),
            path: "/it's/here",
        };
        let command = ssh(&target, Duration::from_secs(20));
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_str().unwrap())
            .collect();
        assert_eq!(args[..2], ["-F", "none"]);
        assert!(args.contains(&"HostName=203.0.113.7"));
        assert!(args.contains(&"HostKeyAlias=[git.example.com]:2222"));
        assert!(args.contains(&"BatchMode=yes"));
        assert_eq!(
            args[args.len() - 3..],
            ["--", "git.example.com", r"git-upload-pack '/it'\''s/here'"]
        );
    }

    #[test]
    fn programs_do_not_see_the_environment_of_the_worker() {
        let command = upload_pack(Path::new("/repo"));
        let names: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert!(names.contains(&"GIT_CONFIG_NOSYSTEM"));
        assert!(
            !names.contains(&"CARGO_MANIFEST_DIR"),
            "the test itself runs with it"
        );
    }
}
