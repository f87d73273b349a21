//! What the equations of every version end on: a score from 0.0 to 10.0, and the word for it.

use std::fmt;
use std::str::FromStr;

use super::CvssVersion;

/// A score from 0.0 to 10.0. It is kept in tenths, so that two scores are equal exactly where they look equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(u8);

impl Score {
    /// 0.0.
    pub const ZERO: Self = Self(0);
    /// 10.0.
    pub const MAX: Self = Self(100);

    /// A score of so many tenths, where there are at most 100.
    #[must_use]
    pub fn from_tenths(tenths: u8) -> Option<Self> {
        (tenths <= Self::MAX.0).then_some(Self(tenths))
    }

    /// 98 for 9.8.
    #[must_use]
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// The number as it is read, 9.8.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// The nearest score to a number of tenths; what lies outside of 0.0 to 10.0 becomes the nearer end.
    pub(super) fn nearest(tenths: f64) -> Self {
        Self(tenths.round().clamp(0.0, 100.0) as u8)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The word for a score: FIRST's qualitative scale, for version 2 NVD's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 0.0; not used by version 2.
    None,
    /// 0.1 to 3.9; version 2 from 0.0.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9; version 2 to 10.0.
    High,
    /// 9.0 to 10.0; not used by version 2.
    Critical,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The band of `version` in which `score` lies.
    #[must_use]
    pub fn of(score: Score, version: CvssVersion) -> Self {
        let is_v2 = version == CvssVersion::V2;
        match score.tenths() {
            0 if !is_v2 => Self::None,
            0..40 => Self::Low,
            40..70 => Self::Medium,
            90.. if !is_v2 => Self::Critical,
            _ => Self::High,
        }
    }

    /// Its name as the specification writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// A word that names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no severity\nhint: it is one of none, low, medium, high, critical")]
pub struct SeverityError(String);

impl FromStr for Severity {
    type Err = SeverityError;

    /// Reads the name in any case, as feeds write it.
    fn from_str(text: &str) -> Result<Self, SeverityError> {
        let found = Self::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| SeverityError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_shown_with_one_decimal_and_never_above_10() {
        assert_eq!(Score::from_tenths(98).unwrap().to_string(), "9.8");
        assert_eq!(Score::ZERO.to_string(), "0.0");
        assert_eq!(Score::MAX.to_string(), "10.0");
        assert_eq!(Score::from_tenths(101), None);
        assert_eq!(Score::from_tenths(73).unwrap().to_f64(), 7.3);
        assert_eq!([-3.0, 104.0, 68.6, f64::NAN].map(|tenths| Score::nearest(tenths).tenths()), [0, 100, 69, 0]);
    }

    #[test]
    fn the_bands_of_version_2_have_neither_none_nor_critical() {
        let band = |tenths, version| Severity::of(Score::from_tenths(tenths).unwrap(), version);
        for (tenths, v2, v3) in [
            (0, Severity::Low, Severity::None),
            (1, Severity::Low, Severity::Low),
            (39, Severity::Low, Severity::Low),
            (40, Severity::Medium, Severity::Medium),
            (69, Severity::Medium, Severity::Medium),
            (70, Severity::High, Severity::High),
            (89, Severity::High, Severity::High),
            (90, Severity::High, Severity::Critical),
            (100, Severity::High, Severity::Critical),
        ] {
            assert_eq!(band(tenths, CvssVersion::V2), v2, "{tenths}");
            for version in [CvssVersion::V3_0, CvssVersion::V3_1, CvssVersion::V4_0] {
                assert_eq!(band(tenths, version), v3, "{tenths}");
            }
        }
    }

    #[test]
    fn severities_are_read_in_any_case() {
        for severity in Severity::ALL {
            assert_eq!(severity.to_string().to_uppercase().parse(), Ok(severity));
        }
        assert!("urgent".parse::<Severity>().unwrap_err().to_string().contains("`urgent`"));
        assert!(Severity::ALL.is_sorted());
    }
}
