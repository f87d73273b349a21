//! Top-3 accuracy: the share of answers whose gold label is among the three best ranked ones.

use crate::metric::{Answer, Metric, RatioTally, Tally};

/// How many ranked labels are looked at.
pub const K: usize = 3;

/// Gold among the first [`K`] ranked labels, over all examples; an answer without a ranking falls back to its parsed
/// label.
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
        RatioTally::mean(answers, |answer| f64::from(u8::from(is_hit(answer))))
    }
}

fn is_hit(answer: &Answer) -> bool {
    if answer.ranked.is_empty() {
        return answer.is_correct();
    }
    answer.ranked.iter().take(K).any(|(label, _)| *label == answer.gold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    #[test]
    fn the_third_rank_counts_the_fourth_does_not_and_no_ranking_falls_back() {
        let mut given = answers(&[("c", "a"), ("d", "a"), ("a", "a"), ("a", "")]);
        for answer in &mut given[..2] {
            answer.ranked = ["a", "b", "c", "d"].map(|label| (label.into(), -1.0)).to_vec();
        }
        assert_eq!(Top3.compute(&given, &[1, 0, 0, 0]), Some(1.0));
        assert_eq!(Top3.compute(&given, &[0, 1, 0, 0]), Some(0.0));
        assert_eq!(Top3.compute(&given, &[1; 4]), Some(0.5));
    }
}
