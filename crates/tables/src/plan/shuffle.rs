//! What a plan moved from one partition to another: on a cluster, what goes over the wire.

use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

/// Rows that were repartitioned by a hash of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shuffle {
    /// The stage, such as `pairs`.
    pub stage: String,
    /// By what.
    pub keys: String,
    /// Rows.
    pub rows: u64,
    /// Bytes as Arrow in memory.
    pub bytes: u64,
}

/// The shuffles of a plan that was run, from its end to its beginning.
pub(super) fn of(stage: &str, plan: &dyn ExecutionPlan) -> Vec<Shuffle> {
    let mut found = Vec::new();
    walk(stage, plan, &mut found);
    found
}

fn walk(stage: &str, plan: &dyn ExecutionPlan, found: &mut Vec<Shuffle>) {
    if let Some(keys) = keys_of(plan) {
        let metrics = plan.metrics();
        let sum = |name: &str| {
            let value = metrics.as_ref().and_then(|all| all.sum_by_name(name));
            value.map_or(0, |value| value.as_usize() as u64)
        };
        found.push(Shuffle { stage: stage.into(), keys, rows: sum("output_rows"), bytes: sum("output_bytes") });
    }
    for child in plan.children() {
        walk(stage, child.as_ref(), found);
    }
}

fn keys_of(plan: &dyn ExecutionPlan) -> Option<String> {
    match plan.downcast_ref::<RepartitionExec>()?.partitioning() {
        Partitioning::Hash(keys, _) => Some(keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        _ => None,
    }
}
