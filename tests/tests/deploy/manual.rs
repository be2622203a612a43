//! What the programs say about themselves: their `--help`, and the table of settings.

use std::collections::BTreeSet;

use leasectl_tests::{Invocation, skip};

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

    /// Every long flag and every variable of ours that the help mentions.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &String> {
        self.words.iter().filter(|word| {
            let variable = word.starts_with("LEASECTL_") || word.starts_with("DATABASE_");
            let flag = word.starts_with("--") && !matches!(word.as_str(), "--help" | "--version");
            variable || flag
        })
    }

    /// Whether the help mentions a flag or variable by exactly this name.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

/// The words of the tables of `docs/operations.md`; none while it does not exist.
pub(crate) fn documented() -> Option<BTreeSet<String>> {
    if !files::top().join("docs/operations.md").exists() {
        skip("docs/operations.md does not exist");
        return None;
    }
    let text = files::text("docs/operations.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    Some(words(&rows.join("\n")))
}

/// Splits text into what could be a flag or a variable.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .map(|word| word.trim_end_matches('-').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
