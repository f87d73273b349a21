//! A CVSS vector: a text that its specification allows, kept as it was written.
//!
//! Specifications: FIRST's CVSS v2.0, v3.0, v3.1 and v4.0. Checked are names, values, repetition and that every base
//! metric is there; the order is free, as real feeds vary it. Scores are not computed here.

use std::fmt;
use std::str::FromStr;

/// Which CVSS specification a vector follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CvssVersion {
    /// CVSS 2.0, vectors without a prefix.
    V2,
    /// CVSS 3.0.
    V3_0,
    /// CVSS 3.1.
    V3_1,
    /// CVSS 4.0.
    V4_0,
}

impl CvssVersion {
    /// The prefix of its vectors.
    fn prefix(self) -> &'static str {
        match self {
            Self::V2 => "",
            Self::V3_0 => "CVSS:3.0/",
            Self::V3_1 => "CVSS:3.1/",
            Self::V4_0 => "CVSS:4.0/",
        }
    }

    /// Its metrics: name, values, and how many of them (from the front) every vector must have.
    fn metrics(self) -> (&'static [(&'static str, &'static str)], usize) {
        match self {
            Self::V2 => (V2, 6),
            Self::V3_0 | Self::V3_1 => (V3, 8),
            Self::V4_0 => (V4, 11),
        }
    }
}

/// Metric names and their values, base metrics first.
const V2: &[(&str, &str)] = &[
    ("AV", "L A N"),
    ("AC", "H M L"),
    ("Au", "M S N"),
    ("C", "N P C"),
    ("I", "N P C"),
    ("A", "N P C"),
    ("E", "U POC F H ND"),
    ("RL", "OF TF W U ND"),
    ("RC", "UC UR C ND"),
    ("CDP", "N L LM MH H ND"),
    ("TD", "N L M H ND"),
    ("CR", "L M H ND"),
    ("IR", "L M H ND"),
    ("AR", "L M H ND"),
];
/// As [`V2`], for both versions 3.
const V3: &[(&str, &str)] = &[
    ("AV", "N A L P"),
    ("AC", "L H"),
    ("PR", "N L H"),
    ("UI", "N R"),
    ("S", "U C"),
    ("C", "N L H"),
    ("I", "N L H"),
    ("A", "N L H"),
    ("E", "X U P F H"),
    ("RL", "X O T W U"),
    ("RC", "X U R C"),
    ("CR", "X L M H"),
    ("IR", "X L M H"),
    ("AR", "X L M H"),
    ("MAV", "X N A L P"),
    ("MAC", "X L H"),
    ("MPR", "X N L H"),
    ("MUI", "X N R"),
    ("MS", "X U C"),
    ("MC", "X N L H"),
    ("MI", "X N L H"),
    ("MA", "X N L H"),
];
/// As [`V2`], for version 4.
const V4: &[(&str, &str)] = &[
    ("AV", "N A L P"),
    ("AC", "L H"),
    ("AT", "N P"),
    ("PR", "N L H"),
    ("UI", "N P A"),
    ("VC", "H L N"),
    ("VI", "H L N"),
    ("VA", "H L N"),
    ("SC", "H L N"),
    ("SI", "H L N"),
    ("SA", "H L N"),
    ("E", "X A P U"),
    ("CR", "X H M L"),
    ("IR", "X H M L"),
    ("AR", "X H M L"),
    ("MAV", "X N A L P"),
    ("MAC", "X L H"),
    ("MAT", "X N P"),
    ("MPR", "X N L H"),
    ("MUI", "X N P A"),
    ("MVC", "X H L N"),
    ("MVI", "X H L N"),
    ("MVA", "X H L N"),
    ("MSC", "X H L N"),
    ("MSI", "X S H L N"),
    ("MSA", "X S H L N"),
    ("S", "X N P"),
    ("AU", "X N Y"),
    ("R", "X A U I"),
    ("V", "X D C"),
    ("RE", "X L M H"),
    ("U", "X Clear Green Amber Red"),
];

/// Why a text is no CVSS vector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CvssError {
    /// A part that the specification does not know.
    #[error("`{part}` is not a metric of CVSS {version:?}\nhint: a vector looks like `CVSS:3.1/AV:N/AC:L/…`")]
    UnknownPart {
        /// The part.
        part: String,
        /// The version that the prefix states.
        version: CvssVersion,
    },
    /// A metric that is there twice.
    #[error("metric `{0}` is stated twice\nhint: state each metric once")]
    Repeated(&'static str),
    /// A base metric that is missing.
    #[error("base metric `{0}` is missing\nhint: every base metric must be stated")]
    Missing(&'static str),
}

/// A valid CVSS vector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CvssVector {
    text: Box<str>,
    version: CvssVersion,
}

impl CvssVector {
    /// The vector as written (version 2 without parentheses).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> CvssVersion {
        self.version
    }

    /// The value of the metric called `name`, such as `N` for `AV`, where the vector states it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let parts = self.text[self.version.prefix().len()..].split('/');
        parts.filter_map(|part| part.split_once(':')).find(|(metric, _)| *metric == name).map(|(_, value)| value)
    }
}

impl fmt::Display for CvssVector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for CvssVector {
    type Err = CvssError;

    fn from_str(text: &str) -> Result<Self, CvssError> {
        let text = text.trim();
        let bare = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let text = bare.unwrap_or(text);
        let version = [CvssVersion::V3_1, CvssVersion::V3_0, CvssVersion::V4_0]
            .into_iter()
            .find(|version| text.starts_with(version.prefix()))
            .unwrap_or(CvssVersion::V2);
        check(&text[version.prefix().len()..], version)?;
        Ok(Self { text: text.into(), version })
    }
}

/// Holds the parts of a vector, without its prefix, against the table of `version`.
fn check(parts: &str, version: CvssVersion) -> Result<(), CvssError> {
    let (table, base) = version.metrics();
    let mut seen = 0u64;
    for part in parts.split('/') {
        let row = table.iter().position(|(name, values)| {
            let value = part.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            value.is_some_and(|value| values.split(' ').any(|allowed| allowed == value))
        });
        let row = row.ok_or_else(|| CvssError::UnknownPart { part: part.chars().take(40).collect(), version })?;
        if seen & (1 << row) != 0 {
            return Err(CvssError::Repeated(table[row].0));
        }
        seen |= 1 << row;
    }
    match (0..base).find(|row| seen & (1 << row) == 0) {
        Some(row) => Err(CvssError::Missing(table[row].0)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_every_version_are_read() {
        for (text, version) in [
            ("AV:N/AC:L/Au:N/C:P/I:P/A:P", CvssVersion::V2),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", CvssVersion::V3_0),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O", CvssVersion::V3_1),
            ("CVSS:4.0/AV:L/AC:L/AT:N/PR:H/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N/U:Amber", CvssVersion::V4_0),
        ] {
            let vector: CvssVector = text.parse().unwrap();
            assert_eq!((vector.version(), vector.as_str()), (version, text));
        }
    }

    #[test]
    fn parentheses_around_a_version_2_vector_are_dropped() {
        let vector: CvssVector = "(AV:N/AC:L/Au:N/C:N/I:N/A:P)".parse().unwrap();
        assert_eq!(vector.as_str(), "AV:N/AC:L/Au:N/C:N/I:N/A:P");
        assert_eq!((vector.value("A"), vector.value("E")), (Some("P"), None));
    }

    #[test]
    fn unknown_repeated_and_missing_metrics_are_told_apart() {
        let error = |text: &str| text.parse::<CvssVector>().unwrap_err();
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H";
        assert_eq!(error(base), CvssError::Missing("A"));
        assert_eq!(error(&format!("{base}/C:L")), CvssError::Repeated("C"));
        assert!(error(&format!("{base}/A:Z")).to_string().contains("`A:Z`"));
        for text in ["", "()", "/", "AV", "CVSS:3.1/", "CVSS:9.9/AV:N", "AV:N/"] {
            assert!(text.parse::<CvssVector>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_vector_built_from_the_tables_survives_the_round_trip(version in 0usize..4, picks in proptest::collection::vec(any::<u8>(), 32)) {
            let version = [CvssVersion::V2, CvssVersion::V3_0, CvssVersion::V3_1, CvssVersion::V4_0][version];
            let (table, base) = version.metrics();
            let parts: Vec<String> = table.iter().zip(&picks).enumerate()
                .filter(|(row, (_, pick))| *row < base || *pick % 2 == 0)
                .map(|(_, ((name, values), pick))| {
                    let values: Vec<&str> = values.split(' ').collect();
                    format!("{name}:{}", values[usize::from(*pick) % values.len()])
                })
                .collect();
            let text = format!("{}{}", version.prefix(), parts.join("/"));
            let vector: CvssVector = text.parse().unwrap();
            prop_assert_eq!(vector.to_string(), text);
            prop_assert_eq!(vector.version(), version);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(CVSS:[34].[01]/)?[AVC:/NL]{0,40}.{0,8}") {
            let _ = text.parse::<CvssVector>();
        }
    }
}
