//! How often each class teaches: limits and weights against a training set in which a few weaknesses are nearly all.
//!
//! A weight is "how often it counts" ([`crate::mixture`]); weights multiply those that are there, and are scaled so that
//! all of them together count as often as before. Only training examples with a label are touched: validation and test
//! stay as the world is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::phrasing::draw;

/// No class counts more often than this many times as often as it is there: what is repeated more is learned by heart.
pub const MAX_WEIGHT: f64 = 10.0;

/// How the classes of a training set are evened out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampling {
    /// Not at all.
    #[default]
    None,
    /// Thins: of each class at most so many examples are kept, drawn by seed and ID; a lower limit keeps a part of what
    /// a higher one keeps. Examples that are left out are gone, so a label's training count must be counted anew.
    Cap(usize),
    /// Weighs: a class of n examples counts as if it had about √n (Mikolov et al. 2013 for words; Mahajan et al. 2018
    /// for classes).
    SquareRoot,
    /// Weighs: every class counts alike, within [`MAX_WEIGHT`].
    Balanced,
    /// Weighs: by the effective number of examples (1 − βⁿ) / (1 − β) of Cui et al., "Class-balanced loss" (CVPR 2019).
    /// β lies within 0 and 1; 0.999 is between the square root and even classes for sets of thousands.
    EffectiveNumber(f64),
}

impl Sampling {
    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// Where a limit is 0, or β is not within 0 and 1.
    pub fn check(self) -> Result<()> {
        let wrong = |problem: String, hint: &str| Err(Error::Options { problem, hint: hint.into() });
        match self {
            Self::Cap(0) => wrong("a sampling cap of `0` leaves nothing to learn from".into(), "give at least 1"),
            Self::EffectiveNumber(beta) if !(beta > 0.0 && beta < 1.0) => wrong(
                format!("an effective number with β `{beta}` is not defined"),
                "β lies between 0 and 1, such as 0.999",
            ),
            _ => Ok(()),
        }
    }

    /// How often a class of `count` (> 0) examples counts for each of them, before all is scaled.
    fn raw_weight(self, count: usize) -> f64 {
        let n = count as f64;
        match self {
            Self::None | Self::Cap(_) => 1.0,
            Self::SquareRoot => n.sqrt().recip(),
            Self::Balanced => n.recip(),
            Self::EffectiveNumber(beta) => (1.0 - beta) / (1.0 - beta.powf(n)),
        }
    }
}

/// `examples` with the classes of the training split evened out, in their order.
#[must_use]
pub fn sample(examples: Vec<(Split, Example)>, sampling: Sampling, seed: u64) -> Vec<(Split, Example)> {
    match sampling {
        Sampling::None => examples,
        Sampling::Cap(most) => cap(examples, most, seed),
        weighing => weigh(examples, weighing),
    }
}

/// The label of a training example.
fn class_of((split, example): &(Split, Example)) -> Option<&str> {
    example.gold.as_deref().filter(|_| *split == Split::Train)
}

fn cap(examples: Vec<(Split, Example)>, most: usize, seed: u64) -> Vec<(Split, Example)> {
    let mut by_class: BTreeMap<&str, Vec<(f64, usize)>> = BTreeMap::new();
    for (at, one) in examples.iter().enumerate() {
        if let Some(class) = class_of(one) {
            by_class.entry(class).or_default().push((draw(seed, "cap", &one.1.id), at));
        }
    }
    let mut keep = vec![true; examples.len()];
    for mut drawn in by_class.into_values() {
        drawn.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        drawn.iter().skip(most).for_each(|&(_, at)| keep[at] = false);
    }
    examples.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect()
}

fn weigh(mut examples: Vec<(Split, Example)>, sampling: Sampling) -> Vec<(Split, Example)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    examples.iter().filter_map(class_of).for_each(|class| *counts.entry(class).or_default() += 1);
    let weights: BTreeMap<String, f64> =
        weights_of(&counts, sampling).into_iter().map(|(class, weight)| (class.to_owned(), weight)).collect();
    for one in &mut examples {
        if let Some(weight) = class_of(one).and_then(|class| weights.get(class).copied()) {
            one.1.weight *= weight;
        }
    }
    examples
}

/// The weight of each class of so many examples: the mean over all examples is 1, unless [`MAX_WEIGHT`] cuts some.
#[must_use]
pub fn weights_of<'a>(counts: &BTreeMap<&'a str, usize>, sampling: Sampling) -> BTreeMap<&'a str, f64> {
    let present = || counts.iter().filter(|(_, count)| **count > 0);
    let all: usize = present().map(|(_, count)| count).sum();
    let raw: f64 = present().map(|(_, count)| *count as f64 * sampling.raw_weight(*count)).sum();
    let scaled = |count: usize| (sampling.raw_weight(count) * all as f64 / raw).min(MAX_WEIGHT);
    present().map(|(class, count)| (*class, scaled(*count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::tests::example;
    use crate::mixture;
    use proptest::prelude::*;

    /// `n` training examples of each class, and one of the first in the test.
    fn examples(sizes: &[(&str, usize)]) -> Vec<(Split, Example)> {
        let of = |(class, n): &(&str, usize)| {
            let class = (*class).to_owned();
            (0..*n).map(move |at| (Split::Train, example(&format!("{class}-{at}"), "A hole.", &class)))
        };
        let mut all: Vec<_> = sizes.iter().flat_map(of).collect();
        all.push((Split::Test, example("test", "A hole.", sizes[0].0)));
        all
    }

    fn weight(examples: &[(Split, Example)], id: &str) -> f64 {
        examples.iter().find(|(_, one)| one.id == id).unwrap().1.weight
    }

    #[test]
    fn a_cap_keeps_so_many_of_each_class_and_a_lower_one_a_part_of_them() {
        let all = examples(&[("a", 100), ("b", 5)]);
        let ids = |most| -> Vec<String> {
            sample(all.clone(), Sampling::Cap(most), 1).into_iter().map(|(_, one)| one.id).collect()
        };
        assert_eq!((ids(20).len(), ids(4).len()), (20 + 5 + 1, 4 + 4 + 1));
        assert!(ids(4).iter().all(|id| ids(20).contains(id)));
        assert_ne!(
            ids(20),
            sample(all.clone(), Sampling::Cap(20), 2).into_iter().map(|(_, one)| one.id).collect::<Vec<_>>()
        );
        assert_eq!(sample(all.clone(), Sampling::None, 1), all);
    }

    #[test]
    fn weights_are_those_of_the_formulas_and_count_as_often_in_all() {
        // 81 and 9 examples: √81 + √9 = 12 of 90, so 90 / 12 / 9 and 90 / 12 / 3.
        let roots = sample(examples(&[("a", 81), ("b", 9)]), Sampling::SquareRoot, 1);
        assert!((weight(&roots, "a-0") - 90.0 / 108.0).abs() < 1e-12);
        assert!((weight(&roots, "b-0") - 2.5).abs() < 1e-12);
        assert_eq!(weight(&roots, "test"), 1.0);
        let even = sample(examples(&[("a", 81), ("b", 9)]), Sampling::Balanced, 1);
        assert!((weight(&even, "a-0") - 45.0 / 81.0).abs() < 1e-12 && (weight(&even, "b-0") - 5.0).abs() < 1e-12);
        // With β = 0.5 an example of a class of 1 counts 1, of a class of 2 it counts 0.5 / 0.75 = 2 / 3; together they
        // count 7 / 3, which 9 / 7 scales to 3.
        let weights = weights_of(&[("a", 1), ("b", 2)].into(), Sampling::EffectiveNumber(0.5));
        assert!((weights["a"] - 9.0 / 7.0).abs() < 1e-12 && (weights["b"] - 6.0 / 7.0).abs() < 1e-12, "{weights:?}");
        let rare = weights_of(&[("a", 100_000), ("b", 1)].into(), Sampling::Balanced);
        assert_eq!(rare["b"], MAX_WEIGHT);
    }

    #[test]
    fn even_classes_are_even_once_they_are_repeated() {
        let even = sample(examples(&[("a", 900), ("b", 100)]), Sampling::Balanced, 1);
        let train: Vec<Example> =
            even.into_iter().filter(|(split, _)| *split == Split::Train).map(|(_, one)| one).collect();
        let weighed = mixture::weigh(train, 1.0, 1);
        let share = weighed.iter().filter(|one| one.gold.as_deref() == Some("b")).count() as f64 / weighed.len() as f64;
        assert!((0.45..0.55).contains(&share), "{share}");
    }

    #[test]
    fn what_makes_no_sense_is_told_and_the_form_in_files_is_plain() {
        for wrong in [Sampling::Cap(0), Sampling::EffectiveNumber(1.0), Sampling::EffectiveNumber(f64::NAN)] {
            assert!(wrong.check().unwrap_err().to_string().contains("hint: "), "{wrong:?}");
        }
        for (one, json) in [
            (Sampling::None, "\"none\""),
            (Sampling::Cap(20), "{\"cap\":20}"),
            (Sampling::SquareRoot, "\"square_root\""),
            (Sampling::EffectiveNumber(0.99), "{\"effective_number\":0.99}"),
        ] {
            one.check().unwrap();
            assert_eq!(serde_json::to_string(&one).unwrap(), json);
            assert_eq!(serde_json::from_str::<Sampling>(json).unwrap(), one);
        }
    }

    proptest! {
        #[test]
        fn weights_are_finite_positive_and_favour_the_rare(left in 1usize..5000, right in 1usize..5000) {
            let counts: BTreeMap<&str, usize> = [("left", left), ("right", right)].into();
            for sampling in [Sampling::SquareRoot, Sampling::Balanced, Sampling::EffectiveNumber(0.999)] {
                let weights = weights_of(&counts, sampling);
                prop_assert!(weights.values().all(|weight| weight.is_finite() && *weight > 0.0));
                prop_assert!(left > right || weights["left"] >= weights["right"] - 1e-9);
            }
        }
    }
}
