//! Top-3 accuracy: the share of answers whose gold label is among the three best ranked ones.

use crate::metric::{Answer, Metric, RatioTally, Tally};

/// How many ranked labels are looked at.
pub const K: usize = 3;

/// Gold among the first [`K`] ranked labels, over the answers that have a ranking: an answer that was written freely has
/// none, and its accuracy is no top-3 accuracy.
pub struct Top3;

impl Metric for Top3 {
    fn name(&self) -> &'static str {
        "top_3"
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        let part = |answer: &Answer| match answer.ranked.is_empty() {
            true => (0.0, 0.0),
            false => (f64::from(u8::from(is_hit(answer))), 1.0),
        };
        RatioTally::new(answers.iter().map(part).collect(), |ratio| ratio)
    }
}

fn is_hit(answer: &Answer) -> bool {
    answer.ranked.iter().take(K).any(|(label, _)| *label == answer.gold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn the_third_rank_counts_the_fourth_does_not_and_no_ranking_takes_no_part() {
        let mut given = answers(&[("c", "a"), ("d", "a"), ("a", "a"), ("a", "")]);
        for answer in &mut given[..2] {
            answer.ranked = ["a", "b", "c", "d"].map(|label| (label.into(), -1.0)).to_vec();
        }
        assert_eq!(Top3.compute(&given, &[1, 0, 0, 0]), Some(1.0));
        assert_eq!(Top3.compute(&given, &[0, 1, 0, 0]), Some(0.0));
        assert_eq!(Top3.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(Top3.compute(&given, &[0, 0, 1, 1]), None);
        assert_eq!(Top3.prepare(&given).denominator(), 2);
    }
}
