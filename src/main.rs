//! The command `ftx`: parses what is typed, does it, and ends with its exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ftx::cli::run().into()
}
