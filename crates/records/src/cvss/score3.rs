//! The equations of versions 3.0 and 3.1.
//!
//! Specifications: CVSS v3.0 and v3.1, sections 8.1 to 8.3 (3.1: 7.1 to 7.3, appendix A for the rounding). The versions
//! differ in two places: how they round up, and in the environmental impact where the scope changes.

use super::{CvssVector, CvssVersion, Score};

/// The metrics that the environmental equations look at in their modified form.
const BASE: [&str; 8] = ["AV", "AC", "PR", "UI", "S", "C", "I", "A"];
/// The modified form of each of [`BASE`].
const MODIFIED: [&str; 8] = ["MAV", "MAC", "MPR", "MUI", "MS", "MC", "MI", "MA"];

/// More than what floating point adds to an exact tenth, less than what the weights can add.
const NOISE_TENTHS: f64 = 1e-11;

/// The base score.
pub(super) fn base(vector: &CvssVector) -> Score {
    let factors = Factors::read(vector, BASE);
    let iss = 1.0 - factors.impacts.map(|impact| 1.0 - impact).iter().product::<f64>();
    let impact = if factors.changed { changed_impact(iss) } else { 6.42 * iss };
    round_up(factors.combine(impact), vector.version())
}

/// The base score, lowered by what is known of exploits and remedies.
pub(super) fn temporal(vector: &CvssVector) -> Score {
    round_up(base(vector).to_f64() * temporal_factor(vector), vector.version())
}

/// The base equations on modified metrics, with the impact weighed by the requirements.
pub(super) fn environmental(vector: &CvssVector) -> Score {
    let version = vector.version();
    let factors = Factors::read(vector, MODIFIED);
    let weigh = |name| vector.weight(name, &[("L", 0.5), ("M", 1.0), ("H", 1.5)], 1.0);
    let [c, i, a] = factors.impacts;
    let miss = 1.0 - (1.0 - c * weigh("CR")) * (1.0 - i * weigh("IR")) * (1.0 - a * weigh("AR"));
    let miss = miss.min(0.915);
    let impact = match version {
        _ if !factors.changed => 6.42 * miss,
        CvssVersion::V3_0 => changed_impact(miss),
        _ => 7.52 * (miss - 0.029) - 3.25 * power(miss * 0.9731 - 0.02, 13),
    };
    round_up(round_up(factors.combine(impact), version).to_f64() * temporal_factor(vector), version)
}

/// The impact beyond the scope of what is vulnerable.
fn changed_impact(iss: f64) -> f64 {
    7.52 * (iss - 0.029) - 3.25 * power(iss - 0.02, 15)
}

/// What the equations take from the base metrics, or from their modified forms.
struct Factors {
    exploitability: f64,
    /// Confidentiality, integrity, availability.
    impacts: [f64; 3],
    /// Whether the scope changes.
    changed: bool,
}

impl Factors {
    /// Reads the metrics called `names`; where one of them is not defined, that of [`BASE`] in its place.
    fn read(vector: &CvssVector, names: [&str; 8]) -> Self {
        let weight = |at: usize, weights: &[(&str, f64)]| {
            vector.weight(names[at], weights, vector.weight(BASE[at], weights, 0.0))
        };
        let changed = vector.defined(names[4]).or_else(|| vector.defined("S")) == Some("C");
        let privileges = if changed { [0.85, 0.68, 0.5] } else { [0.85, 0.62, 0.27] };
        let privileges = [("N", privileges[0]), ("L", privileges[1]), ("H", privileges[2])];
        let exploitability = 8.22
            * weight(0, &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])
            * weight(1, &[("L", 0.77), ("H", 0.44)])
            * weight(2, &privileges)
            * weight(3, &[("N", 0.85), ("R", 0.62)]);
        let impacts = [5, 6, 7].map(|at| weight(at, &[("N", 0.0), ("L", 0.22), ("H", 0.56)]));
        Self { exploitability, impacts, changed }
    }

    /// Impact and exploitability together, not yet rounded.
    fn combine(&self, impact: f64) -> f64 {
        if impact <= 0.0 {
            return 0.0;
        }
        let factor = if self.changed { 1.08 } else { 1.0 };
        (factor * (impact + self.exploitability)).min(10.0)
    }
}

fn temporal_factor(vector: &CvssVector) -> f64 {
    vector.weight("E", &[("U", 0.91), ("P", 0.94), ("F", 0.97), ("H", 1.0)], 1.0)
        * vector.weight("RL", &[("O", 0.95), ("T", 0.96), ("W", 0.97), ("U", 1.0)], 1.0)
        * vector.weight("RC", &[("U", 0.92), ("R", 0.96), ("C", 1.0)], 1.0)
}

/// The smallest score that is not below `number`. Version 3.0 says no more than that; version 3.1 first rounds to five
/// decimals, so that 4.000002 is 4.0 and not 4.1.
fn round_up(number: f64, version: CvssVersion) -> Score {
    let tenths = number * 10.0;
    let tenths = match version {
        CvssVersion::V3_0 => (tenths - NOISE_TENTHS).ceil(),
        _ => ((number * 100_000.0).round() / 10_000.0).ceil(),
    };
    Score::nearest(tenths)
}

/// By multiplication, so that every machine has the same last bit.
fn power(base: f64, exponent: usize) -> f64 {
    std::iter::repeat_n(base, exponent).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documents "CVSS v3.0 Examples" and "CVSS v3.1 Examples": base vectors that have one score in both versions.
    const EXAMPLES: &[(&str, &str)] = &[
        ("AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "6.1"),
        ("AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", "6.4"),
        ("AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", "3.1"),
        ("AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", "9.9"),
        ("AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", "4.2"),
        ("AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", "8.8"),
        ("AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", "7.8"),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "7.5"),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "9.8"),
        ("AV:N/AC:H/PR:N/UI:N/S:C/C:N/I:H/A:N", "6.8"),
        ("AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "6.8"),
        ("AV:N/AC:L/PR:N/UI:N/S:C/C:L/I:N/A:N", "5.8"),
        ("AV:A/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:H", "9.3"),
        ("AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "8.8"),
        ("AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N", "7.4"),
    ];

    #[test]
    fn the_examples_of_both_documents() {
        for (text, want) in EXAMPLES {
            for version in ["3.0", "3.1"] {
                let vector = format!("CVSS:{version}/{text}").parse().unwrap();
                assert_eq!(base(&vector).to_string(), *want, "{vector}");
                assert_eq!(temporal(&vector), base(&vector));
            }
        }
    }

    #[test]
    fn without_impact_there_is_no_score() {
        for scope in ["U", "C"] {
            let vector = format!("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:{scope}/C:N/I:N/A:N/CR:H").parse().unwrap();
            assert_eq!((base(&vector), environmental(&vector)), (Score::ZERO, Score::ZERO));
        }
    }

    #[test]
    fn version_3_1_forgives_what_lies_behind_the_fifth_decimal() {
        let both = |number| [CvssVersion::V3_0, CvssVersion::V3_1].map(|version| round_up(number, version).tenths());
        assert_eq!(both(4.0), [40, 40]);
        assert_eq!(both(4.02), [41, 41]);
        assert_eq!(both(4.000_002), [41, 40]);
        assert_eq!(both(8.6 * 0.97 * 0.95), [80, 80]);
        assert_eq!(both(0.1 + 0.2), [3, 3], "noise of floating point is no reason to round up");
    }

    #[test]
    fn a_changed_scope_has_another_environmental_equation_since_version_3_1() {
        let score = |version: &str| {
            let text = format!("CVSS:{version}/AV:N/AC:H/PR:L/UI:R/S:C/C:H/I:H/A:H/CR:H/IR:H/AR:H");
            environmental(&text.parse().unwrap()).to_string()
        };
        assert_eq!((score("3.0").as_str(), score("3.1").as_str()), ("8.0", "8.1"));
    }

    /// What the other environmental equation of version 3.1 mends.
    #[test]
    fn a_higher_impact_can_lower_an_environmental_score_of_version_3_0() {
        let score = |version: &str, c: &str| {
            let base = format!("CVSS:{version}/AV:P/AC:H/PR:H/UI:R/S:C/C:{c}/I:L/A:H");
            environmental(&format!("{base}/CR:L/IR:H/AR:H").parse().unwrap()).to_string()
        };
        assert_eq!([score("3.0", "N"), score("3.0", "L")], ["6.9", "6.8"]);
        assert!(score("3.1", "N") <= score("3.1", "L"));
    }

    /// Every base vector, each with one of four environments.
    #[test]
    fn a_higher_impact_never_lowers_a_score_of_version_3_1() {
        let lists = ["NALP", "LH", "NLH", "NR", "UC", "NLH", "NLH", "NLH"];
        let all = lists.iter().map(|list| list.len()).product::<usize>();
        for number in 0..all {
            let mut rest = number;
            let values = lists.map(|list| {
                let at = rest % list.len();
                rest /= list.len();
                &list[at..=at]
            });
            let text = |values: [&str; 8], environment: &str| {
                let parts: Vec<String> =
                    BASE.iter().zip(values).map(|(name, value)| format!("{name}:{value}")).collect();
                format!("CVSS:3.1/{}{environment}", parts.join("/")).parse::<CvssVector>().unwrap()
            };
            let environment = ["", "/CR:H/IR:L/E:P", "/IR:H/AR:M", "/CR:H/IR:H/AR:H"][number / 7 % 4];
            let score = text(values, environment).score();
            for at in 5..8 {
                let mut raised = values;
                raised[at] = if values[at] == "N" { "L" } else { "H" };
                let raised = text(raised, environment);
                assert!(raised.score() >= score, "{raised}");
            }
        }
    }
}
