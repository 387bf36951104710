//! The command `ftx`.

fn main() {}
