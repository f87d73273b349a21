//! Scores of CVSS vectors, by the official formulas of the gold vector's version: whole vector, single metrics, severity
//! band, distance of the base scores. Base metrics only.

use wardsmith_records::record::{CvssVector, Severity};

use crate::metric::{Answer, HIGHER, Metric, RatioTally, Tally, vector};

/// A share of what is right in each answer; an unparseable answer has none of it.
pub struct VectorShare {
    name: &'static str,
    share: fn(&CvssVector, &CvssVector) -> f64,
}

/// All base metrics are right.
pub static EXACT: VectorShare =
    VectorShare { name: "cvss_exact", share: |gold, said| f64::from(u8::from(right(gold, said) == 1.0)) };
/// The share of the base metrics that is right.
pub static METRICS: VectorShare = VectorShare { name: "cvss_metrics", share: right };
/// The base scores fall into the same severity.
pub static BAND: VectorShare = VectorShare { name: "cvss_band", share: same_band };

fn right(gold: &CvssVector, said: &CvssVector) -> f64 {
    if said.version() != gold.version() {
        return 0.0;
    }
    let hits = gold.base_metrics().map(|(name, value)| f64::from(u8::from(said.value(name) == Some(value))));
    let (sum, all) = hits.fold((0.0, 0.0), |(sum, all), hit| (sum + hit, all + 1.0));
    sum / all
}

fn same_band(gold: &CvssVector, said: &CvssVector) -> f64 {
    let band = |of: &CvssVector| Severity::of(of.base_score(), gold.version());
    f64::from(u8::from(band(gold) == band(said)))
}

impl Metric for VectorShare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        HIGHER
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean_of_some(answers, |answer| {
            let gold = vector(&answer.gold)?;
            Some(answer.parsed.as_deref().and_then(vector).map_or(0.0, |said| (self.share)(&gold, &said)))
        })
    }
}

/// One base metric of the vector, over the answers whose gold vector has it.
pub struct VectorPart {
    name: &'static str,
    metric: &'static str,
}

/// A metric each of CVSS 3 and 4.
pub static PARTS: [VectorPart; 15] = [
    VectorPart { name: "cvss_av", metric: "AV" },
    VectorPart { name: "cvss_ac", metric: "AC" },
    VectorPart { name: "cvss_at", metric: "AT" },
    VectorPart { name: "cvss_pr", metric: "PR" },
    VectorPart { name: "cvss_ui", metric: "UI" },
    VectorPart { name: "cvss_s", metric: "S" },
    VectorPart { name: "cvss_c", metric: "C" },
    VectorPart { name: "cvss_i", metric: "I" },
    VectorPart { name: "cvss_a", metric: "A" },
    VectorPart { name: "cvss_vc", metric: "VC" },
    VectorPart { name: "cvss_vi", metric: "VI" },
    VectorPart { name: "cvss_va", metric: "VA" },
    VectorPart { name: "cvss_sc", metric: "SC" },
    VectorPart { name: "cvss_si", metric: "SI" },
    VectorPart { name: "cvss_sa", metric: "SA" },
];

impl Metric for VectorPart {
    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        "share"
    }

    fn higher_is_better(&self) -> bool {
        HIGHER
    }

    fn prepare(&self, answers: &[Answer]) -> Box<dyn Tally> {
        RatioTally::mean_of_some(answers, |answer| {
            let gold = vector(&answer.gold)?;
            let value = gold.value(self.metric)?;
            let said = answer.parsed.as_deref().and_then(vector);
            Some(f64::from(u8::from(said.is_some_and(|said| said.value(self.metric) == Some(value)))))
        })
    }
}

metric! {
    /// The mean distance of the base scores, in points. An unparseable answer is as far off as its gold score allows: left
    /// out, two readable answers of a thousand would stand for all.
    ScoreMad, "cvss_score_mad", "points", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let gold = vector(&answer.gold)?.base_score().to_f64();
        let said = answer.parsed.as_deref().and_then(vector).map(|said| said.base_score().to_f64());
        Some(said.map_or(gold.max(10.0 - gold), |said| (said - gold).abs()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answers;

    const GOLD: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"; // 9.8
    const NEAR: &str = "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"; // 8.4

    #[test]
    fn a_near_vector_earns_its_metrics_and_an_unreadable_one_is_as_far_as_can_be() {
        let given = answers(&[(GOLD, GOLD), (GOLD, NEAR), (GOLD, ""), (GOLD, "9.8")]);
        assert_eq!(EXACT.compute(&given, &[1; 4]), Some(0.25));
        assert_eq!(METRICS.compute(&given, &[1; 4]), Some((1.0 + 7.0 / 8.0) / 4.0));
        assert_eq!(BAND.compute(&given, &[0, 1, 0, 0]), Some(0.0));
        let mad = ScoreMad.compute(&given, &[1; 4]).unwrap();
        assert!((mad - (1.4 + 9.8 + 9.8) / 4.0).abs() < 1e-9, "{mad}");
        assert_eq!(PARTS[0].compute(&given, &[1, 1, 0, 0]), Some(0.5));
        assert_eq!(PARTS[2].compute(&given, &[1; 4]), None); // AT is a metric of version 4 alone
    }

    #[test]
    fn labels_and_texts_take_no_part() {
        let given = answers(&[("CWE-79", "CWE-79")]);
        assert_eq!((EXACT.compute(&given, &[1]), ScoreMad.compute(&given, &[1])), (None, None));
    }
}
