//! The training loop: batches in, weights out, everything that happened written down.
//!
//! [`feed`] gives steps of packed documents, [`step`] turns one into gradients and an [`adamw`] update at the rate of
//! [`schedule`], [`run`](mod@run) repeats that, evaluates, saves ([`resume`]) and shows [`progress`]. Several processes share it by a [`world`].

pub mod adamw;
pub mod blockwise;
pub mod error;
pub mod feed;
pub mod progress;
pub mod resume;
pub mod run;
pub mod schedule;
pub mod step;
pub mod sweep;
pub mod tfevents;
pub mod world;

pub use error::{Error, Result};
pub use run::{Outcome, RunOptions, run};
