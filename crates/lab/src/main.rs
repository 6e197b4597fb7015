//! The lab's program; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    knightwatch_lab::cli::main()
}
