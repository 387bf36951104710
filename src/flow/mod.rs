//! Conversations over one authenticated stream. Generic over the stream, free of the terminal:
//! what happens is told as values.

pub mod fault;
pub mod greet;
mod hear;
mod intake;
pub mod list;
mod pages;
pub mod pair;
mod pump;
mod receipt;
pub mod receive;
pub mod refuse;
pub mod send;
pub mod stop;
pub mod words;
