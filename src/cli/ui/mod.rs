//! The screen: the only room that prints or prompts.

pub mod bars;
pub mod board;
pub mod door;
pub mod keys;
pub mod log;
pub mod printer;
pub mod prompt;
pub mod qr;
mod screen;
pub mod table;
pub mod units;
