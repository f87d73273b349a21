//! Each source's own word, in words.

use std::collections::BTreeMap;

use super::{Heard, PRIVATE};
use crate::merge::{Word, verdicts};
use crate::record::{Label, Record, Technique, Vulnerability};
use crate::wanted::Said;

/// How many products are named.
const MOST_PRODUCTS: usize = 10;

/// All words on one thing, with what became of each.
pub(super) fn all(said: &[Said], private: &[String]) -> Vec<Heard> {
    let words: Vec<(usize, Word<'_>)> =
        said.iter().enumerate().filter_map(|(at, one)| Some((at, word(one)?))).collect();
    let judged = verdicts(&words.iter().map(|(_, word)| *word).collect::<Vec<_>>(), private);
    let judged: BTreeMap<usize, _> = words.iter().map(|(at, _)| *at).zip(judged).collect();
    let outcome = |at: usize| match judged.get(&at) {
        Some(verdict) => verdict.words(),
        None => copies(said, at),
    };
    said.iter()
        .enumerate()
        .map(|(at, one)| heard(one, outcome(at), private.iter().any(|name| name == one.source)))
        .collect()
}

fn word(said: &Said) -> Option<Word<'_>> {
    match &said.record {
        Record::Vulnerability(one) => Some(Word::Published(one)),
        Record::Withdrawn(one) => Some(Word::Withdrawn(one)),
        _ => None,
    }
}

/// What became of a record that is not joined by [`crate::merge`].
fn copies(said: &[Said], at: usize) -> &'static str {
    let is_copy = |other: &&Said| other.source == said[at].source && other.record.kind() == said[at].record.kind();
    let later = said[at + 1..].iter().any(|other| is_copy(&other));
    let alone = said.iter().filter(is_copy).count() == 1;
    match &said[at].record {
        _ if alone => "taken",
        Record::Sentence(_) => "joined with the others of this ID: all their techniques",
        Record::Technique(_) if counts(said, at) => "taken: the first live one counts",
        Record::Technique(_) => "replaced: the first live one counts",
        _ if later => "replaced by a later copy in the same source",
        _ => "taken: of several copies the last counts",
    }
}

/// Whether the technique at `at` is the first live one, or the first where none lives.
fn counts(said: &[Said], at: usize) -> bool {
    let technique = |one: &Said| match &one.record {
        Record::Technique(one) => Some(one.is_retired),
        _ => None,
    };
    let live = said.iter().position(|one| technique(one) == Some(false));
    live.or_else(|| said.iter().position(|one| technique(one).is_some())) == Some(at)
}

fn heard(said: &Said, outcome: &str, is_private: bool) -> Heard {
    let (published, modified, text, labels) = facts(&said.record);
    Heard {
        source: said.source.into(),
        kind: said.record.kind(),
        outcome: outcome.into(),
        published,
        modified: modified.filter(|&modified| modified != 0),
        text: if is_private { PRIVATE.into() } else { text },
        labels: if is_private { Vec::new() } else { labels },
    }
}

type Facts = (Option<String>, Option<u64>, String, Vec<String>);

/// Date, modification, text and labels of a record.
fn facts(record: &Record) -> Facts {
    let named = |what: &str, items: Vec<String>| -> Vec<String> {
        if items.is_empty() { Vec::new() } else { vec![format!("{what}: {}", items.join(", "))] }
    };
    let texts = |items: &[crate::record::TechniqueId]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let entry = |name: &str, text: &str| format!("{name}: {text}");
    match record {
        Record::Vulnerability(one) => {
            (Some(one.published.to_string()), Some(one.modified), one.description.clone(), Labels::of(one).0)
        }
        Record::Withdrawn(one) => (None, Some(one.modified), String::new(), vec![format!("state: {:?}", one.state)]),
        Record::Weakness(one) => {
            let facts = vec![format!("status: {}", one.status), format!("usage as a label: {:?}", one.usage)];
            (None, None, entry(&one.name, &one.description), facts)
        }
        Record::Category(one) => {
            let facts = vec!["a category: no label, and nothing is made of it".into()];
            (None, None, entry(&one.name, &one.summary), facts)
        }
        Record::View(one) => (None, None, one.name.clone(), Vec::new()),
        Record::Exploited(one) => {
            let facts = vec![format!("known to be exploited since: {}", one.added)];
            (Some(one.added.to_string()), None, one.description.clone(), facts)
        }
        Record::Epss(one) => {
            let told = format!("probability of exploitation {}, percentile {}", one.probability, one.percentile);
            (one.day.map(|day| day.to_string()), None, String::new(), vec![told])
        }
        Record::Pattern(one) => {
            let facts = named("weaknesses", one.weaknesses.iter().map(ToString::to_string).collect());
            (one.created.map(|day| day.to_string()), None, entry(&one.name, &one.description), facts)
        }
        Record::Technique(one) => (
            one.created.map(|day| day.to_string()),
            None,
            entry(&one.name, &one.description),
            named("tactics", one.tactics.clone()).into_iter().chain(retired(one)).collect(),
        ),
        Record::Sentence(one) => {
            let published = one.published.map(|day| day.to_string());
            (published, None, one.text.clone(), named("techniques", texts(&one.techniques)))
        }
        Record::Document(one) => {
            let mut facts = named("CVEs", one.cves.iter().map(ToString::to_string).collect());
            facts.extend(named("weaknesses", one.cwes.iter().map(ToString::to_string).collect()));
            facts.extend(named("techniques", texts(&one.techniques)));
            (one.published.map(|day| day.to_string()), None, format!("{}\n\n{}", one.title, one.text), facts)
        }
        Record::Code(one) => {
            let facts = vec![format!("weakness: {}", one.cwe), format!("language: {}", one.language)];
            (None, None, one.vulnerable.clone(), facts)
        }
    }
}

fn retired(one: &Technique) -> Option<String> {
    one.is_retired.then(|| "retired".into())
}

/// The labels of a CVE, a line each.
pub(super) struct Labels(pub(super) Vec<String>);

impl Labels {
    pub(super) fn of(one: &Vulnerability) -> Self {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(one.cwes.iter().map(|label| line("CWE", label)));
        lines.extend(one.cvss.iter().map(|label| line("CVSS", label)));
        lines.extend(one.ssvc.iter().map(|label| line("SSVC", label)));
        let products: Vec<String> =
            one.products.iter().take(MOST_PRODUCTS).map(|one| format!("{} {}", one.vendor, one.product)).collect();
        if !products.is_empty() {
            let more = one.products.len() - products.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("products: {}{more}", products.join(", ")));
        }
        Self(lines)
    }
}

fn line<T: std::fmt::Display>(what: &str, label: &Label<T>) -> String {
    let kind = if label.primary { "primary" } else { "secondary" };
    let found = if label.from_text { ", found in text" } else { "" };
    format!("{what} {} by {} ({kind}{found})", label.value, label.source)
}
