//! How much of a queue can be answered alone: the largest share of answers, taken from the most confident down, of which
//! 95 % are right (selective classification: Geifman and El-Yaniv 2017).

use crate::metric::{Answer, Tally};

/// The precision that is asked for.
pub const PRECISION: f64 = 0.95;

metric! {
    /// Answers above the lowest confidence at which [`PRECISION`] still holds, over the answers that have a confidence. The
    /// threshold is chosen on the same answers, so that the value is an upper estimate for new ones.
    Selective, "coverage_at_95", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    let case = |(answer, place): (&Answer, u32)| {
        Some((answer.confidence().filter(|_| answer.asks_for_a_label())?, place, answer.is_correct()))
    };
    let mut cases: Vec<(f64, u32, bool)> = answers.iter().zip(0..).filter_map(case).collect();
    cases.sort_by(|left, right| right.0.total_cmp(&left.0));
    Box::new(SelectiveTally(cases))
}

/// Confidence, place and correctness, the most confident first.
struct SelectiveTally(Vec<(f64, u32, bool)>);

impl Tally for SelectiveTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let (mut all, mut right, mut covered) = (0.0, 0.0, 0.0);
        for (index, &(confidence, place, correct)) in self.0.iter().enumerate() {
            let count = f64::from(counts[place as usize]);
            all += count;
            right += if correct { count } else { 0.0 };
            // Equally confident answers are taken together or not at all.
            let ends = self.0.get(index + 1).is_none_or(|next| next.0 < confidence);
            if ends && right >= PRECISION * all {
                covered = all;
            }
        }
        (all > 0.0).then(|| covered / all)
    }

    fn denominator(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, answers};

    #[test]
    fn the_sure_half_is_covered_and_ties_are_not_split() {
        let mut given = answers(&[("a", "a"), ("a", "a"), ("a", "b"), ("a", "a")]);
        for (answer, p) in given.iter_mut().zip([0.9, 0.8, 0.6, 0.6_f64]) {
            answer.ranked = vec![(answer.parsed.clone().unwrap(), p.ln()), ("z".into(), (1.0 - p).ln())];
        }
        assert_eq!(Selective.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(Selective.compute(&given, &[1, 1, 0, 1]), Some(1.0));
        assert_eq!(Selective.compute(&given, &[0, 0, 1, 0]), Some(0.0));
    }
}
