//! What a service runs, and which folders it needs for that.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::Install;
use crate::cli::config::Folders;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::{Cli, Command, Common};
use crate::disk::confine::Bounds;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ftx up`.
    Node,
    /// `ftx hub`.
    Hub,
}

impl Kind {
    /// The word used in output.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Hub => "hub",
        }
    }

    /// What its files are called, without an extension.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "ftx",
            Self::Hub => "ftx-hub",
        }
    }
}

/// A service to be.
#[derive(Debug)]
pub(super) struct Plan {
    /// Which of the two.
    pub(super) kind: Kind,
    /// The program.
    pub(super) program: PathBuf,
    /// What is typed after it.
    pub(super) arguments: Vec<String>,
    /// What it writes to.
    pub(super) writable: Vec<PathBuf>,
    /// Whether that only trusted peers are accepted is ftx's choice, not somebody's.
    pub(super) accepts_trusted_only: bool,
}

impl Plan {
    /// What `ftx service install` means. Its folders are made where they are missing.
    pub(super) fn of(common: &Common, folders: &Folders, command: &Install) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(Exit::Other, format!("where this program is cannot be told: {error}")))?;
        let config = folders.config()?;
        let mut arguments = Vec::new();
        let kind = if command.hub.is_some() { Kind::Hub } else { Kind::Node };
        arguments.push(if kind == Kind::Hub { "hub" } else { "up" }.to_owned());
        if let Some(dir) = &command.hub {
            arguments.push(whole(dir)?);
        }
        let folder = |flag: &str, dir: &Path| Ok::<_, Failure>([flag.to_owned(), whole(dir)?]);
        if let Some(dir) = &command.dir {
            arguments.extend(folder("--dir", dir)?);
        }
        for dir in &command.share {
            arguments.extend(folder("--share", dir)?);
        }
        let said = command.rest.iter().any(|option| option.starts_with("--accept"));
        let chosen = command.accept.is_some() || config.accept.is_some() || said;
        let accepts_trusted_only = kind == Kind::Node && !chosen;
        if accepts_trusted_only {
            arguments.extend(["--accept", "trusted"].map(str::to_owned));
        } else if let Some(flag) = command.accept {
            arguments.extend(["--accept".to_owned(), crate::node::policy::Accept::from(flag).as_str().to_owned()]);
        }
        arguments.extend(common.name.iter().flat_map(|name| ["--name".to_owned(), name.clone()]));
        arguments.extend(common.interface.iter().flat_map(|name| ["--interface".to_owned(), name.clone()]));
        arguments.extend(command.rest.iter().cloned());
        let Bounds { mut writable, .. } = understood(&arguments, folders)?;
        writable.push(folders.config.clone());
        Ok(Self { kind, program, arguments, writable, accepts_trusted_only })
    }
}

/// What the program would make of these arguments: better told now than at the next login.
fn understood(arguments: &[String], folders: &Folders) -> Result<Bounds, Failure> {
    let typed = std::iter::once("ftx").chain(arguments.iter().map(String::as_str));
    let cli = Cli::try_parse_from(typed).map_err(|error| Failure::usage(&error))?;
    match &cli.command {
        Some(Command::Up(up)) => up.bounds(folders, &folders.config()?),
        Some(Command::Hub(hub)) if hub.command.is_none() => hub.run.bounds(folders),
        _ => Err(Failure::new(Exit::Usage, "that would run neither a node nor a hub")),
    }
}

/// A folder, as it is named from anywhere.
fn whole(dir: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    whole.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{} has a name that a service's file cannot hold", dir.display()))
            .hint("name a folder whose name is UTF-8")
    })
}
