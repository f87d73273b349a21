//! Top-k accuracy: the share of answers whose gold label is among the k best ranked ones.

use crate::metric::{Answer, HIGHER, Metric, RatioTally, Tally};

/// Gold among the first `k` ranked labels, over the answers that have a ranking: an answer that was written freely has
/// none, and its accuracy is no top-k accuracy.
pub struct TopK {
    name: &'static str,
    k: usize,
}

/// Among the first three.
pub static TOP_3: TopK = TopK { name: "top_3", k: 3 };
/// Among the first five.
pub static TOP_5: TopK = TopK { name: "top_5", k: 5 };

impl Metric for TopK {
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
        let hit = |answer: &Answer| answer.ranked.iter().take(self.k).any(|(label, _)| *label == answer.gold);
        let ranks = |answer: &Answer| answer.asks_for_a_label() && !answer.ranked.is_empty();
        RatioTally::mean_of_some(answers, |answer| ranks(answer).then(|| f64::from(u8::from(hit(answer)))))
    }
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
        assert_eq!(TOP_3.compute(&given, &[1, 0, 0, 0]), Some(1.0));
        assert_eq!(TOP_3.compute(&given, &[0, 1, 0, 0]), Some(0.0));
        assert_eq!(TOP_5.compute(&given, &[0, 1, 0, 0]), Some(1.0));
        assert_eq!(TOP_3.compute(&given, &[1; 4]), Some(0.5));
        assert_eq!(TOP_3.compute(&given, &[0, 0, 1, 1]), None);
        assert_eq!(TOP_3.prepare(&given).denominator(), 2);
    }
}
