//! The score of version 4: a macro-vector's score, less how far the vector lies below the worst of its macro-vector.
//!
//! Specification: CVSS v4.0, section 8. Six equivalence classes (EQ1 to EQ6; EQ3 and EQ6 are looked at as one) put a
//! vector into one of the macro-vectors of [`MACRO_SCORES`]. In each class the vector lies so many steps below the
//! class's most severe vectors, of as many as the class is deep; that share of the distance to the next lower
//! macro-vector's score is taken, and the mean over the classes that have a lower one goes off the score.
//!
//! The specification lists several most severe vectors of some classes and looks for one that is at least as severe as
//! the vector. In every class they all have the same number of steps, so the distance is a difference of two sums; a
//! test goes through the list. The sums are whole numbers, so that an exact half is one, and goes up. Calculators that
//! reckon in floating point without a correction for it (FIRST's until late in 2024) show a tenth less for some vectors.

use super::macro_scores::MACRO_SCORES;
use super::{CvssVector, Score};

/// Base metrics in the order in which the classes ask for them.
const BASE: [&str; 11] = ["AV", "PR", "UI", "AC", "AT", "VC", "VI", "VA", "SC", "SI", "SA"];
/// The modified form of each of [`BASE`].
const MODIFIED: [&str; 11] = ["MAV", "MPR", "MUI", "MAC", "MAT", "MVC", "MVI", "MVA", "MSC", "MSI", "MSA"];
/// The values of each of [`BASE`] from the most severe down; one is one step from the next. Safety (`S`) is a value of
/// `MSI` and `MSA` only, but the steps of `SC` are counted from the same height.
const VALUES: [&str; 11] = ["NALP", "NLH", "NPA", "LH", "NP", "HLN", "HLN", "HLN", "SHLN", "SHLN", "SHLN"];

/// Steps of a class's most severe vectors by level (section 8.2, tables 24 to 29), and how many steps deep the level is.
const EQ1: [(u32, u32); 3] = [(0, 1), (1, 4), (3, 5)];
/// As [`EQ1`].
const EQ2: [(u32, u32); 2] = [(0, 1), (1, 2)];
/// As [`EQ1`], by the number of [`Steps::eq3_and_eq6`].
const EQ3_AND_EQ6: [(u32, u32); 5] = [(0, 7), (3, 6), (1, 8), (3, 8), (3, 10)];
/// As [`EQ1`].
const EQ4: [(u32, u32); 3] = [(1, 6), (3, 5), (6, 4)];
/// A multiple of every depth above.
const COMMON_DEPTH: i64 = 840;

/// Which metrics count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    /// CVSS-B.
    Base,
    /// CVSS-BT.
    Threat,
    /// CVSS-BTE.
    All,
}

/// The score of what the vector states in `groups`.
pub(super) fn score(vector: &CvssVector, groups: Groups) -> Score {
    Steps::read(vector, groups).score()
}

fn sum(steps: [u32; 3]) -> u32 {
    steps.iter().sum()
}

/// How many steps each metric lies below its most severe value.
#[derive(Debug, Clone, Copy)]
struct Steps {
    reach: u32,
    privileges: u32,
    interaction: u32,
    complexity: u32,
    attack_requirements: u32,
    /// Confidentiality, integrity, availability of the vulnerable system.
    vulnerable: [u32; 3],
    /// The same of subsequent systems, where 0 is safety.
    subsequent: [u32; 3],
    /// The requirements for the three.
    needs: [u32; 3],
    /// Exploit maturity.
    maturity: u32,
}

impl Steps {
    fn read(vector: &CvssVector, groups: Groups) -> Self {
        let environment = groups == Groups::All;
        let names = if environment { MODIFIED } else { BASE };
        let base = |at: usize| step(vector.defined(names[at]).or_else(|| vector.defined(BASE[at])), VALUES[at]);
        let need = |name: &str| step(vector.defined(name).filter(|_| environment), "HML");
        Self {
            reach: base(0),
            privileges: base(1),
            interaction: base(2),
            complexity: base(3),
            attack_requirements: base(4),
            vulnerable: [5, 6, 7].map(base),
            subsequent: [8, 9, 10].map(base),
            needs: ["CR", "IR", "AR"].map(need),
            maturity: step(vector.defined("E").filter(|_| groups != Groups::Base), "APU"),
        }
    }

    fn score(&self) -> Score {
        if self.vulnerable == [2; 3] && self.subsequent == [3; 3] {
            return Score::ZERO;
        }
        let levels = self.levels();
        let own = levels.score();
        let classes = [
            (levels.lower(Class::Eq1), self.reach + self.privileges + self.interaction, EQ1[levels.eq1]),
            (levels.lower(Class::Eq2), self.complexity + self.attack_requirements, EQ2[levels.eq2]),
            (levels.lower(Class::Eq3AndEq6), sum(self.vulnerable) + sum(self.needs), EQ3_AND_EQ6[levels.eq3_and_eq6]),
            (levels.lower(Class::Eq4), sum(self.subsequent), EQ4[levels.eq4]),
            // A level of EQ5 is one value, so nothing lies below its most severe vector; but it counts in the mean.
            (levels.lower(Class::Eq5), 0, (0, 1)),
        ];
        let (mut distance, mut count) = (0, 0);
        for (lower, steps, (top, depth)) in classes {
            if let Some(lower) = lower {
                distance += (own - lower) * (i64::from(steps) - i64::from(top)) * (COMMON_DEPTH / i64::from(depth));
                count += 1;
            }
        }
        // own - distance / (COMMON_DEPTH * count), to the nearest tenth, half up.
        let divisor = COMMON_DEPTH * count.max(1);
        let tenths = (2 * (own * divisor - distance) + divisor).div_euclid(2 * divisor).clamp(0, 100);
        Score::from_tenths(u8::try_from(tenths).unwrap_or_default()).unwrap_or_default()
    }

    fn levels(&self) -> Levels {
        let none_is_worst = self.reach > 0 && self.privileges > 0 && self.interaction > 0;
        let eq1 = match self.reach + self.privileges + self.interaction {
            0 => 0,
            _ if self.reach == 3 || none_is_worst => 2,
            _ => 1,
        };
        let eq4 = match self.subsequent {
            // `SC` is never 0.
            [_, integrity, availability] if integrity == 0 || availability == 0 => 0,
            impacts if impacts.contains(&1) => 1,
            _ => 2,
        };
        Levels {
            eq1,
            eq2: usize::from(self.complexity + self.attack_requirements > 0),
            eq3_and_eq6: self.eq3_and_eq6(),
            eq4,
            eq5: self.maturity as usize,
        }
    }

    /// Levels of EQ3 and EQ6 as one number: 00, 01, 10, 11 and 21.
    fn eq3_and_eq6(&self) -> usize {
        let high_and_needed = self.vulnerable.iter().zip(self.needs).any(|(impact, need)| *impact == 0 && need == 0);
        let eq6 = usize::from(!high_and_needed);
        match self.vulnerable {
            [0, 0, _] => eq6,
            impacts if impacts.contains(&0) => 2 + eq6,
            _ => 4,
        }
    }
}

/// The place of `value` in `values`; the most severe one where nothing is defined.
fn step(value: Option<&str>, values: &str) -> u32 {
    let place = value.and_then(|value| values.find(value)).unwrap_or(0);
    u32::try_from(place).unwrap_or_default()
}

/// A macro-vector.
#[derive(Debug, Clone, Copy)]
struct Levels {
    eq1: usize,
    eq2: usize,
    eq3_and_eq6: usize,
    eq4: usize,
    eq5: usize,
}

/// What of a macro-vector is lowered.
#[derive(Debug, Clone, Copy)]
enum Class {
    Eq1,
    Eq2,
    Eq3AndEq6,
    Eq4,
    Eq5,
}

impl Levels {
    /// Its score in tenths.
    fn score(self) -> i64 {
        i64::from(MACRO_SCORES[(self.eq1 * 2 + self.eq2) * 5 + self.eq3_and_eq6][self.eq4 * 3 + self.eq5])
    }

    /// The score of the macro-vector that lies one level lower in `class`; none where there is none.
    fn lower(self, class: Class) -> Option<i64> {
        let lower = match class {
            Class::Eq1 if self.eq1 < 2 => Self { eq1: self.eq1 + 1, ..self },
            Class::Eq2 if self.eq2 < 1 => Self { eq2: 1, ..self },
            Class::Eq4 if self.eq4 < 2 => Self { eq4: self.eq4 + 1, ..self },
            Class::Eq5 if self.eq5 < 2 => Self { eq5: self.eq5 + 1, ..self },
            Class::Eq3AndEq6 => return self.lower_eq3_and_eq6(),
            _ => return None,
        };
        Some(lower.score())
    }

    /// Two ways lead down from 00, of which the nearer counts; one way from all others but the last.
    fn lower_eq3_and_eq6(self) -> Option<i64> {
        let at = |eq3_and_eq6| Self { eq3_and_eq6, ..self }.score();
        match self.eq3_and_eq6 {
            0 => Some(at(1).max(at(2))),
            1 | 2 => Some(at(3)),
            3 => Some(at(4)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many values each metric has, in the order of [`of_places`].
    const COUNTS: [u32; 15] = [4, 3, 3, 2, 2, 3, 3, 3, 3, 4, 4, 3, 3, 3, 3];

    /// Steps from the place of each metric's value; `SC` has no safety, so that it begins a step further down.
    fn of_places(at: [u32; 15]) -> Steps {
        Steps {
            reach: at[0],
            privileges: at[1],
            interaction: at[2],
            complexity: at[3],
            attack_requirements: at[4],
            vulnerable: [at[5], at[6], at[7]],
            subsequent: [at[8] + 1, at[9], at[10]],
            needs: [at[11], at[12], at[13]],
            maturity: at[14],
        }
    }

    /// The document "CVSS v4.0 Examples".
    #[test]
    fn the_examples_of_the_document() {
        for (text, want) in [
            ("AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "7.3"),
            ("AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "7.7"),
            ("AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/E:U", "5.2"),
            ("AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N", "8.3"),
            ("AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N/CR:H/IR:L/AR:L", "8.1"),
            ("AV:L/AC:L/AT:N/PR:N/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", "4.6"),
            ("AV:N/AC:L/AT:N/PR:N/UI:A/VC:N/VI:N/VA:N/SC:L/SI:L/SA:N", "5.1"),
            ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N", "6.9"),
            ("AV:L/AC:L/AT:N/PR:H/UI:N/VC:N/VI:N/VA:N/SC:H/SI:N/SA:N", "5.9"),
            ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H/E:A", "10.0"),
            ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N/E:A", "8.7"),
            ("AV:A/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:H/SI:N/SA:H", "6.4"),
        ] {
            let vector = format!("CVSS:4.0/{text}").parse().unwrap();
            assert_eq!(score(&vector, Groups::All).to_string(), want, "{text}");
        }
    }

    /// Vectors by which floating point was found out, in the issues of Red Hat's calculator (number 48 and 66) and of
    /// its library (number 63).
    #[test]
    fn an_exact_half_goes_up() {
        for (text, want) in [
            ("AV:N/AC:L/AT:P/PR:L/UI:A/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N/E:U", "0.4"),
            ("AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:H/VA:N/SC:H/SI:H/SA:H/E:P", "9.0"),
            ("AV:N/AC:L/AT:N/PR:N/UI:P/VC:H/VI:L/VA:N/SC:H/SI:H/SA:H", "8.6"),
            (
                "AV:L/AC:H/AT:N/PR:N/UI:N/VC:L/VI:H/VA:L/SC:N/SI:N/SA:H/MAV:A/MAC:L/MAT:N/MPR:N/MUI:N/MVC:H/MVI:N/\
                 MVA:H/MSC:H/MSI:H/MSA:H/CR:H/IR:M/AR:H/E:A",
                "8.6",
            ),
        ] {
            let vector = format!("CVSS:4.0/{text}").parse().unwrap();
            assert_eq!(score(&vector, Groups::All).to_string(), want, "{text}");
        }
    }

    #[test]
    fn every_lower_macro_vector_has_a_score_that_is_not_higher() {
        for number in 0..270 {
            let (row, column) = (number / 9, number % 9);
            let levels =
                Levels { eq1: row / 10, eq2: row / 5 % 2, eq3_and_eq6: row % 5, eq4: column / 3, eq5: column % 3 };
            for class in [Class::Eq1, Class::Eq2, Class::Eq3AndEq6, Class::Eq4, Class::Eq5] {
                assert!(levels.lower(class).is_none_or(|lower| lower <= levels.score()), "{levels:?} {class:?}");
            }
        }
    }

    /// Section 8.2: the most severe vectors of each class by level.
    const MOST_SEVERE: &[(Class, usize, &[&str])] = &[
        (Class::Eq1, 0, &["AV:N/PR:N/UI:N"]),
        (Class::Eq1, 1, &["AV:A/PR:N/UI:N", "AV:N/PR:L/UI:N", "AV:N/PR:N/UI:P"]),
        (Class::Eq1, 2, &["AV:P/PR:N/UI:N", "AV:A/PR:L/UI:P"]),
        (Class::Eq2, 0, &["AC:L/AT:N"]),
        (Class::Eq2, 1, &["AC:H/AT:N", "AC:L/AT:P"]),
        (Class::Eq3AndEq6, 0, &["VC:H/VI:H/VA:H/CR:H/IR:H/AR:H"]),
        (Class::Eq3AndEq6, 1, &["VC:H/VI:H/VA:L/CR:M/IR:M/AR:H", "VC:H/VI:H/VA:H/CR:M/IR:M/AR:M"]),
        (Class::Eq3AndEq6, 2, &["VC:L/VI:H/VA:H/CR:H/IR:H/AR:H", "VC:H/VI:L/VA:H/CR:H/IR:H/AR:H"]),
        (
            Class::Eq3AndEq6,
            3,
            &[
                "VC:L/VI:H/VA:L/CR:H/IR:M/AR:H",
                "VC:L/VI:H/VA:H/CR:H/IR:M/AR:M",
                "VC:H/VI:L/VA:H/CR:M/IR:H/AR:M",
                "VC:H/VI:L/VA:L/CR:M/IR:H/AR:H",
                "VC:L/VI:L/VA:H/CR:H/IR:H/AR:M",
            ],
        ),
        (Class::Eq3AndEq6, 4, &["VC:L/VI:L/VA:L/CR:H/IR:H/AR:H"]),
        (Class::Eq4, 0, &["SC:H/SI:S/SA:S"]),
        (Class::Eq4, 1, &["SC:H/SI:H/SA:H"]),
        (Class::Eq4, 2, &["SC:L/SI:L/SA:L"]),
    ];

    /// The metrics of `text` as steps.
    fn steps_of(text: &str) -> Vec<u32> {
        let values = |name: &str| match BASE.iter().position(|known| *known == name) {
            Some(at) => VALUES[at],
            None => "HML",
        };
        let parts = text.split('/').map(|part| part.split_once(':').unwrap());
        parts.map(|(name, value)| step(Some(value), values(name))).collect()
    }

    #[test]
    fn all_most_severe_vectors_of_a_level_have_as_many_steps_as_the_table_says() {
        for (class, level, vectors) in MOST_SEVERE {
            let (top, _) = match class {
                Class::Eq1 => EQ1[*level],
                Class::Eq2 => EQ2[*level],
                Class::Eq3AndEq6 => EQ3_AND_EQ6[*level],
                _ => EQ4[*level],
            };
            for vector in *vectors {
                assert_eq!(steps_of(vector).iter().sum::<u32>(), top, "{vector}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_vector_has_a_most_severe_vector_above_it(picks in proptest::array::uniform15(0u32..12)) {
            let mut places = picks;
            places.iter_mut().zip(COUNTS).for_each(|(place, count)| *place %= count);
            let steps = of_places(places);
            let levels = steps.levels();
            for (class, level, vectors) in MOST_SEVERE {
                let (own_level, own) = match class {
                    Class::Eq1 => (levels.eq1, vec![steps.reach, steps.privileges, steps.interaction]),
                    Class::Eq2 => (levels.eq2, vec![steps.complexity, steps.attack_requirements]),
                    Class::Eq3AndEq6 => (levels.eq3_and_eq6, [steps.vulnerable, steps.needs].concat()),
                    _ => (levels.eq4, steps.subsequent.to_vec()),
                };
                let above = |vector: &&str| steps_of(vector).iter().zip(&own).all(|(top, own)| top <= own);
                prop_assert!(own_level != *level || vectors.iter().any(above), "{:?} {}", class, level);
            }
        }
    }

    /// It holds for each of the 15,116,544 vectors of base, threat and environmental metrics, which were gone through
    /// once; here for some. The stride is prime to every count of values, so that every value occurs with others.
    #[test]
    fn a_more_severe_value_of_any_metric_never_lowers_the_score() {
        let all: u32 = COUNTS.iter().product();
        assert_eq!(all, 15_116_544);
        for number in (0..all).step_by(211) {
            let mut rest = number;
            let places = COUNTS.map(|count| {
                let place = rest % count;
                rest /= count;
                place
            });
            let own = of_places(places).score();
            for metric in 0..COUNTS.len() {
                let mut raised = places;
                raised[metric] = raised[metric].saturating_sub(1);
                assert!(of_places(raised).score() >= own, "metric {metric} of {places:?}");
            }
        }
    }
}
