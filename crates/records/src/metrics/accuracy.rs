//! Accuracy: the share of all answers whose parsed label is the gold label.

use crate::metric::{Answer, Metric, RatioTally, Tally};

/// Exact matches over all examples; an unparseable answer is a wrong one.
pub struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean(answers, |answer| f64::from(u8::from(answer.is_correct())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn an_unparseable_answer_stays_in_the_denominator() {
        let given = answers(&[("a", "a"), ("a", "b"), ("b", "b"), ("c", "")]);
        assert_eq!(Accuracy.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(Accuracy.prepare(&given).denominator(), 4);
    }
}
