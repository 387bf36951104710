//! Where a hub keeps what it holds: one narrow trait, so that something else than a folder can follow.
//!
//! Paths are the hub's, from its top. Nothing seeks in what is written, nothing but whole files has a
//! name, and whatever changes something is durable before it returns. Everything here blocks.

mod folder;
mod kept;
mod share;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::Read;

use crate::base::fault::Fault;
use crate::base::path::{Name, RelPath};
use crate::disk::root::Root;
use crate::disk::source::{Go, Source};
use crate::wire::hub::VersionId;

pub use crate::disk::tree::Stat;
pub use folder::Folder;

/// How a version comes to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What it is of stays in its place, until something replaces it there.
    Beside,
    /// What it is of leaves its place.
    Away,
}

/// Whether two files have their bytes on the disk once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// They have; this is the second one now, another file with the same bytes, time and mode.
    Yes(Stat),
    /// They have not: the store cannot do that, or they differ.
    No,
}

/// A version that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it is of.
    pub path: RelPath,
    /// Its name.
    pub id: VersionId,
    /// What it is.
    pub stat: Stat,
}

/// Where a hub keeps what it holds.
///
/// All of these fail with [`crate::base::fault::FaultKind::NotFound`] where what is named is not
/// there, with [`crate::base::fault::FaultKind::NotPermitted`] where a name is taken or what has it is not of the right kind, and
/// else with a disk fault.
pub trait Store: Send + Sync + Debug {
    /// What is at a path; `None` where nothing is, or only a link leads there.
    ///
    /// # Errors
    /// As above: also where there is something that cannot be kept, such as a device.
    fn stat(&self, path: &RelPath) -> Result<Option<Stat>, Fault>;

    /// What is at each of these paths, where something is; asked for folder by folder, many cost little.
    ///
    /// # Errors
    /// As for [`Store::stat`].
    fn stats(&self, paths: &[RelPath]) -> Result<HashMap<RelPath, Stat>, Fault>;

    /// What is in a folder, `None` for the top, in no order; without what is the hub's own.
    ///
    /// # Errors
    /// As above.
    fn list(&self, folder: Option<&RelPath>) -> Result<Vec<(Name, Stat)>, Fault>;

    /// The bytes of a file; of a link, its target's text.
    ///
    /// # Errors
    /// As above.
    fn read(&self, path: &RelPath) -> Result<Box<dyn Read + Send>, Fault>;

    /// The same, or those of one of its versions, as the disk itself has them now: not what is still in
    /// the machine's memory, where there is a way around that.
    ///
    /// # Errors
    /// As above.
    fn read_again(&self, path: &RelPath, version: Option<VersionId>) -> Result<Box<dyn Read + Send>, Fault>;

    /// Makes a folder, and those above it; one that is there is left as it is.
    ///
    /// # Errors
    /// As above.
    fn make_folder(&self, path: &RelPath) -> Result<(), Fault>;

    /// Gives something another path; what is kept of it stays. Makes the folders above the new path; never
    /// replaces anything.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), Fault>;

    /// Gives what is kept of something, and of everything below it, another path, and only that.
    ///
    /// # Errors
    /// As above.
    fn move_versions(&self, from: &RelPath, to: &RelPath) -> Result<(), Fault>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// As above.
    fn remove_folder(&self, path: &RelPath) -> Result<(), Fault>;

    /// Keeps a file or link as a version.
    ///
    /// # Errors
    /// As above.
    fn keep(&self, path: &RelPath, id: VersionId, how: Keep) -> Result<(), Fault>;

    /// Puts a version to a path, where it is no version any more. Makes the folders above; never replaces
    /// anything.
    ///
    /// # Errors
    /// As above.
    fn bring_back(&self, path: &RelPath, id: VersionId, to: &RelPath) -> Result<(), Fault>;

    /// Removes a version for good; one that is not there is no fault.
    ///
    /// # Errors
    /// As above.
    fn drop_version(&self, path: &RelPath, id: VersionId) -> Result<(), Fault>;

    /// One version.
    ///
    /// # Errors
    /// As above.
    fn stat_version(&self, path: &RelPath, id: VersionId) -> Result<Option<Stat>, Fault>;

    /// Goes through all versions, in no order, as long as `each` says so.
    ///
    /// # Errors
    /// As above.
    fn versions(&self, each: &mut dyn FnMut(Held) -> Go) -> Result<(), Fault>;

    /// Where uploads to this folder are received. It is made where it is missing.
    ///
    /// # Errors
    /// As above.
    fn incoming(&self, to: &RelPath) -> Result<Root, Fault>;

    /// Whether the folder at this path is still the one where uploads to it are received.
    ///
    /// # Errors
    /// As above.
    fn is_at(&self, root: &Root, to: &RelPath) -> Result<bool, Fault>;

    /// What is sent of these, each with everything below it.
    ///
    /// # Errors
    /// As above.
    fn outgoing(&self, paths: &[RelPath]) -> Result<Source, Fault>;

    /// Bytes that may still be written; `None` where nobody tells.
    fn free(&self) -> Option<u64>;

    /// Has the bytes of two equal files on the disk once, if that can be: they are compared first, and
    /// stay two files.
    fn share(&self, from: &RelPath, with: &RelPath) -> Shared;
}
