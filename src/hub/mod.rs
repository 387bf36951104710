//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod activity;
pub mod control;
pub mod event;
pub mod space;
pub mod status;
