//! The numbers by which imbalance and association are told, over plain counts. Logarithms are to base 2: all
//! information is in bits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The Gini coefficient of `counts`: 0 where all are alike, near 1 where one has nearly all; 0 without any.
#[must_use]
pub(super) fn gini(counts: &[u64]) -> f64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let (n, sum) = (sorted.len() as f64, sorted.iter().sum::<u64>() as f64);
    let weighed: f64 = sorted.iter().zip(1u64..).map(|(x, i)| (2.0 * i as f64 - n - 1.0) * *x as f64).sum();
    if sum == 0.0 { 0.0 } else { weighed / (n * sum) }
}

/// The entropy of a distribution in bits.
#[must_use]
pub(super) fn entropy_bits(counts: impl Iterator<Item = u64> + Clone) -> f64 {
    let sum = counts.clone().sum::<u64>() as f64;
    counts.filter(|count| *count > 0).map(|count| count as f64 / sum).map(|p| -p * p.log2()).sum()
}

/// How far two distributions over the same names are apart: the Jensen-Shannon divergence in bits, 0..=1 (Lin 1991).
/// Where one of the two is empty there is none, and 0 stands for it.
#[must_use]
pub(super) fn jensen_shannon_bits(left: &BTreeMap<String, u64>, right: &BTreeMap<String, u64>) -> f64 {
    let (all_left, all_right) = (left.values().sum::<u64>() as f64, right.values().sum::<u64>() as f64);
    if all_left == 0.0 || all_right == 0.0 {
        return 0.0;
    }
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let share = |of: &BTreeMap<String, u64>, name, all: f64| of.get(name).copied().unwrap_or(0) as f64 / all;
    let part = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).log2() } else { 0.0 };
    let sum: f64 = names
        .into_iter()
        .map(|name| {
            let (p, q) = (share(left, name, all_left), share(right, name, all_right));
            let middle = f64::midpoint(p, q);
            part(p, middle) + part(q, middle)
        })
        .sum();
    (sum / 2.0).clamp(0.0, 1.0)
}

/// The divergence in bits that two samples of such sizes out of one distribution over `names` have by chance, to the
/// second order: (k − 1) / 8 · (1/m + 1/n) nats.
#[must_use]
pub(super) fn chance_divergence_bits(names: usize, left: u64, right: u64) -> f64 {
    if left == 0 || right == 0 {
        return 0.0;
    }
    let nats = names.saturating_sub(1) as f64 / 8.0 * (1.0 / left as f64 + 1.0 / right as f64);
    (nats / std::f64::consts::LN_2).min(1.0)
}

/// How much one trait tells about another.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Association {
    /// Pairs that were counted: the denominator.
    pub pairs: u64,
    /// Values of the first trait.
    pub rows: u64,
    /// Values of the second.
    pub columns: u64,
    /// Cramér's V, 0..=1, with the bias of small counts taken out (Bergsma 2013).
    pub cramers_v: f64,
    /// What the first tells of the second, in bits, with the bias of small counts taken out (Miller and Madow).
    pub information_bits: f64,
    /// The entropy of the second, in bits: the most that could be told.
    pub entropy_bits: f64,
    /// `information_bits / entropy_bits`, 0..=1: the share of the second that the first explains.
    pub explained: f64,
}

/// The association of pairs of values.
#[must_use]
pub(super) fn association<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Association {
    let mut cells: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let (mut rows, mut columns) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    for (row, column) in pairs {
        *cells.entry((row, column)).or_default() += 1;
        *rows.entry(row).or_default() += 1;
        *columns.entry(column).or_default() += 1;
    }
    let count = cells.values().sum::<u64>();
    let (n, r, k) = (count as f64, rows.len() as f64, columns.len() as f64);
    let mut found =
        Association { pairs: count, rows: rows.len() as u64, columns: columns.len() as u64, ..Association::default() };
    if count < 2 || rows.len() < 2 || columns.len() < 2 {
        return found;
    }
    let expected = |(row, column): &(&str, &str)| rows[row] as f64 * columns[column] as f64 / n;
    // χ² = Σ O²/E − n, so that empty cells need not be visited.
    let chi2 = cells.iter().map(|(at, observed)| (*observed as f64).powi(2) / expected(at)).sum::<f64>() - n;
    let phi2 = (chi2 / n - (r - 1.0) * (k - 1.0) / (n - 1.0)).max(0.0);
    let least = (r - (r - 1.0).powi(2) / (n - 1.0)).min(k - (k - 1.0).powi(2) / (n - 1.0)) - 1.0;
    found.cramers_v = if least > 0.0 { (phi2 / least).sqrt().min(1.0) } else { 0.0 };
    let plain: f64 =
        cells.iter().map(|(at, observed)| *observed as f64 / n * (*observed as f64 / expected(at)).log2()).sum();
    // Each entropy is too small by (values − 1) / 2n nats, that of the pairs by its cells that are there.
    let excess = (cells.len() as f64 - r - k + 1.0) / (2.0 * n * std::f64::consts::LN_2);
    found.information_bits = (plain - excess).max(0.0);
    found.entropy_bits = entropy_bits(columns.values().copied());
    found.explained = (found.information_bits / found.entropy_bits).min(1.0);
    found
}

/// The share of a number's variance that lies between groups, 0..=1 (the correlation ratio η²); 0 without variance.
#[must_use]
pub(super) fn variance_explained(groups: &BTreeMap<&str, Vec<f64>>) -> f64 {
    let all: Vec<f64> = groups.values().flatten().copied().collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let middle = mean(&all);
    let total: f64 = all.iter().map(|value| (value - middle).powi(2)).sum();
    let between: f64 = groups.values().map(|group| group.len() as f64 * (mean(group) - middle).powi(2)).sum();
    if total == 0.0 { 0.0 } else { (between / total).clamp(0.0, 1.0) }
}

/// How a number is spread; every value is one of those that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many numbers: the denominator.
    pub count: u64,
    /// The smallest.
    pub least: u64,
    /// 5 % are not above it.
    pub p5: u64,
    /// A quarter is not above it.
    pub p25: u64,
    /// Half are not above it.
    pub median: u64,
    /// Three quarters are not above it.
    pub p75: u64,
    /// 95 % are not above it.
    pub p95: u64,
    /// The largest.
    pub most: u64,
}

impl Quantiles {
    /// Those of `values`; all 0 where there are none.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil() as usize;
            values.get(rank.max(1) - 1).copied().unwrap_or(0)
        };
        Self {
            count: values.len() as u64,
            least: at(0.0),
            p5: at(0.05),
            p25: at(0.25),
            median: at(0.5),
            p75: at(0.75),
            p95: at(0.95),
            most: at(1.0),
        }
    }
}

/// `part / whole`, and 0 where there is no whole.
#[must_use]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-5
    }

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn gini_and_entropy_are_those_computed_by_hand() {
        assert_eq!((gini(&[]), gini(&[5, 5, 5]), gini(&[0, 1])), (0.0, 0.0, 0.5));
        assert!(close(gini(&[3, 1, 2]), 4.0 / 18.0));
        assert_eq!(entropy_bits([1, 1, 2].into_iter()), 1.5);
        assert_eq!(entropy_bits([7, 0].into_iter()), 0.0);
    }

    #[test]
    fn divergence_is_1_between_strangers_and_0_between_twins() {
        let (a, b) = (counts(&[("x", 3)]), counts(&[("y", 9)]));
        assert_eq!((jensen_shannon_bits(&a, &b), jensen_shannon_bits(&a, &a)), (1.0, 0.0));
        let half = counts(&[("x", 1), ("y", 1)]);
        // ½·(½·log₂(½/¾) + ½·log₂(½/¼)) + ½·log₂(1/¾)
        assert!(close(jensen_shannon_bits(&half, &a), 0.311_278));
        assert_eq!(jensen_shannon_bits(&half, &BTreeMap::new()), 0.0);
        assert!(close(chance_divergence_bits(9, 100, 100), 0.02 / std::f64::consts::LN_2));
    }

    #[test]
    fn association_is_full_where_one_tells_the_other_and_none_where_it_tells_nothing() {
        let table = |cells: [[usize; 2]; 2]| {
            let pairs = [("a", "x", 0, 0), ("a", "y", 0, 1), ("b", "x", 1, 0), ("b", "y", 1, 1)];
            let repeated =
                pairs.iter().flat_map(move |&(row, column, i, j)| std::iter::repeat_n((row, column), cells[i][j]));
            association(repeated)
        };
        let full = table([[10, 0], [0, 10]]);
        assert!(close(full.cramers_v, 1.0) && close(full.entropy_bits, 1.0), "{full:?}");
        // Two cells, two rows, two columns: the bias is −1 / (2·20) nats.
        assert!(close(full.information_bits, 1.0 + 1.0 / (40.0 * std::f64::consts::LN_2)), "{full:?}");
        assert_eq!((full.explained, full.pairs, full.rows, full.columns), (1.0, 20, 2, 2));
        let none = table([[5, 5], [5, 5]]);
        assert_eq!((none.cramers_v, none.information_bits, none.explained), (0.0, 0.0, 0.0));
        // χ² of [[8, 2], [4, 6]] is 20·(8·6 − 2·4)² / (10·10·12·8) = 10/3; φ² = 1/6 − 1/19; least = 1 − 1/19.
        let some = table([[8, 2], [4, 6]]);
        assert!(close(some.cramers_v, ((1.0 / 6.0 - 1.0 / 19.0) / (18.0 / 19.0f64)).sqrt()), "{some:?}");
        assert_eq!(association([].into_iter()), Association::default());
    }

    #[test]
    fn variance_and_quantiles_are_those_computed_by_hand() {
        let groups: BTreeMap<&str, Vec<f64>> = [("a", vec![1.0, 2.0]), ("b", vec![3.0, 4.0])].into();
        assert!(close(variance_explained(&groups), 0.8));
        assert_eq!(variance_explained(&BTreeMap::new()), 0.0);
        let quantiles = Quantiles::of((1..=100).rev().collect());
        assert_eq!(
            quantiles,
            Quantiles { count: 100, least: 1, p5: 5, p25: 25, median: 50, p75: 75, p95: 95, most: 100 }
        );
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }

    proptest! {
        #[test]
        fn every_measure_stays_within_its_range(left in prop::collection::vec(0u64..1000, 1..20), right in prop::collection::vec(0u64..1000, 1..20)) {
            let named = |counts: &[u64]| counts.iter().enumerate().map(|(at, n)| (at.to_string(), *n)).collect();
            prop_assert!((0.0..=1.0).contains(&gini(&left)));
            prop_assert!((0.0..=1.0).contains(&jensen_shannon_bits(&named(&left), &named(&right))));
            let texts: Vec<(String, String)> = left.iter().zip(&right).map(|(a, b)| ((a % 4).to_string(), (b % 3).to_string())).collect();
            let found = association(texts.iter().map(|(a, b)| (a.as_str(), b.as_str())));
            prop_assert!((0.0..=1.0).contains(&found.cramers_v) && (0.0..=1.0).contains(&found.explained), "{:?}", found);
        }
    }
}
