//! CERT/CC's vulnerability notes: the archive up to 2020, and what VINCE's public API answers since.
//!
//! Specifications: the fields of CERT/CC's Vulnerability Data Archive, and `VUReportSerializer` of VINCE. Notes of VINCE
//! often stand as a whole, in Markdown, in the field for the overview; its headings then say which part is which.

use std::io::BufRead;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::record::{CveId, Document, DocumentKind, Published, Record, Reject, RejectReason};
use crate::source::{Sink, Source, expect_format};
use crate::sources::json::{or_default, record};
use crate::sources::lines::records;
use crate::sources::text::{self, join, paragraphs};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct CertCc;

const NAME: &str = "certcc";

impl Source for CertCc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "CERT/CC terms (CMU SEI)"
    }

    fn reads(&self) -> &'static str {
        "CERT/CC vulnerability notes (JSON)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::CertCc
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        records(self, reader, place, read, sink)
    }
}

/// A note; each field by its name in the archive and in VINCE.
#[derive(Deserialize)]
struct Note {
    #[serde(rename = "ID", alias = "vuid")]
    id: String,
    #[serde(rename = "Title", alias = "name", default, deserialize_with = "or_default")]
    title: String,
    #[serde(rename = "Overview", alias = "overview", default, deserialize_with = "or_default")]
    overview: String,
    #[serde(rename = "Description", alias = "clean_desc", default, deserialize_with = "or_default")]
    description: String,
    #[serde(rename = "Impact", alias = "impact", default, deserialize_with = "or_default")]
    impact: String,
    #[serde(rename = "Resolution", alias = "resolution", default, deserialize_with = "or_default")]
    resolution: String,
    #[serde(rename = "Workarounds", alias = "workarounds", default, deserialize_with = "or_default")]
    workarounds: String,
    #[serde(rename = "SystemsAffectedPreamble", alias = "sysaffected", default, deserialize_with = "or_default")]
    systems: String,
    #[serde(rename = "CVEIDs", alias = "cveids", default, deserialize_with = "or_default")]
    cves: OneOrMany,
    #[serde(rename = "DateFirstPublished", alias = "datefirstpublished", default, deserialize_with = "or_default")]
    first_published: String,
    #[serde(rename = "DatePublic", alias = "publicdate", default, deserialize_with = "or_default")]
    public: String,
    #[serde(rename = "DateCreated", alias = "datecreated", default, deserialize_with = "or_default")]
    created: String,
}

/// The archive writes a single ID as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Reads one note into `sink`; an error is why the whole of it is lost.
fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let note: Note = record(text)?;
    let id = note.id.trim();
    let number = id.strip_prefix("VU#").unwrap_or_default();
    if !(1..=9).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RejectReason::BadId);
    }
    let mut lost = Vec::new();
    let parts = note.parts();
    let document = Document {
        id: id.to_owned(),
        kind: DocumentKind::Advisory,
        title: one_line(&note.title),
        text: parts.text,
        summary: parts.summary,
        remedy: parts.remedy,
        published: note.date(&mut lost),
        cves: note.cves(&mut lost),
        cwes: Vec::new(),
        techniques: Vec::new(),
        products: Vec::new(),
        source: NAME,
    };
    if document.text.is_empty() {
        return Err(RejectReason::NoText);
    }
    lost.into_iter().for_each(|reason| sink(Err(Reject { place: place(), reason })));
    sink(Ok(Record::Document(Box::new(document))));
    Ok(())
}

/// The headings of a note of VINCE, of which one is enough to know it.
const PARTS: &[&str] = &["overview", "description", "impact", "solution"];

/// The texts of a note.
struct Parts {
    summary: String,
    text: String,
    remedy: String,
}

static ANY_CVE: LazyLock<Regex> = LazyLock::new(|| {
    // Some are written with a dash or a blank, and the oldest are candidates.
    Regex::new(r"(?i)(?:CVE|CAN)[-–— ]([0-9]{4})[-–— ]([0-9]{4,})")
        .expect("the pattern is a constant that a test compiles")
});

impl Note {
    fn parts(&self) -> Parts {
        let titles = self.overview.lines().filter_map(|line| text::heading(line.trim()));
        if titles.map(str::to_ascii_lowercase).any(|title| PARTS.contains(&title.as_str())) {
            let of = |wanted: fn(&str) -> bool| text::sections(&self.overview, wanted);
            return Parts {
                summary: of(|title| title == "overview"),
                text: text::markdown(&self.overview),
                remedy: of(|title| matches!(title, "solution" | "resolution" | "workaround" | "workarounds")),
            };
        }
        let titled = |title: &str, text: &str| match paragraphs(text) {
            text if text.is_empty() => text,
            text => format!("{title}:\n{text}"),
        };
        let (resolution, workarounds) = (paragraphs(&self.resolution), paragraphs(&self.workarounds));
        Parts {
            summary: paragraphs(&self.overview),
            text: join(&[
                &paragraphs(&self.overview),
                &paragraphs(&self.description),
                &titled("Impact", &self.impact),
                &titled("Solution", &self.resolution),
                &titled("Workarounds", &self.workarounds),
                &titled("Systems affected", &self.systems),
            ]),
            remedy: join(&[&resolution, &workarounds]),
        }
    }

    /// When the note was published; where that is not stated, when it was written.
    ///
    /// Not when the vulnerability became public: notes tell what came to be known after that.
    fn date(&self, lost: &mut Vec<RejectReason>) -> Option<Published> {
        for text in [&self.first_published, &self.created, &self.public].map(|text| text.trim()) {
            match text.parse() {
                Ok(date) => return Some(date),
                Err(_) if text.is_empty() => {}
                Err(_) => lost.push(RejectReason::BadDate),
            }
        }
        None
    }

    /// The CVEs of its own field, sorted, each once.
    fn cves(&self, lost: &mut Vec<RejectReason>) -> Vec<CveId> {
        let fields = match &self.cves {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts,
        };
        let mut found: Vec<CveId> = Vec::new();
        for field in fields.iter().filter(|field| !field.trim().is_empty()) {
            let ids = ANY_CVE.captures_iter(field).map(|parts| format!("CVE-{}-{}", &parts[1], &parts[2]));
            let ids: Vec<CveId> = ids.filter_map(|id| id.parse().ok()).collect();
            lost.extend(ids.is_empty().then_some(RejectReason::BadReference));
            found.extend(ids);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const LINES: &str = include_str!("../../fixtures/certcc-vu.jsonl");
    const VINCE: &str = include_str!("../../fixtures/certcc-vince.json");

    fn read_all(text: &str) -> (Vec<Document>, Vec<RejectReason>) {
        let (records, rejects) = parse(&CertCc, text).unwrap();
        let documents = records.into_iter().map(|record| match record {
            Record::Document(one) => *one,
            other => panic!("{other:?}"),
        });
        (documents.collect(), rejects.into_iter().map(|one| one.reason).collect())
    }

    fn cves(document: &Document) -> Vec<String> {
        document.cves.iter().map(CveId::to_string).collect()
    }

    #[test]
    fn a_note_of_the_archive_is_a_document_with_its_remedy() {
        let (documents, rejects) = read_all(LINES);
        let want = Document {
            id: "VU#900001".into(),
            kind: DocumentKind::Advisory,
            title: "Acme Kettle spills".into(),
            summary: "The kettle spills.".into(),
            text:
                "The kettle spills.\n\nIt spills\nover the edge.\n\nImpact:\nWet feet.\n\nSolution:\nBuy a new one.\n\n\
                   Workarounds:\nStand back."
                    .into(),
            remedy: "Buy a new one.\n\nStand back.".into(),
            published: Some("2010-05-06".parse().unwrap()),
            cves: vec!["CVE-2010-0401".parse().unwrap()],
            cwes: Vec::new(),
            techniques: Vec::new(),
            products: Vec::new(),
            source: "certcc",
        };
        assert_eq!(documents[0], want);
        assert_eq!(cves(&documents[1]), ["CVE-2001-0402", "CVE-2011-0403", "CVE-2018-0404"]);
        assert_eq!((documents.len(), documents[1].published.unwrap().to_string().as_str()), (2, "2001-03-30"));
        let want = [
            RejectReason::BadDate,
            RejectReason::BadReference,
            RejectReason::NoText,
            RejectReason::BadId,
            RejectReason::WrongShape,
        ];
        assert_eq!(rejects, want);
    }

    #[test]
    fn a_note_of_vince_is_cut_by_its_headings() {
        let (documents, rejects) = read_all(VINCE);
        let one = &documents[0];
        assert_eq!((one.id.as_str(), one.title.as_str()), ("VU#900002", "Cups leak"));
        assert_eq!(one.summary, "Cups leak tea.");
        assert_eq!(
            one.text,
            "Overview:\nCups leak tea.\n\nDescription:\nThe glaze has holes.\n\nImpact:\nStains.\n\nSolution:\nApply glaze."
        );
        assert_eq!((one.remedy.as_str(), cves(one)), ("Apply glaze.", vec!["CVE-2022-0405".to_owned()]));
        assert_eq!(one.published.unwrap().to_string(), "2022-06-16");
        assert!(rejects.is_empty());
    }
}
