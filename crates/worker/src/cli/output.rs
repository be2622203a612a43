//! Standard output: text and JSON, for people at a terminal and for programs in a pipe.
//!
//! A closed pipe ends a command quietly: `worker job list | head` is no failure.

use std::io::{self, IsTerminal, Write};

use comfy_table::Table;
use serde::Serialize;

use super::error::{CommandError, Exit};

/// How standard output wants to be written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// The terminal's width in columns; `None` when standard output is no terminal.
    pub width: Option<u16>,
    /// Whether colour may be used.
    pub colour: bool,
}

impl Style {
    /// Plain text of any width, as for a pipe.
    pub const PLAIN: Self = Self {
        width: None,
        colour: false,
    };
}

/// Where a command writes its answer.
#[derive(Debug)]
pub struct Output {
    style: Style,
}

impl Output {
    /// Standard output; `no_colour` is what `NO_COLOR` says.
    #[must_use]
    pub fn stdout(no_colour: bool) -> Self {
        if !io::stdout().is_terminal() {
            return Self {
                style: Style::PLAIN,
            };
        }
        let width = Table::new().width().unwrap_or(80).max(40);
        Self {
            style: Style {
                width: Some(width),
                colour: !no_colour,
            },
        }
    }

    /// How to write.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a person is looking.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.style.width.is_some()
    }

    /// Writes text and a line break.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush());
        written.map_err(|error| write_failed(&error))
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| write_failed(&error))
    }

    /// Writes a JSON document: indented for a person, on one line for a program.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn json(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = if self.is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.map_err(|error| CommandError::caused(Exit::Failed, &error))?)
    }

    /// Writes a JSON document on one line, as one of a stream.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value);
        self.line(text.map_err(|error| CommandError::caused(Exit::Failed, &error))?)
    }
}

fn write_failed(error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return CommandError::silent(Exit::ReaderGone);
    }
    CommandError::new(
        Exit::Failed,
        format!("cannot write to standard output: {error}"),
    )
}
