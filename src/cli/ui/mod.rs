//! The screen: the only room that prints or prompts.

pub mod bars;
pub mod door;
pub mod log;
pub mod printer;
pub mod prompt;
pub mod units;
