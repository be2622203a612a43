//! `worker completions` and `worker man`: generated from the command line itself.

use clap::Args;
use clap_complete::Shell;

use super::{Cli, CommandError, Context, Exit};

/// Arguments of `worker completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

/// Prints the completions for a shell.
///
/// # Errors
/// When standard output cannot be written to.
pub(super) fn completions(context: &Context, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::tree(), "worker", &mut script);
    context.output().raw(&script)
}

/// Prints the manual page: the program, then each command.
///
/// # Errors
/// When standard output cannot be written to.
pub(super) fn man(context: &Context) -> Result<(), CommandError> {
    let mut page = Vec::new();
    let mut tree = Cli::tree();
    tree.build();
    let mut waiting = vec![tree];
    while let Some(command) = waiting.pop() {
        clap_mangen::Man::new(command.clone())
            .render(&mut page)
            .map_err(|error| CommandError::caused(Exit::Failed, &error))?;
        let children: Vec<_> = command
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .collect();
        waiting.extend(children.into_iter().rev().cloned());
    }
    context.output().raw(&page)
}
