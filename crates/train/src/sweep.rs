//! The search for good hyper-parameters: which point to try next, and which trials are worth more steps.
//!
//! [`space`] says what can be chosen, [`sampler`] which point a new trial gets ([`tpe`] learns from those before it),
//! [`asha`] who goes on after a rung, [`study`] keeps all of it in one SQLite file that several processes share, and
//! [`importance`] says afterwards which parameter mattered. What the numbers of a point mean is the caller's.

pub mod asha;
pub mod draw;
pub mod importance;
pub mod sampler;
pub mod space;
pub mod study;
pub mod tpe;

pub use asha::Halving;
pub use sampler::Sampler;
pub use space::{Dimension, Point, Space};
pub use study::{Claim, Job, Plan, Study, Trial};
