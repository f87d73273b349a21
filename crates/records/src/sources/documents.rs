//! Documents of any common format: Markdown, HTML, plain text, PDF, DOCX, e-mail and mailboxes.
//!
//! [`wardsmith_documents`] makes text of their bytes; here a text becomes records. Long ones are cut at their headings,
//! so that a training text stays of one piece, and what holds next to no prose (an index of links) is set aside.

mod parts;

use std::io::{BufRead, Read};

use wardsmith_documents::{Error as ReadError, Kind, Limits, Text, kind_of};

use self::parts::{Part, is_worth_reading, parts};
use crate::error::Result;
use crate::format::Format;
use crate::input::walk::{extension, is_container};
use crate::record::{CveId, CweId, Document, DocumentKind, Published, Record, Reject, RejectReason, TechniqueId};
use crate::source::{self, MAX_RECORD_BYTES, Sink, Source, broken, expect_format};

/// More CVEs than this in one part are a list, not what it is about.
const MAX_CVES: usize = 200;
/// A title that is longer is a paragraph that somebody marked as a heading.
const MAX_TITLE_CHARS: usize = 200;
/// A line that names a field is short.
const MAX_FIELD_CHARS: usize = 500;
/// How much of a name tells what is in the file.
const NOT_WANTED: &[&str] = &["license", "licence", "copying", "notice"];
/// Endings of what is text and says nothing: signatures, logs.
const NOT_READ: &[&str] = &["asc", "log"];
/// What the field that names weaknesses is called.
const CWE_FIELDS: &[&str] =
    &["cwe", "cwes", "cwe id", "cwe ids", "cwe-id", "cwe-ids", "weakness", "weaknesses", "weakness type"];
/// What the field that names techniques is called.
const TECHNIQUE_FIELDS: &[&str] =
    &["att&ck", "mitre att&ck", "mitre att&ck techniques", "att&ck techniques", "technique", "techniques", "ttps"];
/// What begins a line that only an advisory has.
const ADVISORY_FIELDS: &[&str] = &["advisory id", "advisory number", "security advisory id", "bulletin id"];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Documents;

const NAME: &str = "documents";

impl Source for Documents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "that of each document; see where it is from"
    }

    fn reads(&self) -> &'static str {
        "documents (Markdown, HTML, text, PDF, DOCX, e-mail)"
    }

    /// A web page is read too, but where a feed was wanted it is a server's word on an error, and better not offered.
    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::Text | Format::Pdf | Format::Office)
    }

    fn wants(&self, place: &str) -> bool {
        let name = place.rsplit('/').next().unwrap_or(place).to_ascii_lowercase();
        let ending = extension(&name);
        let is_document = Kind::ALL.iter().any(|kind| kind.extensions().contains(&ending.as_str()));
        let is_asked_for = is_document && !NOT_READ.contains(&ending.as_str());
        (is_asked_for || is_container(&name)) && !NOT_WANTED.iter().any(|start| name.starts_with(start))
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        let head = reader.fill_buf().map_err(|error| broken(self, place, &error))?;
        let format = Format::of(head);
        // A feed of records is text too, but no document; a text may have the words of a rule.
        let is_feed = source::ALL.iter().any(|other| other.name() != NAME && other.accepts(format));
        if is_feed && format != Format::Sigma {
            expect_format(self, reader, place)?;
        }
        let mut bytes = Vec::new();
        let mut limited = reader.take(MAX_RECORD_BYTES as u64 + 1);
        limited.read_to_end(&mut bytes).map_err(|error| broken(self, place, &error))?;
        let mut lost = |reason| sink(Err(Reject { place: place.into(), reason }));
        if bytes.len() > MAX_RECORD_BYTES {
            lost(RejectReason::TooLarge);
            return Ok(());
        }
        let Some(kind) = kind_of(&bytes[..bytes.len().min(1 << 13)], plain_name(place)) else {
            lost(RejectReason::Malformed);
            return Ok(());
        };
        match wardsmith_documents::read(&bytes, kind, &Limits::default()) {
            Ok(texts) => texts.iter().enumerate().for_each(|(at, text)| add(text, at, place, sink)),
            Err(ReadError::Thread(error)) => return Err(broken(self, place, &error)),
            Err(error) => lost(reason_of(&error)),
        }
        Ok(())
    }
}

/// The name of what was in `report.md.gz`.
fn plain_name(place: &str) -> &str {
    let compressed = matches!(extension(place).as_str(), "gz" | "xz");
    if compressed { &place[..place.len() - 3] } else { place }
}

fn reason_of(error: &ReadError) -> RejectReason {
    match error {
        ReadError::TooLarge { .. } => RejectReason::TooLarge,
        ReadError::NoText { .. } => RejectReason::NoText,
        _ => RejectReason::Malformed,
    }
}

/// Makes the records of the text number `at` of a file.
fn add(text: &Text, at: usize, place: &str, sink: Sink<'_>) {
    let place = if at == 0 { place.to_owned() } else { format!("{place}/{}", at + 1) };
    if !is_worth_reading(&text.body) {
        sink(Err(Reject { place, reason: RejectReason::NoText }));
        return;
    }
    let published: Option<Published> = text.date.as_deref().and_then(|date| date.parse().ok());
    if published.is_none() && text.date.is_some() {
        sink(Err(Reject { place: place.clone(), reason: RejectReason::BadDate }));
    }
    let title = if text.title.is_empty() { title_of(&place) } else { shortened(&text.title) };
    let kind = document_kind(text, &title);
    for part in parts(text) {
        let id = if part.slug.is_empty() { place.clone() } else { format!("{place}#{}", part.slug) };
        if !is_worth_reading(&part.text) {
            sink(Err(Reject { place: id, reason: RejectReason::NoText }));
            continue;
        }
        sink(Ok(Record::Document(Box::new(document(id, kind, &title, published, part)))));
    }
}

fn document(id: String, kind: DocumentKind, title: &str, published: Option<Published>, part: Part) -> Document {
    let heading = shortened(&part.heading);
    let is_named = heading.is_empty() || heading == title;
    let title = if is_named { title.to_owned() } else { format!("{title}: {heading}") };
    Document {
        id,
        kind,
        cves: CveId::find_all(&format!("{title}\n{}", part.text), MAX_CVES),
        cwes: cwes_in(&part.text),
        techniques: techniques_in(&part.text),
        title,
        summary: part.summary,
        text: part.text,
        remedy: part.remedy,
        published,
        products: Vec::new(),
        source: NAME,
    }
}

fn shortened(title: &str) -> String {
    match title.char_indices().nth(MAX_TITLE_CHARS) {
        Some((end, _)) => format!("{}…", title[..end].trim_end()),
        None => title.to_owned(),
    }
}

/// `SQL Injection` for a file called `SQL_Injection.txt`.
fn title_of(place: &str) -> String {
    let name = place.rsplit('/').next().unwrap_or(place);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.replace(['_', '-'], " ").trim().to_owned()
}

fn document_kind(text: &Text, title: &str) -> DocumentKind {
    let is_advisory = !CveId::find_all(title, 1).is_empty()
        || fields(&text.body).any(|(name, _)| ADVISORY_FIELDS.contains(&name.as_str()));
    match text.kind {
        _ if is_advisory => DocumentKind::Advisory,
        Kind::Markdown => DocumentKind::Guide,
        _ => DocumentKind::Report,
    }
}

/// Lines of the form `Name: value` and rows of two cells, the name in lower case.
fn fields(text: &str) -> impl Iterator<Item = (String, &str)> {
    let lines =
        text.lines().map(|line| line.trim_start_matches(['-', ' '])).filter(|line| line.len() <= MAX_FIELD_CHARS);
    lines.filter_map(|line| {
        let (name, value) = line.split_once(" | ").or_else(|| line.split_once(':'))?;
        Some((name.trim().to_lowercase(), value.trim()))
    })
}

fn cwes_in(text: &str) -> Vec<CweId> {
    let mut found = Vec::new();
    for (_, value) in fields(text).filter(|(name, _)| CWE_FIELDS.contains(&name.as_str())) {
        let mut rest = value;
        while let Some((span, id)) = CweId::find_span_in(rest) {
            found.push(id);
            rest = &rest[span.end..];
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn techniques_in(text: &str) -> Vec<TechniqueId> {
    let named = fields(text).filter(|(name, _)| TECHNIQUE_FIELDS.contains(&name.as_str()));
    let words = named.flat_map(|(_, value)| value.split(|c: char| !c.is_ascii_alphanumeric() && c != '.'));
    let mut found: Vec<TechniqueId> = words.filter_map(|word| word.trim_matches('.').parse().ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const GUIDE: &str = include_str!("../../fixtures/kettle-guide.md");

    /// What `bytes` in a file called `name` become.
    fn read(name: &str, bytes: &[u8]) -> (Vec<Document>, Vec<RejectReason>) {
        let (mut documents, mut rejects) = (Vec::new(), Vec::new());
        let mut sink = |one: Result<Record, Reject>| match one {
            Ok(Record::Document(one)) => documents.push(*one),
            Ok(other) => panic!("{other:?}"),
            Err(reject) => rejects.push(reject.reason),
        };
        Documents.parse(&mut &bytes[..], name, &mut sink).unwrap();
        (documents, rejects)
    }

    #[test]
    fn a_guide_is_one_document_with_what_its_fields_say() {
        let (found, rejects) = read("pots/kettle-guide.md", GUIDE.as_bytes());
        assert!(rejects.is_empty(), "{rejects:?}");
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!(
            (one.id.as_str(), one.kind, one.title.as_str()),
            ("pots/kettle-guide.md", DocumentKind::Guide, "Kettle Safety")
        );
        assert_eq!(one.cwes, [CweId(120), CweId(1333)], "not the CWE-79 of the prose");
        assert_eq!(one.techniques.iter().map(TechniqueId::as_str).collect::<Vec<_>>(), ["T1059.001", "T1190"]);
        assert_eq!(one.cves.iter().map(CveId::to_string).collect::<Vec<_>>(), ["CVE-2024-0101"]);
        assert_eq!(one.summary, "Kettles must be filled only as far as they can hold.");
        assert_eq!(one.remedy, "Count what is poured in, and stop before the rim.");
        assert!(one.text.starts_with("Kettle Safety\n\nSummary\n\n"), "{}", one.text);
        assert_eq!(one.published.map(|day| day.to_string()).as_deref(), Some("2024-05-06"));
    }

    #[test]
    fn a_long_text_is_cut_at_its_headings() {
        let section = |name: &str| format!("## {name}\n\n{}\n\n", "The pot is hot, so take care. ".repeat(170));
        let text = format!("# Pots\n\n{}{}{}", section("Hot & Cold!"), section("Rim"), section("Rim"));
        let (found, rejects) = read("in/pots.md", text.as_bytes());
        assert!(rejects.is_empty(), "{rejects:?}");
        let told: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.title.as_str())).collect();
        assert_eq!(
            told,
            [("in/pots.md#pots", "Pots"), ("in/pots.md#rim", "Pots: Rim"), ("in/pots.md#rim-2", "Pots: Rim")]
        );
        assert!(found[0].text.starts_with("Pots\n\nHot & Cold!\n\nThe pot"), "{:.60}", found[0].text);
    }

    #[test]
    fn an_advisory_is_known_by_its_title_or_its_number() {
        let body =
            "Kettles of Acme overflow when they pour. Anyone who is near may get burnt. Update to 1.1. ".repeat(3);
        for (name, text, kind) in [
            ("a.txt", format!("Title\n\n{body}"), DocumentKind::Report),
            ("a.txt", format!("Advisory ID: ACME-1\n\n{body}"), DocumentKind::Advisory),
            ("a.md", format!("# CVE-2024-0101 in Kettle\n\n{body}"), DocumentKind::Advisory),
            ("a.html", format!("<html><title>Pots</title><p>{body}</p></html>"), DocumentKind::Report),
            (
                "a.eml",
                format!("From: a@b.example\nDate: Mon, 6 May 2024 10:00:00 +0000\nSubject: Pots\n\n{body}"),
                DocumentKind::Report,
            ),
        ] {
            let (found, _) = read(name, text.as_bytes());
            assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), [kind], "{text:.60}");
        }
    }

    #[test]
    fn an_index_of_links_is_set_aside_and_is_no_failure() {
        let index: String = (0..60).map(|n| format!("- [How to make tea of kind {n}](tea-{n}.md)\n")).collect();
        for text in [index.as_str(), "# Title\n", "", "Too short. Really."] {
            let (found, rejects) = read("README.md", text.as_bytes());
            assert!(found.is_empty(), "{text}");
            assert_eq!(rejects, [RejectReason::NoText], "{text:.40}");
        }
        assert!(RejectReason::NoText.sets_aside() && !RejectReason::NoText.loses_record());
    }

    #[test]
    fn what_is_no_document_is_a_reject_and_a_feed_is_an_error() {
        for (name, bytes) in
            [("a.txt", &b"\x89PNG\r\n\x1a\n\0\0\0"[..]), ("a.pdf", b"%PDF-1.7\nno more"), ("a.json", b"{}")]
        {
            assert_eq!(read(name, bytes).1, [RejectReason::Malformed], "{name}");
        }
        let message = parse(&Documents, r#"{"CVE_Items":[]}"#).unwrap_err().to_string();
        assert!(message.contains("source `nvd` reads that"), "{message}");
    }

    #[test]
    fn the_messages_of_a_mailbox_are_told_apart() {
        let message = |subject: &str| {
            format!(
                "From a@b.example Mon May  6 10:00:00 2024\nFrom: a@b.example\nSubject: {subject}\n\n{}\n\n",
                "The kettle is on fire, and it is not mine. ".repeat(8)
            )
        };
        let (found, rejects) = read("list.mbox", (message("One") + &message("Two")).as_bytes());
        let told: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.title.as_str())).collect();
        assert_eq!(told, [("list.mbox", "One"), ("list.mbox/2", "Two")], "{rejects:?}");
    }

    #[test]
    fn documents_are_wanted_by_their_endings() {
        for (place, wanted) in [
            ("a/README.md", true),
            ("a/b.PDF", true),
            ("a/b.tar.xz", true),
            ("a/b.eml", true),
            ("a/LICENSE.txt", false),
            ("a/b.json", false),
            ("a/b.asc", false),
            ("a/b.png", false),
        ] {
            assert_eq!(Documents.wants(place), wanted, "{place}");
        }
        assert_eq!((plain_name("a.md.gz"), plain_name("a.md")), ("a.md", "a.md"));
    }

    #[test]
    fn no_cut_makes_it_panic() {
        for at in 0..GUIDE.len() {
            let _ = read("guide.md", &GUIDE.as_bytes()[..at]);
        }
    }
}
