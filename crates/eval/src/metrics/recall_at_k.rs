//! Recall at k, where several labels are right: the share of them among the first k that were said.

use crate::metric::{Answer, HIGHER, Metric, RatioTally, Tally};

/// The mean over the answers that several labels may be right for.
pub struct RecallAtK {
    name: &'static str,
    k: usize,
}

/// Of the first one.
pub static RECALL_1: RecallAtK = RecallAtK { name: "recall_at_1", k: 1 };
/// Of the first three.
pub static RECALL_3: RecallAtK = RecallAtK { name: "recall_at_3", k: 3 };
/// Of the first ten.
pub static RECALL_10: RecallAtK = RecallAtK { name: "recall_at_10", k: 10 };

impl Metric for RecallAtK {
    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        HIGHER
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean_of_some(answers, |answer| {
            let found = answer.set.iter().take(self.k).filter(|said| answer.golds.contains(said)).count();
            (!answer.golds.is_empty()).then(|| found as f64 / answer.golds.len() as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::sets;

    #[test]
    fn what_comes_late_is_not_found() {
        let given = sets(&[("a b", "b x a"), ("c", "")]);
        assert_eq!(RECALL_1.compute(&given, &[1, 0]), Some(0.5));
        assert_eq!(RECALL_3.compute(&given, &[1, 0]), Some(1.0));
        assert_eq!(RECALL_3.compute(&given, &[1, 1]), Some(0.5));
    }
}
