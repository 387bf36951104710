//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod catalogue;
pub mod space;
pub mod store;
