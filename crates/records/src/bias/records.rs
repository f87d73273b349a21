//! What the records are like before any task: years, vendors, who labels them, in which language, how severe.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::measure::{Quantiles, gini, share};
use super::traits::Traits;
use crate::corpus::Corpus;
use crate::dataset::Split;
use crate::phrasing::draw;
use crate::record::{CvssVersion, Label, Severity, Vulnerability, ranked};
use crate::split::Placed;

/// So many names are told one by one.
const TOLD_NAMES: usize = 25;
/// Points of a curve, beside the origin.
const CURVE_POINTS: u64 = 50;
/// About so many descriptions are looked at for their language.
const LOOKED_AT: f64 = 20_000.0;

/// The records that have a place, as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecordBias {
    /// Records that have a place, by split.
    pub records: BTreeMap<Split, u64>,
    /// By year of publication and split.
    pub by_year: BTreeMap<u16, BTreeMap<Split, u64>>,
    /// How they share the vendors.
    pub vendors: Concentration,
    /// How they share the products.
    pub products: Concentration,
    /// Records whose text names one of their vendors or products.
    pub named_in_text: u64,
    /// Who gives labels, and whether they agree.
    pub sources: Vec<LabelSources>,
    /// The language of descriptions.
    pub language: Language,
    /// Words in descriptions, by split.
    pub words: BTreeMap<Split, Quantiles>,
    /// Records by split and severity; those without a CVSS vector of version 3 or 4 do not count.
    pub severity: BTreeMap<Split, BTreeMap<String, u64>>,
}

/// How unevenly records are shared among names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Concentration {
    /// Records with a name: the denominator of all shares.
    pub records: u64,
    /// Different names.
    pub names: u64,
    /// The names of most records, with their records.
    pub told: Vec<(String, u64)>,
    /// Share of the ten names of most records.
    pub top_10: f64,
    /// The fewest names that have half of the records.
    pub names_of_half: u64,
    /// The Gini coefficient, 0..=1.
    pub gini: f64,
    /// The Lorenz curve: the share of the names, fewest records first, and the share of the records that they have.
    pub curve: Vec<(f64, f64)>,
}

/// Who gives one kind of label.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabelSources {
    /// The kind of label: `cwe`, `cvss_v3_vector` or `cvss_v3_severity`.
    pub label: String,
    /// Records that each kind of source labels: `nvd`, `cna`, `adp`.
    pub labelled: BTreeMap<String, u64>,
    /// Pairs of kinds of sources.
    pub pairs: Vec<Agreement>,
}

/// Two kinds of sources on the same records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Agreement {
    /// The first.
    pub left: String,
    /// The second.
    pub right: String,
    /// Records that both label: the denominator.
    pub both: u64,
    /// Those for which the first word of both is the same.
    pub same: u64,
    /// Those for which they share a label at all.
    pub overlapping: u64,
}

/// The language of a sample of descriptions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Language {
    /// Descriptions that were looked at: the denominator.
    pub looked_at: u64,
    /// Those whose language is told for sure, by ISO 639-3 code.
    pub certain: BTreeMap<String, u64>,
    /// Those too short, or too full of names, to be sure.
    pub uncertain: u64,
}

impl RecordBias {
    /// That of a corpus with the traits of its records.
    pub(super) fn of(corpus: &Corpus<'_>, traits: &[Traits]) -> Self {
        let knowledge = &corpus.knowledge.vulnerabilities;
        let places = knowledge.iter().zip(traits).zip(&corpus.places.vulnerabilities);
        let placed: Vec<(&Vulnerability, &Traits, Placed)> =
            places.filter_map(|((one, traits), place)| Some((one, traits, place.ok()?))).collect();
        let mut found = Self::default();
        let mut words: BTreeMap<Split, Vec<u64>> = BTreeMap::new();
        for (one, traits, place) in &placed {
            *found.records.entry(place.split).or_default() += 1;
            *found.by_year.entry(one.published.year()).or_default().entry(place.split).or_default() += 1;
            words.entry(place.split).or_default().push(traits.words);
            found.named_in_text += u64::from(traits.is_named);
            if let Some(band) = traits.severity {
                *found.severity.entry(place.split).or_default().entry(band.as_str().into()).or_default() += 1;
            }
        }
        found.words = words.into_iter().map(|(split, words)| (split, Quantiles::of(words))).collect();
        found.vendors = Concentration::of(placed.iter().filter_map(|(_, traits, _)| traits.vendor.as_deref()));
        found.products = Concentration::of(placed.iter().filter_map(|(_, traits, _)| traits.product.as_deref()));
        let records: Vec<&Vulnerability> = placed.iter().map(|(one, _, _)| *one).collect();
        found.sources = sources(&records);
        found.language = Language::of(&records);
        found
    }
}

impl Concentration {
    /// That of the names of records, one a record.
    #[must_use]
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        names.for_each(|name| *counts.entry(name).or_default() += 1);
        let mut ranked: Vec<(&str, u64)> = counts.into_iter().collect();
        ranked.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        let sizes: Vec<u64> = ranked.iter().map(|(_, count)| *count).collect();
        let records: u64 = sizes.iter().sum();
        let mut sum = 0;
        let before_half = sizes.iter().take_while(|size| {
            let goes_on = sum * 2 < records;
            sum += **size;
            goes_on
        });
        Self {
            records,
            names: sizes.len() as u64,
            names_of_half: before_half.count() as u64,
            told: ranked.iter().take(TOLD_NAMES).map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            top_10: share(sizes.iter().take(10).sum(), records),
            gini: gini(&sizes),
            curve: lorenz(&sizes),
        }
    }
}

/// The Lorenz curve of sizes, the largest first, at even steps of names.
fn lorenz(sizes: &[u64]) -> Vec<(f64, f64)> {
    let (names, records) = (sizes.len() as u64, sizes.iter().sum::<u64>());
    let mut below = vec![0];
    sizes.iter().rev().for_each(|size| below.push(below[below.len() - 1] + size));
    let mut places: Vec<u64> = (0..=CURVE_POINTS).map(|step| names * step / CURVE_POINTS).collect();
    // The head is where the curve bends: the last names in steps that double.
    places.extend((0..40).map(|step| names.saturating_sub(1 << step)));
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|at| (share(at, names), share(below[at as usize], records))).collect()
}

/// The kinds of sources, as labels name them.
const KINDS: [&str; 3] = ["nvd", "cna", "adp"];

fn sources(records: &[&Vulnerability]) -> Vec<LabelSources> {
    let is_v3 = |version| matches!(version, CvssVersion::V3_0 | CvssVersion::V3_1);
    vec![
        LabelSources::of("cwe", records, |one| values(&one.cwes, |value| value.cwe())),
        LabelSources::of("cvss_v3_vector", records, |one| {
            values(&one.cvss, |value| Some(value.to_string()).filter(|_| is_v3(value.version())))
        }),
        LabelSources::of("cvss_v3_severity", records, |one| {
            let band = |value: &crate::record::CvssVector| Severity::of(value.base_score(), value.version());
            values(&one.cvss, |value| Some(band(value)).filter(|_| is_v3(value.version())))
        }),
    ]
}

/// What each kind of source says, best first: in the order of [`KINDS`].
fn values<T, V>(labels: &[Label<T>], value: impl Fn(&T) -> Option<V>) -> [Vec<V>; 3] {
    let ranked = ranked(labels);
    let of = |kind: &str| {
        let own = ranked.iter().filter(|label| label.source.split(':').next() == Some(kind));
        own.filter_map(|label| value(&label.value)).collect()
    };
    KINDS.map(of)
}

impl LabelSources {
    fn of<V: PartialEq>(label: &str, records: &[&Vulnerability], say: impl Fn(&Vulnerability) -> [Vec<V>; 3]) -> Self {
        let mut found = Self { label: label.into(), ..Self::default() };
        let pairs = [(0, 1), (0, 2), (1, 2)];
        found.pairs = pairs
            .map(|(i, j)| Agreement { left: KINDS[i].into(), right: KINDS[j].into(), ..Agreement::default() })
            .into();
        for said in records.iter().map(|one| say(one)) {
            for (kind, _) in KINDS.iter().zip(&said).filter(|(_, own)| !own.is_empty()) {
                *found.labelled.entry((*kind).into()).or_default() += 1;
            }
            for ((i, j), pair) in pairs.into_iter().zip(&mut found.pairs) {
                if let (Some(left), Some(right)) = (said[i].first(), said[j].first()) {
                    pair.both += 1;
                    pair.same += u64::from(left == right);
                    pair.overlapping += u64::from(said[i].iter().any(|one| said[j].contains(one)));
                }
            }
        }
        found
    }
}

impl Language {
    /// That of a sample, which the records' IDs fix.
    fn of(records: &[&Vulnerability]) -> Self {
        let share = LOOKED_AT / records.len().max(1) as f64;
        let sample: Vec<&str> = records
            .iter()
            .filter(|one| share >= 1.0 || draw(0, "language", &one.id.to_string()) < share)
            .map(|one| one.description.as_str())
            .collect();
        let codes: Vec<Option<&'static str>> = sample.par_iter().map(|text| language(text)).collect();
        let mut found = Self { looked_at: sample.len() as u64, ..Self::default() };
        for code in codes {
            match code {
                Some(code) => *found.certain.entry(code.into()).or_default() += 1,
                None => found.uncertain += 1,
            }
        }
        found
    }
}

/// The language of `text`, where its beginning is enough to be sure.
fn language(text: &str) -> Option<&'static str> {
    let beginning = &text[..text.floor_char_boundary(1000)];
    whatlang::detect(beginning).filter(whatlang::Info::is_reliable).map(|found| found.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::vulnerability;
    use crate::record::WeaknessRef;

    #[test]
    fn concentration_is_that_computed_by_hand() {
        let names = ["a", "a", "a", "a", "b", "b", "c", "d"];
        let found = Concentration::of(names.into_iter());
        assert_eq!((found.records, found.names, found.names_of_half), (8, 4, 1));
        assert_eq!(found.told[..2], [("a".into(), 4), ("b".into(), 2)]);
        // 1, 1, 2, 4: (−3 − 1 + 2 + 12) / (4·8)
        assert!((found.gini - 10.0 / 32.0).abs() < 1e-12);
        assert_eq!(found.curve, [(0.0, 0.0), (0.25, 0.125), (0.5, 0.25), (0.75, 0.5), (1.0, 1.0)]);
        assert_eq!(Concentration::of(["a", "b"].into_iter()).names_of_half, 1);
        assert_eq!(Concentration::of([].into_iter()).records, 0);
    }

    #[test]
    fn sources_agree_by_their_first_word_and_by_any() {
        let with = |id: &str, said: &[(&str, &str)]| {
            let label = |(source, value): &(&str, &str)| Label {
                value: value.parse::<WeaknessRef>().unwrap(),
                source: (*source).into(),
                primary: true,
                from_text: false,
            };
            Vulnerability { cwes: said.iter().map(label).collect(), ..vulnerability(id, "A hole.") }
        };
        let records = [
            with("CVE-2020-0001", &[("nvd", "CWE-1"), ("cna:acme", "CWE-1")]),
            with("CVE-2020-0002", &[("nvd", "CWE-1"), ("cna:acme", "CWE-2"), ("cna:acme", "CWE-1")]),
            with("CVE-2020-0003", &[("nvd", "NVD-CWE-Other"), ("cna:acme", "CWE-2")]),
            with("CVE-2020-0004", &[("nvd", "CWE-1"), ("cna:acme", "CWE-3"), ("adp:CISA-ADP", "CWE-3")]),
        ];
        let records: Vec<&Vulnerability> = records.iter().collect();
        let found = sources(&records);
        assert_eq!(found[0].labelled, [("nvd".into(), 3), ("cna".into(), 4), ("adp".into(), 1)].into());
        let pair = &found[0].pairs[0];
        assert_eq!((pair.both, pair.same, pair.overlapping), (3, 1, 2));
        assert_eq!((found[0].pairs[2].both, found[0].pairs[2].same), (1, 1));
        assert_eq!(found[1].pairs[0].both, 0);
    }

    #[test]
    fn a_language_is_told_only_where_it_is_sure() {
        let german =
            "Eine Schwachstelle in der Teekanne erlaubt es jedem, der in der Küche steht, das Wasser zu vergießen.";
        let english =
            "A weakness of the teapot lets everybody who stands in the kitchen spill the water over the table.";
        assert_eq!((language(german), language(english), language("")), (Some("deu"), Some("eng"), None));
    }
}
