//! Confining this process to the folders that it needs: a second line of defence, by the kernel, behind
//! the handles that every path is resolved below.
//!
//! On Linux by Landlock. It confines the thread that asks for it and whatever that thread starts later,
//! never one that runs already: so this comes before there are other threads.

#[cfg(target_os = "linux")]
mod linux;

use std::io;
use std::path::{Path, PathBuf};

/// What may be touched from now on, and nothing else of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Folders to read and write in, with everything below them; or single files.
    pub writable: Vec<PathBuf>,
    /// Folders and files that are only read.
    pub readable: Vec<PathBuf>,
    /// TCP ports to listen on; with a 0 among them, on any.
    pub listens: Vec<u16>,
    /// Who may be connected to by TCP.
    pub dials: Dials,
    /// Whether host names are looked up.
    pub names: Names,
}

/// Who may be connected to by TCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dials {
    /// Nobody.
    #[default]
    Nobody,
    /// Everybody.
    Everybody,
}

/// Whether host names are looked up; the system's libraries read several files for that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Never.
    #[default]
    Never,
    /// Now and then.
    LookedUp,
}

/// How far a confinement holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It holds.
    Yes {
        /// The version of Landlock's interface that the kernel has.
        version: u32,
        /// What it does not keep from us, because this kernel is too old for that.
        lacks: Vec<&'static str>,
        /// Of what was named, what is not there: it cannot be touched, also if it appears later.
        missing: Vec<PathBuf>,
    },
    /// It does not, and why; nothing is confined then.
    No(String),
    /// This system has nothing of the kind that we know to use.
    Unknown,
}

/// Confines the calling thread, and every one that it starts from now on. Nothing undoes it.
///
/// What is open already stays open. Where the kernel knows less, less is kept from us, and
/// [`Held`] says what.
pub fn confine(bounds: &Bounds) -> Held {
    #[cfg(target_os = "linux")]
    {
        linux::confine(bounds)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = bounds;
        Held::Unknown
    }
}

/// What a trial of the confinement has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What the kernel says.
    pub held: Held,
    /// What could be opened although it was out of bounds. Empty where it holds.
    pub escaped: Vec<String>,
}

/// Tries in a thread of its own, which ends with it, whether a confinement to `inside` holds: whether
/// `outside`, a file that can be opened, cannot be any longer, to read or to write, also by a thread that
/// the confined one starts. Changes nothing, whatever comes of it.
///
/// # Errors
/// Where it cannot be tried: `outside` or `inside` cannot be opened even before.
pub fn trial(inside: &Path, outside: &Path) -> io::Result<Trial> {
    std::fs::read_dir(inside)?;
    std::fs::File::open(outside)?;
    let bounds = Bounds { readable: vec![inside.to_owned()], ..Bounds::default() };
    let (inside, outside) = (inside.to_owned(), outside.to_owned());
    let tried = std::thread::spawn(move || {
        let held = confine(&bounds);
        let here = escapes(&inside, &outside);
        let there = std::thread::spawn(move || escapes(&inside, &outside)).join();
        let there = there.unwrap_or_else(|_| vec!["a thread ended unexpectedly".to_owned()]);
        Trial { held, escaped: here.into_iter().chain(there).collect() }
    });
    tried.join().map_err(|_| io::Error::other("the thread that tried it ended unexpectedly"))
}

/// What can be done that must not be, and what cannot that must be.
fn escapes(inside: &Path, outside: &Path) -> Vec<String> {
    let shown = outside.display();
    let mut escaped = Vec::new();
    if std::fs::File::open(outside).is_ok() {
        escaped.push(format!("{shown} could be read"));
    }
    if std::fs::OpenOptions::new().append(true).open(outside).is_ok() {
        escaped.push(format!("{shown} could be opened to be written"));
    }
    if std::fs::read_dir("/").is_ok() {
        escaped.push("the names in / could be read".to_owned());
    }
    if let Err(error) = std::fs::read_dir(inside) {
        escaped.push(format!("{} could not be read, which may be: {error}", inside.display()));
    }
    escaped
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
