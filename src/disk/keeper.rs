//! A folder whose owner is asked about each name that is taken, keeps what gives way, and notes what
//! came before the sender is told that it is there.

use std::{fmt, io};

use super::partial::Settled;
use super::root::Conflict;
use crate::base::fault::Fault;
use crate::base::path::RelPath;

/// Whoever looks after a folder that receives. Its methods block, and are called from threads that may.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// What becomes of what comes to `path` where something else is there already.
    fn conflict(&self, path: &RelPath) -> Conflict;

    /// Keeps what is at `path` and has `place` put something else into its place, while nobody else
    /// changes it. Gives back what `place` says.
    ///
    /// # Errors
    /// Where it cannot be kept; it then stays, and what came fails.
    fn replace(&self, path: &RelPath, place: &mut dyn FnMut() -> io::Result<()>) -> Result<io::Result<()>, Fault>;

    /// How many bytes may still come of what has no known length; `None` for no limit.
    fn room(&self) -> Option<u64>;

    /// Notes what is in place now, durably, before the sender is told. Called page by page.
    ///
    /// # Errors
    /// Where it cannot be noted; the sender is then not told that it is done.
    fn settled(&self, page: &[Settled]) -> Result<(), Fault>;
}
