//! What the two areas under a curve share: each label against the rest, answers in the order of its probability.

use std::collections::BTreeMap;

use crate::metric::{Answer, Tally};

/// More labels are not ranked one against the rest: a thousand resamples of each would take minutes.
pub(super) const MOST_LABELS: usize = 64;

/// One label: the answers from the most to the least probable, in groups of equal probability.
struct OneLabel {
    /// Each answer and whether the label is its gold one.
    order: Vec<(u32, bool)>,
    /// The end of each group in `order`.
    ends: Vec<usize>,
}

/// What a group adds: weights of positives and negatives before it, and in it.
pub(super) struct Group {
    pub(super) positives_before: f64,
    pub(super) negatives_before: f64,
    pub(super) positives: f64,
    pub(super) negatives: f64,
}

/// The mean over labels of an area that is a sum over groups, divided by `scale(positives, negatives)`.
pub(super) struct AreaTally {
    labels: Vec<OneLabel>,
    answers: usize,
    part: fn(&Group) -> f64,
    scale: fn(f64, f64) -> f64,
}

impl AreaTally {
    /// Of answers that all rank the same 2 to [`MOST_LABELS`] labels; of others it is undefined, since the probabilities of
    /// labels that are missing are not known.
    pub(super) fn new(answers: &[Answer], part: fn(&Group) -> f64, scale: fn(f64, f64) -> f64) -> Box<Self> {
        let labels = labels_of(answers).map(|names| names.iter().map(|name| OneLabel::new(answers, name)).collect());
        let answers = if labels.is_some() { answers.len() } else { 0 };
        Box::new(Self { labels: labels.unwrap_or_default(), answers, part, scale })
    }
}

/// The labels that every answer ranks, if all rank the same.
fn labels_of(answers: &[Answer]) -> Option<Vec<&str>> {
    let sorted = |answer: &'_ Answer| {
        let mut names: Vec<String> = answer.ranked.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    let first = answers.first()?;
    let names = sorted(first);
    let fits = (2..=MOST_LABELS).contains(&names.len());
    let same =
        |answer: &Answer| answer.asks_for_a_label() && answer.ranked.len() == names.len() && sorted(answer) == names;
    (fits && answers.iter().all(same)).then(|| first.ranked.iter().map(|(name, _)| name.as_str()).collect())
}

impl OneLabel {
    fn new(answers: &[Answer], name: &str) -> Self {
        let probability = |answer: &Answer| {
            let probabilities: BTreeMap<&str, f64> = answer.probabilities().into_iter().collect();
            probabilities.get(name).copied().unwrap_or(0.0)
        };
        let mut scored: Vec<(f64, u32, bool)> =
            answers.iter().zip(0..).map(|(answer, place)| (probability(answer), place, answer.gold == name)).collect();
        scored.sort_by(|left, right| right.0.total_cmp(&left.0));
        let last_of_group = |place: &usize| scored.get(place + 1).is_none_or(|next| next.0 < scored[*place].0);
        let ends = (0..scored.len()).filter(last_of_group).map(|place| place + 1).collect();
        Self { order: scored.into_iter().map(|(_, place, gold)| (place, gold)).collect(), ends }
    }

    /// The area; `None` where no answer has the label, or every one has.
    fn area(&self, counts: &[u32], part: fn(&Group) -> f64, scale: fn(f64, f64) -> f64) -> Option<f64> {
        let (mut area, mut begin) = (0.0, 0);
        let (mut positives_before, mut negatives_before) = (0.0, 0.0);
        for &end in &self.ends {
            let (mut positives, mut negatives) = (0.0, 0.0);
            for &(place, gold) in &self.order[begin..end] {
                *(if gold { &mut positives } else { &mut negatives }) += f64::from(counts[place as usize]);
            }
            area += part(&Group { positives_before, negatives_before, positives, negatives });
            positives_before += positives;
            negatives_before += negatives;
            begin = end;
        }
        (positives_before > 0.0 && negatives_before > 0.0).then(|| area / scale(positives_before, negatives_before))
    }
}

impl Tally for AreaTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let areas: Vec<f64> =
            self.labels.iter().filter_map(|label| label.area(counts, self.part, self.scale)).collect();
        (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
    }

    fn denominator(&self) -> usize {
        self.answers
    }
}
