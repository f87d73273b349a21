//! The share of answers from which no label could be read. They are wrong answers in every other metric.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Unparseable answers over all examples.
    Unparseable, "unparseable", "share", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean(answers, |answer| f64::from(u8::from(answer.parsed.is_none())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn a_wrong_label_is_not_unparseable() {
        let given = answers(&[("a", "b"), ("a", ""), ("b", "b"), ("c", "c")]);
        assert_eq!(Unparseable.compute(&given, &[1; 4]), Some(0.25));
    }
}
