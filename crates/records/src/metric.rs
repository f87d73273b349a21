//! What a metric is: a name, a unit, a direction and a value over a *selection* of answers.
//!
//! A selection says how often each answer counts (all ones: the plain value; drawn with replacement: one bootstrap
//! resample). Everything that needs strings happens once in [`Metric::prepare`]; what is left per resample is sums over
//! numbers, so that [`crate::evaluate`] can afford a thousand resamples. Each metric is one file in `metrics/`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::metrics::{
    accuracy::Accuracy, bits_per_byte::BitsPerByte, hierarchical::Hierarchical, macro_f1::MacroF1, micro_f1::MicroF1,
    perplexity::Perplexity, top_k::Top3, unparseable::Unparseable,
};

/// Every metric, in the order in which reports show them.
pub static ALL: &[&dyn Metric] =
    &[&Accuracy, &Top3, &MacroF1, &MicroF1, &Hierarchical, &Unparseable, &Perplexity, &BitsPerByte];

/// The metric called `name`, if there is one.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Metric> {
    ALL.iter().copied().find(|metric| metric.name() == name)
}

/// One system's answer to one example: all that evaluation keeps of it, and one line of a run's answers file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The example's id (CVE id or document id); pairs the answers of two systems.
    pub id: String,
    /// The right label, such as `CWE-79`.
    pub gold: String,
    /// The label read from the answer; `None` if it could not be parsed, which counts as wrong.
    pub parsed: Option<String>,
    /// Labels, best first, with their log-probability in nats; may be empty.
    pub ranked: Vec<(String, f64)>,
    /// Partial credit by the label hierarchy, 0..=1.
    pub hierarchical: f64,
    /// −log p(gold text | prompt) in nats, summed over its tokens; `None` for systems without a language model.
    pub nats: Option<f64>,
    /// Tokens of the gold text.
    pub tokens: usize,
    /// UTF-8 bytes of the gold text.
    pub bytes: usize,
}

impl Answer {
    /// Whether the parsed label is the gold label.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.parsed.as_deref() == Some(self.gold.as_str())
    }
}

/// A metric's value on all answers with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on the answers as they are.
    pub value: f64,
    /// 2.5th percentile of the resampled values.
    pub low: f64,
    /// 97.5th percentile of the resampled values.
    pub high: f64,
    /// How many answers the value is about.
    pub denominator: usize,
}

/// One measure of a system's answers.
pub trait Metric: Sync {
    /// Stable name, the key in `report.json`.
    fn name(&self) -> &'static str;

    /// Unit of the value, such as `share` or `bits per byte`.
    fn unit(&self) -> &'static str;

    /// Whether a larger value is a better one.
    fn higher_is_better(&self) -> bool;

    /// Turns the answers into numbers, one place per answer, once.
    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally>;

    /// The value where answer `i` counts `counts[i]` times; `None` where it is undefined (as the perplexity of
    /// answers without likelihoods).
    fn compute(&self, answers: &[Answer], counts: &[u32]) -> Option<f64> {
        self.prepare(answers).value(counts)
    }
}

/// A metric's numbers for a fixed list of answers.
pub trait Tally: Send + Sync {
    /// The value where answer `i` counts `counts[i]` times (one count per answer); `None` where it is undefined.
    fn value(&self, counts: &[u32]) -> Option<f64>;

    /// How many answers take part.
    fn denominator(&self) -> usize;
}

/// A tally of the form `finish(Σ numerator / Σ denominator)`; covers every metric but the F1 scores.
pub(crate) struct RatioTally {
    /// Numerator and denominator of each answer; `(0, 0)` for one that does not take part.
    parts: Vec<(f64, f64)>,
    finish: fn(f64) -> f64,
}

impl RatioTally {
    /// The ratio of the sums of `parts`, passed through `finish`.
    pub(crate) fn new(parts: Vec<(f64, f64)>, finish: fn(f64) -> f64) -> Box<Self> {
        Box::new(Self { parts, finish })
    }

    /// The mean of `score` over all answers.
    pub(crate) fn mean(answers: &[Answer], score: impl Fn(&Answer) -> f64) -> Box<Self> {
        Self::new(answers.iter().map(|answer| (score(answer), 1.0)).collect(), |ratio| ratio)
    }

    /// Nats of the gold text per unit of `length`, over the answers that have a finite likelihood.
    pub(crate) fn nats_per(answers: &[Answer], length: impl Fn(&Answer) -> usize, finish: fn(f64) -> f64) -> Box<Self> {
        let part = |answer: &Answer| match answer.nats {
            Some(nats) if length(answer) > 0 && nats.is_finite() => (nats, length(answer) as f64),
            _ => (0.0, 0.0),
        };
        Self::new(answers.iter().map(part).collect(), finish)
    }
}

impl Tally for RatioTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        debug_assert_eq!(counts.len(), self.parts.len());
        let (mut above, mut below) = (0.0, 0.0);
        for (&(numerator, denominator), &count) in self.parts.iter().zip(counts) {
            above += numerator * f64::from(count);
            below += denominator * f64::from(count);
        }
        (below > 0.0).then(|| (self.finish)(above / below))
    }

    fn denominator(&self) -> usize {
        self.parts.iter().filter(|part| part.1 > 0.0).count()
    }
}

/// Gold and parsed labels as dense numbers, for metrics that count by class.
pub(crate) struct LabelPairs {
    /// Label of each number, in order of first appearance.
    pub(crate) names: Vec<String>,
    /// Gold label and parsed label (if any) of each answer.
    pub(crate) pairs: Vec<(u32, Option<u32>)>,
}

impl LabelPairs {
    /// Numbers the labels of `answers`.
    pub(crate) fn new(answers: &[Answer]) -> Self {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut names = Vec::new();
        let mut number = |label| {
            *numbers.entry(label).or_insert_with(|| {
                names.push(String::from(label));
                u32::try_from(names.len() - 1).expect("two labels an answer, and answers fit in memory")
            })
        };
        let pairs =
            answers.iter().map(|answer| (number(&answer.gold), answer.parsed.as_deref().map(&mut number))).collect();
        Self { names, pairs }
    }

    /// Gold, predicted and correct counts of every label, in the order of `names`.
    pub(crate) fn class_counts(&self, counts: &[u32]) -> Vec<ClassCount> {
        let mut classes = vec![ClassCount::default(); self.names.len()];
        for (&(gold, parsed), &count) in self.pairs.iter().zip(counts) {
            classes[gold as usize].gold += u64::from(count);
            if let Some(parsed) = parsed {
                classes[parsed as usize].predicted += u64::from(count);
                classes[gold as usize].correct += if parsed == gold { u64::from(count) } else { 0 };
            }
        }
        classes
    }
}

/// How often one label was right, was said, and both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClassCount {
    pub(crate) gold: u64,
    pub(crate) predicted: u64,
    pub(crate) correct: u64,
}

impl ClassCount {
    /// 2·correct / (gold + predicted), the harmonic mean of precision and recall; 0 where correct is 0.
    pub(crate) fn f1(self) -> f64 {
        ratio(2 * self.correct, self.gold + self.predicted)
    }
}

/// `above / below`, and 0 where `below` is 0 (scikit-learn's `zero_division=0`).
pub(crate) fn ratio(above: u64, below: u64) -> f64 {
    if below == 0 { 0.0 } else { above as f64 / below as f64 }
}

/// Answers `(gold, parsed)` for tests; an empty `parsed` is an unparseable answer.
#[cfg(test)]
pub(crate) fn answers(pairs: &[(&str, &str)]) -> Vec<Answer> {
    let answer = |(index, &(gold, parsed)): (usize, &(&str, &str))| Answer {
        id: format!("case-{index}"),
        gold: gold.into(),
        parsed: (!parsed.is_empty()).then(|| parsed.into()),
        ..Answer::default()
    };
    pairs.iter().enumerate().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_and_a_unit_of_its_own_and_is_found_by_name() {
        for metric in ALL {
            assert!(!metric.unit().is_empty());
            assert_eq!(ALL.iter().filter(|other| other.name() == metric.name()).count(), 1, "{}", metric.name());
            assert_eq!(by_name(metric.name()).unwrap().name(), metric.name());
        }
        assert!(by_name("beauty").is_none());
    }

    #[test]
    fn no_metric_has_a_value_without_answers() {
        for metric in ALL {
            assert_eq!(metric.compute(&[], &[]), None, "{}", metric.name());
            assert_eq!(metric.prepare(&[]).denominator(), 0);
        }
    }

    #[test]
    fn an_answer_counted_twice_weighs_as_much_as_two_equal_answers() {
        let mut once = answers(&[("a", "a"), ("a", "b"), ("b", "a"), ("c", "")]);
        for (answer, nats) in once.iter_mut().zip([0.5, 1.5, 0.25, 3.0]) {
            let ranked = vec![(answer.gold.clone(), -0.5)];
            *answer = Answer { ranked, nats: Some(nats), tokens: 3, bytes: 6, hierarchical: 0.5, ..answer.clone() };
        }
        let twice = [once.clone(), vec![once[1].clone()]].concat();
        for metric in ALL {
            let (left, right) =
                (metric.compute(&once, &[1, 2, 1, 1]).unwrap(), metric.compute(&twice, &[1; 5]).unwrap());
            assert!((left - right).abs() < 1e-12, "{}: {left} against {right}", metric.name());
        }
    }

    #[test]
    fn an_answer_survives_its_file_format() {
        let answer = Answer { ranked: vec![("a".into(), -0.25)], nats: Some(0.1), ..answers(&[("a", "")]).remove(0) };
        let line = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}
