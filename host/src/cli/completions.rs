//! `windlass completions`: prints the completion script of a shell.

use anyhow::Context;
use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KnownShell {
    /// Save the script as /etc/bash_completion.d/windlass
    Bash,
    /// Save the script as `_windlass` in a folder of `fpath`
    Zsh,
    /// Save the script as ~/.config/fish/completions/windlass.fish
    Fish,
}

/// `windlass completions …`
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: KnownShell,
}

/// The script.
pub(super) fn run(arguments: &CompletionsArguments, program: &Command) -> anyhow::Result<String> {
    let shell = match arguments.shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Zsh => Shell::Zsh,
        KnownShell::Fish => Shell::Fish,
    };
    // The generator would complete hidden commands, too.
    let shown = program.get_subcommands().filter(|command| !command.is_hide_set());
    let mut shown = Command::new("windlass").subcommands(shown.cloned());
    let mut script = Vec::new();
    generate(shell, &mut shown, "windlass", &mut script);
    String::from_utf8(script).context("the script is no text")
}
