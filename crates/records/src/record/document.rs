//! A text about security: an advisory, a note, a guide, a rule, a report.

use serde::{Deserialize, Serialize};

use super::{CveId, CweId, Product, Published, TechniqueId};

/// What kind of text a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A vendor's or coordinator's word on vulnerabilities.
    Advisory,
    /// Guidance: how to build or to test.
    Guide,
    /// A rule by which something is detected.
    DetectionRule,
    /// Any other text.
    Report,
}

/// A text with what it says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Unique within its source and stable, such as `ICSA-24-001-01`, or a path in an archive.
    pub id: String,
    /// What kind it is.
    pub kind: DocumentKind,
    /// Its title.
    pub title: String,
    /// A short version in its author's words; empty where there is none.
    pub summary: String,
    /// The whole as plain text: paragraphs with a blank line between them.
    pub text: String,
    /// What its author advises to do; empty where nothing is said.
    pub remedy: String,
    /// When it was published, where it says so.
    pub published: Option<Published>,
    /// The CVEs that it is about, sorted, each once.
    pub cves: Vec<CveId>,
    /// The weaknesses that its fields (not its text) name, sorted.
    pub cwes: Vec<CweId>,
    /// The techniques that its fields name, sorted.
    pub techniques: Vec<TechniqueId>,
    /// The products that its fields name, sorted.
    pub products: Vec<Product>,
    /// Which source has it.
    pub source: &'static str,
}
