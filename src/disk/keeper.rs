//! A folder whose owner is asked about each name that is taken, keeps what gives way, and notes what
//! came, in one turn with putting it into place, before the sender is told that it is there.

use std::{fmt, io};

use super::partial::Settled;
use super::root::Conflict;
use crate::base::fault::Fault;
use crate::base::path::RelPath;

/// Whoever looks after a folder that receives. Its methods block, and are called from threads that may.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// What becomes of what comes to `path` where something else is there already.
    fn conflict(&self, path: &RelPath) -> Conflict;

    /// Has `work` put into place what came, and note it, while nobody else changes anything in the folder.
    ///
    /// # Errors
    /// As `work` says.
    fn in_turn(&self, work: &mut dyn FnMut() -> Result<(), Fault>) -> Result<(), Fault>;

    /// Keeps what is at `path` and has `place` put something else into its place; in turn. Gives back what
    /// `place` says.
    ///
    /// # Errors
    /// Where it cannot be kept; it then stays, and what came fails.
    fn replace(&self, path: &RelPath, place: &mut dyn FnMut() -> io::Result<()>) -> Result<io::Result<()>, Fault>;

    /// How many bytes may still come of what has no known length; `None` for no limit.
    fn room(&self) -> Option<u64>;

    /// Notes what is in place now, durably; in turn, page by page.
    ///
    /// # Errors
    /// Where it cannot be noted; the sender is then not told that it is done.
    fn settled(&self, page: &[Settled]) -> Result<(), Fault>;

    /// Does what is left to be done before the sender is told, once the turn is over; page by page.
    ///
    /// # Errors
    /// As for [`Keeper::settled`].
    fn noted(&self, page: &[Settled]) -> Result<(), Fault>;
}
