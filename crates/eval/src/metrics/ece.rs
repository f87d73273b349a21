//! The expected calibration error: how far confidence is from accuracy, in [`BINS`] bins of equal width, weighted by the
//! answers in them (Naeini et al. 2015; Guo et al., "On calibration of modern neural networks", 2017, formula 3). Confidence
//! is the probability of the answer among the labels; [`reliability`] has the bins for a diagram.

use serde::{Deserialize, Serialize};

use crate::metric::{Answer, Tally};

/// Bins between 0 and 1.
pub const BINS: usize = 15;

metric! {
    /// Over the answers that have a confidence.
    Ece, "ece", "share", LOWER, prepare
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bin {
    /// Lowest confidence in it; the highest is `1 / BINS` more.
    pub from: f64,
    /// Answers in it.
    pub answers: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// All bins, the lowest first; empty where no answer has a confidence.
#[must_use]
pub fn reliability(answers: &[Answer]) -> Vec<Bin> {
    let tally = EceTally::new(answers);
    if tally.denominator() == 0 {
        return Vec::new();
    }
    let bin = |(place, (weight, correct, confidence)): (usize, (f64, f64, f64))| Bin {
        from: place as f64 / BINS as f64,
        answers: weight as usize,
        confidence: confidence / weight.max(1.0),
        accuracy: correct / weight.max(1.0),
    };
    tally.bins(&vec![1; answers.len()]).into_iter().enumerate().map(bin).collect()
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    Box::new(EceTally::new(answers))
}

/// Confidence and correctness of each answer that has the former.
struct EceTally(Vec<Option<(f64, bool)>>);

impl EceTally {
    fn new(answers: &[Answer]) -> Self {
        let case = |answer: &Answer| {
            let confidence = answer.confidence().filter(|_| answer.asks_for_a_label())?;
            Some((confidence.clamp(0.0, 1.0), answer.is_correct()))
        };
        Self(answers.iter().map(case).collect())
    }

    /// Answers, correct ones and the sum of confidences of each bin.
    fn bins(&self, counts: &[u32]) -> [(f64, f64, f64); BINS] {
        let mut bins = [(0.0, 0.0, 0.0); BINS];
        for (case, &count) in self.0.iter().zip(counts) {
            let Some((confidence, correct)) = case else { continue };
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            let count = f64::from(count);
            bin.0 += count;
            bin.1 += if *correct { count } else { 0.0 };
            bin.2 += count * confidence;
        }
        bins
    }
}

impl Tally for EceTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let bins = self.bins(counts);
        let all: f64 = bins.iter().map(|bin| bin.0).sum();
        (all > 0.0).then(|| bins.iter().map(|bin| (bin.1 - bin.2).abs()).sum::<f64>() / all)
    }

    fn denominator(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, answers};

    #[test]
    fn sure_and_right_is_calibrated_sure_and_wrong_is_not() {
        let mut given = answers(&[("a", "a"), ("a", "a"), ("a", "b"), ("a", "b")]);
        for answer in &mut given {
            let said = answer.parsed.clone().unwrap();
            answer.ranked = vec![(said, 0.75_f64.ln()), ("z".into(), 0.25_f64.ln())];
        }
        assert!((Ece.compute(&given, &[1; 4]).unwrap() - 0.25).abs() < 1e-12);
        assert!((Ece.compute(&given, &[3, 3, 1, 1]).unwrap()).abs() < 1e-12);
        let bins = reliability(&given);
        assert_eq!((bins.len(), bins[11].answers, bins[11].accuracy), (BINS, 4, 0.5));
    }
}
