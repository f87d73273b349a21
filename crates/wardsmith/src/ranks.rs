//! One process or several: `mpirun -np N wardsmith …` starts N, and `tune`, `eval` and `sweep` share their work.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Result;
use wardsmith_train::Error as TrainError;
use wardsmith_train::world::{Alone, World, agree};

use crate::cli::Command;
use crate::say;

/// What tells a process that an MPI launcher started it: Open MPI's `mpirun`, and Slurm's `srun` by PMIx or PMI-2.
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"];
/// How many of them share this machine.
const LOCAL_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];

/// Meets the other processes, where there are some and the command shares its work with them. Ranks that do not lead keep quiet
/// from now on.
///
/// # Errors
/// There are others, and this program cannot talk with them.
pub(crate) fn start(command: &Command) -> Result<Rc<dyn World>> {
    let shares = matches!(command, Command::Tune(_) | Command::Eval(_) | Command::Sweep(_));
    if !shares || !LAUNCHED.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(Rc::new(Alone));
    }
    let world = meet(command)?;
    // The ranks of a search tell of their own trials.
    if !world.leads() && !matches!(command, Command::Sweep(_)) {
        say::hush();
    }
    Ok(world)
}

#[cfg(feature = "mpi")]
fn meet(_: &Command) -> Result<Rc<dyn World>> {
    Ok(Rc::new(wardsmith_train::world::mpi::Mpi::start()?))
}

#[cfg(not(feature = "mpi"))]
fn meet(command: &Command) -> Result<Rc<dyn World>> {
    let size = number(&["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]);
    // Processes that search know one another by their study.
    if size > 1 && !matches!(command, Command::Sweep(_)) {
        anyhow::bail!(
            "this is one of {size} processes, and this program was built without MPI\nhint: build it with `cargo build --release --features mpi`, or start one process"
        );
    }
    Ok(Rc::new(Alone))
}

/// Processes of this run on this machine, which share its memory.
pub(crate) fn on_this_machine(world: &dyn World) -> usize {
    number(&LOCAL_SIZES).clamp(1, world.size())
}

/// What the launcher says under one of these names; 1 where it says nothing.
fn number(names: &[&str]) -> usize {
    names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok()).unwrap_or(1)
}

/// `make` on the rank that leads, then on the others, which may find on a common disk what it left there.
///
/// # Errors
/// `make`'s at one of them.
pub(crate) fn one_after_the_other<T>(world: &dyn World, make: impl Fn() -> Result<T>) -> Result<T> {
    let first = world.leads().then(&make).transpose();
    let made = match agree(world, first)? {
        Some(made) => Ok(made),
        None => make(),
    };
    agree(world, made)
}

/// Shows why the program ends, on the one rank that has to, and ends the others with it.
pub(crate) fn fail(world: &dyn World, error: &anyhow::Error) -> ExitCode {
    let told = match error.downcast_ref::<TrainError>() {
        Some(TrainError::Elsewhere { .. }) => true,
        Some(error) => error.is_everywhere() && !world.leads(),
        None => false,
    };
    if told {
        return ExitCode::FAILURE;
    }
    let status = say::error(error);
    // Whoever saves on an interrupt does so on all ranks; from any other error they may not know yet.
    if !error.is::<say::Interrupted>() {
        world.end(1);
    }
    status
}
