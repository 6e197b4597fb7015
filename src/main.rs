//! The program: three lines, everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    knightwatch::cli::main()
}
