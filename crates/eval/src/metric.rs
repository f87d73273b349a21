//! What a metric is: a name, a unit, a direction and a value over a *selection* of answers.
//!
//! A selection says how often each answer counts (all ones: the plain value; drawn with replacement: one bootstrap
//! resample). Everything that needs strings happens once in [`Metric::prepare`]; what is left per resample is sums over
//! numbers, so that [`crate::evaluate`] can afford a thousand resamples. Each metric is one file in `metrics/`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use wardsmith_records::record::CvssVector;

use crate::metrics::{
    accuracy, averages, bits_per_byte, bleu, brier, chrf, cvss, ece, grounded, hierarchical, invented, jaccard,
    latency, macro_f1, mcc, micro_f1, mrr, perplexity, pr_auc, recall_at_k, roc_auc, rouge_l, selective, squad, top_k,
    unparseable,
};

/// Every metric, in the order in which reports show them.
pub static ALL: &[&dyn Metric] = &[
    &accuracy::Accuracy,
    &top_k::TOP_3,
    &top_k::TOP_5,
    &macro_f1::MacroF1,
    &micro_f1::MicroF1,
    &mcc::Mcc,
    &hierarchical::Hierarchical,
    &hierarchical::HierarchicalF1,
    &roc_auc::RocAuc,
    &pr_auc::PrAuc,
    &cvss::EXACT,
    &cvss::METRICS,
    &cvss::BAND,
    &cvss::ScoreMad,
    &cvss::PARTS[0],
    &cvss::PARTS[1],
    &cvss::PARTS[2],
    &cvss::PARTS[3],
    &cvss::PARTS[4],
    &cvss::PARTS[5],
    &cvss::PARTS[6],
    &cvss::PARTS[7],
    &cvss::PARTS[8],
    &cvss::PARTS[9],
    &cvss::PARTS[10],
    &cvss::PARTS[11],
    &cvss::PARTS[12],
    &cvss::PARTS[13],
    &cvss::PARTS[14],
    &recall_at_k::RECALL_1,
    &recall_at_k::RECALL_3,
    &recall_at_k::RECALL_10,
    &mrr::Mrr,
    &jaccard::Jaccard,
    &squad::ExactMatch,
    &squad::TokenF1,
    &bleu::Bleu,
    &chrf::Chrf,
    &rouge_l::RougeL,
    &invented::Invented,
    &grounded::Grounded,
    &unparseable::Unparseable,
    &ece::Ece,
    &brier::Brier,
    &selective::Selective,
    &perplexity::Perplexity,
    &bits_per_byte::BitsPerByte,
    &averages::WEIGHTED_F1,
    &averages::MACRO_PRECISION,
    &averages::MACRO_RECALL,
    &averages::MICRO_PRECISION,
    &averages::MICRO_RECALL,
    &averages::WEIGHTED_PRECISION,
    &averages::WEIGHTED_RECALL,
    &latency::Latency,
    &latency::Written,
];

/// The metric called `name`, if there is one.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Metric> {
    ALL.iter().copied().find(|metric| metric.name() == name)
}

/// One system's answer to one example: all that evaluation keeps of it, and one line of a run's answers file.
///
/// An example asks for one of three things, and the fields that it fills say which: a label (`gold`), several labels
/// (`golds`), or a text (`expected`). Metrics of one kind are undefined for the others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The example's id (CVE id, document id, item of a benchmark); pairs the answers of two systems.
    pub id: String,
    /// The right label, such as `CWE-79`, or CVSS vector; empty where a text or several labels are asked for.
    pub gold: String,
    /// The label or text read from the answer; `None` if it could not be parsed, which counts as wrong.
    pub parsed: Option<String>,
    /// Labels, best first, with their log-probability in nats; may be empty.
    pub ranked: Vec<(String, f64)>,
    /// Partial credit by the label hierarchy, 0..=1; `None` where there is no hierarchy to give it by.
    pub hierarchical: Option<f64>,
    /// −log p(gold text | prompt) in nats, summed over its tokens; `None` for systems without a language model.
    pub nats: Option<f64>,
    /// Tokens of the gold text.
    pub tokens: usize,
    /// UTF-8 bytes of the gold text.
    pub bytes: usize,
    /// What was asked, as the model read it; empty where it must not be quoted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What was answered, before anything was read from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The right labels where several are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub golds: Vec<String>,
    /// The labels read from the answer where several are asked for, best first, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// How the answer and its ancestors lie to the gold label's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// CVE, CWE, CAPEC and ATT&CK IDs in the answer, and how many of them do not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Share>,
    /// Sentences of the answer, and how many of them the cited entry supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grounded: Option<Share>,
    /// Seconds that the answer took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Tokens that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<usize>,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Those that are counted.
    pub of: usize,
    /// All.
    pub all: usize,
}

/// The sizes of the sets of labels that hierarchical F1 compares: each label with all its ancestors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lineage {
    /// Those in both.
    pub common: usize,
    /// The answer and its ancestors; 0 for an unparseable answer.
    pub said: usize,
    /// The gold label and its ancestors.
    pub gold: usize,
}

impl Answer {
    /// Whether the parsed label is the gold label.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        match &self.expected {
            Some(expected) => self.parsed.as_deref() == Some(expected.as_str()),
            None if !self.golds.is_empty() => {
                self.set.len() == self.golds.len() && self.golds.iter().all(|gold| self.set.contains(gold))
            }
            None => self.parsed.as_deref() == Some(self.gold.as_str()),
        }
    }

    /// Whether one label is asked for, and no vector.
    #[must_use]
    pub fn asks_for_a_label(&self) -> bool {
        self.expected.is_none() && self.golds.is_empty() && vector(&self.gold).is_none()
    }

    /// The probability of each ranked label, 0..=1, best first. They sum to 1: what a language model gives to texts that
    /// are no label is shared out.
    #[must_use]
    pub fn probabilities(&self) -> Vec<(&str, f64)> {
        let most = self.ranked.iter().map(|&(_, nats)| nats).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.ranked.iter().map(|(_, nats)| (nats - most).exp()).sum();
        self.ranked.iter().map(|(label, nats)| (label.as_str(), (nats - most).exp() / total)).collect()
    }

    /// How sure the system is of its answer: the probability of the first ranked label.
    #[must_use]
    pub fn confidence(&self) -> Option<f64> {
        self.probabilities().first().map(|&(_, probability)| probability).filter(|p| p.is_finite())
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

/// Larger values of a metric are better.
pub(crate) const HIGHER: bool = true;
/// Smaller values of a metric are better.
pub(crate) const LOWER: bool = false;

/// Declares a metric: its type, name, unit, direction, and what prepares it.
macro_rules! metric {
    ($(#[$doc:meta])* $metric:ident, $name:literal, $unit:literal, $direction:ident, $prepare:path) => {
        $(#[$doc])*
        pub struct $metric;

        impl $crate::metric::Metric for $metric {
            fn name(&self) -> &'static str {
                $name
            }

            fn unit(&self) -> &'static str {
                $unit
            }

            fn higher_is_better(&self) -> bool {
                $crate::metric::$direction
            }

            fn prepare(&self, answers: &[$crate::metric::Answer]) -> Box<dyn $crate::metric::Tally> {
                $prepare(answers)
            }
        }
    };
}

/// `text` as a CVSS vector of any version, if it is one.
pub(crate) fn vector(text: &str) -> Option<CvssVector> {
    text.parse().ok()
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

    /// The mean of `score` over the answers that have one.
    pub(crate) fn mean_of_some(answers: &[Answer], score: impl Fn(&Answer) -> Option<f64>) -> Box<Self> {
        let part = |answer: &Answer| score(answer).map_or((0.0, 0.0), |score| (score, 1.0));
        Self::new(answers.iter().map(part).collect(), |ratio| ratio)
    }

    /// The share of all that is counted, over the answers that have a [`Share`].
    pub(crate) fn share(answers: &[Answer], share: impl Fn(&Answer) -> Option<Share>) -> Box<Self> {
        let part = |answer: &Answer| share(answer).map_or((0.0, 0.0), |share| (share.of as f64, share.all as f64));
        Self::new(answers.iter().map(part).collect(), |ratio| ratio)
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
    /// Gold label and parsed label (if any) of each answer; `None` where no label is asked for.
    pairs: Vec<Option<(u32, Option<u32>)>>,
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
        let mut pairs = Vec::with_capacity(answers.len());
        for answer in answers {
            let labels = answer.asks_for_a_label().then_some((answer.gold.as_str(), answer.parsed.as_deref()));
            pairs.push(labels.map(|(gold, parsed)| (number(gold), parsed.map(&mut number))));
        }
        Self { names, pairs }
    }

    /// Gold, predicted and correct counts of every label, in the order of `names`.
    pub(crate) fn class_counts(&self, counts: &[u32]) -> Vec<ClassCount> {
        let mut classes = vec![ClassCount::default(); self.names.len()];
        for (pair, &count) in self.pairs.iter().zip(counts) {
            let &Some((gold, parsed)) = pair else { continue };
            classes[gold as usize].gold += u64::from(count);
            if let Some(parsed) = parsed {
                classes[parsed as usize].predicted += u64::from(count);
                classes[gold as usize].correct += if parsed == gold { u64::from(count) } else { 0 };
            }
        }
        classes
    }

    /// Answers that take part.
    pub(crate) fn denominator(&self) -> usize {
        self.pairs.iter().flatten().count()
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

/// Answers `(text that was written, text that was expected)` for tests; an empty one is unparseable.
#[cfg(test)]
pub(crate) fn written(pairs: &[(&str, &str)]) -> Vec<Answer> {
    let answer = |&(said, expected): &(&str, &str)| Answer {
        parsed: (!said.is_empty()).then(|| said.into()),
        expected: Some(expected.into()),
        ..Answer::default()
    };
    pairs.iter().map(answer).collect()
}

/// Answers `(right labels, labels said)` for tests, each a list with blanks between.
#[cfg(test)]
pub(crate) fn sets(pairs: &[(&str, &str)]) -> Vec<Answer> {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    pairs.iter().map(|&(golds, set)| Answer { golds: list(golds), set: list(set), ..Answer::default() }).collect()
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
        let mut labels = answers(&[("a", "a"), ("a", "b"), ("b", "a"), ("c", "")]);
        for (answer, nats) in labels.iter_mut().zip([0.5, 1.5, 0.25, 3.0]) {
            let ranked = ["a", "b", "c"].map(|label| (label.into(), -nats)).to_vec();
            let share = Some(Share { of: 1, all: 3 });
            let lineage = Some(Lineage { common: 1, said: 2, gold: 2 });
            let given =
                Answer { ranked, nats: Some(nats), tokens: 3, bytes: 6, hierarchical: Some(0.5), ..answer.clone() };
            let costs = Answer { seconds: Some(nats), written: Some(3), lineage, ..given };
            *answer = Answer { identifiers: share, grounded: share, ..costs };
        }
        let vectors = |end| ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:", end].concat();
        let (v3, v4) = (vectors("H"), "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N");
        let sheets = [
            labels,
            written(&[("a b c d e", "a b c d e"), ("b c", "b d"), ("", "c"), ("x y z", "z")]),
            sets(&[("a b", "a"), ("b", "c b"), ("c", ""), ("a", "a")]),
            answers(&[(&v3, &vectors("L")), (v4, v4), (&v3, &v3), (&v3, "")]),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for once in sheets {
            let twice = [once.clone(), vec![once[1].clone()]].concat();
            for metric in ALL {
                let (left, right) = (metric.compute(&once, &[1, 2, 1, 1]), metric.compute(&twice, &[1; 5]));
                assert_eq!(left.is_some(), right.is_some(), "{}", metric.name());
                if let (Some(left), Some(right)) = (left, right) {
                    assert!((left - right).abs() < 1e-12, "{}: {left} against {right}", metric.name());
                    seen.insert(metric.name());
                }
            }
        }
        let unseen: Vec<_> = ALL.iter().map(|metric| metric.name()).filter(|name| !seen.contains(name)).collect();
        assert!(unseen.is_empty(), "{unseen:?}");
    }

    #[test]
    fn an_answer_survives_its_file_format() {
        let answer = Answer { ranked: vec![("a".into(), -0.25)], nats: Some(0.1), ..answers(&[("a", "")]).remove(0) };
        let line = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}
