//! The equations of version 2.
//!
//! Specification: "A Complete Guide to the Common Vulnerability Scoring System Version 2.0", section 3.2. The names
//! below are the guide's. It rounds to one decimal three times on the way, half up. Only what comes out in the end is kept
//! from falling below 0; the guide's equations do so for small impacts of low requirements.

use super::{CvssVector, Score};

/// More than what floating point adds to an exact half, less than what the weights can add.
const NOISE: f64 = 1e-9;

/// Section 3.2.1.
pub(super) fn base(vector: &CvssVector) -> Score {
    Score::nearest(10.0 * base_equation(vector, impact(vector)))
}

/// Section 3.2.2.
pub(super) fn temporal(vector: &CvssVector) -> Score {
    Score::nearest(10.0 * temporal_equation(vector, base_equation(vector, impact(vector))))
}

/// Section 3.2.3: the temporal equation on a base whose impact is weighed by the requirements, then the damage and the
/// share of targets.
pub(super) fn environmental(vector: &CvssVector) -> Score {
    let adjusted_temporal = temporal_equation(vector, base_equation(vector, adjusted_impact(vector)));
    let damage = [("N", 0.0), ("L", 0.1), ("LM", 0.3), ("MH", 0.4), ("H", 0.5)];
    let damage = vector.weight("CDP", &damage, 0.0);
    let targets = vector.weight("TD", &[("N", 0.0), ("L", 0.25), ("M", 0.75), ("H", 1.0)], 1.0);
    Score::nearest(10.0 * rounded((adjusted_temporal + (10.0 - adjusted_temporal) * damage) * targets))
}

fn base_equation(vector: &CvssVector, impact: f64) -> f64 {
    if impact == 0.0 {
        return 0.0;
    }
    rounded((0.6 * impact + 0.4 * exploitability(vector) - 1.5) * 1.176)
}

fn temporal_equation(vector: &CvssVector, base: f64) -> f64 {
    let exploit = vector.weight("E", &[("U", 0.85), ("POC", 0.9), ("F", 0.95), ("H", 1.0)], 1.0);
    let remediation = vector.weight("RL", &[("OF", 0.87), ("TF", 0.9), ("W", 0.95), ("U", 1.0)], 1.0);
    let confidence = vector.weight("RC", &[("UC", 0.9), ("UR", 0.95), ("C", 1.0)], 1.0);
    rounded(base * exploit * remediation * confidence)
}

fn exploitability(vector: &CvssVector) -> f64 {
    let access = vector.weight("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)], 1.0);
    let complexity = vector.weight("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)], 1.0);
    let authentication = vector.weight("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)], 1.0);
    20.0 * access * complexity * authentication
}

fn impact(vector: &CvssVector) -> f64 {
    10.41 * (1.0 - impacts(vector).map(|impact| 1.0 - impact).iter().product::<f64>())
}

fn adjusted_impact(vector: &CvssVector) -> f64 {
    let weigh = |name| vector.weight(name, &[("L", 0.5), ("M", 1.0), ("H", 1.51)], 1.0);
    let [c, i, a] = impacts(vector);
    (10.41 * (1.0 - (1.0 - c * weigh("CR")) * (1.0 - i * weigh("IR")) * (1.0 - a * weigh("AR")))).min(10.0)
}

fn impacts(vector: &CvssVector) -> [f64; 3] {
    ["C", "I", "A"].map(|name| vector.weight(name, &[("N", 0.0), ("P", 0.275), ("C", 0.66)], 0.0))
}

/// `number` to one decimal, half up.
fn rounded(number: f64) -> f64 {
    (number * 10.0 + 0.5 + NOISE).floor() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 3.3 of the guide: three CVEs with all their metrics.
    #[test]
    fn the_examples_of_the_guide() {
        for (text, want) in [
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C/E:F/RL:OF/RC:C/CDP:H/TD:H/CR:M/IR:M/AR:H", ["7.8", "6.4", "9.2"]),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C/E:F/RL:OF/RC:C/CDP:H/TD:H/CR:M/IR:M/AR:L", ["10.0", "8.3", "9.0"]),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C/E:POC/RL:OF/RC:C/CDP:H/TD:H/CR:M/IR:M/AR:M", ["6.2", "4.9", "7.5"]),
        ] {
            let vector: CvssVector = text.parse().unwrap();
            let scores = [base(&vector), temporal(&vector), environmental(&vector)];
            assert_eq!(scores.map(|score| score.to_string()), want, "{text}");
        }
    }

    #[test]
    fn what_has_no_targets_or_no_impact_is_0() {
        for text in ["AV:N/AC:L/Au:N/C:C/I:C/A:C/TD:N", "AV:N/AC:L/Au:N/C:N/I:N/A:N/CR:H"] {
            assert_eq!(environmental(&text.parse().unwrap()), Score::ZERO, "{text}");
        }
    }

    #[test]
    fn an_equation_that_falls_below_0_ends_at_0() {
        let vector = "AV:L/AC:H/Au:M/C:P/I:N/A:N/CR:L".parse().unwrap();
        assert!(base_equation(&vector, adjusted_impact(&vector)) < 0.0);
        assert_eq!(environmental(&vector), Score::ZERO);
    }
}
