//! Macro F1: the plain mean of every label's F1 score, so that a rare label weighs as much as a frequent one.
//!
//! The mean runs over the *union* of the labels that occur in gold and those that occur among the parsed answers, as
//! scikit-learn's `f1_score(average="macro", zero_division=0)` does by default: a label that is predicted but never gold
//! counts with F1 = 0. An unparseable answer is a miss of its gold label and adds no label of its own (scikit-learn:
//! pass `labels=` without the placeholder).
//!
//! In a bootstrap resample the mean still runs over the labels of *all* answers, and a label that was not drawn scores 0.
//! Over the drawn labels alone it would rise whenever rare labels, mostly missed ones, stay undrawn, and the interval
//! would lie above the value.

use crate::metric::{Answer, LabelPairs, Tally};

metric! {
    /// The mean F1 over labels in gold or in parsed answers.
    MacroF1, "macro_f1", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    Box::new(MacroTally(LabelPairs::new(answers)))
}

struct MacroTally(LabelPairs);

impl Tally for MacroTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let classes = self.0.class_counts(counts);
        let drawn = classes.iter().any(|class| class.gold > 0);
        drawn.then(|| classes.iter().map(|class| class.f1()).sum::<f64>() / classes.len() as f64)
    }

    fn denominator(&self) -> usize {
        self.0.denominator()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Bootstrap, evaluate};
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn a_label_that_is_only_predicted_counts_as_zero() {
        // a: gold 2, predicted 2, correct 1 -> 1/2; b: gold 1, predicted 1, correct 1 -> 1; z: never gold -> 0.
        let given = answers(&[("a", "a"), ("a", "z"), ("b", "b"), ("c", "a")]);
        // c: gold 1, never predicted -> 0.
        assert_eq!(MacroF1.compute(&given, &[1; 4]), Some((0.5 + 1.0) / 4.0));
    }

    #[test]
    fn an_unparseable_answer_is_a_miss_without_a_label_of_its_own() {
        // a: gold 2, predicted 1, correct 1 -> 2/3; b -> 1.
        let given = answers(&[("a", "a"), ("a", ""), ("b", "b")]);
        assert!((MacroF1.compute(&given, &[1; 3]).unwrap() - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_label_that_a_resample_did_not_draw_scores_zero() {
        let given = answers(&[("a", "a"), ("b", "b")]);
        assert_eq!(MacroF1.compute(&given, &[2, 0]), Some(0.5));
    }

    #[test]
    fn the_interval_holds_the_value_where_most_labels_are_rare_and_missed() {
        let frequent = (0..300).map(|index| ("a", if index % 3 == 0 { "b" } else { "a" }));
        let rare: Vec<String> = (0..60).map(|index| format!("rare-{index}")).collect();
        let given: Vec<(&str, &str)> = frequent.chain(rare.iter().map(|label| (label.as_str(), "a"))).collect();
        let result = evaluate("rare", &answers(&given), Bootstrap::default(), 3);
        let estimate = result.estimate("macro_f1").unwrap();
        assert!(estimate.low < estimate.value && estimate.value < estimate.high, "{estimate:?}");
    }
}
