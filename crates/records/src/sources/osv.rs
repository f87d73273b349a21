//! OSV records: GitHub's advisories, PyPA's, Go's, RustSec's and all others of that format.
//!
//! Specification: the OSV schema 1.x of the OpenSSF. A record is an advisory, and says something of each CVE among its
//! ID and aliases. Who says it is the database that the ID begins with: `osv:ghsa`, `osv:pysec`. A withdrawn record gives
//! nothing: that an advisory is withdrawn says nothing of the CVE.

use std::io::BufRead;

use serde::Deserialize;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::record::{CveId, CweId, Document, DocumentKind, Product, Record, Reject, RejectReason};
use crate::source::{MAX_RECORD_BYTES, Sink, Source, expect_format};
use crate::sources::draft::{Draft, Text, Voice};
use crate::sources::json::{or_default, record};
use crate::sources::lines::records;
use crate::sources::text;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Osv;

const NAME: &str = "osv";

impl Source for Osv {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "terms of each database (GitHub's advisories: CC BY 4.0)"
    }

    fn reads(&self) -> &'static str {
        "OSV records (JSON)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::Osv
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        records(self, reader, place, read, sink)
    }
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    modified: Option<String>,
    published: Option<String>,
    withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    related: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    summary: String,
    #[serde(default, deserialize_with = "or_default")]
    details: String,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Severity>,
    #[serde(default, deserialize_with = "or_default")]
    affected: Vec<Affected>,
    #[serde(default, deserialize_with = "or_default")]
    database_specific: DatabaseSpecific,
}

#[derive(Deserialize)]
struct Severity {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default, deserialize_with = "or_default")]
    package: Package,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Severity>,
}

#[derive(Default, Deserialize)]
struct Package {
    #[serde(default)]
    ecosystem: String,
    #[serde(default)]
    name: String,
}

/// Databases write here what they like; only what GitHub writes is read.
#[derive(Default)]
struct DatabaseSpecific {
    cwe_ids: Vec<String>,
}

impl<'de> Deserialize<'de> for DatabaseSpecific {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(default)]
            cwe_ids: serde_json::Value,
        }
        let fields = Fields::deserialize(deserializer)?;
        let ids = fields.cwe_ids.as_array().into_iter().flatten().filter_map(|one| one.as_str());
        Ok(Self { cwe_ids: ids.map(str::to_owned).collect() })
    }
}

/// Reads one record into `sink`; an error is why the whole of it is lost.
fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let advisory: Advisory = record(text)?;
    if advisory.id.trim().is_empty() {
        return Err(RejectReason::BadId);
    }
    let title = one_line(&advisory.summary);
    let details = text::markdown(&advisory.details);
    if advisory.withdrawn.is_some() {
        return Err(RejectReason::Withdrawn);
    }
    if title.is_empty() && details.is_empty() {
        return Err(RejectReason::NoText);
    }
    let description = text::shortened(if details.is_empty() { &title } else { &details });
    let own = cves(advisory.aliases.iter().chain([&advisory.id]));
    // All of it is told again with each CVE.
    if own.len().saturating_mul(text.len()) > MAX_RECORD_BYTES {
        return Err(RejectReason::TooLarge);
    }
    for cve in &own {
        advisory.vulnerability(*cve, description, place, sink)?;
    }
    let (document, lost) = advisory.document(title, details);
    // Where there is a CVE, it has told of them.
    for reason in lost.into_iter().filter(|_| own.is_empty()) {
        sink(Err(Reject { place: place(), reason }));
    }
    sink(Ok(Record::Document(Box::new(document))));
    Ok(())
}

impl Advisory {
    /// What it says of one CVE.
    fn vulnerability(
        &self,
        cve: CveId,
        description: &str,
        place: &dyn Fn() -> String,
        sink: Sink<'_>,
    ) -> Result<(), RejectReason> {
        let voice = voice(&self.id);
        let voice = Voice { source: &voice, primary: false };
        let mut draft = Draft::new(NAME, &cve.to_string())?;
        draft.describe(&[Text { lang: "en".into(), value: description.into() }]);
        draft.date(self.published.as_deref(), self.modified.as_deref());
        self.database_specific.cwe_ids.iter().for_each(|cwe| draft.cwe(cwe, voice));
        let severities = self.severity.iter().chain(self.affected.iter().flat_map(|one| &one.severity));
        // Besides CVSS there are words of distributions, such as Ubuntu's `medium`.
        let vectors = severities.filter(|one| one.kind.starts_with("CVSS_"));
        vectors.for_each(|one| draft.cvss(&one.score, voice));
        self.affected.iter().for_each(|one| draft.product(one.package.vendor(), &one.package.name));
        draft.finish(None, place, sink);
        Ok(())
    }

    /// The advisory itself, and which of its labels are none.
    fn document(&self, title: String, details: String) -> (Document, Vec<RejectReason>) {
        let mut lost = Vec::new();
        let published = self.published.as_deref().and_then(|text| {
            let date = text.parse().ok();
            lost.extend(date.is_none().then_some(RejectReason::BadDate));
            date
        });
        let mut cwes: Vec<CweId> = Vec::new();
        for text in &self.database_specific.cwe_ids {
            match text.trim().parse() {
                Ok(cwe) => cwes.push(cwe),
                Err(_) => lost.push(RejectReason::BadCwe),
            }
        }
        cwes.sort_unstable();
        cwes.dedup();
        let document = Document {
            text: if details.is_empty() { title.clone() } else { details },
            id: self.id.trim().to_owned(),
            kind: DocumentKind::Advisory,
            title,
            summary: String::new(),
            remedy: text::sections(&self.details, is_remedy),
            published,
            cves: cves(self.aliases.iter().chain(&self.upstream).chain(&self.related).chain([&self.id])),
            cwes,
            techniques: Vec::new(),
            products: self.products(),
            source: NAME,
        };
        (document, lost)
    }

    fn products(&self) -> Vec<Product> {
        let named = self.affected.iter().map(|one| &one.package).filter(|one| !one.name.trim().is_empty());
        let mut found: Vec<Product> =
            named.map(|one| Product { vendor: one_line(one.vendor()), product: one_line(&one.name) }).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Package {
    /// The ecosystem without its release: `Debian` of `Debian:12`.
    fn vendor(&self) -> &str {
        self.ecosystem.split(':').next().unwrap_or_default()
    }
}

/// The CVEs among `ids`, sorted, each once; most aliases are IDs of other databases.
fn cves<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<CveId> {
    let mut found: Vec<CveId> = ids.filter_map(|id| id.trim().parse().ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// `osv:ghsa` for `GHSA-9v2f-…`.
fn voice(id: &str) -> String {
    let database: String = id.trim().chars().take_while(char::is_ascii_alphanumeric).take(20).collect();
    format!("{NAME}:{}", database.to_ascii_lowercase())
}

/// Whether a heading stands over what is to be done; GitHub's form asks for the first two.
fn is_remedy(title: &str) -> bool {
    let words = ["patches", "workarounds", "workaround", "remediation", "mitigation", "mitigations", "solution", "fix"];
    words.contains(&title.trim_end_matches(':').trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Vulnerability;
    use crate::source::tests::parse;

    const LINES: &str = include_str!("../../fixtures/osv.jsonl");

    fn read_all(text: &str) -> (Vec<Vulnerability>, Vec<Document>, Vec<Reject>) {
        let (records, rejects) = parse(&Osv, text).unwrap();
        let (mut vulnerabilities, mut documents) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Vulnerability(one) => vulnerabilities.push(*one),
                Record::Document(one) => documents.push(*one),
                other => panic!("{other:?}"),
            }
        }
        (vulnerabilities, documents, rejects)
    }

    #[test]
    fn an_advisory_says_something_of_its_cves_and_is_a_document() {
        let (vulnerabilities, documents, _) = read_all(LINES);
        let one = &vulnerabilities[0];
        assert_eq!(one.id.to_string(), "CVE-2024-0201");
        assert_eq!(
            one.description,
            "Impact: The teapot parser reads past the lid. Patches: Fixed in 1.2. Workarounds: - Close the lid. References: the notes"
        );
        assert_eq!((one.published.to_string().as_str(), one.modified), ("2024-07-01", 20_240_703_200_521));
        let labels: Vec<_> = one.cwes.iter().map(|label| (label.value.to_string(), label.source.as_str())).collect();
        assert_eq!(labels, [("CWE-125".to_owned(), "osv:ghsa")]);
        let vectors: Vec<_> = one.cvss.iter().map(|label| label.value.as_str()).collect();
        let v3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        let v4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(vectors, [v3, v4]);
        let product = |vendor: &str, product: &str| Product { vendor: vendor.into(), product: product.into() };
        assert_eq!(one.products, [product("PyPI", "teapot"), product("npm", "@tea/pot")]);
        let want = Document {
            id: "GHSA-aaaa-bbbb-cccc".into(),
            kind: DocumentKind::Advisory,
            title: "Teapot reads past its lid".into(),
            summary: String::new(),
            text: "Impact:\nThe teapot parser reads past the lid.\n\nPatches:\nFixed in 1.2.\n\nWorkarounds:\n- Close the lid.\n\n\
                   References:\n\nthe notes"
                .into(),
            remedy: "Fixed in 1.2.\n\n- Close the lid.".into(),
            published: Some("2024-07-01".parse().unwrap()),
            cves: vec!["CVE-2024-0201".parse().unwrap()],
            cwes: vec![CweId(125)],
            techniques: Vec::new(),
            products: vec![product("PyPI", "teapot"), product("npm", "@tea/pot")],
            source: "osv",
        };
        assert_eq!(documents[0], want);
    }

    #[test]
    fn each_database_speaks_for_itself_and_only_cves_are_vulnerabilities() {
        let (vulnerabilities, documents, rejects) = read_all(LINES);
        let ids: Vec<_> = vulnerabilities.iter().map(|one| one.id.to_string()).collect();
        assert_eq!(ids, ["CVE-2024-0201", "CVE-2024-0202", "CVE-2024-0203", "CVE-2023-0204"]);
        assert_eq!(vulnerabilities[1].cvss[0].source, "osv:pysec");
        assert_eq!(vulnerabilities[3].description, "A summary is all there is.");
        assert_eq!(vulnerabilities[3].products.len(), 1, "releases of one distribution are one");
        let titles: Vec<_> = documents.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(titles, ["GHSA-aaaa-bbbb-cccc", "PYSEC-2024-1", "CVE-2023-0204", "RHSA-2024:0001"]);
        assert_eq!(documents[3].cves.len(), 2, "what it is related to and what is upstream of it");
        let found: Vec<_> = rejects.iter().map(|one| (one.place.as_str(), one.reason)).collect();
        let want = [
            ("here line 1", RejectReason::BadCwe),
            ("here line 2", RejectReason::BadCvss),
            ("here line 2", RejectReason::BadCvss),
            ("here line 3", RejectReason::Withdrawn),
            ("here line 5", RejectReason::BadDate),
            ("here line 6", RejectReason::NoText),
            ("here line 7", RejectReason::WrongShape),
            ("here line 8", RejectReason::Malformed),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_record_with_more_aliases_than_it_can_mean_is_too_large() {
        let aliases: Vec<String> = (10_000..12_000).map(|number| format!("\"CVE-2024-{number}\"")).collect();
        let text = format!(
            r#"{{"id":"X-1","modified":"2024-01-01T00:00:00Z","summary":"a","aliases":[{}]}}"#,
            aliases.join(",")
        );
        let (_, _, rejects) = read_all(&text);
        assert_eq!(rejects[0].reason, RejectReason::TooLarge);
    }

    #[test]
    fn one_record_a_file_and_an_array_are_read_too() {
        let line = LINES.lines().next().unwrap();
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(line).unwrap()).unwrap();
        for text in [pretty, format!("[{line},{line}]")] {
            let (vulnerabilities, documents, _) = read_all(&text);
            assert!(!vulnerabilities.is_empty() && vulnerabilities.len() == documents.len());
        }
    }
}
