//! Hierarchical accuracy: the mean of the partial credit that the task gave each answer.

use crate::metric::{Answer, Metric, RatioTally, Tally};

/// The mean of [`Answer::hierarchical`] over all examples; an unparseable answer has none.
pub struct Hierarchical;

impl Metric for Hierarchical {
    fn name(&self) -> &'static str {
        "hierarchical_accuracy"
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean(answers, |answer| match answer.parsed {
            Some(_) if answer.hierarchical.is_finite() => answer.hierarchical.clamp(0.0, 1.0),
            _ => 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn credit_is_averaged_and_an_unparseable_answer_gets_none() {
        let mut given = answers(&[("a", "a"), ("a", "b"), ("b", "c"), ("c", "")]);
        for (answer, credit) in given.iter_mut().zip([1.0, 0.5, 0.0, 0.9]) {
            answer.hierarchical = credit;
        }
        assert_eq!(Hierarchical.compute(&given, &[1; 4]), Some(0.375));
    }
}
