//! The commands: each composes what the other crates offer.

pub mod classify;
pub mod demo;
pub mod eval;
pub mod prepare;
pub mod tokenizer;
pub mod tune;

use anyhow::{Context, Result};

use crate::cli::{Cli, Command};

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> Result<()> {
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().context("cannot start that many threads")?;
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Prepare(args) => prepare::run(&args),
        Command::Tokenizer(args) => tokenizer::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Classify(args) => classify::run(&args),
    }
}
