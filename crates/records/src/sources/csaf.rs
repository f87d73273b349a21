//! CSAF advisories, versions 2.0 and 2.1, one a file or one a line.
//!
//! Specification: OASIS CSAF. An advisory is a document; besides, it says something of each of its CVEs that it describes
//! in notes of its own. Many vulnerabilities have none (a VEX file only states what is affected): these are set aside,
//! not rejected. Legal disclaimers are left out. What a vendor says is labelled `csaf:<publisher>`.

mod document;
mod products;
mod schema;

use std::io::BufRead;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::record::{Record, Reject, RejectReason};
use crate::source::{MAX_RECORD_BYTES, Sink, Source, expect_format};
use crate::sources::draft::{Draft, Text, Voice};
use crate::sources::json::record;
use crate::sources::lines::records;
use crate::sources::text;

use products::Products;
use schema::{Advisory, Vulnerability};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Csaf;

const NAME: &str = "csaf";
/// The publisher's name is repeated in every label.
const MAX_PUBLISHER_CHARS: usize = 200;

impl Source for Csaf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "terms of each publisher (CISA: US government work)"
    }

    fn reads(&self) -> &'static str {
        "CSAF advisories (JSON 2.0 or 2.1)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::Csaf | Format::CsafProvider)
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        if expect_format(self, reader, place)? == Format::CsafProvider {
            // It lies beside the advisories and says where they are.
            return Ok(());
        }
        records(self, reader, place, read, sink)
    }
}

/// Reads one advisory into `sink`; an error is why the whole of it is lost.
fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let advisory: Advisory = record(text)?;
    let is_english = |lang: &str| lang.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("en"));
    if !advisory.document.lang.as_deref().is_none_or(is_english) {
        return Err(RejectReason::NoEnglishDescription);
    }
    let products = Products::of(&advisory.product_tree);
    if products.repeated_bytes(&advisory.vulnerabilities) > 4 * MAX_RECORD_BYTES {
        return Err(RejectReason::TooLarge);
    }
    let (document, lost) = document::of(&advisory, &products)?;
    lost.into_iter().for_each(|reason| sink(Err(Reject { place: place(), reason })));
    for one in &advisory.vulnerabilities {
        vulnerability(&advisory, one, &products, place, sink);
    }
    sink(Ok(Record::Document(Box::new(document))));
    Ok(())
}

/// What the advisory says of one CVE, where it says something.
fn vulnerability(
    advisory: &Advisory,
    one: &Vulnerability,
    products: &Products,
    place: &dyn Fn() -> String,
    sink: Sink<'_>,
) {
    // A CVE ID that is none was told with the document.
    let Some(mut draft) = one.cve.as_deref().and_then(|cve| Draft::new(NAME, cve.trim()).ok()) else { return };
    let description = text::paragraphs(one.description());
    if description.is_empty() {
        return sink(Err(Reject { place: place(), reason: RejectReason::NoText }));
    }
    let publisher: String = one_line(&advisory.document.publisher.name).chars().take(MAX_PUBLISHER_CHARS).collect();
    let voice = format!("{NAME}:{publisher}");
    let voice = Voice { source: &voice, primary: false };
    draft.describe(&[Text { lang: "en".into(), value: text::shortened(&description).into() }]);
    let tracking = &advisory.document.tracking;
    draft.date(one.disclosed.as_deref().or(tracking.only_day()), tracking.current_release_date.as_deref());
    one.cwe_ids().for_each(|cwe| draft.cwe(cwe, voice));
    one.vectors().for_each(|vector| draft.cvss(vector, voice));
    let affected = one.product_status.affected().filter_map(|id| products.by_id.get(id));
    affected.for_each(|product| draft.product(&product.vendor, &product.product));
    draft.finish(None, place, sink);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CweId, Document, DocumentKind, Product};
    use crate::source::tests::parse;

    const VERSION_20: &str = include_str!("../../fixtures/csaf-2.0.json");
    const VERSION_21: &str = include_str!("../../fixtures/csaf-2.1.json");

    fn read_all(text: &str) -> (Vec<crate::record::Vulnerability>, Vec<Document>, Vec<RejectReason>) {
        let (records, rejects) = parse(&Csaf, text).unwrap();
        let (mut vulnerabilities, mut documents) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Vulnerability(one) => vulnerabilities.push(*one),
                Record::Document(one) => documents.push(*one),
                other => panic!("{other:?}"),
            }
        }
        (vulnerabilities, documents, rejects.into_iter().map(|one| one.reason).collect())
    }

    fn product(vendor: &str, product: &str) -> Product {
        Product { vendor: vendor.into(), product: product.into() }
    }

    #[test]
    fn an_advisory_is_a_document_with_all_its_notes_and_remedies() {
        let (_, documents, _) = read_all(VERSION_20);
        let want = Document {
            id: "KETTLE-24-001".into(),
            kind: DocumentKind::Advisory,
            title: "Acme Kettle".into(),
            summary: "Steam may escape.".into(),
            text: "Risk evaluation\nSteam may escape.\n\nRecommended practices\nKeep away.\n\nWear gloves.\n\n\
                   CVE-2024-0301: Stack-based Buffer Overflow\n\nThe kettle overflows\nwhen it boils.\n\nBackground\nIt is old.\n\n\
                   Mitigation: Switch it off.\n\nVendor fix: Install 2.0.\n\nNone available: Not for the Classic.\n\n\
                   CVE-2024-0302\n\nWorkaround: Use a cup."
                .into(),
            remedy: "Switch it off.\n\nInstall 2.0.\n\nUse a cup.".into(),
            published: Some("2024-07-19".parse().unwrap()),
            cves: vec!["CVE-2024-0301".parse().unwrap(), "CVE-2024-0302".parse().unwrap()],
            cwes: vec![CweId(121)],
            techniques: Vec::new(),
            products: vec![product("Acme", "Kettle Classic"), product("Acme", "Kettle Pro")],
            source: "csaf",
        };
        assert_eq!(documents, [want]);
    }

    #[test]
    fn what_is_described_is_a_vulnerability_and_the_rest_is_set_aside() {
        let (vulnerabilities, _, rejects) = read_all(VERSION_20);
        assert_eq!(vulnerabilities.len(), 1);
        let one = &vulnerabilities[0];
        assert_eq!(
            (one.id.to_string().as_str(), one.description.as_str()),
            ("CVE-2024-0301", "The kettle overflows when it boils.")
        );
        assert_eq!((one.published.to_string().as_str(), one.modified), ("2024", 20_240_918_160_000));
        let unrevised = VERSION_20.replace("2024-09-18", "2024-07-19");
        assert_eq!(read_all(&unrevised).0[0].published.to_string(), "2024-07-19");
        assert_eq!(one.cwes[0].source, "csaf:The Kettle Works");
        let vectors: Vec<_> = one.cvss.iter().map(|label| label.value.as_str()).collect();
        assert_eq!(vectors, ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "AV:N/AC:L/Au:N/C:P/I:P/A:P"]);
        assert_eq!(one.products, [product("Acme", "Kettle Pro")]);
        assert_eq!(rejects, [RejectReason::BadReference, RejectReason::NoText]);
        assert!(rejects.iter().all(|reason| !reason.loses_record()));
    }

    #[test]
    fn version_2_1_says_its_metrics_and_weaknesses_in_other_places() {
        let (vulnerabilities, documents, rejects) = read_all(VERSION_21);
        let one = &vulnerabilities[0];
        let cwes: Vec<_> = one.cwes.iter().map(|label| label.value.to_string()).collect();
        assert_eq!(cwes, ["CWE-79", "CWE-80"]);
        let vectors: Vec<_> = one.cvss.iter().map(|label| label.value.as_str()).collect();
        let v4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(vectors, [v4, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"]);
        assert_eq!(one.description, "The description counts.");
        assert_eq!(one.published.to_string(), "2024-03-01");
        assert_eq!(one.products, [product("", "Saucer 1.0"), product("", "Tea set")], "by a relationship too");
        assert_eq!(documents[0].summary, "");
        assert!(rejects.is_empty(), "{rejects:?}");
    }

    #[test]
    fn another_language_or_shape_is_a_reject() {
        let german = VERSION_20.replace("\"en-US\"", "\"de\"");
        assert_eq!(read_all(&german).2, [RejectReason::NoEnglishDescription]);
        let bare = r#"{"document":{"csaf_version":"2.0","title":"x"}}"#;
        assert_eq!(read_all(bare).2, [RejectReason::WrongShape]);
        let (none, _, _) = read_all(r#"{"canonical_url":"https://kettle.example","metadata_version":"2.0"}"#);
        assert!(none.is_empty());
    }

    #[test]
    fn a_small_advisory_does_not_become_a_large_one() {
        let ids = vec!["\"P1\",\"P2\""; 300_000].join(",");
        let text = VERSION_20.replace("\"Kettle Pro\"", &format!("\"{}\"", "K".repeat(100_000)));
        let text = text.replace("\"P1\", \"P2\", \"P9\"", &ids);
        assert_eq!(read_all(&text.replace('\n', " ")).2, [RejectReason::TooLarge]);
    }

    #[test]
    fn branches_without_end_are_a_reject_and_no_crash() {
        let deep = format!("{}{}", r#"{"branches":["#.repeat(5000), "]}".repeat(5000));
        let text = VERSION_20.replacen("{\"branches\": [", &format!("{{\"branches\": [{deep},"), 1);
        assert!(text.len() > VERSION_20.len());
        assert_eq!(read_all(&text.replace('\n', " ")).2, [RejectReason::Malformed]);
    }
}
