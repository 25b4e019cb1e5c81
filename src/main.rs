//! argv: a command of the operator's, or the role that the parent started this process for.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatepost::cli::main()
}
