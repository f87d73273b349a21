//! Scores by a tree of labels: the mean of the partial credit that the task gave each answer, and the F1 of labels with
//! their ancestors.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// The mean of [`Answer::hierarchical`] over all examples; an unparseable answer has none.
    Hierarchical, "hierarchical_accuracy", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let credit = answer.hierarchical.filter(|_| answer.asks_for_a_label())?;
        Some(if answer.parsed.is_some() && credit.is_finite() { credit.clamp(0.0, 1.0) } else { 0.0 })
    })
}

metric! {
    /// 2·Σ|common| / (Σ|said| + Σ|gold|) over the labels with all their ancestors: the hierarchical F-measure of
    /// Kiritchenko, Matwin and Famili, "Functional annotation of genes using hierarchical text categorization" (2005).
    HierarchicalF1, "hierarchical_f1", "share", HIGHER, prepare_f1
}

fn prepare_f1(answers: &[Answer]) -> Box<dyn Tally> {
    let part =
        |answer: &Answer| answer.lineage.map_or((0.0, 0.0), |l| (2.0 * l.common as f64, (l.said + l.gold) as f64));
    RatioTally::new(answers.iter().map(part).collect(), |ratio| ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::{Lineage, answers};

    #[test]
    fn credit_is_averaged_and_an_unparseable_answer_gets_none() {
        let mut given = answers(&[("a", "a"), ("a", "b"), ("b", "c"), ("c", "")]);
        for (answer, credit) in given.iter_mut().zip([1.0, 0.5, 0.0, 0.9]) {
            answer.hierarchical = Some(credit);
        }
        assert_eq!(Hierarchical.compute(&given, &[1; 4]), Some(0.375));
    }

    #[test]
    fn ancestors_in_common_count_for_both_sides() {
        let mut given = answers(&[("a", "b"), ("a", "")]);
        given[0].lineage = Some(Lineage { common: 2, said: 3, gold: 4 });
        given[1].lineage = Some(Lineage { common: 0, said: 0, gold: 4 });
        assert_eq!(HierarchicalF1.compute(&given, &[1, 0]), Some(4.0 / 7.0));
        assert_eq!(HierarchicalF1.compute(&given, &[1, 1]), Some(4.0 / 11.0));
    }
}
