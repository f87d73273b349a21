//! The commands: each composes what the other crates offer.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod benchmark;
pub(crate) mod classify;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod prepare;
pub(crate) mod sweep;
pub(crate) mod tokenizer;
pub(crate) mod tune;

use std::rc::Rc;

use anyhow::{Context, Result};
use wardsmith_train::world::World;

use crate::cli::{Cli, Command};

/// Runs what the command line asks for; `world` are the processes that share the work.
pub(crate) fn run(cli: Cli, world: &Rc<dyn World>) -> Result<()> {
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().context("cannot start that many threads")?;
    }
    if let Some(file) = cli.key {
        crate::keys::name(file);
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Prepare(args) => prepare::run(&args),
        Command::Tokenizer(args) => tokenizer::run(&args),
        Command::Tune(args) => tune::run(&args, world),
        Command::Sweep(args) => sweep::run(&args, &**world),
        Command::Eval(args) => eval::run(&args, &**world),
        Command::Compare(args) => compare::run(&args),
        Command::Ask(args) => ask::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
