//! `ftx completions`: completion scripts, and the manual pages from the same definitions.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::outcome::{Exit, Failure};
use super::ui::printer::Printer;
use crate::base::fault::Fault;

/// Print a shell's completion script, or write the manual pages.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx completions bash > ~/.local/share/bash-completion/completions/ftx\n  \
    ftx completions zsh > ~/.zfunc/_ftx\n  ftx completions --man ~/.local/share/man/man1")]
pub struct Completions {
    /// The shell
    #[arg(required_unless_present = "man")]
    pub shell: Option<Shell>,
    /// Write the manual pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub man: Option<PathBuf>,
}

/// Prints or writes.
///
/// # Errors
/// Where the folder cannot be written to.
pub fn run(command: &Completions, printer: &Printer) -> Result<Exit, Failure> {
    if let Some(shell) = command.shell {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "ftx", &mut script);
        printer.raw(&script);
    }
    if let Some(folder) = &command.man {
        for (name, page) in pages() {
            let path = folder.join(name);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, page))
                .map_err(|error| Failure::local(&Fault::disk(format!("writing {}", path.display()), &error)))?;
        }
    }
    Ok(Exit::Done)
}

/// The manual pages of section 1: the program's, and one for each command and each command of that.
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let mut left = vec![program];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|one| one.get_name() != "help").cloned());
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace(' ', "-");
        let mut page = Vec::new();
        // Writing to memory does not fail.
        let _ = clap_mangen::Man::new(command).title(name.to_uppercase()).render(&mut page);
        pages.push((format!("{name}.1"), page));
    }
    pages
}
