//! The CVE list: records of format CVE JSON 5.0 to 5.2, as JSON Lines, as one array, or one record a file.
//!
//! Specification: `CVE_JSON_5` of the CVE program. The CNA's container gives the description; its labels and those of
//! the ADP containers (such as CISA's Vulnrichment) are kept with their names. Where a problem type has no `cweId`,
//! a description that begins with a CWE ID counts as one, marked as found in text. An SSVC assessment is a metric `other`
//! of type `ssvc`; CISA writes it, and a CNA may.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Result;
use crate::format::Format;
use crate::record::{RejectReason, Ssvc, WithdrawnState};
use crate::source::{Sink, Source, expect_format};
use crate::sources::draft::{Draft, Text, Voice};
use crate::sources::json::record;
use crate::sources::lines::records;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct CveList;

const NAME: &str = "cvelist";

impl Source for CveList {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "CVE terms of use; CISA's containers CC0"
    }

    fn reads(&self) -> &'static str {
        "CVE records (JSON 5)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::CveRecord | Format::CveListDelta)
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        if expect_format(self, reader, place)? == Format::CveListDelta {
            // It lies beside the records and says which of them changed.
            return Ok(());
        }
        records(self, reader, place, read, sink)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CveRecord<'a> {
    #[serde(borrow)]
    cve_metadata: Metadata<'a>,
    #[serde(borrow, default)]
    containers: Containers<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    cve_id: Cow<'a, str>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    assigner_short_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    date_published: Option<Cow<'a, str>>,
    #[serde(borrow)]
    date_updated: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Containers<'a> {
    #[serde(borrow, default)]
    cna: Container<'a>,
    #[serde(borrow, default)]
    adp: Vec<Container<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow, default)]
    provider_metadata: Provider<'a>,
    #[serde(borrow, default)]
    descriptions: Vec<Text<'a>>,
    #[serde(borrow, default)]
    problem_types: Vec<ProblemType<'a>>,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
    #[serde(borrow, default)]
    affected: Vec<Affected<'a>>,
}

#[derive(Deserialize, Default)]
struct Provider<'a> {
    #[serde(borrow, rename = "shortName")]
    short_name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ProblemType<'a> {
    #[serde(borrow, default)]
    descriptions: Vec<ProblemText<'a>>,
}

#[derive(Deserialize)]
struct ProblemText<'a> {
    #[serde(borrow, rename = "cweId")]
    cwe_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow, rename = "cvssV4_0")]
    v4_0: Option<Cvss<'a>>,
    #[serde(borrow, rename = "cvssV3_1")]
    v3_1: Option<Cvss<'a>>,
    #[serde(borrow, rename = "cvssV3_0")]
    v3_0: Option<Cvss<'a>>,
    #[serde(borrow, rename = "cvssV2_0")]
    v2_0: Option<Cvss<'a>>,
    /// An object of any shape, read by [`Other`].
    #[serde(borrow)]
    other: Option<&'a RawValue>,
}

/// A metric that the format knows only by its type.
#[derive(Deserialize)]
struct Other<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The content of a metric of type `ssvc`: each option is an object of one decision point and its value.
#[derive(Deserialize)]
struct SsvcContent<'a> {
    #[serde(borrow)]
    options: Vec<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Cvss<'a> {
    #[serde(borrow, rename = "vectorString")]
    vector: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Affected<'a> {
    #[serde(borrow)]
    vendor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    product: Option<Cow<'a, str>>,
}

/// Reads one record into `sink`; an error is why the whole of it is lost.
fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let record: CveRecord<'_> = record(text)?;
    let metadata = &record.cve_metadata;
    let mut draft = Draft::new(NAME, &metadata.cve_id)?;
    draft.describe(&record.containers.cna.descriptions);
    draft.date(metadata.date_published.as_deref(), metadata.date_updated.as_deref());
    let named = record.containers.cna.provider_metadata.short_name.as_deref();
    let cna = voice_name("cna", named.or(metadata.assigner_short_name.as_deref()));
    add_container(&record.containers.cna, Voice { source: &cna, primary: true }, &mut draft);
    for container in &record.containers.adp {
        let adp = voice_name("adp", container.provider_metadata.short_name.as_deref());
        add_container(container, Voice { source: &adp, primary: false }, &mut draft);
    }
    let state = match metadata.state.as_deref() {
        Some("REJECTED") => Some(WithdrawnState::Rejected),
        Some("RESERVED") => Some(WithdrawnState::Reserved),
        _ => None,
    };
    draft.finish(state, place, sink);
    Ok(())
}

fn add_container(container: &Container<'_>, voice: Voice<'_>, draft: &mut Draft) {
    for problem in container.problem_types.iter().flat_map(|one| &one.descriptions) {
        match (problem.cwe_id.as_deref(), problem.description.as_deref()) {
            (Some(id), _) if !id.trim().is_empty() => draft.cwe(id, voice),
            (_, Some(text)) => draft.cwe_in_text(text, voice),
            _ => {}
        }
    }
    for metric in &container.metrics {
        let versions = [&metric.v4_0, &metric.v3_1, &metric.v3_0, &metric.v2_0];
        let vectors = versions.into_iter().flatten().filter_map(|cvss| cvss.vector.as_deref());
        vectors.for_each(|vector| draft.cvss(vector, voice));
        if let Some(content) = metric.other.and_then(ssvc_content) {
            draft.ssvc(ssvc(content), voice);
        }
    }
    for affected in &container.affected {
        let vendor = affected.vendor.as_deref().unwrap_or_default();
        draft.product(vendor, affected.product.as_deref().unwrap_or_default());
    }
}

/// The content of `other`, where it is of type `ssvc`.
fn ssvc_content(other: &RawValue) -> Option<&str> {
    // Whatever else stands there is somebody's own, and of no known shape.
    let other: Other<'_> = serde_json::from_str(other.get()).ok()?;
    other.kind.eq_ignore_ascii_case("ssvc").then_some(other.content.map_or("null", RawValue::get))
}

fn ssvc(content: &str) -> Option<Ssvc> {
    let content: SsvcContent<'_> = serde_json::from_str(content).ok()?;
    let options = content.options.iter().flatten().map(|(point, value)| (point.as_ref(), value.as_ref()));
    Ssvc::from_options(options).ok()
}

/// `cna:acme`, or `cna` where the record names nobody.
fn voice_name(kind: &str, name: Option<&str>) -> String {
    match name.filter(|name| !name.is_empty()) {
        // The schema allows 32 characters. The name is repeated in every label.
        Some(name) => format!("{kind}:{}", name.chars().take(100).collect::<String>()),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Vulnerability};
    use crate::source::MAX_RECORD_BYTES;
    use crate::source::tests::parse;

    const LINES: &str = include_str!("../../fixtures/cve-records-5.jsonl");

    fn first(records: &[Record]) -> &Vulnerability {
        match &records[0] {
            Record::Vulnerability(one) => one,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_lines_are_read_with_the_labels_of_cna_and_adp() {
        let (records, rejects) = parse(&CveList, LINES).unwrap();
        assert_eq!(records.len(), 4);
        let one = first(&records);
        assert_eq!(one.id.to_string(), "CVE-2024-0201");
        assert_eq!((one.published.to_string().as_str(), one.modified), ("2024-02-03", 20_240_701_000_000));
        let labels: Vec<_> = one
            .cwes
            .iter()
            .map(|label| (label.value.to_string(), label.source.as_str(), label.primary, label.from_text))
            .collect();
        let want = [
            ("CWE-79".to_owned(), "cna:acme", true, false),
            ("CWE-80".to_owned(), "cna:acme", true, true),
            ("CWE-116".to_owned(), "adp:CISA-ADP", false, false),
        ];
        assert_eq!(labels, want);
        let vectors: Vec<_> = one.cvss.iter().map(|label| label.source.as_str()).collect();
        assert_eq!(vectors, ["cna:acme", "cna:acme", "adp:CISA-ADP"]);
        let assessments: Vec<_> =
            one.ssvc.iter().map(|label| (label.value.to_string(), label.source.as_str(), label.primary)).collect();
        let want = "Exploitation: poc, Automatable: no, Technical Impact: partial".to_owned();
        assert_eq!(assessments, [(want, "adp:CISA-ADP", false)]);
        assert_eq!(one.products[0].product, "Kettle");
        assert!(matches!(&records[1], Record::Withdrawn(one) if one.state == WithdrawnState::Rejected));
        assert!(matches!(&records[2], Record::Withdrawn(one) if one.state == WithdrawnState::Reserved));
        let reasons: Vec<_> = rejects.iter().map(|reject| (reject.place.as_str(), reject.reason)).collect();
        let want = [
            ("here line 4", RejectReason::Malformed),
            ("here line 5", RejectReason::NoEnglishDescription),
            ("here line 6", RejectReason::BadId),
        ];
        assert_eq!(reasons, want);
    }

    #[test]
    fn an_assessment_that_is_none_is_told_and_other_metrics_are_nobodys_business() {
        let line = LINES.lines().next().unwrap();
        let ours = r#"[{"Exploitation": "poc"}, {"Automatable": "No"}, {"Technical Impact": "partial"}]"#;
        assert!(line.contains(ours));
        for options in [
            "[]".to_owned(),
            "null".to_owned(),
            ours.replace("poc", "maybe"),
            ours.replace(r#""poc""#, "1"),
            ours.replace("Automatable", "Exploitation"),
        ] {
            let (records, rejects) = parse(&CveList, &line.replace(ours, &options)).unwrap();
            assert!(first(&records).ssvc.is_empty(), "{options}");
            assert!(matches!(&rejects[..], [one] if one.reason == RejectReason::BadSsvc), "{options} {rejects:?}");
        }
        let more = ours.replace('[', r#"[{"Mission & Well-being": "low"}, "#);
        let (records, rejects) = parse(&CveList, &line.replace(ours, &more)).unwrap();
        assert_eq!((first(&records).ssvc.len(), rejects.len()), (1, 0));
        for kind in [r#""type": "kev""#, r#""type": 1"#, r#""kind": "ssvc""#] {
            let (records, rejects) = parse(&CveList, &line.replace(r#""type": "ssvc""#, kind)).unwrap();
            assert_eq!((first(&records).ssvc.len(), rejects.len()), (0, 0), "{kind}");
        }
    }

    #[test]
    fn a_record_without_dates_and_names_is_dated_by_its_id() {
        let (records, _) = parse(&CveList, LINES).unwrap();
        let Record::Vulnerability(last) = &records[3] else { panic!("{records:?}") };
        assert_eq!(last.published.to_string(), "2023");
        assert_eq!(last.cwes[0].source, "cna");
    }

    #[test]
    fn one_record_over_many_lines_and_an_array_of_records_are_read() {
        let line = LINES.lines().next().unwrap();
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for text in [pretty.clone(), format!("\u{feff}{pretty}"), format!("[{line},\n{pretty}]"), format!("\n{line}")] {
            let (records, rejects) = parse(&CveList, &text).unwrap();
            assert!(rejects.is_empty());
            assert_eq!(first(&records).id.to_string(), "CVE-2024-0201");
        }
        let message = parse(&CveList, &pretty[..pretty.len() - 3]).unwrap_err().to_string();
        assert!(message.contains("`here` cannot be read as CVE records"), "{message}");
    }

    #[test]
    fn the_log_of_changes_beside_the_records_holds_none() {
        let (records, rejects) = parse(&CveList, r#"{"fetchTime":"2024","numberOfChanges":0,"new":[]}"#).unwrap();
        assert!(records.is_empty() && rejects.is_empty());
    }

    #[test]
    fn a_line_longer_than_a_record_is_passed_over() {
        let line = LINES.lines().next().unwrap();
        let text = format!("{line}\n{}\n{line}\n", "x".repeat(MAX_RECORD_BYTES + 10));
        let (records, rejects) = parse(&CveList, &text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(rejects[0].reason, RejectReason::TooLarge);
    }

    #[test]
    fn lines_of_any_other_shape_are_rejects_and_no_crash() {
        let line = LINES.lines().next().unwrap();
        for other in
            ["null", "[]", "{}", "\"\u{1}\"", r#"{"cveMetadata":{"cveId":1}}"#, r#"{"cveMetadata":{"cveId":"x"}}"#]
        {
            let (records, rejects) = parse(&CveList, &format!("{line}\n{other}\n")).unwrap();
            assert_eq!((records.len(), rejects.len()), (1, 1), "{other}");
        }
    }
}
