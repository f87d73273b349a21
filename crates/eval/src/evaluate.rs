//! From answers to numbers with honest intervals: every metric of [`crate::metric::ALL`] with a percentile bootstrap
//! (Efron 1979), two systems side by side with a paired one, counts by class and a confusion matrix.
//!
//! A resample is a pure function of (seed, its number), so results do not depend on the number of threads, and two
//! systems on the same examples are always resampled alike.

use std::collections::{BTreeMap, HashMap};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::metric::{self, Answer, Estimate, LabelPairs, Metric, Tally, ratio};

/// The bounds of a 95 % interval, as shares of the resamples.
const BOUNDS: (f64, f64) = (0.025, 0.975);

/// Why two systems cannot be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompareError {
    /// An example that only one of the systems answered.
    #[error(
        "example `{id}` was answered by `{by}` but not by `{not_by}`\nhint: evaluate both on the same dataset and split"
    )]
    Unpaired {
        /// The example.
        id: String,
        /// Who answered it.
        by: String,
        /// Who did not.
        not_by: String,
    },
    /// An example that one system answered twice.
    #[error(
        "example `{id}` was answered twice by `{by}`\nhint: compare one task at a time, with one answer an example"
    )]
    Repeated {
        /// The example.
        id: String,
        /// Who answered it twice.
        by: String,
    },
    /// Two systems that were marked against different truths.
    #[error(
        "example `{id}` has gold label `{left}` in one system and `{right}` in the other\nhint: evaluate both on the same version of the dataset"
    )]
    DifferentGold {
        /// The example.
        id: String,
        /// The candidate's gold label.
        left: String,
        /// The reference's gold label.
        right: String,
    },
}

/// How the intervals are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples drawn (with replacement, as large as the original).
    pub resamples: usize,
    /// Fixes every draw.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// One metric of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// [`Metric::name`].
    pub name: String,
    /// [`Metric::unit`].
    pub unit: String,
    /// [`Metric::higher_is_better`].
    pub higher_is_better: bool,
    /// Value, interval and denominator.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// How one label fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// The label.
    pub label: String,
    /// Examples whose gold label it is.
    pub gold: usize,
    /// Answers that name it.
    pub predicted: usize,
    /// Answers that name it rightly.
    pub correct: usize,
    /// correct / predicted, 0 if never predicted.
    pub precision: f64,
    /// correct / gold, 0 if never gold.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
}

/// What was answered for the most frequent gold labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The most frequent gold labels, most frequent first.
    pub labels: Vec<String>,
    /// One row a gold label, then one for all other gold labels. One column a parsed label, then one for all other
    /// labels and one for unparseable answers. The cells sum to the number of answers.
    pub rows: Vec<Vec<usize>>,
}

/// Everything measured about one system; a part of `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemResult {
    /// The system, such as `tuned` or `tfidf`.
    pub name: String,
    /// How many answers it gave.
    pub answers: usize,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// The metrics that are defined for it, in the order of [`metric::ALL`].
    pub metrics: Vec<MetricResult>,
    /// Every label in gold or in answers, most frequent in gold first.
    pub classes: Vec<ClassResult>,
    /// The confusion picture's numbers.
    pub confusion: Confusion,
}

impl SystemResult {
    /// The estimate of the metric called `name`, if it is defined for this system.
    #[must_use]
    pub fn estimate(&self, name: &str) -> Option<&Estimate> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| &metric.estimate)
    }
}

/// One metric of a candidate minus that of a reference, on the same examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// [`Metric::name`].
    pub name: String,
    /// [`Metric::unit`].
    pub unit: String,
    /// [`Metric::higher_is_better`].
    pub higher_is_better: bool,
    /// candidate − reference, with the paired 95 % interval.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Share of the resamples in which the candidate was not better: a difference ≤ 0, or ≥ 0 for a metric in which
    /// lower is better.
    pub share_not_better: f64,
}

/// Two systems on the same examples; a part of `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The system that should be better.
    pub candidate: String,
    /// The system that it is held against.
    pub reference: String,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// One difference for each metric that both systems define over equally many answers.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// The difference in the metric called `name`, if both systems define it.
    #[must_use]
    pub fn difference(&self, name: &str) -> Option<&Difference> {
        self.differences.iter().find(|difference| difference.name == name)
    }
}

/// Measures one system: every metric, every class, and the confusion among the `confusion_labels` most frequent labels.
#[must_use]
pub fn evaluate(name: &str, answers: &[Answer], bootstrap: Bootstrap, confusion_labels: usize) -> SystemResult {
    SystemResult {
        name: name.to_owned(),
        answers: answers.len(),
        bootstrap,
        metrics: metric_results(answers, bootstrap),
        classes: class_results(answers),
        confusion: confusion(answers, confusion_labels),
    }
}

/// Measures `candidate` against `reference`, paired by example id; each is a name and its answers.
///
/// # Errors
/// If the two did not answer the same examples, each once, with the same gold labels.
pub fn compare(
    candidate: (&str, &[Answer]),
    reference: (&str, &[Answer]),
    bootstrap: Bootstrap,
) -> Result<Comparison, CompareError> {
    let places = pair(candidate, reference)?;
    let pairs: Vec<TallyPair> =
        metric::ALL.iter().filter_map(|&metric| TallyPair::new(metric, candidate.1, reference.1)).collect();
    let drawn = resample(candidate.1.len(), bootstrap, |counts| {
        let mut there = vec![0; counts.len()];
        for (&place, &count) in places.iter().zip(counts) {
            there[place] = count;
        }
        pairs.iter().map(|pair| pair.value(counts, &there)).collect()
    });
    let whole = vec![1; candidate.1.len()];
    let difference = |(index, pair): (usize, &TallyPair)| pair.difference(&whole, column(&drawn, index));
    Ok(Comparison {
        candidate: candidate.0.to_owned(),
        reference: reference.0.to_owned(),
        bootstrap,
        differences: pairs.iter().enumerate().filter_map(difference).collect(),
    })
}

/// One metric prepared for both systems.
struct TallyPair {
    metric: &'static dyn Metric,
    candidate: Box<dyn Tally>,
    reference: Box<dyn Tally>,
}

impl TallyPair {
    /// `None` where the metric speaks about more answers of one system than of the other.
    fn new(metric: &'static dyn Metric, candidate: &[Answer], reference: &[Answer]) -> Option<Self> {
        let (candidate, reference) = (metric.prepare(candidate), metric.prepare(reference));
        (candidate.denominator() == reference.denominator()).then_some(Self { metric, candidate, reference })
    }

    fn value(&self, candidate_counts: &[u32], reference_counts: &[u32]) -> Option<f64> {
        Some(self.candidate.value(candidate_counts)? - self.reference.value(reference_counts)?)
    }

    /// The difference on the `whole`, with what the resamples said of it.
    fn difference(&self, whole: &[u32], resampled: Vec<f64>) -> Option<Difference> {
        let sign = if self.metric.higher_is_better() { 1.0 } else { -1.0 };
        let not_better = resampled.iter().filter(|&&value| sign * value <= 0.0).count();
        Some(Difference {
            name: self.metric.name().to_owned(),
            unit: self.metric.unit().to_owned(),
            higher_is_better: self.metric.higher_is_better(),
            share_not_better: not_better as f64 / resampled.len().max(1) as f64,
            estimate: estimate(self.value(whole, whole)?, resampled, self.candidate.denominator()),
        })
    }
}

/// For each of the candidate's answers, the place of the reference's answer to the same example.
pub(crate) fn pair(candidate: (&str, &[Answer]), reference: (&str, &[Answer])) -> Result<Vec<usize>, CompareError> {
    let here = places(candidate)?;
    let there = places(reference)?;
    let unpaired = |id: &str, by: &str, not_by: &str| CompareError::Unpaired {
        id: id.to_owned(),
        by: by.to_owned(),
        not_by: not_by.to_owned(),
    };
    if let Some(answer) = reference.1.iter().find(|answer| !here.contains_key(answer.id.as_str())) {
        return Err(unpaired(&answer.id, reference.0, candidate.0));
    }
    let place = |answer: &Answer| {
        let place = *there.get(answer.id.as_str()).ok_or_else(|| unpaired(&answer.id, candidate.0, reference.0))?;
        let other = &reference.1[place];
        if other.gold == answer.gold {
            return Ok(place);
        }
        Err(CompareError::DifferentGold { id: answer.id.clone(), left: answer.gold.clone(), right: other.gold.clone() })
    };
    candidate.1.iter().map(place).collect()
}

/// Where each example's answer stands.
fn places<'a>((name, answers): (&str, &'a [Answer])) -> Result<HashMap<&'a str, usize>, CompareError> {
    let mut places = HashMap::with_capacity(answers.len());
    for (place, answer) in answers.iter().enumerate() {
        if places.insert(answer.id.as_str(), place).is_some() {
            return Err(CompareError::Repeated { id: answer.id.clone(), by: name.to_owned() });
        }
    }
    Ok(places)
}

fn metric_results(answers: &[Answer], bootstrap: Bootstrap) -> Vec<MetricResult> {
    let tallies: Vec<_> = metric::ALL.iter().map(|metric| metric.prepare(answers)).collect();
    let drawn = resample(answers.len(), bootstrap, |counts| tallies.iter().map(|tally| tally.value(counts)).collect());
    let whole = vec![1; answers.len()];
    let result = |index: usize| {
        let tally = &tallies[index];
        let metric = metric::ALL[index];
        Some(MetricResult {
            name: metric.name().to_owned(),
            unit: metric.unit().to_owned(),
            higher_is_better: metric.higher_is_better(),
            estimate: estimate(tally.value(&whole)?, column(&drawn, index), tally.denominator()),
        })
    };
    (0..tallies.len()).filter_map(result).collect()
}

/// What `measure` says of each resample, in the order of the resamples.
fn resample(
    answers: usize,
    bootstrap: Bootstrap,
    measure: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync,
) -> Vec<Vec<Option<f64>>> {
    let one = |counts: &mut Vec<u32>, number: usize| {
        draw(counts, bootstrap.seed, number as u64);
        measure(counts)
    };
    (0..bootstrap.resamples).into_par_iter().map_init(|| vec![0; answers], one).collect()
}

/// Draws as many answers as there are, with replacement: how often each was drawn.
fn draw(counts: &mut [u32], seed: u64, number: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    counts.fill(0);
    for _ in 0..counts.len() {
        counts[below(&mut random, counts.len())] += 1;
    }
}

/// A number below `limit` (at most 2³²); its bias, `limit` / 2³², is far below what a resample can show.
pub(crate) fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    ((u64::from(random.next_u32()) * limit as u64) >> 32) as usize
}

/// The defined values of one metric over all resamples.
fn column(drawn: &[Vec<Option<f64>>], index: usize) -> Vec<f64> {
    drawn.iter().filter_map(|values| values[index]).collect()
}

fn estimate(value: f64, mut resampled: Vec<f64>, denominator: usize) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let bound = |share| percentile(&resampled, share).unwrap_or(value);
    Estimate { value, low: bound(BOUNDS.0), high: bound(BOUNDS.1), denominator }
}

/// The value below which `share` of the sorted values lie, linear between neighbours; `None` of nothing.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (floor, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(floor + (above - floor) * place.fract())
}

fn class_results(answers: &[Answer]) -> Vec<ClassResult> {
    let labels = LabelPairs::new(answers);
    let counts = labels.class_counts(&vec![1; answers.len()]);
    let class = |(label, count): (String, metric::ClassCount)| ClassResult {
        label,
        gold: count.gold as usize,
        predicted: count.predicted as usize,
        correct: count.correct as usize,
        precision: ratio(count.correct, count.predicted),
        recall: ratio(count.correct, count.gold),
        f1: count.f1(),
    };
    let mut classes: Vec<_> = labels.names.into_iter().zip(counts).map(class).collect();
    classes.sort_by(|left, right| right.gold.cmp(&left.gold).then_with(|| left.label.cmp(&right.label)));
    classes
}

fn confusion(answers: &[Answer], most_frequent: usize) -> Confusion {
    let mut gold: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        *gold.entry(&answer.gold).or_default() += 1;
    }
    let mut labels: Vec<(&str, usize)> = gold.into_iter().collect();
    labels.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    labels.truncate(most_frequent);
    let place: HashMap<&str, usize> = labels.iter().enumerate().map(|(place, &(label, _))| (label, place)).collect();
    let (other, unparseable) = (labels.len(), labels.len() + 1);
    let place = |label: &str| place.get(label).copied().unwrap_or(other);
    let mut rows = vec![vec![0; labels.len() + 2]; labels.len() + 1];
    for answer in answers {
        rows[place(&answer.gold)][answer.parsed.as_deref().map_or(unparseable, place)] += 1;
    }
    Confusion { labels: labels.into_iter().map(|(label, _)| label.to_owned()).collect(), rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    /// Thirty answers over three labels, of which `right` are right and the last two unparseable.
    fn thirty(right: usize) -> Vec<Answer> {
        let gold = |index: usize| ["a", "b", "c"][index % 3];
        let parsed = |index: usize| match index {
            _ if index >= 28 => "",
            _ if index < right => gold(index),
            _ => gold(index + 1),
        };
        answers(&(0..30).map(|index| (gold(index), parsed(index))).collect::<Vec<_>>())
    }

    fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn metrics_of_a_small_case_are_those_computed_by_hand() {
        // Gold a a a b b c; parsed a a b b - a. Correct 3 of 6, parsed 5. scikit-learn 1.9.1 with labels=[a, b, c]
        // says 0.38888888888888884 (macro) and 0.5454545454545454 (micro).
        let given = answers(&[("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", ""), ("c", "a")]);
        let result = evaluate("hand", &given, Bootstrap { resamples: 50, seed: 1 }, 2);
        let value = |name| result.estimate(name).unwrap().value;
        assert_eq!(value("accuracy"), 0.5);
        assert!(result.estimate("top_3").is_none(), "no answer has a ranking");
        assert!((value("macro_f1") - (2.0 / 3.0 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
        assert!((value("micro_f1") - 6.0 / 11.0).abs() < 1e-12);
        assert!((value("unparseable") - 1.0 / 6.0).abs() < 1e-12);
        assert!(result.estimate("perplexity").is_none(), "no answer has a likelihood");
        assert!(result.metrics.iter().all(|metric| metric.estimate.denominator == 6));
        assert_eq!(result.confusion.labels, ["a", "b"]);
        assert_eq!(result.confusion.rows, [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]);
        let a = &result.classes[0];
        assert_eq!((a.label.as_str(), a.gold, a.predicted, a.correct), ("a", 3, 3, 2));
        assert!((a.f1 - 2.0 / 3.0).abs() < 1e-12 && a.precision == a.recall);
    }

    #[test]
    fn the_interval_of_accuracy_is_that_of_the_binomial_distribution() {
        let given: Vec<_> = (0..400).map(|index| ("a", if index < 300 { "a" } else { "b" })).collect();
        let result = evaluate("binomial", &answers(&given), Bootstrap { resamples: 4000, seed: 7 }, 1);
        let accuracy = result.estimate("accuracy").unwrap();
        let half = 1.96 * (0.75_f64 * 0.25 / 400.0).sqrt();
        assert_eq!(accuracy.value, 0.75);
        assert!((accuracy.low - (0.75 - half)).abs() < 0.006, "{accuracy:?}");
        assert!((accuracy.high - (0.75 + half)).abs() < 0.006, "{accuracy:?}");
    }

    #[test]
    fn a_seed_fixes_the_result_whatever_the_number_of_threads() {
        let (given, other) = (thirty(18), thirty(12));
        let with = |threads, seed| {
            let bootstrap = Bootstrap { resamples: 200, seed };
            on_threads(threads, || {
                (evaluate("x", &given, bootstrap, 3), compare(("x", &given), ("y", &other), bootstrap))
            })
        };
        assert_eq!(with(1, 3), with(3, 3));
        assert_ne!(with(1, 3), with(1, 4));
    }

    #[test]
    fn a_better_system_differs_by_more_than_zero_and_the_mirror_image_by_less() {
        let (good, bad) = (thirty(25), thirty(8));
        let forth = compare(("good", &good), ("bad", &bad), Bootstrap::default()).unwrap();
        let back = compare(("bad", &bad), ("good", &good), Bootstrap::default()).unwrap();
        let (forth, back) = (forth.difference("accuracy").unwrap(), back.difference("accuracy").unwrap());
        assert!((forth.estimate.value - 17.0 / 30.0).abs() < 1e-12);
        assert!(forth.estimate.low > 0.0 && forth.share_not_better == 0.0, "{forth:?}");
        assert_eq!((back.estimate.low, back.estimate.high), (-forth.estimate.high, -forth.estimate.low));
        assert_eq!(back.share_not_better, 1.0);
    }

    #[test]
    fn a_system_is_never_better_than_itself_in_any_order() {
        let given = thirty(18);
        let mut turned = given.clone();
        turned.reverse();
        let comparison = compare(("x", &given), ("turned", &turned), Bootstrap::default()).unwrap();
        for difference in &comparison.differences {
            let Estimate { value, low, high, .. } = difference.estimate;
            assert!([value, low, high].iter().all(|bound| bound.abs() < 1e-12), "{difference:?}");
        }
        assert_eq!(comparison.difference("accuracy").unwrap().share_not_better, 1.0);
    }

    #[test]
    fn systems_that_did_not_answer_the_same_examples_are_not_compared() {
        let given = thirty(18);
        let by =
            |left: &[Answer], right: &[Answer]| compare(("x", left), ("y", right), Bootstrap::default()).unwrap_err();
        assert!(matches!(by(&given, &given[1..]), CompareError::Unpaired { id, .. } if id == "case-0"));
        assert!(matches!(by(&given[1..], &given), CompareError::Unpaired { by, .. } if by == "y"));
        let twice = [given.clone(), given[..1].to_vec()].concat();
        assert!(matches!(by(&twice, &given), CompareError::Repeated { by, .. } if by == "x"));
        let mut moved = given.clone();
        moved[4].gold = "z".into();
        assert!(by(&given, &moved).to_string().contains("hint: "));
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(percentile(&[1.0], 0.025), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn an_empty_evaluation_has_no_metrics_and_does_not_fail() {
        let result = evaluate("nothing", &[], Bootstrap::default(), 5);
        assert!(result.metrics.is_empty() && result.classes.is_empty());
        assert_eq!(result.confusion.rows, [[0, 0]]);
    }

    #[test]
    fn results_survive_their_file_format() {
        let (given, other) = (thirty(18), thirty(12));
        let result = evaluate("x", &given, Bootstrap::default(), 3);
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<SystemResult>(&text).unwrap(), result);
        let comparison = compare(("x", &given), ("y", &other), Bootstrap::default()).unwrap();
        let text = serde_json::to_string(&comparison).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    }
}
