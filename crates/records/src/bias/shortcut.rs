//! How well the label can be guessed without reading: by vendor, product, length and the like.
//!
//! A guesser of one trait answers each test example with the label that most training examples of the same value have,
//! and with the most frequent label of all where it never met the value. What it gains over always answering the most
//! frequent label is what a model could gain without understanding anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measure::{Association, association, share};
use super::traits::Traits;
use crate::dataset::Split;

/// Values of fewer training examples are left out of an association: they would tell by chance alone.
const FEWEST_OF_A_VALUE: u64 = 20;

/// What one trait gives away.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Shortcut {
    /// The trait: `vendor`, `product`, `length`, `severity` or `year`.
    pub by: String,
    /// Training examples that have it: what the guesser learned from.
    pub learned_from: u64,
    /// Test examples: the denominator of both accuracies.
    pub asked: u64,
    /// Test examples whose value was met in training.
    pub met: u64,
    /// Of those, the ones that the guesser answers rightly.
    pub right_met: u64,
    /// Of those, the ones that the most frequent training label answers rightly.
    pub right_met_without: u64,
    /// Test examples that the guesser answers rightly.
    pub right: u64,
    /// Test examples that the most frequent training label answers rightly.
    pub right_without: u64,
    /// Accuracy of the guesser minus that of the most frequent label, −1..=1.
    pub gain: f64,
    /// How much the trait tells of the label in training, over values of at least 20 examples.
    pub association: Association,
}

/// One example as a guesser sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) split: Split,
    pub(super) gold: &'a str,
    pub(super) traits: &'a Traits,
}

/// All shortcuts of a task with labels.
pub(super) fn shortcuts(seen: &[Seen<'_>]) -> Vec<Shortcut> {
    let by = |name: &str, value: &dyn Fn(&Traits) -> Option<String>| Shortcut::of(name, seen, value);
    vec![
        by("vendor", &|one| one.vendor.clone()),
        by("product", &|one| one.product.clone()),
        by("length", &|one| Some(length_class(one.words))),
        by("severity", &|one| one.severity.map(|band| band.as_str().to_owned())),
    ]
}

/// Lengths within a factor of 1.41 are alike.
fn length_class(words: u64) -> String {
    ((words.max(1) as f64).log2() * 2.0).floor().to_string()
}

impl Shortcut {
    fn of(name: &str, seen: &[Seen<'_>], value: &dyn Fn(&Traits) -> Option<String>) -> Self {
        let valued: Vec<(Option<String>, Seen<'_>)> = seen.iter().map(|one| (value(one.traits), *one)).collect();
        let train = || valued.iter().filter(|(_, one)| one.split == Split::Train);
        let known = || train().filter_map(|(value, one)| Some((value.as_deref()?, one.gold)));
        let favourite = favourites(train().map(|(_, one)| ("", one.gold))).remove("").unwrap_or_default();
        let learned = favourites(known());
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        known().for_each(|(value, _)| *sizes.entry(value).or_default() += 1);
        let common = known().filter(|(value, _)| sizes[value] >= FEWEST_OF_A_VALUE);
        let mut found = Self {
            by: name.into(),
            learned_from: sizes.values().sum(),
            association: association(common),
            ..Self::default()
        };
        for (value, one) in valued.iter().filter(|(_, one)| one.split == Split::Test) {
            let guess = value.as_deref().and_then(|value| learned.get(value));
            found.asked += 1;
            if let Some(guess) = guess {
                found.met += 1;
                found.right_met += u64::from(*guess == one.gold);
                found.right_met_without += u64::from(favourite == one.gold);
            }
            found.right += u64::from(*guess.unwrap_or(&favourite) == one.gold);
            found.right_without += u64::from(favourite == one.gold);
        }
        found.gain = share(found.right, found.asked) - share(found.right_without, found.asked);
        found
    }
}

/// The most frequent label of each value; of equally frequent ones the first by name.
fn favourites<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<&'a str, &'a str> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (value, gold) in pairs {
        *counts.entry(value).or_default().entry(gold).or_default() += 1;
    }
    let best = |labels: BTreeMap<&'a str, u64>| {
        labels.into_iter().max_by(|left, right| left.1.cmp(&right.1).then_with(|| right.0.cmp(left.0)))
    };
    counts.into_iter().filter_map(|(value, labels)| Some((value, best(labels)?.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_learns_from_training_and_is_asked_the_test() {
        let of = |vendor: &str| Traits {
            vendor: Some(vendor.into()).filter(|one: &String| !one.is_empty()),
            ..Traits::default()
        };
        let (acme, teatime, stranger, nobody) = (of("acme"), of("teatime"), of("stranger"), of(""));
        let seen = |split, traits, gold| Seen { split, gold, traits };
        let all = [
            seen(Split::Train, &acme, "CWE-1"),
            seen(Split::Train, &acme, "CWE-1"),
            seen(Split::Train, &teatime, "CWE-2"),
            seen(Split::Train, &nobody, "CWE-1"),
            seen(Split::Test, &teatime, "CWE-2"),
            seen(Split::Test, &teatime, "CWE-1"),
            seen(Split::Test, &stranger, "CWE-1"),
            seen(Split::Test, &nobody, "CWE-3"),
            seen(Split::Validation, &nobody, "CWE-3"),
        ];
        let vendor = &shortcuts(&all)[0];
        assert_eq!((vendor.by.as_str(), vendor.learned_from, vendor.asked, vendor.met), ("vendor", 3, 4, 2));
        assert_eq!((vendor.right_met, vendor.right_met_without), (1, 1));
        assert_eq!((vendor.right, vendor.right_without, vendor.gain), (2, 2, 0.0));
        assert_eq!(vendor.association.pairs, 0, "no vendor has twenty examples");
        assert!(shortcuts(&[]).iter().all(|one| one.asked == 0 && one.gain == 0.0));
        assert_eq!(length_class(64), "12");
    }
}
