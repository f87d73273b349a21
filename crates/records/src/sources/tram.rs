//! TRAM: sentences of threat reports to which analysts gave techniques of ATT&CK.
//!
//! Read are the sets of the Center for Threat-Informed Defense: `single_label.json` and `multi_label.json` (arrays),
//! and reports as TRAM exports them (an object with `sentences`), of which the bootstrap set is one. A sentence's ID is
//! a digest of its words, so that one that stands in several sets is joined to one by [`crate::knowledge`].

use std::io::BufRead;

use serde::Deserialize;

use crate::clean::one_line;
use crate::digest::sha256_of_bytes;
use crate::error::Result;
use crate::format::Format;
use crate::record::{LabelledSentence, Record, Reject, RejectReason, TechniqueId};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::json::{elements, record};
use crate::sources::text::attack;

/// A sentence with more techniques is no sentence.
const MAX_TECHNIQUES: usize = 100;
/// A heap of sentences from everywhere, which calls itself a report.
const NO_REPORT: &str = "Bootstrap Training Data";

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Tram;

const NAME: &str = "tram";

impl Source for Tram {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "Apache-2.0 (Center for Threat-Informed Defense)"
    }

    fn reads(&self) -> &'static str {
        "sentences labelled for TRAM (JSON)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::Tram
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        let head = reader.fill_buf().map_err(|error| broken(self, place, &error))?;
        let report = report_name(&String::from_utf8_lossy(head));
        let bom = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        reader.consume(bom);
        let mut number = 0;
        let mut each = |text: &str| {
            number += 1;
            let place = || format!("{place} sentence {number}");
            if let Err(reason) = read(text, &report, &place, sink) {
                sink(Err(Reject { place: place(), reason }));
            }
        };
        let arrays = elements(reader, &["sentences"], &mut each).map_err(|error| broken(self, place, &error))?;
        if arrays == 0 {
            return Err(broken(self, place, &"it has no array of sentences"));
        }
        Ok(())
    }
}

/// The report's name, which an export states before its sentences; empty where there is none.
fn report_name(head: &str) -> String {
    let before = head.find("\"sentences\"").map_or(head, |end| &head[..end]);
    let is_object = before.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    let value = before.find("\"name\"").filter(|_| is_object).map(|at| before[at + 6..].trim_start());
    let value = value.and_then(|rest| rest.strip_prefix(':'));
    let name = value.and_then(|rest| serde_json::Deserializer::from_str(rest).into_iter::<String>().next());
    let name = one_line(&name.and_then(serde_json::Result::ok).unwrap_or_default());
    if name == NO_REPORT { String::new() } else { name }
}

/// A sentence of any of the sets.
#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "sentence")]
    text: String,
    #[serde(default, alias = "labels")]
    label: Labels,
    #[serde(default)]
    doc_title: Option<String>,
    /// Only exports have it: `accept`, `reject`, or null where nobody looked yet.
    #[serde(default)]
    disposition: Option<String>,
    #[serde(default)]
    mappings: Option<Vec<Mapping>>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Labels {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

#[derive(Deserialize)]
struct Mapping {
    attack_id: String,
}

fn read(text: &str, report: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let entry: Entry = record(text)?;
    let labels = labels_of(&entry)?;
    let text = one_line(&attack(&entry.text));
    if text.is_empty() {
        return Err(RejectReason::NoText);
    }
    let mut techniques: Vec<TechniqueId> = Vec::new();
    for label in labels.iter().take(MAX_TECHNIQUES) {
        match label.trim().parse() {
            Ok(id) => techniques.push(id),
            Err(_) => sink(Err(Reject { place: place(), reason: RejectReason::BadReference })),
        }
    }
    // Without its labels it would look like a sentence that shows no technique.
    if techniques.is_empty() && !labels.is_empty() {
        return Err(RejectReason::BadId);
    }
    techniques.sort_unstable();
    techniques.dedup();
    sink(Ok(Record::Sentence(Box::new(LabelledSentence {
        id: id_of(&text),
        document: entry.doc_title.as_deref().map_or_else(|| report.to_owned(), one_line),
        text,
        techniques,
        published: None,
        source: NAME,
    }))));
    Ok(())
}

/// The labels that somebody stands for.
fn labels_of(entry: &Entry) -> Result<Vec<&str>, RejectReason> {
    if let Some(mappings) = &entry.mappings {
        return match entry.disposition.as_deref() {
            Some("accept") => Ok(mappings.iter().map(|one| one.attack_id.as_str()).collect()),
            Some("reject") => Ok(Vec::new()),
            _ => Err(RejectReason::Unreviewed),
        };
    }
    Ok(match &entry.label {
        Labels::One(label) => vec![label],
        Labels::Many(labels) => labels.iter().map(String::as_str).collect(),
        Labels::None => Vec::new(),
    })
}

/// The same words have the same ID, in whatever set and case.
fn id_of(text: &str) -> String {
    let digest = sha256_of_bytes(text.to_lowercase().as_bytes());
    format!("tram-{}", &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const SINGLE: &str = include_str!("../../fixtures/tram-single-label.json");
    const REPORT: &str = include_str!("../../fixtures/tram-report.json");

    fn sentences_in(text: &str) -> (Vec<LabelledSentence>, Vec<RejectReason>) {
        let (records, rejects) = parse(&Tram, text).unwrap();
        let sentences = records.into_iter().map(|record| match record {
            Record::Sentence(one) => *one,
            other => panic!("{other:?}"),
        });
        (sentences.collect(), rejects.into_iter().map(|one| one.reason).collect())
    }

    fn techniques(one: &LabelledSentence) -> Vec<&str> {
        one.techniques.iter().map(TechniqueId::as_str).collect()
    }

    #[test]
    fn the_set_with_one_label_is_read() {
        let (found, rejects) = sentences_in(SINGLE);
        assert!(rejects.is_empty(), "{rejects:?}");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].text, "The kettle reads the registry to find cups.");
        assert_eq!((found[0].document.as_str(), techniques(&found[0])), ("Hot Water Report", vec!["T1012"]));
        assert!(found[0].id.starts_with("tram-") && found[0].id.len() == 21);
    }

    #[test]
    fn an_exported_report_is_read_and_only_what_was_looked_at_counts() {
        let (found, rejects) = sentences_in(REPORT);
        assert_eq!(rejects, [RejectReason::Unreviewed]);
        assert_eq!(found.len(), 3);
        assert_eq!(techniques(&found[0]), ["T1012", "T1059.001"]);
        assert_eq!(found[0].id, sentences_in(SINGLE).0[0].id, "the same words in another set and case");
        assert_eq!(found[0].document, "Steam \"2024\"");
        assert!(found[1].techniques.is_empty(), "an analyst rejected the mapping");
        assert_eq!(found[2].text, "It hides steam.", "without its citation");
    }

    #[test]
    fn the_bootstrap_set_is_no_report() {
        let text = REPORT.replace(r#"Steam \"2024\""#, NO_REPORT);
        assert!(sentences_in(&text).0.iter().all(|one| one.document.is_empty()));
    }

    #[test]
    fn the_set_with_many_labels_is_read_and_none_is_kept() {
        let text = r#"[{"sentence":"It boils.","labels":[],"doc_title":"A"},{"sentence":"It pours.","labels":["T1012","T1012"],"doc_title":"A"}]"#;
        let (found, rejects) = sentences_in(text);
        assert!(rejects.is_empty() && found[0].techniques.is_empty());
        assert_eq!(techniques(&found[1]), ["T1012"]);
    }

    #[test]
    fn bad_sentences_are_rejects_and_bad_files_are_errors() {
        for (bad, reason) in [
            (r#"{"text":"A b.","label":"T12","doc_title":"A"}"#, RejectReason::BadId),
            (r#"{"text":" (Citation: X)","label":"T1012","doc_title":"A"}"#, RejectReason::NoText),
            (r#"{"label":"T1012","doc_title":"A"}"#, RejectReason::WrongShape),
            (r#"{"text":"A.","label":7,"doc_title":"A"}"#, RejectReason::WrongShape),
            (r#"{"text":7,"label":"T1012"}"#, RejectReason::WrongShape),
            ("null", RejectReason::WrongShape),
        ] {
            let text = format!(r#"[{bad},{{"text":"Fine.","label":"T1012","doc_title":"A"}}]"#);
            let (found, rejects) = sentences_in(&text);
            assert_eq!((found.len(), rejects.last()), (1, Some(&reason)), "{bad}");
        }
        for text in [r#"{"name":"A","ml_model":"humans"}"#, &SINGLE[..SINGLE.len() - 4], r#"{"x":1}"#, ""] {
            assert!(parse(&Tram, text).unwrap_err().to_string().contains("hint:"), "{text}");
        }
    }

    #[test]
    fn no_cut_makes_it_panic() {
        for text in [SINGLE, REPORT] {
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                let _ = parse(&Tram, &text[..at]);
                let _ = report_name(&text[..at]);
            }
        }
    }
}
