//! Bits per byte of the gold text: comparable between models with different tokenizers, unlike [`super::perplexity`].

use std::f64::consts::LN_2;

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Σ nats / ln 2 / Σ bytes over the answers that have a likelihood.
    BitsPerByte, "bits_per_byte", "bits per byte", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::nats_per(answers, |answer| answer.bytes, |nats| nats / LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn nats_become_bits_and_are_spread_over_all_bytes() {
        let mut given = answers(&[("a", "a"), ("a", "b")]);
        given[0] = Answer { nats: Some(4.0 * LN_2), bytes: 2, ..given[0].clone() };
        given[1] = Answer { nats: Some(2.0 * LN_2), bytes: 6, ..given[1].clone() };
        assert!((BitsPerByte.compute(&given, &[1; 2]).unwrap() - 0.75).abs() < 1e-12);
    }
}
