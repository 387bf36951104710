//! The words of ftx: values without sockets, files or terminals.

pub mod book;
pub mod coding;
pub mod digest;
pub mod entries;
pub mod event;
pub mod fault;
pub mod id;
pub mod link_target;
pub mod manifest;
pub mod naming;
pub mod offered;
pub mod path;
pub mod target;
pub mod text;
