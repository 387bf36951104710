//! What `ftx up` and `ftx hub` may touch, and confining them to it before there are threads.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::config::Folders;
use super::outcome::Failure;
use super::ui::printer::Printer;
use super::{Cli, Command, hub};
use crate::disk::confine::{Bounds, Held, confine};
use crate::disk::private;

/// How a node that is about to run is confined.
#[derive(Debug, Clone)]
pub enum Confined {
    /// It runs no node.
    NoNode,
    /// Somebody wants it not to be.
    Unwanted,
    /// To these bounds, as far as it holds.
    To(Bounds, Held),
}

/// Confines this process, if it is to run a node, to what that needs. Nothing else may run yet.
///
/// # Errors
/// Where a folder that it needs cannot be opened or made.
pub(super) fn before_threads(cli: &Cli) -> Result<Confined, Failure> {
    if let Some(Command::Hub(command)) = &cli.command {
        hub::refuse_slip(command)?;
    }
    let unwanted = match &cli.command {
        Some(Command::Up(command)) => command.no_confine,
        Some(Command::Hub(command)) if command.command.is_none() => command.run.no_confine,
        _ => return Ok(Confined::NoNode),
    };
    if unwanted {
        return Ok(Confined::Unwanted);
    }
    let folders = Folders::find()?;
    let mut bounds = match &cli.command {
        Some(Command::Up(command)) => command.bounds(&folders, &folders.config()?)?,
        Some(Command::Hub(command)) => command.run.bounds(&folders)?,
        _ => return Ok(Confined::NoNode),
    };
    add_own(&folders, &mut bounds);
    let held = confine(&bounds);
    Ok(Confined::To(bounds, held))
}

/// Our own files. What cannot be made now will be told by whoever needs it.
fn add_own(folders: &Folders, bounds: &mut Bounds) {
    let _ = private::make_folder(&folders.config);
    bounds.writable.push(folders.config.clone());
    // Where one of these is a link, to a folder of dotfiles perhaps, it leads somewhere else.
    let linked = ["config.toml", "key", "peers.toml"].map(|name| folders.config.join(name));
    bounds.readable.extend(linked.into_iter().filter(|path| path.is_symlink() && path.exists()));
    // Which folder is for downloads.
    let desktop = folders.config.with_file_name("user-dirs.dirs");
    bounds.readable.extend(Some(desktop).filter(|path| path.exists()));
}

impl Confined {
    /// Tells it: in a line that only the curious see where all is well, loudly where it is not.
    pub(super) fn tell(&self, printer: &Printer) {
        let (bounds, held) = match self {
            Self::NoNode => return,
            Self::Unwanted => {
                printer.warn("not confined, as --no-confine says: a flaw in ftx could reach all of your files");
                return;
            }
            Self::To(bounds, held) => (bounds, held),
        };
        match held {
            Held::Yes { lacks, missing, .. } => {
                let (writes, reads) = (list(&bounds.writable), list(&bounds.readable));
                let reads = if reads.is_empty() { "nothing else".to_owned() } else { reads };
                printer.detail(&format!("confined: writes only below {writes}; reads besides {reads}; runs nothing"));
                if !lacks.is_empty() {
                    printer.detail(&format!("this kernel is too old to keep from it: {}", lacks.join(", ")));
                }
                for path in missing {
                    let path = path.display();
                    printer.warn(&format!("{path} is not there and stays out of bounds until this is started again"));
                }
            }
            Held::No(why) => printer.warn(&format!("not confined: {why}; ftx doctor tells more")),
            Held::Unknown => printer.detail("not confined: that is done on Linux only"),
        }
    }

    /// The same for programs.
    pub(super) fn object(&self) -> Value {
        let (bounds, held) = match self {
            Self::NoNode | Self::Unwanted => return json!({ "holds": false, "why": "--no-confine" }),
            Self::To(bounds, held) => (bounds, held),
        };
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        match held {
            Held::Yes { version, lacks, missing } => json!({
                "holds": true,
                "landlock": version,
                "lacks": lacks,
                "missing": shown(missing),
                "writes": shown(&bounds.writable),
                "reads": shown(&bounds.readable),
            }),
            Held::No(why) => json!({ "holds": false, "why": why }),
            Held::Unknown => json!({ "holds": false, "why": "not on Linux" }),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let shown = |path: &PathBuf| Path::display(path).to_string();
    paths.iter().map(shown).collect::<Vec<_>>().join(", ")
}
