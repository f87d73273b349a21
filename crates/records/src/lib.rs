//! placeholder

pub mod baselines;
pub mod evaluate;
pub mod metric;
pub mod metrics;
