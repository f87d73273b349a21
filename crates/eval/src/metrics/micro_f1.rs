//! Micro F1: one F1 score over the pooled counts of all labels.
//!
//! Precision is correct / parsed answers, recall is correct / all answers, so F1 = 2·correct / (parsed + all): that of
//! scikit-learn's `f1_score(average="micro", labels=…)` with all real labels. It equals accuracy where every answer
//! could be parsed, and lies above it where some could not, because such an answer claims nothing.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// 2·correct / (parsed answers + all examples).
    MicroF1, "micro_f1", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    let part = |answer: &Answer| {
        if !answer.asks_for_a_label() {
            return (0.0, 0.0);
        }
        let correct = f64::from(u8::from(answer.is_correct()));
        (2.0 * correct, 1.0 + f64::from(u8::from(answer.parsed.is_some())))
    };
    RatioTally::new(answers.iter().map(part).collect(), |ratio| ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn it_is_accuracy_where_every_answer_was_parsed() {
        let given = answers(&[("a", "a"), ("a", "b"), ("b", "b"), ("c", "a")]);
        assert_eq!(MicroF1.compute(&given, &[1; 4]), Some(0.5));
    }

    #[test]
    fn an_unparseable_answer_costs_recall_but_not_precision() {
        // Precision 2/3, recall 2/4.
        let given = answers(&[("a", "a"), ("a", "b"), ("b", "b"), ("c", "")]);
        assert_eq!(MicroF1.compute(&given, &[1; 4]), Some(4.0 / 7.0));
        assert_eq!(MicroF1.prepare(&given).denominator(), 4);
    }
}
