//! Sigma rules: what is looked for in which logs, as YAML, one rule a file or several with `---` between them.
//!
//! Specification: Sigma Rules 2.0 and Sigma Correlations (SigmaHQ). A rule becomes a document: its description, and the
//! detection in lines much as its author wrote them.

use std::io::BufRead;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::input::walk::{extension, is_container};
use crate::record::{CveId, Document, DocumentKind, Published, Record, Reject, RejectReason, TechniqueId};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::lines::read_line;
use crate::sources::text::{join, paragraphs};
use crate::sources::yaml::{self, Node};

/// No rule is near this size; the longest of SigmaHQ has some 40 KiB.
const MAX_RULE_BYTES: usize = 1 << 20;
/// No rule is about more CVEs.
const MAX_CVES: usize = 100;
/// The blocks of which a rule has one, and their names in the text.
const BLOCKS: &[(&str, &str)] = &[("detection", "Detection"), ("correlation", "Correlation"), ("filter", "Filter")];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Sigma;

const NAME: &str = "sigma";

impl Source for Sigma {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "Detection Rule License 1.1 (SigmaHQ), which asks to name the authors"
    }

    fn reads(&self) -> &'static str {
        "Sigma rules (YAML)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::Sigma
    }

    fn wants(&self, place: &str) -> bool {
        is_container(place) || matches!(extension(place).as_str(), "yml" | "yaml")
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        let head = reader.fill_buf().map_err(|error| broken(self, place, &error))?;
        // Some other YAML in a tree of rules is a bad record, not a bad input.
        if Format::of(head) != Format::Text {
            expect_format(self, reader, place)?;
        }
        let mut number = 0;
        let mut each = |rule: Option<&[u8]>| {
            let place = if number == 0 { place.to_owned() } else { format!("{place}#{}", number + 1) };
            let read = rule.ok_or(RejectReason::TooLarge).and_then(|bytes| read(bytes, &place, sink));
            match read {
                Ok(is_rule) => number += usize::from(is_rule),
                Err(reason) => {
                    number += 1;
                    sink(Err(Reject { place, reason }));
                }
            }
        };
        documents(reader, &mut each).map_err(|error| broken(self, place, &error))
    }
}

/// Calls `each` with every document of a YAML stream, and with nothing in place of one that is too large.
fn documents(reader: &mut dyn BufRead, each: &mut dyn FnMut(Option<&[u8]>)) -> std::io::Result<()> {
    let (mut line, mut document) = (Vec::new(), Vec::new());
    while read_line(reader, &mut line, MAX_RULE_BYTES)? {
        let is_mark = line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace));
        if is_mark {
            each((document.len() <= MAX_RULE_BYTES).then_some(&document));
            document.clear();
            line.drain(..3);
        }
        let room = (MAX_RULE_BYTES + 1).saturating_sub(document.len());
        document.extend_from_slice(&line[..line.len().min(room)]);
    }
    each((document.len() <= MAX_RULE_BYTES).then_some(&document));
    Ok(())
}

/// Reads one rule; `false` where the document is empty.
fn read(bytes: &[u8], place: &str, sink: Sink<'_>) -> Result<bool, RejectReason> {
    let text = std::str::from_utf8(bytes).map_err(|_| RejectReason::Malformed)?;
    let rule = yaml::parse(text.trim_start_matches('\u{feff}'))?;
    if rule == Node::Null {
        return Ok(false);
    }
    let title = one_line(rule.text("title"));
    let block = BLOCKS.iter().find_map(|(key, name)| Some((*name, rule.get(key)?)));
    let Some((name, block)) = block.filter(|_| !title.is_empty()) else {
        return Err(RejectReason::WrongShape);
    };
    let mut lost = |reason| sink(Err(Reject { place: place.into(), reason }));
    let tags = Tags::of(&rule, &title, &mut lost);
    let date = rule.text("date").replace('/', "-");
    let published: Option<Published> = date.parse().ok();
    if published.is_none() && !date.is_empty() {
        lost(RejectReason::BadDate);
    }
    let summary = paragraphs(rule.text("description"));
    sink(Ok(Record::Document(Box::new(Document {
        id: id_of(&rule, place),
        kind: DocumentKind::DetectionRule,
        text: prose(&rule, &summary, &format!("{name}:\n{}", block.lines())),
        title,
        summary,
        remedy: String::new(),
        published,
        cves: tags.cves,
        cwes: Vec::new(),
        techniques: tags.techniques,
        products: Vec::new(),
        source: NAME,
    }))));
    Ok(true)
}

/// The rule's UUID, else where it stands.
fn id_of(rule: &Node, place: &str) -> String {
    let id = rule.text("id").trim().to_ascii_lowercase();
    let dashes = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    if id.len() == 36 && id.bytes().enumerate().all(fits) { id } else { place.to_owned() }
}

/// What a rule's tags say.
struct Tags {
    cves: Vec<CveId>,
    techniques: Vec<TechniqueId>,
}

impl Tags {
    /// `attack.t1059.001`, `cve.2021-44228` and the older `cve.2021.44228`; other tags name tactics, groups and tools.
    fn of(rule: &Node, title: &str, lost: &mut dyn FnMut(RejectReason)) -> Self {
        let mut cves = CveId::find_all(title, MAX_CVES);
        let mut techniques = Vec::new();
        for tag in rule.texts("tags") {
            let tag = tag.trim().to_ascii_lowercase();
            if let Some(id) = tag.strip_prefix("cve.").or_else(|| tag.strip_prefix("cve-")) {
                match format!("CVE-{}", id.replace('.', "-")).parse() {
                    Ok(id) if cves.len() < MAX_CVES => cves.push(id),
                    _ => lost(RejectReason::BadReference),
                }
            } else if let Some(id) =
                tag.strip_prefix("attack.t").filter(|id| id.starts_with(|c: char| c.is_ascii_digit()))
            {
                match format!("T{id}").parse() {
                    Ok(id) => techniques.push(id),
                    Err(_) => lost(RejectReason::BadReference),
                }
            }
        }
        cves.sort_unstable();
        cves.dedup();
        techniques.sort_unstable();
        techniques.dedup();
        Self { cves, techniques }
    }
}

/// The rule as a text, a paragraph a topic.
fn prose(rule: &Node, description: &str, block: &str) -> String {
    let list = |name: &str, items: &[String]| {
        let items: Vec<&str> =
            items.iter().map(|item| item.trim_end_matches('.')).filter(|item| !item.is_empty()).collect();
        if items.is_empty() { String::new() } else { format!("{name}: {}.", items.join("; ")) }
    };
    let lines = |key: &str| rule.texts(key).into_iter().map(one_line).collect::<Vec<_>>();
    let log = rule.get("logsource").map_or_else(Vec::new, log_source);
    join(&[
        description,
        &list("Log source", &log),
        block,
        &list("False positives", &lines("falsepositives")),
        &list("Level", &lines("level")),
        &list("Author", &lines("author")),
    ])
}

/// `product windows`, `category process_creation`, …
fn log_source(source: &Node) -> Vec<String> {
    let Node::Map(entries) = source else { return Vec::new() };
    let told = entries.iter().filter_map(|(key, value)| match value {
        Node::Scalar(text) => Some(format!("{} {}", one_line(key), one_line(text))),
        _ => None,
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const RULES: &str = include_str!("../../fixtures/sigma-rules.yml");

    fn documents_in(text: &str) -> (Vec<Document>, Vec<Reject>) {
        let (records, rejects) = parse(&Sigma, text).unwrap();
        let documents = records.into_iter().map(|record| match record {
            Record::Document(one) => *one,
            other => panic!("{other:?}"),
        });
        (documents.collect(), rejects)
    }

    #[test]
    fn a_rule_becomes_a_document() {
        let (found, rejects) = documents_in(RULES);
        assert!(rejects.is_empty(), "{rejects:?}");
        let one = &found[0];
        assert_eq!(one.id, "0a1b2c3d-0000-4000-8000-00000000abcd");
        assert_eq!(
            (one.kind, one.title.as_str()),
            (DocumentKind::DetectionRule, "Kettle Started By Office CVE-2024-0101")
        );
        assert_eq!(one.summary, "Detects that a word processor starts the kettle.\nNobody does that on purpose.");
        let want = "Detects that a word processor starts the kettle.\nNobody does that on purpose.\n\n\
            Log source: product windows; category process_creation.\n\n\
            Detection:\nselection:\n  ParentImage|endswith:\n    - \\winword.exe\n    - \\excel.exe\n  EventID: 1\n\
            filter:\n  User: null\ncondition: selection and not filter\n\n\
            False positives: Tea ceremonies; Unknown.\n\nLevel: high.\n\nAuthor: A. Potter.";
        assert_eq!(one.text, want);
        assert_eq!(one.published.unwrap().to_string(), "2024-02-03");
        assert_eq!(one.techniques.iter().map(TechniqueId::as_str).collect::<Vec<_>>(), ["T1059", "T1566.001"]);
        assert_eq!(
            one.cves.iter().map(CveId::to_string).collect::<Vec<_>>(),
            ["CVE-2023-44444", "CVE-2024-0101", "CVE-2024-0102"]
        );
    }

    #[test]
    fn several_rules_in_one_file_are_told_apart_by_their_place() {
        let (found, _) = documents_in(RULES);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].id, "here#2", "it has no UUID");
        assert!(found[1].text.contains("Correlation:\ntype: event_count"), "{}", found[1].text);
        assert_eq!(found[1].published.unwrap().to_string(), "2023-11-30", "slashes are an older way to write a date");
    }

    #[test]
    fn what_is_no_rule_is_a_reject_and_the_next_one_is_read() {
        let good = "title: A\ndetection:\n  x: 1\n";
        for (bad, reason) in [
            ("title: A\ndetection: [", RejectReason::Malformed),
            ("title: A\ntitle: B\ndetection: {x: 1}", RejectReason::Malformed),
            ("title: A\nlogsource: {product: x}", RejectReason::WrongShape),
            ("title:\ndetection: {x: 1}\n# no title", RejectReason::WrongShape),
            ("title: [x]\ndetection: {x: 1}", RejectReason::WrongShape),
            ("just: yaml", RejectReason::WrongShape),
        ] {
            let (found, rejects) = documents_in(&format!("{bad}\n---\n{good}"));
            assert_eq!(found.len(), 1, "{bad}");
            assert_eq!(rejects.iter().map(|one| one.reason).collect::<Vec<_>>(), [reason], "{bad}");
            assert_eq!(found[0].id, "here#2");
        }
    }

    #[test]
    fn lost_labels_are_told_and_the_rule_is_kept() {
        let text = "title: A\ndate: soon\ntags: [attack.t12, cve.2024.1, attack.g0001, attack.execution, 7]\ndetection: {x: 1}";
        let (found, rejects) = documents_in(text);
        assert!(found[0].techniques.is_empty() && found[0].cves.is_empty());
        let reasons: Vec<_> = rejects.iter().map(|one| one.reason).collect();
        assert_eq!(reasons, [RejectReason::BadReference, RejectReason::BadReference, RejectReason::BadDate]);
        assert!(reasons.iter().all(|reason| !reason.loses_record()));
    }

    #[test]
    fn no_cut_makes_it_panic() {
        for at in (0..RULES.len()).filter(|at| RULES.is_char_boundary(*at)) {
            let _ = parse(&Sigma, &RULES[..at]);
        }
    }

    #[test]
    fn a_line_without_end_is_a_reject_in_bounded_memory() {
        let endless = std::io::Read::take(std::io::repeat(b'x'), 1 << 28);
        let start = &b"title: A\ndetection: "[..];
        let mut reader = std::io::BufReader::new(std::io::Read::chain(start, endless));
        let mut rejects = Vec::new();
        Sigma.parse(&mut reader, "here", &mut |one| rejects.push(one.unwrap_err().reason)).unwrap();
        assert_eq!(rejects, [RejectReason::TooLarge]);
    }

    #[test]
    fn rules_are_wanted_and_what_lies_beside_them_is_not() {
        for (place, wanted) in
            [("a/b.yml", true), ("b.YAML", true), ("c.tar.xz", true), ("d.md", false), ("e.json", false)]
        {
            assert_eq!(Sigma.wants(place), wanted, "{place}");
        }
    }
}
