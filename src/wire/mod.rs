//! The wire: what is said, in which bytes, and the limits of each. `man/ftx-protocol.7` tells
//! others the same.

pub mod frame;
pub mod give;
pub mod hello;
pub mod hub;
pub mod limits;
pub mod message;
