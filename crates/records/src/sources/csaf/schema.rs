//! What is read of an advisory: the fields of CSAF 2.0, and those of 2.1 where they differ.

use serde::Deserialize;

use crate::sources::json::or_default;

#[derive(Deserialize)]
pub(super) struct Advisory {
    pub(super) document: Meta,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) product_tree: ProductTree,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub(super) title: String,
    pub(super) lang: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) notes: Vec<Note>,
    #[serde(default)]
    pub(super) publisher: Publisher,
    pub(super) tracking: Tracking,
}

#[derive(Default, Deserialize)]
pub(super) struct Publisher {
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Tracking {
    pub(super) id: String,
    pub(super) initial_release_date: Option<String>,
    pub(super) current_release_date: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Note {
    pub(super) category: String,
    pub(super) text: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) title: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ProductTree {
    #[serde(deserialize_with = "or_default")]
    pub(super) branches: Vec<Branch>,
    #[serde(deserialize_with = "or_default")]
    pub(super) full_product_names: Vec<FullName>,
    #[serde(deserialize_with = "or_default")]
    pub(super) relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
pub(super) struct Branch {
    #[serde(default)]
    pub(super) category: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) branches: Vec<Self>,
    pub(super) product: Option<FullName>,
}

#[derive(Deserialize)]
pub(super) struct FullName {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) product_id: String,
}

/// A product as a part of another.
#[derive(Deserialize)]
pub(super) struct Relationship {
    pub(super) full_product_name: FullName,
    /// The part, by its ID.
    #[serde(default)]
    pub(super) product_reference: String,
}

#[derive(Deserialize)]
pub(super) struct Vulnerability {
    pub(super) cve: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) title: String,
    cwe: Option<Cwe>,
    #[serde(default, deserialize_with = "or_default")]
    cwes: Vec<Cwe>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) notes: Vec<Note>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) remediations: Vec<Remediation>,
    #[serde(default, deserialize_with = "or_default")]
    scores: Vec<Scores>,
    #[serde(default, deserialize_with = "or_default")]
    metrics: Vec<Metric>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) product_status: Status,
    /// When it became public: `release_date` in 2.0, `disclosure_date` in 2.1.
    #[serde(rename = "disclosure_date", alias = "release_date")]
    pub(super) disclosed: Option<String>,
}

#[derive(Deserialize)]
struct Cwe {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Remediation {
    pub(super) category: String,
    pub(super) details: String,
}

#[derive(Deserialize)]
struct Metric {
    #[serde(default)]
    content: Scores,
}

#[derive(Default, Deserialize)]
struct Scores {
    cvss_v4: Option<Cvss>,
    cvss_v3: Option<Cvss>,
    cvss_v2: Option<Cvss>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(rename = "vectorString")]
    vector: Option<String>,
}

/// Which products are affected, by their IDs.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    known_affected: Vec<String>,
    first_affected: Vec<String>,
    last_affected: Vec<String>,
    first_fixed: Vec<String>,
    fixed: Vec<String>,
}

impl Tracking {
    /// The day of an advisory that was never revised: on it all its CVEs were public. One that was revised does not say
    /// which of them came when.
    pub(super) fn only_day(&self) -> Option<&str> {
        let first = self.initial_release_date.as_deref()?;
        let last = self.current_release_date.as_deref()?;
        (first.get(..10)? == last.get(..10)?).then_some(first)
    }
}

impl Status {
    /// Affected ones, and those in which it was mended.
    pub(super) fn affected(&self) -> impl Iterator<Item = &str> {
        let all = [&self.known_affected, &self.first_affected, &self.last_affected, &self.first_fixed, &self.fixed];
        all.into_iter().flatten().map(String::as_str)
    }
}

impl Vulnerability {
    /// The CWEs of either version.
    pub(super) fn cwe_ids(&self) -> impl Iterator<Item = &str> {
        self.cwe.iter().chain(&self.cwes).map(|one| one.id.as_str())
    }

    /// What it is, in a few words; empty where nothing says it.
    pub(super) fn headline(&self) -> &str {
        let weakness = self.cwe.iter().chain(&self.cwes).next().map_or("", |one| one.name.as_str());
        if self.title.trim().is_empty() { weakness } else { &self.title }
    }

    /// Its CVSS vectors, of either version.
    pub(super) fn vectors(&self) -> impl Iterator<Item = &str> {
        let all = self.scores.iter().chain(self.metrics.iter().map(|one| &one.content));
        let all = all.flat_map(|one| [&one.cvss_v4, &one.cvss_v3, &one.cvss_v2]);
        all.flatten().filter_map(|cvss| cvss.vector.as_deref())
    }

    /// The first note that describes it; else the first that sums it up.
    pub(super) fn description(&self) -> &str {
        let first =
            |category: &str| self.notes.iter().find(|note| note.category == category && !note.text.trim().is_empty());
        first("description").or_else(|| first("summary")).map_or("", |note| &note.text)
    }
}
