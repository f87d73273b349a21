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
        let (rows, bytes) = (input(plan, "output_rows"), input(plan, "output_bytes"));
        found.push(Shuffle { stage: stage.into(), keys, rows, bytes });
    }
    for child in plan.children() {
        walk(stage, child.as_ref(), found);
    }
}

/// What came into a repartitioning, which counts nothing itself: what the nearest plan below that counts put out.
fn input(plan: &dyn ExecutionPlan, name: &str) -> u64 {
    let Some(below) = plan.children().first().copied() else { return 0 };
    match below.metrics().and_then(|all| all.sum(|metric| metric.value().name() == name)) {
        Some(value) => value.as_usize() as u64,
        None => input(below.as_ref(), name),
    }
}

fn keys_of(plan: &dyn ExecutionPlan) -> Option<String> {
    match plan.downcast_ref::<RepartitionExec>()?.partitioning() {
        Partitioning::Hash(keys, _) => Some(keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        _ => None,
    }
}
