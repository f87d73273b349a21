//! One CVE of version 2.0 of NVD's API and feeds: every label says who gave it and whether it is primary.

use std::borrow::Cow;

use serde::Deserialize;

use crate::record::{RejectReason, WithdrawnState};
use crate::source::Sink;
use crate::sources::draft::{Draft, Text, Voice};
use crate::sources::json::record;

/// NVD's name for itself.
const NVD_ITSELF: &str = "nvd@nist.gov";
/// CISA's Vulnrichment, which NVD names by its organisation's ID.
const CISA_ADP: &str = "134c704f-9b21-4f2e-91b3-4a467353bcc0";

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    cve: Cve<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cve<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    published: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_modified: Option<Cow<'a, str>>,
    #[serde(borrow)]
    vuln_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    descriptions: Vec<Text<'a>>,
    #[serde(borrow, default)]
    metrics: Metrics<'a>,
    #[serde(borrow, default)]
    weaknesses: Vec<Weakness<'a>>,
    #[serde(borrow, default)]
    configurations: Vec<Configuration<'a>>,
}

#[derive(Deserialize, Default)]
struct Metrics<'a> {
    #[serde(borrow, default, rename = "cvssMetricV40")]
    v40: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV31")]
    v31: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV30")]
    v30: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV2")]
    v2: Vec<Metric<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    cvss_data: Cvss<'a>,
}

#[derive(Deserialize)]
struct Cvss<'a> {
    #[serde(borrow, rename = "vectorString")]
    vector: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Weakness<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Configuration<'a> {
    #[serde(borrow, default)]
    nodes: Vec<Node<'a>>,
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow, default, rename = "cpeMatch")]
    matches: Vec<CpeMatch<'a>>,
}

#[derive(Deserialize)]
struct CpeMatch<'a> {
    #[serde(default)]
    vulnerable: bool,
    #[serde(borrow, default)]
    criteria: Cow<'a, str>,
}

/// Reads one CVE, with or without its `cve` wrapper, into `sink`; an error is why the whole of it is lost.
pub(super) fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let cve = match record::<Wrapped<'_>>(text) {
        Ok(wrapped) => wrapped.cve,
        Err(reason) => record(text).map_err(|_| reason)?,
    };
    let mut draft = Draft::new(super::NAME, &cve.id)?;
    draft.describe(&cve.descriptions);
    draft.date(cve.published.as_deref(), cve.last_modified.as_deref());
    for weakness in &cve.weaknesses {
        let source = voice_name(&weakness.source);
        let voice = Voice { source: &source, primary: weakness.kind == "Primary" };
        // A label stands there once a language; NVD writes only English.
        weakness.description.iter().for_each(|label| draft.cwe(&label.value, voice));
    }
    let metrics = &cve.metrics;
    for metric in [&metrics.v40, &metrics.v31, &metrics.v30, &metrics.v2].into_iter().flatten() {
        let source = voice_name(&metric.source);
        let voice = Voice { source: &source, primary: metric.kind == "Primary" };
        draft.cvss(&metric.cvss_data.vector, voice);
    }
    let matches = cve.configurations.iter().flat_map(|one| &one.nodes).flat_map(|node| &node.matches);
    matches.filter(|one| one.vulnerable).for_each(|one| draft.cpe(&one.criteria));
    let rejected = cve.vuln_status.as_deref() == Some("Rejected");
    draft.finish(rejected.then_some(WithdrawnState::Rejected), place, sink);
    Ok(())
}

/// NVD's name for a source as a label's source.
fn voice_name(source: &str) -> String {
    match source {
        NVD_ITSELF => super::NAME.into(),
        CISA_ADP => "adp:CISA-ADP".into(),
        other => format!("cna:{other}"),
    }
}
