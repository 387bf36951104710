//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod account;
pub mod code;
pub mod register;
pub mod space;
