//! `cargo xtask check [--skip NAME]…` runs everything that continuous integration runs; `cargo xtask tidy` only the last of it.

use std::io::stderr;
use std::process::ExitCode;

use xtask::{command, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = command::parse(&arguments).and_then(|command| run(&command, &xtask::root(), &mut stderr()));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            xtask::say(&mut stderr(), &format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
