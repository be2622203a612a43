//! What a command that failed says, and the exit code that scripts see.
//!
//! Commands return this; only `main.rs` prints it.

use std::error::Error;
use std::fmt::{self, Write as _};

use leasectl_core::database::{ConnectError, DatabaseError};
use leasectl_core::job::{EnqueueError, LookupError};
use leasectl_core::migrations::MigrateError;
use leasectl_core::repository::RegisterError;
use leasectl_service::{LogError, OpenError};

/// The exit codes of the contract that are not success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The command could not do what was asked: 1.
    Failed,
    /// The command line makes no sense: 2.
    Usage,
    /// No such job, repository or ref: 3.
    NotFound,
    /// The database or the remote cannot be reached: 4.
    Unavailable,
    /// The awaited job ended in `error` or `cancelled`: 5.
    JobEnded,
    /// Somebody pressed Ctrl-C: 130, as shells have it.
    Interrupted,
    /// Whoever read standard output went away: 0, since they have what they wanted.
    ReaderGone,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unavailable => 4,
            Self::JobEnded => 5,
            Self::Interrupted => 130,
            Self::ReaderGone => 0,
        }
    }
}

/// A failed command: one sentence, perhaps a hint, and the exit code.
#[derive(Debug)]
pub struct CommandError {
    exit: Exit,
    message: Option<String>,
    hint: Option<String>,
}

impl CommandError {
    /// A failure described by `message`.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: Some(message.into()),
            hint: None,
        }
    }

    /// A failure that was told already, as text or JSON of the command itself.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self {
            exit,
            message: None,
            hint: None,
        }
    }

    /// A failure with its causes.
    #[must_use]
    pub fn caused(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, with_causes(error))
    }

    /// The same failure and what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong, without the hint.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or("failed")
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether there is anything to print.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.message.is_none()
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl Error for CommandError {}

/// A failed statement: the database is away, or something is wrong that waiting does not cure.
fn from_database(error: &(dyn Error + 'static), unavailable: bool) -> CommandError {
    let text = with_causes(error);
    if text.contains("relation \"leasectl.") || text.contains("schema \"leasectl\"") {
        return CommandError::new(Exit::Failed, text).hint("worker migrate makes the schema");
    }
    if unavailable {
        return CommandError::new(Exit::Unavailable, text)
            .hint("worker doctor says what it can find out about the database");
    }
    CommandError::new(Exit::Failed, text)
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        let unavailable = error.is_unavailable();
        from_database(&error, unavailable)
    }
}

impl From<ConnectError> for CommandError {
    fn from(error: ConnectError) -> Self {
        let unavailable = error.is_unavailable();
        from_database(&error, unavailable)
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        let exit = match error.exit_code() {
            2 => Exit::Usage,
            4 => Exit::Unavailable,
            _ => Exit::Failed,
        };
        let failed = Self::caused(exit, &error);
        if matches!(error, OpenError::NotRunning { .. }) {
            return failed.hint("worker run --embedded keeps one running");
        }
        if matches!(error, OpenError::Connect { .. }) && exit == Exit::Unavailable {
            return failed.hint("check that it runs, and its host, port and credentials");
        }
        failed
    }
}

impl From<LogError> for CommandError {
    fn from(error: LogError) -> Self {
        Self::caused(Exit::Usage, &error)
    }
}

impl From<LookupError> for CommandError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Database(error) => error.into(),
            LookupError::BadCursor | LookupError::BadLimit => Self::caused(Exit::Usage, &error),
        }
    }
}

impl From<EnqueueError> for CommandError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            EnqueueError::UnknownRepository { .. } => Self::caused(Exit::NotFound, &error),
            EnqueueError::TooFarAway => Self::caused(Exit::Usage, &error),
        }
    }
}

impl From<RegisterError> for CommandError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Database(error) => error.into(),
            RegisterError::NameTaken { ref suggestion, .. } => {
                let hint = format!("choose another with --name, such as --name {suggestion}");
                Self::caused(Exit::Failed, &error).hint(hint)
            }
        }
    }
}

impl From<MigrateError> for CommandError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Database(error) => error.into(),
            MigrateError::Newer { .. } => {
                Self::caused(Exit::Failed, &error).hint("update this program")
            }
            MigrateError::Apply(_) if error.is_unavailable() => {
                Self::caused(Exit::Unavailable, &error).hint("nothing of it was applied; try again")
            }
            MigrateError::Apply(_) => Self::caused(Exit::Failed, &error)
                .hint("nothing of it was applied; a lock time-out is cured by trying again"),
        }
    }
}

/// An error and its causes in one line; a cause that its parent repeats already is left out.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the page")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the book is closed")]
    struct Inner;

    #[test]
    fn causes_follow_the_message() {
        let error = CommandError::caused(Exit::Failed, &Outer(Inner)).hint("open the book");
        let text = error.to_string();
        assert_eq!(
            text,
            "cannot read the page: the book is closed\nhint: open the book"
        );
    }

    #[test]
    fn every_failure_has_the_contracts_code() {
        let codes = [
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NotFound, 3),
            (Exit::Unavailable, 4),
            (Exit::JobEnded, 5),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
