//! What a file looks like by its first bytes: to open it, and to tell a user which source would read it.

/// A format that is recognised, though not always read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An NVD yearly feed, JSON 1.1.
    NvdFeed11,
    /// A page of NVD's API 2.0, or a feed of that format.
    NvdApi20,
    /// One CVE of NVD's format.
    NvdSingle,
    /// CVE records of format 5.
    CveRecord,
    /// A list of what changed, which lies beside the records of the CVE list.
    CveListDelta,
    /// The CWE catalogue.
    CweXml,
    /// CISA's catalogue of exploited vulnerabilities.
    Kev,
    /// A STIX bundle (ATT&CK, CAPEC).
    Stix,
    /// A CSAF advisory.
    Csaf,
    /// An OSV record.
    Osv,
    /// The CAPEC catalogue as MITRE's XML.
    CapecXml,
    /// A STIX bundle of CAPEC.
    CapecStix,
    /// A STIX bundle of ATT&CK.
    AttackStix,
    /// CISA's catalogue of exploited vulnerabilities, as CSV.
    KevCsv,
    /// FIRST's exploit prediction scores.
    Epss,
    /// What a provider of CSAF advisories says of itself, which lies beside the advisories.
    CsafProvider,
    /// Vulnerability notes of CERT/CC.
    CertCc,
    /// Sentences labelled for TRAM.
    Tram,
    /// SVEN's functions before and after a fix.
    Sven,
    /// A Sigma rule.
    Sigma,
    /// Other answers of NVD's API (CPE matches, histories, sources).
    NvdOther,
    /// Some JSON.
    Json,
    /// A web page.
    Html,
    /// Some XML.
    Xml,
    /// A tar archive.
    Tar,
    /// Compressed in a way that is not read.
    Compressed,
    /// A PDF document.
    Pdf,
    /// An office document or electronic book, which is a zip.
    Office,
    /// Text of no known format.
    Text,
    /// Bytes of no known format.
    Binary,
    /// Nothing at all.
    Empty,
}

impl Format {
    /// It in words, with its article.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::NvdFeed11 => "an NVD feed (JSON 1.1)",
            Self::NvdApi20 => "a page or feed of NVD's API 2.0",
            Self::NvdSingle => "a single CVE in NVD's format",
            Self::CveRecord => "CVE records (JSON 5)",
            Self::CveListDelta => "the CVE list's log of changes",
            Self::CweXml => "the CWE catalogue (XML)",
            Self::Kev => "CISA's Known Exploited Vulnerabilities catalogue",
            Self::Stix => "a STIX bundle",
            Self::Csaf => "a CSAF advisory",
            Self::Osv => "an OSV record",
            Self::CapecXml => "the CAPEC catalogue (XML)",
            Self::CapecStix => "CAPEC (a STIX bundle)",
            Self::AttackStix => "ATT&CK (a STIX bundle)",
            Self::KevCsv => "CISA's Known Exploited Vulnerabilities catalogue (CSV)",
            Self::Epss => "EPSS scores (CSV)",
            Self::CsafProvider => "what a provider of CSAF advisories says of itself",
            Self::CertCc => "CERT/CC vulnerability notes",
            Self::Tram => "sentences labelled for TRAM",
            Self::Sven => "functions before and after a fix (SVEN)",
            Self::Sigma => "Sigma rules (YAML)",
            Self::NvdOther => "an answer of NVD's API that holds no CVEs",
            Self::Json => "JSON of another format",
            Self::Html => "a web page",
            Self::Xml => "XML of another format",
            Self::Tar => "a tar archive",
            Self::Compressed => "a file compressed in another way than gzip, xz or zip",
            Self::Pdf => "a PDF document",
            Self::Office => "an office document",
            Self::Text => "plain text",
            Self::Binary => "binary data",
            Self::Empty => "an empty file",
        }
    }

    /// The format of a file that begins with `head` (a few kilobytes are enough).
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let body = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let body = body.trim_ascii_start();
        match body.first() {
            None => Self::Empty,
            Some(b'{' | b'[') => Self::of_json(body),
            Some(b'<') => Self::of_markup(body),
            Some(_) => Self::of_other(head),
        }
    }

    fn of_json(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let keys = Keys(&text);
        let is_stix = keys.has("spec_version") || text.contains("\"bundle\"");
        // From what says the most to what says the least.
        let table: &[(Self, bool)] = &[
            (Self::NvdFeed11, keys.has("CVE_Items")),
            (Self::Sven, keys.has("func_src_before") || keys.has("func_src_after")),
            (Self::Tram, keys.has("doc_title") && (keys.has("label") || keys.has("labels"))),
            (Self::Tram, keys.has("ml_model") && keys.has("sentences")),
            (Self::CveListDelta, keys.has("fetchTime") && keys.has("numberOfChanges")),
            (Self::CveRecord, keys.has("cveMetadata") || text.contains("\"CVE_RECORD\"")),
            (Self::Kev, keys.has("catalogVersion") && keys.has("vulnerabilities")),
            (Self::Csaf, keys.has("csaf_version") || (keys.has("document") && keys.any(CSAF_DOCUMENT))),
            (Self::CsafProvider, keys.has("canonical_url") && keys.has("metadata_version")),
            (Self::CertCc, keys.has("vuid") && keys.has("idnumber")),
            (Self::CertCc, keys.has("IDNumber") && keys.any(&["Title", "DateCreated"])),
            (Self::NvdOther, text.contains("\"NVD_") && !text.contains("\"NVD_CVE\"")),
            (Self::NvdApi20, keys.has("vulnerabilities") || text.contains("\"NVD_CVE\"")),
            (Self::NvdSingle, keys.has("CVE_data_meta") || keys.has("sourceIdentifier")),
            (Self::CapecStix, is_stix && text.contains("\"x_capec_")),
            (Self::AttackStix, is_stix && (text.contains("\"x_mitre_") || text.contains("\"mitre-attack\""))),
            (Self::Stix, is_stix),
            (Self::Osv, keys.has("affected") && keys.any(&["modified", "ecosystem"])),
            (Self::CveRecord, keys.has("containers") && keys.has("cna")),
            (Self::Osv, keys.has("id") && keys.has("modified") && keys.any(OSV_RECORD)),
        ];
        table.iter().find(|(_, holds)| *holds).map_or(Self::Json, |(format, _)| *format)
    }

    fn of_markup(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let lower = text[..text.floor_char_boundary(512)].to_ascii_lowercase();
        if text.contains("<Weakness_Catalog") {
            Self::CweXml
        } else if text.contains("<Attack_Pattern_Catalog") {
            Self::CapecXml
        } else if lower.contains("<html") || lower.contains("<!doctype html") {
            Self::Html
        } else {
            Self::Xml
        }
    }

    fn of_other(head: &[u8]) -> Self {
        let magic: &[(&[u8], Self)] = &[
            (b"\xfd7zXZ\0", Self::Compressed),
            (b"BZh", Self::Compressed),
            (b"\x28\xb5\x2f\xfd", Self::Compressed),
            (b"7z\xbc\xaf\x27\x1c", Self::Compressed),
            (b"Rar!", Self::Compressed),
            (b"%PDF", Self::Pdf),
            // A zip whose first member was none of these has been opened before.
            (b"PK\x03\x04", Self::Office),
        ];
        if let Some((_, format)) = magic.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *format;
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Tar;
        }
        let text = match std::str::from_utf8(head) {
            Ok(_) => true,
            // A character that the end of the head cuts in two.
            Err(error) => error.error_len().is_none(),
        };
        if text && !head.contains(&0) { Self::of_table(head) } else { Self::Binary }
    }

    /// Of a text by the names of its columns or keys.
    fn of_table(head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let begins =
            |start: &str| head.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
        if begins("#model_version:") || begins("cve,epss") {
            Self::Epss
        } else if begins("cveID,") || begins("\"cveID\",") {
            Self::KevCsv
        } else if is_sigma(head) {
            Self::Sigma
        } else {
            Self::Text
        }
    }
}

/// Keys of which one stands early in every CSAF document, whose version may stand late.
const CSAF_DOCUMENT: &[&str] = &["aggregate_severity", "acknowledgments", "tracking"];
/// Keys of which one stands early in every OSV record, whose affected packages may stand late.
const OSV_RECORD: &[&str] = &["schema_version", "aliases", "related", "details", "summary"];

/// Whether a text has the keys of a Sigma rule, in whatever order.
fn is_sigma(head: &[u8]) -> bool {
    let has = |key: &[u8]| head.split(|byte| *byte == b'\n').any(|line| line.starts_with(key));
    has(b"title:") && [&b"logsource:"[..], b"detection:", b"correlation:"].into_iter().any(has)
}

/// A look-up of object keys in the beginning of a JSON text.
struct Keys<'a>(&'a str);

impl Keys<'_> {
    /// Whether `"key"` followed by a colon stands anywhere in it.
    fn has(&self, key: &str) -> bool {
        let quoted = format!("\"{key}\"");
        self.0.match_indices(&quoted).any(|(at, _)| self.0[at + quoted.len()..].trim_start().starts_with(':'))
    }

    /// Whether one of `keys` does.
    fn any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.has(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_beginning() {
        for (head, want) in [
            (r#"{"CVE_data_type":"CVE","CVE_Items" : ["#, Format::NvdFeed11),
            (r#"{"format":"NVD_CVE","version":"2.0","vulnerabilities":["#, Format::NvdApi20),
            (r#"{"format":"NVD_CPEMatchString","matchStrings":["#, Format::NvdOther),
            (r#"{"cve":{"id":"CVE-2024-1","sourceIdentifier":"x"}}"#, Format::NvdSingle),
            ("\u{feff} {\n \"dataType\": \"CVE_RECORD\"", Format::CveRecord),
            (r#"[{"cveMetadata": {"#, Format::CveRecord),
            (r#"{"fetchTime":"x","numberOfChanges":3}"#, Format::CveListDelta),
            (r#"{"title":"CISA","catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-1"}]}"#, Format::Kev),
            (r#"{"type": "bundle", "id": "bundle--1"}"#, Format::Stix),
            (r#"{"vulnerability": "text mentions CVE_Items"}"#, Format::Json),
            (r#"{"type":"bundle","objects":[{"x_capec_version":"3.9"}]}"#, Format::CapecStix),
            (
                r#"{"type":"bundle","objects":[{"external_references":[{"source_name":"mitre-attack"}]}]}"#,
                Format::AttackStix,
            ),
            (r#"{"document":{"csaf_version":"2.0"},"vulnerabilities":[]}"#, Format::Csaf),
            (r#"{"document":{"acknowledgments":[{"names":["A"]}]"#, Format::Csaf),
            (r#"{"canonical_url":"https://a.example","metadata_version":"2.0"}"#, Format::CsafProvider),
            (r#"{"id":"GHSA-1","modified":"2024-01-01T00:00:00Z","aliases":["CVE-2024-0001"]"#, Format::Osv),
            (r#"{"affected":[{"package":{"ecosystem":"PyPI","name":"a"}"#, Format::Osv),
            (r#"{"vuid":"VU#1","idnumber":"1","name":"x"}"#, Format::CertCc),
            (r#"{"Author":"A","DateCreated":"1998","ID":"VU#1","IDNumber":"1"}"#, Format::CertCc),
            ("<?xml version=\"1.0\"?><Attack_Pattern_Catalog Name=\"CAPEC\">", Format::CapecXml),
            ("\u{feff}cveID,vendorProject", Format::KevCsv),
            ("#model_version:v2023.03.01,score_date:2024-05-06T00:00:00+0000\ncve,epss,percentile", Format::Epss),
            ("cve,epss,percentile\n", Format::Epss),
            ("<?xml version=\"1.0\"?><Weakness_Catalog Name=\"CWE\">", Format::CweXml),
            ("<!DOCTYPE html><title>404</title>", Format::Html),
            ("<rss/>", Format::Xml),
            ("BZh91AY", Format::Compressed),
            ("%PDF-1.7", Format::Pdf),
            ("id,name\n1,2", Format::Text),
            ("# a rule\ntitle: A\nid: x\nlogsource:\n    product: x\n", Format::Sigma),
            ("title: A\ntext: no rule", Format::Text),
            (r#"[{"text": "It boils.", "label": "T1012", "doc_title": "A"}]"#, Format::Tram),
            (r#"{"name": "A", "ml_model": "humans", "sentences": ["#, Format::Tram),
            (r#"{"func_name": "f", "func_src_before": "int f;""#, Format::Sven),
            ("PK\u{3}\u{4}", Format::Office),
            ("a\0b", Format::Binary),
            (" \n", Format::Empty),
        ] {
            assert_eq!(Format::of(head.as_bytes()), want, "{head}");
        }
    }

    #[test]
    fn a_character_cut_at_the_end_of_the_head_is_still_text() {
        assert_eq!(Format::of(&"é".as_bytes()[..1]), Format::Text);
        assert_eq!(Format::of(b"\xff\xfe12"), Format::Binary);
    }
}
