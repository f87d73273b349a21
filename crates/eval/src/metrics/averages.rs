//! Precision, recall and F1, averaged over labels: `macro` (each label alike), `weighted` (each by its gold count) and
//! `micro` (counts pooled), as scikit-learn's `precision_recall_fscore_support` with all real labels and
//! `zero_division=0`. [`super::macro_f1`] and [`super::micro_f1`] say how unparseable answers and undrawn labels count.

use crate::metric::{Answer, ClassCount, HIGHER, LabelPairs, Metric, Tally, ratio};

#[derive(Clone, Copy)]
enum Average {
    Macro,
    Micro,
    Weighted,
}

/// One score of each label, averaged.
pub struct ClassAverage {
    name: &'static str,
    average: Average,
    score: fn(ClassCount) -> f64,
}

fn precision(class: ClassCount) -> f64 {
    ratio(class.correct, class.predicted)
}

fn recall(class: ClassCount) -> f64 {
    ratio(class.correct, class.gold)
}

/// F1 of each label, weighted by its gold count.
pub static WEIGHTED_F1: ClassAverage =
    ClassAverage { name: "weighted_f1", average: Average::Weighted, score: ClassCount::f1 };
/// Mean precision of the labels.
pub static MACRO_PRECISION: ClassAverage =
    ClassAverage { name: "macro_precision", average: Average::Macro, score: precision };
/// Mean recall of the labels.
pub static MACRO_RECALL: ClassAverage = ClassAverage { name: "macro_recall", average: Average::Macro, score: recall };
/// Correct answers over parsed ones.
pub static MICRO_PRECISION: ClassAverage =
    ClassAverage { name: "micro_precision", average: Average::Micro, score: precision };
/// Correct answers over all.
pub static MICRO_RECALL: ClassAverage = ClassAverage { name: "micro_recall", average: Average::Micro, score: recall };
/// Precision of each label, weighted by its gold count.
pub static WEIGHTED_PRECISION: ClassAverage =
    ClassAverage { name: "weighted_precision", average: Average::Weighted, score: precision };
/// Recall of each label, weighted by its gold count; equals accuracy.
pub static WEIGHTED_RECALL: ClassAverage =
    ClassAverage { name: "weighted_recall", average: Average::Weighted, score: recall };

impl Metric for ClassAverage {
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
        Box::new(AverageTally { pairs: LabelPairs::new(answers), average: self.average, score: self.score })
    }
}

struct AverageTally {
    pairs: LabelPairs,
    average: Average,
    score: fn(ClassCount) -> f64,
}

impl Tally for AverageTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let classes = self.pairs.class_counts(counts);
        let gold: u64 = classes.iter().map(|class| class.gold).sum();
        let score = |class: &ClassCount| (self.score)(*class);
        (gold > 0).then(|| match self.average {
            Average::Macro => classes.iter().map(score).sum::<f64>() / classes.len() as f64,
            Average::Weighted => {
                classes.iter().map(|class| score(class) * class.gold as f64).sum::<f64>() / gold as f64
            }
            Average::Micro => {
                let sum = |of: fn(&ClassCount) -> u64| classes.iter().map(of).sum();
                let pooled =
                    ClassCount { gold, predicted: sum(|class| class.predicted), correct: sum(|class| class.correct) };
                score(&pooled)
            }
        })
    }

    fn denominator(&self) -> usize {
        self.pairs.denominator()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn an_answer_without_a_label_costs_recall_and_no_precision() {
        let given = answers(&[("a", "a"), ("a", "b"), ("b", "b"), ("c", "")]);
        assert_eq!(MICRO_PRECISION.compute(&given, &[1; 4]), Some(2.0 / 3.0));
        assert_eq!(MICRO_RECALL.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(WEIGHTED_RECALL.compute(&given, &[1; 4]), Some(0.5));
        // a: 1/1, b: 1/2, c: 0.
        assert_eq!(MACRO_PRECISION.compute(&given, &[1; 4]), Some(0.5));
        // a: 1/2, b: 1, c: 0.
        assert_eq!(MACRO_RECALL.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(WEIGHTED_PRECISION.compute(&given, &[1; 4]), Some((1.0 * 2.0 + 0.5) / 4.0));
    }
}
