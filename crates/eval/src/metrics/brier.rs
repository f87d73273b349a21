//! The Brier score of many labels: Σ over labels of (probability − truth)², the mean over answers; 0 is best, 2 worst (Brier,
//! "Verification of forecasts expressed in terms of probability", 1950, formula 2).

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Over the answers that rank labels; a label that was not ranked has probability 0.
    Brier, "brier", "squared error", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let probabilities = answer.probabilities();
        if probabilities.is_empty() || !answer.asks_for_a_label() {
            return None;
        }
        let is_gold = |label: &str| f64::from(u8::from(label == answer.gold));
        let ranked: f64 = probabilities.iter().map(|(label, p)| (p - is_gold(label)).powi(2)).sum();
        let missed = probabilities.iter().all(|(label, _)| *label != answer.gold);
        Some(ranked + f64::from(u8::from(missed))).filter(|score| score.is_finite())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, answers};

    #[test]
    fn a_gold_label_that_was_not_ranked_costs_its_whole_square() {
        let mut given = answers(&[("a", "a"), ("c", "a")]);
        for answer in &mut given {
            answer.ranked = vec![("a".into(), 0.5_f64.ln()), ("b".into(), 0.5_f64.ln())];
        }
        assert!((Brier.compute(&given, &[1, 0]).unwrap() - 0.5).abs() < 1e-12);
        assert!((Brier.compute(&given, &[0, 1]).unwrap() - 1.5).abs() < 1e-12);
    }
}
