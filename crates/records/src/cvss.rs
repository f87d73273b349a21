//! A CVSS vector: a text that its specification allows, kept as it was written.
//!
//! Specifications: FIRST's CVSS v2.0, v3.0, v3.1 and v4.0. Checked are names, values, repetition and that every base
//! metric is there; the order is free, as real feeds vary it. The equations stand in `cvss/`, a file for each
//! generation: [`score2`], [`score3`] and [`score4`]; [`severity`] has the scale on which they end.

mod macro_scores;
mod score2;
mod score3;
mod score4;
mod severity;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub use severity::{Score, Severity, SeverityError};

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
    /// All versions, oldest first.
    pub const ALL: [Self; 4] = [Self::V2, Self::V3_0, Self::V3_1, Self::V4_0];

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

    /// Which rows of [`Self::metrics`] are temporal (version 4: threat) metrics, and which are environmental ones.
    fn groups(self) -> [Range<usize>; 2] {
        match self {
            Self::V2 => [6..9, 9..14],
            Self::V3_0 | Self::V3_1 => [8..11, 11..22],
            Self::V4_0 => [11..12, 12..26],
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

    /// The vector of `version` that states `metrics`, pairs of name and value in any order; it comes out in the
    /// specification's order.
    ///
    /// # Errors
    /// As for a text: a pair is unknown to `version`, a metric is there twice, or a base metric is missing.
    pub fn from_metrics<'a>(
        version: CvssVersion,
        metrics: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CvssError> {
        let mut seen = Seen::new(version);
        let mut rows = Vec::new();
        for (name, value) in metrics {
            let part = format!("{name}:{value}");
            rows.push((seen.see(&part)?, part));
        }
        seen.finish()?;
        rows.sort_unstable();
        Ok(Self::join(version, rows.into_iter().map(|(_, part)| part)))
    }

    /// The same statement in one way of writing: metrics in the specification's order, those that are not defined
    /// (`X`, in version 2 `ND`) left out. It has the same score.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let names = self.version.metrics().0.iter().map(|(name, _)| name);
        let defined = names.filter_map(|name| self.defined(name).map(|value| format!("{name}:{value}")));
        Self::join(self.version, defined)
    }

    /// The base metrics with their values, in the specification's order.
    pub fn base_metrics(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (table, base) = self.version.metrics();
        table[..base].iter().filter_map(|(name, _)| self.value(name).map(|value| (*name, value)))
    }

    /// The score of everything that the vector states, which is what a calculator shows as overall score: the
    /// environmental one where an environmental metric is defined, else the temporal one where one of those is, else
    /// the base score. For version 4 it is what the metrics at hand make of it, CVSS-B to CVSS-BTE.
    #[must_use]
    pub fn score(&self) -> Score {
        let [temporal, environmental] = self.version.groups();
        if self.defines(environmental) {
            self.environmental_score()
        } else if self.defines(temporal) {
            self.temporal_score()
        } else {
            self.base_score()
        }
    }

    /// The score of the base metrics alone; for version 4, CVSS-B.
    #[must_use]
    pub fn base_score(&self) -> Score {
        match self.version {
            CvssVersion::V2 => score2::base(self),
            CvssVersion::V3_0 | CvssVersion::V3_1 => score3::base(self),
            CvssVersion::V4_0 => score4::score(self, score4::Groups::Base),
        }
    }

    /// The score of base and temporal metrics; for version 4 of base and threat metrics, CVSS-BT.
    #[must_use]
    pub fn temporal_score(&self) -> Score {
        match self.version {
            CvssVersion::V2 => score2::temporal(self),
            CvssVersion::V3_0 | CvssVersion::V3_1 => score3::temporal(self),
            CvssVersion::V4_0 => score4::score(self, score4::Groups::Threat),
        }
    }

    /// The score of all metrics by the environmental equations; for version 4, CVSS-BTE.
    ///
    /// Version 3.1 has another equation here, so that this may differ from [`Self::temporal_score`] even where no
    /// environmental metric is stated. [`Self::score`] asks for it only where one is.
    #[must_use]
    pub fn environmental_score(&self) -> Score {
        match self.version {
            CvssVersion::V2 => score2::environmental(self),
            CvssVersion::V3_0 | CvssVersion::V3_1 => score3::environmental(self),
            CvssVersion::V4_0 => score4::score(self, score4::Groups::All),
        }
    }

    /// The word for [`Self::score`], by the bands of the vector's version.
    #[must_use]
    pub fn severity(&self) -> Severity {
        Severity::of(self.score(), self.version)
    }

    /// As [`Self::value`], but nothing where the value says that the metric is not defined.
    fn defined(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !matches!(*value, "X" | "ND"))
    }

    /// Whether any metric of these rows of the table is defined.
    fn defines(&self, rows: Range<usize>) -> bool {
        self.version.metrics().0[rows].iter().any(|(name, _)| self.defined(name).is_some())
    }

    /// The weight that `weights` gives to the value of `name`, or `undefined`.
    fn weight(&self, name: &str, weights: &[(&str, f64)], undefined: f64) -> f64 {
        let value = self.defined(name);
        weights.iter().find(|(known, _)| Some(*known) == value).map_or(undefined, |(_, weight)| *weight)
    }

    fn join(version: CvssVersion, parts: impl Iterator<Item = String>) -> Self {
        let text = format!("{}{}", version.prefix(), parts.collect::<Vec<_>>().join("/"));
        Self { text: text.into(), version }
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
    let mut seen = Seen::new(version);
    parts.split('/').try_for_each(|part| seen.see(part).map(|_| ()))?;
    seen.finish()
}

/// Which metrics of its table a vector has stated so far.
struct Seen {
    version: CvssVersion,
    /// A bit for each row of the table.
    rows: u64,
}

impl Seen {
    fn new(version: CvssVersion) -> Self {
        Self { version, rows: 0 }
    }

    /// Takes a part such as `AV:N` and says in which row of the table it stands.
    fn see(&mut self, part: &str) -> Result<usize, CvssError> {
        let version = self.version;
        let (table, _) = version.metrics();
        let row = table.iter().position(|(name, values)| {
            let value = part.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            value.is_some_and(|value| values.split(' ').any(|allowed| allowed == value))
        });
        let row = row.ok_or_else(|| CvssError::UnknownPart { part: part.chars().take(40).collect(), version })?;
        if self.rows & (1 << row) != 0 {
            return Err(CvssError::Repeated(table[row].0));
        }
        self.rows |= 1 << row;
        Ok(row)
    }

    fn finish(&self) -> Result<(), CvssError> {
        let (table, base) = self.version.metrics();
        match (0..base).find(|row| self.rows & (1 << row) == 0) {
            Some(row) => Err(CvssError::Missing(table[row].0)),
            None => Ok(()),
        }
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

    #[test]
    fn the_tables_begin_with_the_base_metrics_and_end_with_groups_that_touch() {
        for version in CvssVersion::ALL {
            let (table, base) = version.metrics();
            let [temporal, environmental] = version.groups();
            assert_eq!((base, temporal.end), (temporal.start, environmental.start));
            assert!(environmental.end <= table.len() && table.len() <= 64);
            let optional = |values: &str| values.split(' ').any(|value| matches!(value, "X" | "ND"));
            assert!(
                table.iter().enumerate().all(|(row, (_, values))| optional(values) == (row >= base)),
                "{version:?}"
            );
        }
    }

    #[test]
    fn a_vector_is_made_of_metrics_in_any_order() {
        let metrics = [("A", "P"), ("C", "N"), ("I", "N"), ("Au", "N"), ("AV", "N"), ("E", "ND"), ("AC", "L")];
        let vector = CvssVector::from_metrics(CvssVersion::V2, metrics).unwrap();
        assert_eq!(vector.as_str(), "AV:N/AC:L/Au:N/C:N/I:N/A:P/E:ND");
        assert_eq!(vector.canonical().as_str(), "AV:N/AC:L/Au:N/C:N/I:N/A:P");
        let names: Vec<_> = vector.base_metrics().collect();
        assert_eq!(names, [("AV", "N"), ("AC", "L"), ("Au", "N"), ("C", "N"), ("I", "N"), ("A", "P")]);
        let error =
            |metrics: &[(&str, &str)]| CvssVector::from_metrics(CvssVersion::V2, metrics.iter().copied()).unwrap_err();
        assert_eq!(error(&metrics[1..]), CvssError::Missing("A"));
        assert_eq!(error(&[("AV", "N"), ("AV", "L")]), CvssError::Repeated("AV"));
        assert!(matches!(error(&[("AV", "N/AC:L")]), CvssError::UnknownPart { .. }));
    }

    #[test]
    fn the_overall_score_is_of_the_last_group_that_is_defined() {
        let parts = |text: &str| {
            let vector: CvssVector = text.parse().unwrap();
            [vector.base_score(), vector.temporal_score(), vector.score()].map(|score| score.to_string())
        };
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(parts(base), ["9.8", "9.8", "9.8"]);
        assert_eq!(parts(&format!("{base}/E:U/RL:X")), ["9.8", "9.0", "9.0"]);
        assert_eq!(parts(&format!("{base}/E:U/CR:L/IR:L/AR:L")), ["9.8", "9.0", "7.3"]);
        let four = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(parts(&format!("{four}/U:Red")), ["9.3", "9.3", "9.3"], "supplemental metrics count for nothing");
        assert_eq!(parts(&format!("{four}/E:U/MAV:P")), ["9.3", "8.1", "4.0"]);
    }

    /// Any vector of any version, its parts in any order.
    fn vectors() -> impl Strategy<Value = (CvssVector, u64)> {
        (0usize..4, proptest::collection::vec(any::<u8>(), 32), any::<u64>()).prop_map(|(version, picks, turn)| {
            let version = CvssVersion::ALL[version];
            let (table, base) = version.metrics();
            let mut parts = Vec::new();
            for (row, ((name, values), pick)) in table.iter().zip(&picks).enumerate() {
                let values: Vec<&str> = values.split(' ').collect();
                if row < base || pick % 2 == 0 {
                    parts.push(format!("{name}:{}", values[usize::from(pick / 2) % values.len()]));
                }
            }
            let len = parts.len();
            parts.rotate_left(usize::try_from(turn % len as u64).unwrap());
            (format!("{}{}", version.prefix(), parts.join("/")).parse().unwrap(), turn)
        })
    }

    proptest! {
        #[test]
        fn every_vector_built_from_the_tables_survives_the_round_trip((vector, _) in vectors()) {
            prop_assert_eq!(&vector.to_string().parse::<CvssVector>().unwrap(), &vector);
        }

        #[test]
        fn the_canonical_form_is_its_own_and_has_the_same_scores((vector, turn) in vectors()) {
            let canonical = vector.canonical();
            prop_assert_eq!(&canonical.canonical(), &canonical);
            prop_assert!(canonical.as_str().len() <= vector.as_str().len());
            let scores = |one: &CvssVector| {
                (one.base_score(), one.temporal_score(), one.environmental_score(), one.score(), one.severity())
            };
            prop_assert_eq!(scores(&canonical), scores(&vector));
            let (_, base) = vector.version().metrics();
            let mut metrics: Vec<_> = vector.base_metrics().collect();
            prop_assert_eq!(metrics.len(), base);
            metrics.rotate_left(usize::try_from(turn % base as u64).unwrap());
            let base_only = CvssVector::from_metrics(vector.version(), metrics).unwrap();
            prop_assert_eq!(base_only.score(), vector.base_score());
            prop_assert!(canonical.as_str().starts_with(base_only.as_str()));
        }

        #[test]
        fn scores_are_between_0_and_10((vector, _) in vectors()) {
            for score in [vector.base_score(), vector.temporal_score(), vector.environmental_score(), vector.score()] {
                prop_assert!(score.tenths() <= 100, "{} of {}", score, vector);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(CVSS:[34].[01]/)?[AVC:/NL]{0,40}.{0,8}") {
            let _ = text.parse::<CvssVector>();
        }
    }
}
