//! What the programs say about themselves: their `--help`, and the table of settings.

use std::collections::BTreeSet;

use leasectl_tests::Invocation;

use crate::{files, launch};

/// The flags and variables that a command knows.
pub(crate) struct Manual {
    words: BTreeSet<String>,
}

impl Manual {
    /// Asks `program` with the subcommand among `arguments`, if there is one.
    pub(crate) fn of(program: &str, arguments: &[String]) -> Self {
        let subcommands = arguments.iter().take_while(|word| !word.starts_with('-'));
        let help = Invocation::new(launch::program(program))
            .args(subcommands)
            .args(["--help"]);
        Self {
            words: words(&help.run().ok().stdout),
        }
    }

    /// Whether the help mentions a flag or variable by exactly this name.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

/// The names in the first columns of the settings tables of `docs/operations.md`.
pub(crate) fn documented() -> BTreeSet<String> {
    let text = files::text("docs/operations.md");
    words(
        &text
            .lines()
            .filter(|line| line.starts_with('|'))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

/// Splits text into what could be a flag or a variable.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .map(|word| word.trim_end_matches('-').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
