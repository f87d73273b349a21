//! One thing that is looked for while sources are read, so that each source's own word on it can be told: records are
//! joined soon after they are read, and what a single source said is gone by then.

use crate::record::{CveId, Record};

/// Longer IDs are no IDs.
const MAX_BYTES: usize = 4096;

/// The ID of what is looked for: a CVE, CWE, CAPEC or technique ID, or that of a document, sentence or pair of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    text: String,
    cve: Option<CveId>,
}

/// One source's own word on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The source.
    pub source: &'static str,
    /// What it says.
    pub record: Record,
}

impl Wanted {
    /// IDs of public lists are read in upper and lower case, all others as they are. `None` where `id` is empty or
    /// longer than any ID.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        let id = id.trim();
        if id.is_empty() || id.len() > MAX_BYTES {
            return None;
        }
        let upper = id.to_ascii_uppercase();
        let listed = ["CVE-", "CWE-", "CAPEC-"].iter().any(|kind| upper.starts_with(kind))
            || upper.parse::<crate::record::TechniqueId>().is_ok();
        let text = if listed { upper } else { id.to_owned() };
        Some(Self { cve: text.parse().ok(), text })
    }

    /// The ID as its source writes it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text
    }

    /// It as a CVE ID, where it is one.
    #[must_use]
    pub fn cve(&self) -> Option<CveId> {
        self.cve
    }

    /// Those of a source's `records` that are about it.
    pub(crate) fn heard<'a>(
        &'a self,
        source: &'static str,
        records: &'a [Record],
    ) -> impl Iterator<Item = Said> + use<'a> {
        records.iter().filter(|record| self.is(record)).map(move |record| Said { source, record: record.clone() })
    }

    /// Whether `record` is about it.
    fn is(&self, record: &Record) -> bool {
        let cve = |id: CveId| self.cve == Some(id);
        match record {
            Record::Vulnerability(one) => cve(one.id),
            Record::Withdrawn(one) => cve(one.id),
            Record::Exploited(one) => cve(one.id),
            Record::Epss(one) => cve(one.id),
            Record::Weakness(one) => self.is_named(&one.id),
            Record::Category(one) => self.is_named(&one.id),
            // A view is numbered like a weakness, but nothing is made of it.
            Record::View(_) => false,
            Record::Pattern(one) => self.is_named(&one.id),
            Record::Technique(one) => one.id.as_str() == self.text,
            Record::Sentence(one) => self.is_within(one.source, &one.id),
            Record::Document(one) => self.is_within(one.source, &one.id),
            Record::Code(one) => self.is_within(one.source, &one.id),
        }
    }

    fn is_named(&self, id: &dyn std::fmt::Display) -> bool {
        id.to_string() == self.text
    }

    /// Whether it is the `id` of a source, alone or behind the source's name.
    pub(crate) fn is_within(&self, source: &str, id: &str) -> bool {
        let behind = || self.text.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')) == Some(id);
        self.text == id || behind()
    }

    /// Whether the example called `id` is of it: `#` and what follows tells one of several examples, `/` an aspect of a
    /// catalogue's entry.
    #[must_use]
    pub fn made(&self, id: &str) -> bool {
        let own = id.strip_prefix(self.text.as_str());
        // Sentences are called by their source too.
        let named = || id.split_once('/').filter(|(source, _)| crate::source::by_name(source).is_ok());
        let behind = || named().and_then(|(_, rest)| rest.strip_prefix(self.text.as_str()));
        own.or_else(behind).is_some_and(|rest| rest.is_empty() || rest.starts_with(['#', '/']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_ids_are_read_in_any_case_and_others_are_not() {
        assert_eq!(Wanted::new(" cve-2023-0001 ").unwrap().id(), "CVE-2023-0001");
        assert!(Wanted::new("cve-2023-0001").unwrap().cve().is_some());
        assert_eq!(Wanted::new("t1059.001").unwrap().id(), "T1059.001");
        assert_eq!(Wanted::new("guides/Kettle.md").unwrap().id(), "guides/Kettle.md");
        assert_eq!((Wanted::new("  "), Wanted::new(&"x".repeat(5000))), (None, None));
    }

    #[test]
    fn an_example_is_of_a_thing_by_its_whole_id() {
        let made = |id: &str, example: &str| Wanted::new(id).unwrap().made(example);
        assert!(made("CVE-2023-0001", "CVE-2023-0001") && made("CVE-2023-0001", "CVE-2023-0001#v3"));
        assert!(!made("CVE-2023-0001", "CVE-2023-00011"));
        assert!(made("CWE-79", "CWE-79/consequence-1") && !made("CWE-7", "CWE-79/consequence-1"));
        assert!(made("s1", "tram/s1") && made("tram/s1", "tram/s1") && !made("s", "tram/s1"));
    }
}
