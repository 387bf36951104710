//! An authenticated, encrypted stream to one peer: keys, TLS 1.3, dialling, listening.

pub mod dial;
pub mod key;
pub mod knock;
pub mod listen;
pub mod socket;
pub mod tls;
