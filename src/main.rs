//! The program: see [`ptqd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ptqd::cli::main()
}
