//! What became of each source's word on one CVE, told one by one; the rules are those of [`super::Merger`].

use std::cmp::Reverse;

use super::{is_list, rank};
use crate::record::{Vulnerability, Withdrawn};

/// One source's word on a CVE.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// It describes the CVE.
    Published(&'a Vulnerability),
    /// It withdraws the CVE.
    Withdrawn(&'a Withdrawn),
}

impl Word<'_> {
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

/// What became of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A copy in the same list was modified later, or stands later.
    Replaced,
    /// It is of a private source, and a public source has the CVE.
    PrivateIgnored,
    /// It is heard first, and its description is taken.
    Described,
    /// It is heard first, and withdraws the CVE.
    Withdrew,
    /// What it says is added to the first.
    Added,
    /// It withdraws what a source that is heard before it describes.
    Overruled,
    /// The CVE is withdrawn by a source that is heard before it.
    Dropped,
}

impl Verdict {
    /// It in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Replaced => "replaced by another copy in the same source, which was modified later or stands later",
            Self::PrivateIgnored => "ignored: the source is private, and a public source has this CVE",
            Self::Described => "heard first: its description is taken",
            Self::Withdrew => "heard first: it withdraws the CVE, which is left out",
            Self::Added => "heard after the first: its labels and products are added",
            Self::Overruled => "ignored: a source that is heard before it describes the CVE",
            Self::Dropped => "dropped: a source that is heard before it withdraws the CVE",
        }
    }
}

/// What becomes of each of `words`, all on one CVE and in the order in which they came.
#[must_use]
pub fn verdicts(words: &[Word<'_>], private: &[String]) -> Vec<Verdict> {
    let mut found: Vec<Option<Verdict>> = vec![None; words.len()];
    let is_private = |word: &Word<'_>| private.iter().any(|name| name == word.source());
    let has_public = words.iter().any(|word| !is_private(word));
    for (at, word) in words.iter().enumerate() {
        let later = |other: &Word<'_>| other.source() == word.source() && other.modified() >= word.modified();
        let earlier = |other: &Word<'_>| other.source() == word.source() && other.modified() > word.modified();
        if has_public && is_private(word) {
            found[at] = Some(Verdict::PrivateIgnored);
        } else if is_list(word.source()) && (words[at + 1..].iter().any(later) || words[..at].iter().any(earlier)) {
            found[at] = Some(Verdict::Replaced);
        }
    }
    let mut order: Vec<usize> = (0..words.len()).rev().filter(|&at| found[at].is_none()).collect();
    order.sort_by_key(|&at| (rank(words[at].source()), Reverse(words[at].modified())));
    let withdraws = order.first().is_some_and(|&at| matches!(words[at], Word::Withdrawn(_)));
    for (place, at) in order.into_iter().enumerate() {
        found[at] = Some(match (place, withdraws, &words[at]) {
            (0, true, _) => Verdict::Withdrew,
            (0, false, _) => Verdict::Described,
            (_, true, _) => Verdict::Dropped,
            (_, false, Word::Published(_)) => Verdict::Added,
            (_, false, Word::Withdrawn(_)) => Verdict::Overruled,
        });
    }
    found.into_iter().map(|one| one.expect("every word is either judged at once or in order")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Merger;
    use crate::merge::tests::vulnerability;
    use crate::record::{Record, WithdrawnState};
    use proptest::prelude::*;

    const ID: &str = "CVE-2023-0001";

    fn record(source: &'static str, at: usize, modified: u64, withdrawn: bool) -> Record {
        if withdrawn {
            let state = WithdrawnState::Rejected;
            return Record::Withdrawn(Withdrawn { id: ID.parse().unwrap(), state, modified, source });
        }
        let words =
            Vulnerability { modified, sources: vec![source.into()], ..vulnerability(ID, &format!("words of {at}")) };
        Record::Vulnerability(Box::new(words))
    }

    fn word(record: &Record) -> Word<'_> {
        match record {
            Record::Vulnerability(one) => Word::Published(one),
            Record::Withdrawn(one) => Word::Withdrawn(one),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_word_is_judged() {
        let records = [
            record("nvd", 0, 2, false),
            record("nvd", 1, 1, false),
            record("cvelist", 2, 0, false),
            record("osv", 3, 0, true),
            record("csaf", 4, 9, false),
        ];
        let words: Vec<_> = records.iter().map(word).collect();
        use Verdict::{Added, Described, Overruled, PrivateIgnored, Replaced};
        assert_eq!(verdicts(&words, &["csaf".into()]), [Added, Replaced, Described, Overruled, PrivateIgnored]);
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_the_merger_does(
            said in prop::collection::vec((0_usize..4, 0_u64..3, prop::bool::weighted(0.2)), 1..8),
            secret in prop::collection::vec(0_usize..4, 0..3),
        ) {
            let names = ["cvelist", "nvd", "osv", "csaf"];
            let make = |(at, &(source, modified, gone)): (usize, &(usize, u64, bool))| {
                record(names[source], at, modified, gone)
            };
            let records: Vec<Record> = said.iter().enumerate().map(make).collect();
            let private: Vec<String> = secret.iter().map(|&at| names[at].to_owned()).collect();
            let words: Vec<_> = records.iter().map(word).collect();
            let told = verdicts(&words, &private);
            let mut merger = Merger::new(&private);
            records.iter().cloned().for_each(|one| assert!(merger.add(one).is_none()));
            let (merged, _) = merger.finish();
            let described = told.iter().position(|one| *one == Verdict::Described).map(|at| format!("words of {at}"));
            prop_assert_eq!(merged.first().map(|one| one.description.clone()), described);
            if let Some(one) = merged.first() {
                let mut heard: Vec<&str> = told.iter().zip(&words)
                    .filter(|(told, _)| matches!(told, Verdict::Described | Verdict::Added))
                    .map(|(_, word)| word.source()).collect();
                heard.sort_unstable();
                heard.dedup();
                prop_assert_eq!(&one.sources, &heard);
            }
        }
    }
}
