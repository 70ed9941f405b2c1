//! `windlass man`: the manual pages of the commands.

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;
use std::path::PathBuf;

/// `windlass man …`
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write the page of each command into this folder, instead of printing the page of the program
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

/// The page, or one line about the written pages.
pub(super) fn run(arguments: &ManArguments, program: Command) -> anyhow::Result<String> {
    let Some(folder) = &arguments.directory else {
        let mut page = Vec::new();
        Man::new(program).render(&mut page).context("cannot write the page")?;
        return String::from_utf8(page).context("the page is no text");
    };
    let unusable = || format!("cannot write the pages into `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(unusable)?;
    clap_mangen::generate_to(program, folder).with_context(unusable)?;
    Ok(format!("{}: the manual pages; read one with `man -l {0}/windlass.1`\n", folder.display()))
}
