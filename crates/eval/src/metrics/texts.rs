//! What metrics of texts read: the text that was said and the one that was expected.

use crate::metric::Answer;

/// Said and expected text, where a text is asked for; an unparseable answer said nothing.
pub(super) fn texts(answer: &Answer) -> Option<(&str, &str)> {
    Some((answer.parsed.as_deref().unwrap_or_default(), answer.expected.as_deref()?))
}

/// How often each of `items` occurs.
pub(super) fn counts<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> std::collections::HashMap<T, u32> {
    let mut counts = std::collections::HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// How many items two bags share.
pub(super) fn shared<T: std::hash::Hash + Eq>(
    left: &std::collections::HashMap<T, u32>,
    right: &std::collections::HashMap<T, u32>,
) -> u32 {
    left.iter().map(|(item, count)| (*count).min(right.get(item).copied().unwrap_or(0))).sum()
}

/// The F-measure of `precision` and `recall`, recall weighted `beta²` times; 0 where both are 0.
pub(super) fn f_measure(precision: f64, recall: f64, beta: f64) -> f64 {
    let below = beta * beta * precision + recall;
    if below > 0.0 { (1.0 + beta * beta) * precision * recall / below } else { 0.0 }
}
