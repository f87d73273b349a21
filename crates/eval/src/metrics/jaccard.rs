//! The Jaccard index of said and right labels, where several are right: |common| / |any|.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// The mean over answers; nothing said is worth nothing.
    Jaccard, "jaccard", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let common = answer.set.iter().filter(|said| answer.golds.contains(said)).count();
        let any = answer.set.len() + answer.golds.len() - common;
        (!answer.golds.is_empty()).then(|| common as f64 / any as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, sets};

    #[test]
    fn saying_everything_is_no_good_answer() {
        let given = sets(&[("a b", "a b"), ("a", "a b c d"), ("a", "")]);
        assert_eq!(Jaccard.compute(&given, &[1, 1, 1]), Some((1.0 + 0.25) / 3.0));
    }
}
