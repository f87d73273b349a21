//! Accuracy: the share of all answers whose parsed label is the gold label (whose labels are all gold labels, where several
//! are asked for). Texts have [`super::squad`] instead.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Exact matches over all examples; an unparseable answer is a wrong one.
    Accuracy, "accuracy", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    let score = |answer: &Answer| answer.expected.is_none().then(|| f64::from(u8::from(answer.is_correct())));
    RatioTally::mean_of_some(answers, score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn an_unparseable_answer_stays_in_the_denominator() {
        let given = answers(&[("a", "a"), ("a", "b"), ("b", "b"), ("c", "")]);
        assert_eq!(Accuracy.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(Accuracy.prepare(&given).denominator(), 4);
    }
}
