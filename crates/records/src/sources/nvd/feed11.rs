//! One item of a yearly feed, JSON 1.1. Its labels are all NVD's own.

use std::borrow::Cow;

use serde::Deserialize;

use crate::record::RejectReason;
use crate::source::Sink;
use crate::sources::draft::{Draft, Text, Voice};
use crate::sources::json::record;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    cve: Cve<'a>,
    #[serde(borrow, default)]
    configurations: Configurations<'a>,
    #[serde(borrow, default)]
    impact: Impact<'a>,
    #[serde(borrow, rename = "publishedDate")]
    published: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "lastModifiedDate")]
    modified: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Cve<'a> {
    #[serde(borrow, rename = "CVE_data_meta")]
    meta: Meta<'a>,
    #[serde(borrow, default)]
    problemtype: ProblemTypes<'a>,
    #[serde(borrow)]
    description: Descriptions<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "ID")]
    id: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct ProblemTypes<'a> {
    #[serde(borrow, default, rename = "problemtype_data")]
    data: Vec<ProblemType<'a>>,
}

#[derive(Deserialize)]
struct ProblemType<'a> {
    #[serde(borrow, default)]
    description: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Descriptions<'a> {
    #[serde(borrow, rename = "description_data")]
    data: Vec<Text<'a>>,
}

#[derive(Deserialize, Default)]
struct Impact<'a> {
    #[serde(borrow, rename = "baseMetricV2")]
    v2: Option<MetricV2<'a>>,
    #[serde(borrow, rename = "baseMetricV3")]
    v3: Option<MetricV3<'a>>,
}

#[derive(Deserialize)]
struct MetricV2<'a> {
    #[serde(borrow, rename = "cvssV2")]
    cvss: Option<Cvss<'a>>,
}

#[derive(Deserialize)]
struct MetricV3<'a> {
    #[serde(borrow, rename = "cvssV3")]
    cvss: Option<Cvss<'a>>,
}

#[derive(Deserialize)]
struct Cvss<'a> {
    #[serde(borrow, rename = "vectorString")]
    vector: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct Configurations<'a> {
    #[serde(borrow, default)]
    nodes: Vec<Node<'a>>,
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow, default)]
    children: Vec<Self>,
    #[serde(borrow, default)]
    cpe_match: Vec<CpeMatch<'a>>,
}

#[derive(Deserialize)]
struct CpeMatch<'a> {
    #[serde(default)]
    vulnerable: bool,
    #[serde(borrow, rename = "cpe23Uri", default)]
    name: Cow<'a, str>,
}

/// Reads one item into `sink`; an error is why the whole of it is lost.
pub(super) fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let item: Item<'_> = record(text)?;
    let nvd = Voice { source: super::NAME, primary: true };
    let mut draft = Draft::new(super::NAME, &item.cve.meta.id)?;
    draft.describe(&item.cve.description.data);
    draft.date(item.published.as_deref(), item.modified.as_deref());
    for label in item.cve.problemtype.data.iter().flat_map(|one| &one.description) {
        draft.cwe(&label.value, nvd);
    }
    let vectors = [item.impact.v3.and_then(|metric| metric.cvss), item.impact.v2.and_then(|metric| metric.cvss)];
    for cvss in vectors.into_iter().flatten() {
        draft.cvss(&cvss.vector, nvd);
    }
    item.configurations.nodes.iter().for_each(|node| add_products(node, &mut draft));
    draft.finish(None, place, sink);
    Ok(())
}

/// The products of a node and those under it; the JSON parser bounds how deep that goes.
fn add_products(node: &Node<'_>, draft: &mut Draft) {
    for one in node.cpe_match.iter().filter(|one| one.vulnerable) {
        draft.cpe(&one.name);
    }
    node.children.iter().for_each(|child| add_products(child, draft));
}
