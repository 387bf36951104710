//! A folder whose owner is asked about each name that is taken, keeps what gives way, and notes what
//! came, in one turn with putting it into place, before the sender is told that it is there.

use std::{fmt, io};

use super::outcomes::Settled;
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

    /// So many bytes are missing of everything that was offered and whose length is known.
    ///
    /// # Errors
    /// Where there is no room for them; none comes then.
    fn expect(&self, bytes: u64) -> Result<(), Fault>;

    /// Something of no known length has `length` bytes with the `more` that have just come.
    ///
    /// # Errors
    /// Where there is no room for them; they are not written then.
    fn grow(&self, length: u64, more: u64) -> Result<(), Fault>;

    /// From now on things are put into place, until [`Keeper::end`].
    ///
    /// # Errors
    /// Where they may not be; nothing is then.
    fn begin(&self) -> Result<(), Fault>;

    /// Notes what is in place now, durably; in turn, whether the sender still listens or not.
    ///
    /// # Errors
    /// Where it cannot be noted; the sender is then not told that it is done.
    fn settled(&self, pages: &[Vec<Settled>]) -> Result<(), Fault>;

    /// Does what is left to be done before the sender is told, once the turn is over; page by page.
    ///
    /// # Errors
    /// As for [`Keeper::settled`].
    fn noted(&self, page: &[Settled]) -> Result<(), Fault>;

    /// Everything is in place and noted.
    fn end(&self);
}
