//! How even the classes of a task are, by split and by year, and how far the splits are apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measure::{chance_divergence_bits, entropy_bits, gini, jensen_shannon_bits, share};
use crate::conversation::Role;
use crate::dataset::{Example, Split};

/// Sizes below which a class is counted as small.
pub const SMALL_CLASSES: [u64; 3] = [10, 50, 100];
/// So many classes are told one by one.
pub const TOLD_CLASSES: usize = 40;
/// So many classes have a line by year.
pub const CLASSES_BY_YEAR: usize = 12;

/// How even the classes of one split are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Examples with a label: the denominator of all shares.
    pub examples: u64,
    /// Classes that are there.
    pub classes: u64,
    /// Share of the most frequent class.
    pub top_1: f64,
    /// Share of the five most frequent ones.
    pub top_5: f64,
    /// Share of the ten most frequent ones.
    pub top_10: f64,
    /// Classes of the label set with fewer examples than each of [`SMALL_CLASSES`], those with none included.
    pub below: BTreeMap<u64, u64>,
    /// The Gini coefficient over the classes of the label set, 0..=1.
    pub gini: f64,
    /// Entropy in bits.
    pub entropy_bits: f64,
    /// Entropy as a share of that of even classes, 0..=1.
    pub entropy_share: f64,
    /// So many even classes would have this entropy.
    pub effective_classes: f64,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassCount {
    /// The label.
    pub label: String,
    /// The label in words, where the answer says some.
    pub title: String,
    /// Its examples by split.
    pub examples: BTreeMap<Split, u64>,
}

/// How far two splits are apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The earlier split.
    pub from: Split,
    /// The later split.
    pub to: Split,
    /// Examples of the earlier one.
    pub from_examples: u64,
    /// Examples of the later one.
    pub to_examples: u64,
    /// Jensen-Shannon divergence of the classes, in bits, 0..=1.
    pub divergence_bits: f64,
    /// What two samples of one distribution would have by chance, in bits.
    pub chance_bits: f64,
}

/// The most frequent classes by year of publication.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByYear {
    /// Examples with a label by year: the denominators.
    pub examples: BTreeMap<u16, u64>,
    /// Examples by class, most frequent in training first, and year.
    pub classes: Vec<(String, BTreeMap<u16, u64>)>,
}

/// Everything about the classes of a task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Classes {
    /// How even they are, by split.
    pub balance: BTreeMap<Split, Balance>,
    /// The first [`TOLD_CLASSES`], most frequent in training first.
    pub told: Vec<ClassCount>,
    /// How far each later split is from training.
    pub drift: Vec<Drift>,
    /// The classes by year.
    pub by_year: ByYear,
}

impl Classes {
    /// Those of `examples`; examples without a label do not count.
    #[must_use]
    pub fn of(examples: &[(Split, Example)]) -> Self {
        let counts = counts_by_split(examples);
        let mut names: Vec<&String> = counts.values().flat_map(BTreeMap::keys).collect();
        names.sort_unstable();
        names.dedup();
        let in_split = |split: Split, name: &str| counts.get(&split).and_then(|of| of.get(name)).copied().unwrap_or(0);
        names.sort_by_key(|name| (std::cmp::Reverse(in_split(Split::Train, name)), (*name).clone()));
        let balance =
            counts.keys().map(|split| (*split, Balance::of(names.iter().map(|name| in_split(*split, name)).collect())));
        let balance: BTreeMap<Split, Balance> = balance.collect();
        let titles = titles(examples);
        let told = names.iter().take(TOLD_CLASSES).map(|name| ClassCount {
            label: (*name).clone(),
            title: titles.get(name.as_str()).cloned().unwrap_or_default(),
            examples: counts.keys().map(|split| (*split, in_split(*split, name))).collect(),
        });
        let first: Vec<&str> = names.iter().take(CLASSES_BY_YEAR).map(|name| name.as_str()).collect();
        Self { told: told.collect(), by_year: by_year(examples, &first), drift: drift(&counts, names.len()), balance }
    }
}

impl Balance {
    /// That of classes of these sizes; those of size 0 are of the label set but not there.
    #[must_use]
    pub fn of(mut sizes: Vec<u64>) -> Self {
        sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        let examples = sizes.iter().sum();
        let top = |n: usize| share(sizes.iter().take(n).sum(), examples);
        let entropy = entropy_bits(sizes.iter().copied());
        let even = (sizes.len() as f64).log2();
        Self {
            examples,
            classes: sizes.iter().filter(|size| **size > 0).count() as u64,
            top_1: top(1),
            top_5: top(5),
            top_10: top(10),
            below: SMALL_CLASSES
                .iter()
                .map(|&least| (least, sizes.iter().filter(|size| **size < least).count() as u64))
                .collect(),
            gini: gini(&sizes),
            entropy_bits: entropy,
            entropy_share: if even > 0.0 { entropy / even } else { 1.0 },
            effective_classes: if examples == 0 { 0.0 } else { entropy.exp2() },
        }
    }
}

fn counts_by_split(examples: &[(Split, Example)]) -> BTreeMap<Split, BTreeMap<String, u64>> {
    let mut counts: BTreeMap<Split, BTreeMap<String, u64>> = BTreeMap::new();
    for (split, example) in examples {
        if let Some(gold) = &example.gold {
            *counts.entry(*split).or_default().entry(gold.clone()).or_default() += 1;
        }
    }
    counts
}

/// What answers say beside the label, as `Cross-site Scripting (CWE-79)` does.
fn titles(examples: &[(Split, Example)]) -> BTreeMap<&str, String> {
    let mut titles = BTreeMap::new();
    for (_, example) in examples {
        let Some(gold) = example.gold.as_deref().filter(|gold| !titles.contains_key(gold)) else { continue };
        let said = example.conversation.text_of(Role::Assistant).unwrap_or_default();
        if let Some(title) = said.strip_suffix(&format!(" ({gold})")) {
            titles.insert(gold, title.to_owned());
        }
    }
    titles
}

fn drift(counts: &BTreeMap<Split, BTreeMap<String, u64>>, classes: usize) -> Vec<Drift> {
    let size = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
    let Some(train) = counts.get(&Split::Train) else { return Vec::new() };
    let later = counts.iter().filter(|(split, _)| **split != Split::Train);
    let to = |(split, of): (&Split, &BTreeMap<String, u64>)| Drift {
        from: Split::Train,
        to: *split,
        from_examples: size(train),
        to_examples: size(of),
        divergence_bits: jensen_shannon_bits(train, of),
        chance_bits: chance_divergence_bits(classes, size(train), size(of)),
    };
    later.map(to).collect()
}

fn by_year(examples: &[(Split, Example)], first: &[&str]) -> ByYear {
    let mut found = ByYear::default();
    let mut classes: BTreeMap<&str, BTreeMap<u16, u64>> = BTreeMap::new();
    for (_, example) in examples {
        let year = example.published.get(..4).and_then(|year| year.parse::<u16>().ok());
        let (Some(year), Some(gold)) = (year, example.gold.as_deref()) else { continue };
        *found.examples.entry(year).or_default() += 1;
        if first.contains(&gold) {
            *classes.entry(gold).or_default().entry(year).or_default() += 1;
        }
    }
    found.classes = first.iter().map(|name| ((*name).to_owned(), classes.remove(name).unwrap_or_default())).collect();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::tests::example;

    #[test]
    fn balance_is_that_computed_by_hand() {
        let balance = Balance::of(vec![10, 60, 0, 30]);
        assert_eq!((balance.examples, balance.classes), (100, 3));
        assert_eq!((balance.top_1, balance.top_5, balance.below[&50]), (0.6, 1.0, 3));
        assert_eq!(balance.below, [(10, 1), (50, 3), (100, 4)].into());
        // 0.1, 0.6, 0.3: 0.332193 + 0.442179 + 0.521090 bits, of 2.
        assert!((balance.entropy_bits - 1.295_462).abs() < 1e-5 && (balance.entropy_share - 0.647_731).abs() < 1e-5);
        // (−3·0 − 1·10 + 1·30 + 3·60) / (4·100)
        assert!((balance.gini - 0.5).abs() < 1e-12);
        assert_eq!(Balance::of(Vec::new()).effective_classes, 0.0);
    }

    #[test]
    fn classes_are_told_by_split_and_year_most_frequent_in_training_first() {
        let one = |split, at: usize, gold: &str, year: &str| {
            let mut made = example(&format!("CVE-2020-{at:04}"), "A hole.", gold);
            made.published = year.into();
            made.conversation.messages[1].content = format!("Tea Stain ({gold})");
            (split, made)
        };
        let examples = [
            one(Split::Train, 1, "CWE-2", "2020-01-01"),
            one(Split::Train, 2, "CWE-1", "2021"),
            one(Split::Train, 3, "CWE-2", "2021-05-05"),
            one(Split::Test, 4, "CWE-1", "2024-05-05"),
        ];
        let classes = Classes::of(&examples);
        let told: Vec<_> = classes.told.iter().map(|one| (one.label.as_str(), one.title.as_str())).collect();
        assert_eq!(told, [("CWE-2", "Tea Stain"), ("CWE-1", "Tea Stain")]);
        assert_eq!(classes.told[0].examples, [(Split::Train, 2), (Split::Test, 0)].into());
        assert_eq!(classes.by_year.classes[0], ("CWE-2".into(), [(2020, 1), (2021, 1)].into()));
        assert_eq!(classes.by_year.examples, [(2020, 1), (2021, 2), (2024, 1)].into());
        let [drift] = &classes.drift[..] else { panic!("{:?}", classes.drift) };
        assert_eq!((drift.to, drift.from_examples, drift.to_examples), (Split::Test, 3, 1));
        assert!(drift.divergence_bits > 0.3 && drift.chance_bits > 0.0);
    }
}
