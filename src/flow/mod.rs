//! Conversations over one authenticated stream. Generic over the stream, free of the terminal:
//! what happens is told as values.

pub mod ask;
pub mod code;
mod confirm;
pub mod consent;
pub mod fault;
mod frames;
pub mod give;
pub mod greet;
pub mod handed_in;
mod hear;
mod heard_lanes;
mod intake;
pub mod join;
pub mod lanes;
mod ledger;
pub mod limit;
pub mod list;
pub mod outgoing;
pub mod pack;
pub mod pages;
pub mod pair;
mod patience;
pub mod preview;
mod pump;
mod receipt;
pub mod receive;
pub mod refuse;
mod room;
pub mod secret;
pub mod send;
mod speak;
pub mod stop;
pub mod underway;
mod voice;
mod window;
pub mod words;
