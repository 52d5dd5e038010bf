//! The `sower` program: argv in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    sower::cli::run()
}
