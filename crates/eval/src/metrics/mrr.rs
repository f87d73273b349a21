//! The mean reciprocal rank of the first right label, where several are right (Voorhees 1999).

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// 1 / rank, 0 where no right label was said.
    Mrr, "mrr", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let rank = answer.set.iter().position(|said| answer.golds.contains(said));
        (!answer.golds.is_empty()).then(|| rank.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, sets};

    #[test]
    fn the_second_place_is_worth_a_half() {
        let given = sets(&[("a b", "x b a"), ("c", "x")]);
        assert_eq!(Mrr.compute(&given, &[1, 1]), Some(0.25));
    }
}
