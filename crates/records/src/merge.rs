//! One [`Vulnerability`] per CVE out of what all sources say.
//!
//! - **Order:** the CVE list is heard first, then NVD: lists, with one record a CVE. Then come advisories: OSV, CSAF.
//! - **Which copy:** of two records of one CVE within a list the last modified counts; of equally old ones the later.
//!   Advisories on one CVE are all heard, the last modified first.
//! - **Withdrawn:** the first that is heard decides about rejected and reserved IDs.
//! - **Description:** that of the first that is heard.
//! - **Date:** the earliest day of publication that a list states, else the year of the ID; advisories date only what
//!   no list has.
//! - **Labels and products:** of all sources, each with its source; equal ones once.
//! - **Private sources:** are not heard on a CVE that a public source has, so that what is public stays public; a CVE
//!   that private sources alone know is private.

mod verdict;

use std::cmp::Reverse;
use std::collections::HashMap;

pub use self::verdict::{Verdict, Word, verdicts};
use crate::manifest::MergeCounts;
use crate::record::{CveId, CvssVersion, Label, Published, Record, Vulnerability, Withdrawn};

/// The order in which sources are heard.
const ORDER: &[&str] = &["cvelist", "nvd", "osv", "csaf"];
/// How many of them, from the front, keep one record a CVE.
const LISTS: usize = 2;

/// Takes records of vulnerabilities one after the other and joins them in the end.
#[derive(Debug, Default)]
pub struct Merger {
    held: HashMap<CveId, Vec<Held>>,
    repeated: u64,
    private: Vec<String>,
}

/// One source's word on a CVE.
#[derive(Debug)]
enum Held {
    Published(Box<Vulnerability>),
    Withdrawn(Withdrawn),
}

impl Held {
    fn source(&self) -> &str {
        match self {
            Self::Published(one) => one.sources.first().map_or("", String::as_str),
            Self::Withdrawn(one) => one.source,
        }
    }

    fn modified(&self) -> u64 {
        match self {
            Self::Published(one) => one.modified,
            Self::Withdrawn(one) => one.modified,
        }
    }
}

impl Merger {
    /// A merger to which the sources called `private` are private.
    #[must_use]
    pub fn new(private: &[String]) -> Self {
        Self { private: private.to_vec(), ..Self::default() }
    }

    /// Takes `record`, or hands it back where it is of the CWE catalogue. Records must come in a fixed order.
    #[must_use]
    pub fn add(&mut self, record: Record) -> Option<Record> {
        match record {
            Record::Vulnerability(one) => self.hold(one.id, Held::Published(one)),
            Record::Withdrawn(one) => self.hold(one.id, Held::Withdrawn(one)),
            other => return Some(other),
        }
        None
    }

    fn hold(&mut self, id: CveId, new: Held) {
        let all = self.held.entry(id).or_default();
        let Some(known) = all.iter_mut().find(|held| held.source() == new.source()) else {
            all.push(new);
            return;
        };
        self.repeated += 1;
        if !is_list(new.source()) {
            all.push(new);
        } else if new.modified() >= known.modified() {
            *known = new;
        }
    }

    /// Everything that is left and described, sorted by ID.
    #[must_use]
    pub fn finish(self) -> (Vec<Vulnerability>, MergeCounts) {
        let mut counts = MergeCounts { repeated_in_source: self.repeated, ..MergeCounts::default() };
        let mut merged: Vec<Vulnerability> = self
            .held
            .into_values()
            .filter_map(|held| join(only_public(held, &self.private, &mut counts), &mut counts))
            .collect();
        merged.sort_unstable_by_key(|one| one.id);
        for one in &merged {
            count(one, &mut counts);
        }
        (merged, counts)
    }
}

/// Without the words of private sources, where a public source has the CVE.
fn only_public(mut held: Vec<Held>, private: &[String], counts: &mut MergeCounts) -> Vec<Held> {
    let is_public = |one: &Held| !private.iter().any(|name| name == one.source());
    if held.iter().any(is_public) {
        let before = held.len();
        held.retain(is_public);
        counts.private_ignored += (before - held.len()) as u64;
    }
    held
}

/// Joins what the sources say of one CVE, or counts it as dropped.
fn join(mut held: Vec<Held>, counts: &mut MergeCounts) -> Option<Vulnerability> {
    // Of equally old advisories the later counts, and sorting keeps the order of equals.
    held.reverse();
    held.sort_by_key(|one| (rank(one.source()), Reverse(one.modified())));
    if let Held::Withdrawn(first) = &held[0] {
        *counts.dropped_by_state.entry(first.state).or_default() += 1;
        return None;
    }
    let mut words = held.into_iter().filter_map(|one| match one {
        Held::Published(one) => Some(*one),
        Held::Withdrawn(_) => None,
    });
    let mut joined = words.next()?;
    *counts.description_from.entry(joined.sources[0].clone()).or_default() += 1;
    let dated_by_list = is_list(&joined.sources[0]);
    for other in words {
        absorb(&mut joined, other, dated_by_list);
    }
    Some(joined)
}

/// The place of a source in the order in which sources are heard.
fn rank(source: &str) -> usize {
    ORDER.iter().position(|known| *known == source).unwrap_or(ORDER.len())
}

/// Whether a source keeps one record a CVE, and decides what that CVE is.
fn is_list(source: &str) -> bool {
    rank(source) < LISTS
}

/// Adds another source's words to `one`. Where a list has it, `dated_by_list`, only a list may better its date: an
/// advisory is often older than the CVEs that were added to it, or much younger.
fn absorb(one: &mut Vulnerability, other: Vulnerability, dated_by_list: bool) {
    if !dated_by_list || is_list(&other.sources[0]) {
        one.published = one.published.or_better(other.published);
    }
    one.modified = one.modified.max(other.modified);
    add_new(&mut one.cwes, other.cwes);
    add_new(&mut one.cvss, other.cvss);
    add_new(&mut one.ssvc, other.ssvc);
    one.products.extend(other.products);
    one.products.sort_unstable();
    one.products.dedup();
    one.sources.extend(other.sources);
    one.sources.sort_unstable();
    one.sources.dedup();
}

fn add_new<T: PartialEq>(labels: &mut Vec<Label<T>>, others: Vec<Label<T>>) {
    for label in others {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
}

fn count(one: &Vulnerability, counts: &mut MergeCounts) {
    let in_field = one.cwes.iter().any(|label| !label.from_text && label.value.cwe().is_some());
    let is_v3 = |version| matches!(version, CvssVersion::V3_0 | CvssVersion::V3_1);
    let facts = [
        (&mut counts.described, true),
        (&mut counts.in_several_sources, one.sources.len() > 1),
        (&mut counts.with_cwe, in_field),
        (&mut counts.with_cwe_in_text_only, !in_field && one.has_cwe()),
        (&mut counts.with_cvss, !one.cvss.is_empty()),
        (&mut counts.with_cvss_v3, one.cvss.iter().any(|label| is_v3(label.value.version()))),
        (&mut counts.with_ssvc, !one.ssvc.is_empty()),
        (&mut counts.dated_by_year_only, !one.published.is_day()),
    ];
    for (counter, holds) in facts {
        *counter += u64::from(holds);
    }
}

/// The date of a record: what it states, else the year of its ID.
pub(crate) fn date_or_year(stated: Option<Published>, id: CveId) -> Published {
    stated.unwrap_or_else(|| Published::in_year(id.year()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Product, WeaknessRef, WithdrawnState};

    /// A CVE of the CVE list without labels, dated by its year.
    pub(crate) fn vulnerability(id: &str, description: &str) -> Vulnerability {
        let id: CveId = id.parse().unwrap();
        Vulnerability {
            id,
            description: description.into(),
            published: Published::in_year(id.year()),
            modified: 0,
            cwes: Vec::new(),
            cvss: Vec::new(),
            ssvc: Vec::new(),
            products: Vec::new(),
            sources: vec!["cvelist".into()],
        }
    }

    fn from(source: &str, id: &str, description: &str) -> Vulnerability {
        Vulnerability { sources: vec![source.into()], ..vulnerability(id, description) }
    }

    fn withdrawn(source: &'static str, id: &str) -> Record {
        Record::Withdrawn(Withdrawn { id: id.parse().unwrap(), state: WithdrawnState::Rejected, modified: 0, source })
    }

    fn merge(records: Vec<Record>) -> (Vec<Vulnerability>, MergeCounts) {
        let mut merger = Merger::default();
        for record in records {
            assert!(merger.add(record).is_none());
        }
        merger.finish()
    }

    fn published(one: Vulnerability) -> Record {
        Record::Vulnerability(Box::new(one))
    }

    #[test]
    fn the_cnas_description_is_taken_and_every_label_is_kept_with_its_source() {
        let label = |source: &str, cwe: &str| Label {
            value: cwe.parse::<WeaknessRef>().unwrap(),
            source: source.into(),
            primary: true,
            from_text: false,
        };
        let product = |name: &str| Product { vendor: "acme".into(), product: name.into() };
        let mut nvd = from("nvd", "CVE-2023-0001", "NVD's words.");
        nvd.published = "2023-04-02".parse().unwrap();
        nvd.cwes = vec![label("nvd", "CWE-79"), label("cna:acme", "CWE-80")];
        nvd.products = vec![product("b")];
        let mut cna = from("cvelist", "CVE-2023-0001", "The CNA's words.");
        cna.published = "2023-04-01".parse().unwrap();
        cna.cwes = vec![label("cna:acme", "CWE-80")];
        cna.products = vec![product("a"), product("b")];
        let cisa = |text: &str| Label {
            value: text.parse().unwrap(),
            source: "adp:CISA-ADP".into(),
            primary: false,
            from_text: false,
        };
        let ssvc = cisa("Exploitation: none, Automatable: no, Technical Impact: partial");
        nvd.ssvc = vec![ssvc.clone()];
        cna.ssvc = vec![ssvc.clone()];
        let (merged, counts) = merge(vec![published(nvd), published(cna)]);
        let one = &merged[0];
        assert_eq!(one.description, "The CNA's words.");
        assert_eq!(one.published.to_string(), "2023-04-01");
        assert_eq!(one.cwes, [label("cna:acme", "CWE-80"), label("nvd", "CWE-79")]);
        assert_eq!(one.products, [product("a"), product("b")]);
        assert_eq!(one.ssvc, [ssvc]);
        assert_eq!(one.sources, ["cvelist", "nvd"]);
        assert_eq!(counts.with_ssvc, 1);
        assert_eq!((counts.described, counts.in_several_sources, counts.with_cwe), (1, 1, 1));
        assert_eq!(counts.description_from["cvelist"], 1);
    }

    #[test]
    fn the_cve_list_decides_what_is_withdrawn() {
        let (merged, counts) = merge(vec![
            published(from("nvd", "CVE-2023-0001", "Still in NVD.")),
            withdrawn("cvelist", "CVE-2023-0001"),
            withdrawn("nvd", "CVE-2023-0002"),
            published(from("cvelist", "CVE-2023-0002", "Alive.")),
            withdrawn("nvd", "CVE-2023-0003"),
        ]);
        let ids: Vec<String> = merged.iter().map(|one| one.id.to_string()).collect();
        assert_eq!(ids, ["CVE-2023-0002"]);
        assert_eq!(counts.dropped_by_state[&WithdrawnState::Rejected], 2);
    }

    #[test]
    fn advisories_add_labels_and_describe_only_what_no_list_knows() {
        let label = |source: &str, cwe: &str| Label {
            value: cwe.parse::<WeaknessRef>().unwrap(),
            source: source.into(),
            primary: false,
            from_text: false,
        };
        let advisory = |source: &str, id: &str, modified, text: &str, cwe| Vulnerability {
            modified,
            published: "2020-01-01".parse().unwrap(),
            cwes: vec![label(text, cwe)],
            ..from(source, id, text)
        };
        let mut nvd = from("nvd", "CVE-2023-0001", "NVD's words.");
        nvd.published = "2023-04-02".parse().unwrap();
        let records = || {
            vec![
                published(advisory("csaf", "CVE-2023-0001", 9, "csaf:a", "CWE-1")),
                published(advisory("osv", "CVE-2023-0001", 1, "osv:old", "CWE-2")),
                published(advisory("osv", "CVE-2023-0001", 2, "osv:new", "CWE-3")),
                published(nvd.clone()),
                published(advisory("csaf", "CVE-2023-0002", 9, "csaf:a", "CWE-1")),
                published(advisory("osv", "CVE-2023-0002", 1, "osv:old", "CWE-2")),
                withdrawn("nvd", "CVE-2023-0003"),
                published(advisory("osv", "CVE-2023-0003", 1, "osv:old", "CWE-2")),
            ]
        };
        let (merged, counts) = merge(records());
        let words: Vec<_> = merged.iter().map(|one| one.description.as_str()).collect();
        assert_eq!(words, ["NVD's words.", "osv:old"], "what NVD withdraws stays withdrawn");
        assert_eq!(merged[0].published.to_string(), "2023-04-02", "the list's day");
        assert_eq!(merged[1].published.to_string(), "2020-01-01", "no list states one");
        let heard: Vec<_> = merged[0].cwes.iter().map(|label| label.source.as_str()).collect();
        assert_eq!(heard, ["osv:new", "osv:old", "csaf:a"]);
        assert_eq!(merged[0].sources, ["csaf", "nvd", "osv"]);
        assert_eq!((counts.repeated_in_source, counts.dropped_by_state[&WithdrawnState::Rejected]), (1, 1));
        assert_eq!(counts.description_from.keys().collect::<Vec<_>>(), ["nvd", "osv"]);
        let backwards = records().into_iter().rev().collect();
        assert_eq!(merge(backwards).0, merged);
    }

    #[test]
    fn of_two_copies_in_one_source_the_last_modified_counts() {
        let copy = |modified, text: &str| Vulnerability { modified, ..from("nvd", "CVE-2023-0001", text) };
        let (merged, counts) = merge(vec![published(copy(2, "new")), published(copy(1, "old"))]);
        assert_eq!(merged[0].description, "new");
        assert_eq!(counts.repeated_in_source, 1);
        let (merged, _) = merge(vec![published(copy(1, "first")), published(copy(1, "second"))]);
        assert_eq!(merged[0].description, "second");
    }

    #[test]
    fn the_order_of_sources_changes_nothing() {
        let records = || {
            vec![
                published(from("nvd", "CVE-2023-0001", "a")),
                published(from("cvelist", "CVE-2023-0001", "b")),
                published(from("nvd", "CVE-2022-0001", "c")),
            ]
        };
        let backwards = records().into_iter().rev().collect();
        assert_eq!(merge(records()), merge(backwards));
    }
}
