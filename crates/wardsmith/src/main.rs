//! Wardsmith: fine-tune, evaluate and run a vulnerability language model on your own machine.

mod cli;
mod commands;
mod demo;
mod estimate;
mod interrupt;
mod job;
mod keys;
mod machine;
mod model_manifest;
mod ranks;
mod recipe;
mod report;
mod resolved;
mod respond;
mod say;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // It lives until all is said: its end waits for the other processes.
    let world = match ranks::start(&cli.command) {
        Ok(world) => world,
        Err(error) => return say::error(&error),
    };
    match commands::run(cli, &world) {
        Ok(()) => say::finish(),
        Err(error) => ranks::fail(&*world, &error),
    }
}
