//! How good answers are, and how sure that is.
//!
//! A [`metric`] turns answers into a value with a unit and a direction; [`evaluate`](mod@evaluate) adds intervals,
//! comparisons and counts by class; [`flips`] tells which examples two systems answered differently; [`baselines`] are what
//! a model has to beat. It knows texts and no tensors: what answers is asked elsewhere.

#[macro_use]
pub mod metric;

pub mod analysers;
pub mod baselines;
pub mod benchmarks;
pub mod evaluate;
pub mod extract;
pub mod flips;
pub mod grounding;
pub mod identifiers;
pub mod item;
pub mod metrics;
