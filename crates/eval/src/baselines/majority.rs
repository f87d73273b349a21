//! The majority class: always the most frequent training label, ranked by frequency. The floor of every comparison.

use std::collections::BTreeMap;

/// Label frequencies of a training set.
#[derive(Debug, Clone, PartialEq)]
pub struct Majority {
    /// Labels with their log relative frequency, most frequent first.
    ranked: Vec<(String, f64)>,
}

impl Majority {
    /// Counts `labels`; equally frequent ones are ranked by name.
    #[must_use]
    pub fn fit(labels: &[&str]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for label in labels {
            *counts.entry(label).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let share = |count: usize| (count as f64 / labels.len() as f64).ln();
        Self { ranked: counts.into_iter().map(|(label, count)| (label.to_owned(), share(count))).collect() }
    }

    /// Every training label with its log relative frequency in nats, best first; the same for every text.
    #[must_use]
    pub fn ranked(&self) -> &[(String, f64)] {
        &self.ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_ranked_by_frequency_and_then_by_name() {
        let majority = Majority::fit(&["b", "c", "b", "a"]);
        assert_eq!(majority.ranked().iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert!((majority.ranked()[0].1 - 0.5_f64.ln()).abs() < 1e-12);
        assert!((majority.ranked().iter().map(|(_, log)| log.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_learned_from_nothing() {
        assert!(Majority::fit(&[]).ranked().is_empty());
    }
}
