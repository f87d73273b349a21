//! The share of answers from which no label could be read. They are wrong answers in every other metric.

use crate::metric::{Answer, Metric, RatioTally, Tally};

/// Unparseable answers over all examples.
pub struct Unparseable;

impl Metric for Unparseable {
    fn name(&self) -> &'static str {
        "unparseable"
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean(answers, |answer| f64::from(u8::from(answer.parsed.is_none())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn a_wrong_label_is_not_unparseable() {
        let given = answers(&[("a", "b"), ("a", ""), ("b", "b"), ("c", "c")]);
        assert_eq!(Unparseable.compute(&given, &[1; 4]), Some(0.25));
    }
}
