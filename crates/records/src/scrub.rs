//! Secrets and personal data in texts become typed placeholders, such as `<EMAIL>`, counted by kind.
//!
//! Texts are public advisories and whatever documents a user brings: untrusted, many, and full of things that look
//! personal and are knowledge. So every [`Kind`] is strict, and what it keeps is part of its rule:
//! version numbers, CVSS vectors, CPE names, hashes, commit ids, public addresses (indicators of compromise), loopback and
//! documentation ranges, whole private networks, the cloud metadata address, package names with versions, `git@host:` and
//! login names of `ssh` and `scp` examples, addresses at `example.com`, personas of payloads such as `attacker@…`.
//! Default and hard-coded credentials that a description names are knowledge and stay; a long random key does not.
//!
//! One pass of a [`RegexSet`] over the bytes says which kinds can occur at all; only their matchers run. A text with hits
//! is looked at again until nothing is found, because a replaced neighbour may be what made a matcher hold back.

mod email;
mod home;
mod kinds;
mod network;
mod numbers;
mod person;
mod phone;
#[cfg(test)]
pub(crate) mod real;
#[cfg(test)]
mod samples;
mod secrets;
mod text;
mod tokens;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

pub use kinds::ALL;

/// How often a text is looked at. Every round replaces something for good, real texts need two.
const MAX_ROUNDS: usize = 32;

/// One kind of secret or personal data.
#[derive(Debug)]
pub struct Kind {
    /// Stable name, the key in [`Counts`].
    pub name: &'static str,
    /// What stands in its place.
    pub placeholder: &'static str,
    /// What it is and what it keeps.
    pub what: &'static str,
    /// A bytes expression that every text with a hit matches.
    trigger: &'static str,
    /// Adds the byte ranges of its hits, in order and apart.
    find: fn(&str, &mut Vec<Range<usize>>),
}

/// The kind called `name`, if there is one.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// One thing to replace.
#[derive(Debug, Clone)]
pub struct Hit {
    /// What it is.
    pub kind: &'static Kind,
    /// Its bytes in the text.
    pub range: Range<usize>,
}

/// How many hits of each kind were replaced, by [`Kind::name`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn count(&mut self, kind: &Kind) {
        *self.0.entry(kind.name.to_owned()).or_default() += 1;
    }
}

/// A text without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed<'a> {
    /// The text; borrowed where there was nothing to replace.
    pub text: Cow<'a, str>,
    /// What was replaced.
    pub counts: Counts,
}

/// `text` with a placeholder for every secret and everything personal. Scrubbing twice is scrubbing once.
#[must_use]
pub fn scrub(text: &str) -> Scrubbed<'_> {
    let mut scrubbed = Scrubbed { text: Cow::Borrowed(text), counts: Counts::default() };
    for _ in 0..MAX_ROUNDS {
        let found = hits(&scrubbed.text);
        if found.is_empty() {
            break;
        }
        scrubbed.text = Cow::Owned(replaced(&scrubbed.text, &found));
        found.iter().for_each(|hit| scrubbed.counts.count(hit.kind));
    }
    scrubbed
}

/// What one look finds in `text`, in order and apart; where two kinds overlap, the earlier in [`ALL`] has it.
#[must_use]
pub fn hits(text: &str) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for at in &TRIGGERS.matches(text.as_bytes()) {
        let mut ranges = Vec::new();
        (ALL[at].find)(text, &mut ranges);
        // What a placeholder is made of is never a hit, or there would be no end.
        ranges.retain(|range| !range.is_empty() && !text[range.clone()].contains(['<', '>']));
        hits.extend(ranges.into_iter().map(|range| Hit { kind: &ALL[at], range }));
    }
    apart(hits)
}

/// `hits`, each of another kind's place in [`ALL`], without those that overlap an earlier kind's.
fn apart(mut hits: Vec<Hit>) -> Vec<Hit> {
    if hits.len() < 2 {
        return hits;
    }
    let rank = |hit: &Hit| ALL.iter().position(|kind| kind.name == hit.kind.name);
    hits.sort_by_key(|hit| (rank(hit), hit.range.start));
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    hits.retain(|Hit { range, .. }| {
        let is_free = taken.range(..range.end).next_back().is_none_or(|(_, end)| *end <= range.start);
        if is_free {
            taken.insert(range.start, range.end);
        }
        is_free
    });
    hits.sort_by_key(|hit| hit.range.start);
    hits
}

fn replaced(text: &str, hits: &[Hit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for hit in hits {
        out.push_str(&text[from..hit.range.start]);
        out.push_str(hit.kind.placeholder);
        from = hit.range.end;
    }
    out.push_str(&text[from..]);
    out
}

static TRIGGERS: LazyLock<RegexSet> = LazyLock::new(|| {
    let triggers = ALL.iter().map(|kind| kind.trigger);
    RegexSetBuilder::new(triggers).unicode(false).build().expect("the table's expressions are tested")
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrubbed(text: &str) -> String {
        scrub(text).text.into_owned()
    }

    #[test]
    fn every_kind_has_a_name_and_a_placeholder_of_its_own() {
        for (at, kind) in ALL.iter().enumerate() {
            assert!(kind.placeholder.starts_with('<') && kind.placeholder.ends_with('>'), "{}", kind.name);
            assert!(kind.what.len() > 10 && by_name(kind.name).is_some());
            let twins = ALL[..at].iter().filter(|other| other.name == kind.name);
            assert_eq!(twins.count(), 0, "{}", kind.name);
            assert!(hits(kind.placeholder).is_empty(), "{}", kind.name);
        }
        assert_eq!(TRIGGERS.len(), ALL.len());
        assert!(by_name("shoe_size").is_none());
    }

    #[test]
    fn a_text_without_hits_is_borrowed_and_one_with_hits_is_counted() {
        let plain = "Acme Server 10.0.0.1 allows remote attackers to read files.";
        assert!(matches!(scrub(plain).text, Cow::Borrowed(_)) && scrub(plain).counts.total() == 0);
        let text = "Mail a.smith@acme.io or b.jones@acme.io from 192.168.7.9.";
        let scrubbed = scrub(text);
        assert_eq!(scrubbed.text, "Mail <EMAIL> or <EMAIL> from <PRIVATE_IP>.");
        let json = serde_json::to_string(&scrubbed.counts).unwrap();
        assert_eq!(json, r#"{"email":2,"private_ip":1}"#);
        let mut sum: Counts = serde_json::from_str(&json).unwrap();
        sum.add(&scrubbed.counts);
        assert_eq!((sum.total(), sum.0["email"]), (6, 4));
    }

    #[test]
    fn the_earlier_kind_has_what_two_kinds_find() {
        assert_eq!(scrubbed("https://ivo:Tr4m-Depot9@git.acme.io/x"), "https://<CREDENTIALS>@git.acme.io/x");
    }

    /// Pieces of which hits and near misses are made, so that random texts reach the matchers.
    fn pieces() -> impl Strategy<Value = String> {
        let words = [
            "credit ",
            "Credit: ",
            "thanks to ",
            "reported by ",
            "Ann",
            " ",
            "Lee ",
            ", ",
            " and ",
            "of Acme ",
            "@",
            ".com",
            "a.b",
            "10.1.2.3",
            "192.168.1.9",
            "ip address ",
            "version ",
            "://",
            ":",
            "/",
            "user",
            "password=",
            "aB3dE5gH7jK9",
            "token: ",
            "\"",
            "default ",
            "phone: ",
            "+49 30 ",
            "123456",
            "-",
            "fe80::1:2",
            "\u{e9}",
            "<",
            ">",
            ".local",
            "host ",
            "00:1b:44:11:3a:b7",
            "DE89 3704 0044 0532 0130 00",
            "4111 1111 1111 1111",
            "card ",
            "/hom",
            "e/",
            "bob",
            "/src/a.c",
            "Authorization: Bearer ",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "\n",
            "AKIA",
            "=",
            "ssh ",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn scrubbing_twice_is_scrubbing_once_and_leaves_no_hit(text in prop_oneof![pieces(), ".{0,200}"]) {
            let once = scrubbed(&text);
            prop_assert!(hits(&once).is_empty(), "{text:?} -> {once:?}");
            prop_assert_eq!(&scrubbed(&once), &once);
        }
    }
}
