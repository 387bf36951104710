//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod catalogue;
pub mod hash;
pub mod prune;
pub mod rebuild;
pub mod space;
pub mod store;
pub mod verify;
pub mod watch;
