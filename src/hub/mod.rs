//! The repository: accounts, spaces, what they hold, and who may do what with it.

pub mod account;
pub mod activity;
pub mod catalogue;
pub mod code;
pub mod control;
pub mod event;
pub mod register;
pub mod space;
pub mod status;
pub mod store;
