//! Matthews' correlation coefficient for many labels: Gorodkin, "Comparing two K-category assignments by a K-category
//! correlation coefficient" (2004), as scikit-learn's `matthews_corrcoef`. It is 0 for every constant, whatever the labels'
//! frequencies. An unparseable answer is a label of its own that is never right.

use crate::metric::{Answer, LabelPairs, Tally};

metric! {
    /// Between −1 and 1; 0 where gold or answers are all one label.
    Mcc, "mcc", "correlation", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    Box::new(MccTally(LabelPairs::new(answers)))
}

struct MccTally(LabelPairs);

impl Tally for MccTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let classes = self.0.class_counts(counts);
        let sum = |of: fn(f64, f64) -> f64| -> f64 {
            classes.iter().map(|class| of(class.gold as f64, class.predicted as f64)).sum()
        };
        let (all, parsed) = (sum(|gold, _| gold), sum(|_, predicted| predicted));
        let correct: f64 = classes.iter().map(|class| class.correct as f64).sum();
        let unparseable = all - parsed;
        let said = sum(|_, predicted| predicted * predicted) + unparseable * unparseable;
        let spread = (all * all - said) * (all * all - sum(|gold, _| gold * gold));
        let covariance = correct * all - sum(|gold, predicted| gold * predicted);
        (all > 0.0).then(|| if spread > 0.0 { covariance / spread.sqrt() } else { 0.0 })
    }

    fn denominator(&self) -> usize {
        self.0.denominator()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, answers};

    #[test]
    fn a_constant_has_none_and_the_truth_has_all() {
        assert_eq!(Mcc.compute(&answers(&[("a", "a"), ("b", "a"), ("a", "a")]), &[1; 3]), Some(0.0));
        assert_eq!(Mcc.compute(&answers(&[("a", "a"), ("b", "b"), ("c", "c")]), &[1; 3]), Some(1.0));
        assert_eq!(Mcc.compute(&answers(&[("a", "b"), ("b", "a")]), &[1; 2]), Some(-1.0));
    }
}
