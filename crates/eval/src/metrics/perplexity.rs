//! Perplexity of the gold text: e to the mean nats per token, the mean taken over all tokens of all answers.
//! It depends on the tokenizer; [`super::bits_per_byte`] does not.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// exp(Σ nats / Σ tokens) over the answers that have a likelihood.
    Perplexity, "perplexity", "per token", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::nats_per(answers, |answer| answer.tokens, f64::exp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric as _;
    use crate::metric::answers;

    #[test]
    fn long_texts_weigh_by_their_tokens_and_texts_without_likelihood_do_not_weigh() {
        let mut given = answers(&[("a", "a"), ("a", "b"), ("b", "")]);
        given[0] = Answer { nats: Some(8.0_f64.ln()), tokens: 1, ..given[0].clone() };
        given[1] = Answer { nats: Some(2.0_f64.ln()), tokens: 3, ..given[1].clone() };
        let tally = Perplexity.prepare(&given);
        assert!((tally.value(&[1; 3]).unwrap() - 2.0).abs() < 1e-12); // 16^(1/4)
        assert_eq!(tally.denominator(), 2);
        assert_eq!(tally.value(&[0, 0, 3]), None);
    }
}
