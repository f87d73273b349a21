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
mod recipe;
mod report;
mod resolved;
mod respond;
mod say;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(()) => say::finish(),
        Err(error) => say::error(&error),
    }
}
