//! Average precision, the area under the precision-recall curve as a sum of steps: Σ (Rₙ − Rₙ₋₁)·Pₙ over the thresholds,
//! each label against the rest, the plain mean over labels: scikit-learn's `average_precision_score(average="macro")`.
//! Unlike [`super::roc_auc`] it tells how rare labels fare.

use super::ranking::{AreaTally, Group};
use crate::metric::{Answer, Tally};

metric! {
    /// Over answers that all rank the same labels, at most 64.
    PrAuc, "pr_auc", "area", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    let step = |group: &Group| {
        let found = group.positives_before + group.positives;
        let looked_at = found + group.negatives_before + group.negatives;
        if looked_at > 0.0 { group.positives * found / looked_at } else { 0.0 }
    };
    AreaTally::new(answers, step, |positives, _| positives)
}
