//! The one currency before tokens: what any source says, in one shape.
//!
//! Sources make records, [`crate::merge`] joins those about CVEs to one [`Vulnerability`] each,
//! [`crate::knowledge`] holds all of it, tasks make examples of that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod code;
mod document;
mod exploit;
mod threat;

pub use self::code::CodePair;
pub use self::document::{Document, DocumentKind};
pub use self::exploit::{EpssScore, Exploited};
pub use self::threat::{AttackPattern, CapecId, Domain, LabelledSentence, Technique, TechniqueId, TechniqueMitigation};
pub use crate::cvss::{CvssError, CvssVector, CvssVersion, Score, Severity, SeverityError};
pub use crate::id::{CveId, CweId, IdError};
pub use crate::published::{DateError, Published};
pub use crate::ssvc::Ssvc;

/// One thing that a source says.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A CVE with a description.
    Vulnerability(Box<Vulnerability>),
    /// A CVE that was rejected or only reserved: no vulnerability, but it may withdraw another source's record.
    Withdrawn(Withdrawn),
    /// A weakness of the CWE catalogue.
    Weakness(Box<Weakness>),
    /// A category of the CWE catalogue: a heap of weaknesses, not one.
    Category(Category),
    /// A view of the CWE catalogue.
    View(View),
    /// A vulnerability that is known to be exploited.
    Exploited(Box<Exploited>),
    /// An exploit prediction score.
    Epss(EpssScore),
    /// An attack pattern of CAPEC.
    Pattern(Box<AttackPattern>),
    /// A technique of ATT&CK.
    Technique(Box<Technique>),
    /// A sentence with its techniques.
    Sentence(Box<LabelledSentence>),
    /// A text about security.
    Document(Box<Document>),
    /// A function before and after a security fix.
    Code(Box<CodePair>),
}

impl Record {
    /// What kind of record it is, in the plural, as the manifest counts it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Vulnerability(_) => "vulnerabilities",
            Self::Withdrawn(_) => "withdrawn",
            Self::Weakness(_) => "weaknesses",
            Self::Category(_) => "categories",
            Self::View(_) => "views",
            Self::Exploited(_) => "exploited",
            Self::Epss(_) => "scores",
            Self::Pattern(_) => "patterns",
            Self::Technique(_) => "techniques",
            Self::Sentence(_) => "sentences",
            Self::Document(_) => "documents",
            Self::Code(_) => "code_pairs",
        }
    }
}

/// What one source says, and whether it is that source's main word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label<T> {
    /// What is said.
    pub value: T,
    /// Who says it: `nvd`, `cna:<name>` or `adp:<name>`.
    pub source: String,
    /// NVD's `Primary` type, or the CNA speaking about its own record.
    pub primary: bool,
    /// Found in free text, because the field that is made for it was empty.
    pub from_text: bool,
}

/// A CWE label, with the two placeholders of NVD kept apart from real ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeaknessRef {
    /// An entry of the catalogue.
    Cwe(CweId),
    /// `NVD-CWE-noinfo`: the report says too little.
    NoInfo,
    /// `NVD-CWE-Other`: NVD's subset of CWE has no entry for it.
    Other,
}

impl WeaknessRef {
    /// The CWE ID, unless this is a placeholder.
    #[must_use]
    pub fn cwe(self) -> Option<CweId> {
        match self {
            Self::Cwe(id) => Some(id),
            Self::NoInfo | Self::Other => None,
        }
    }
}

impl fmt::Display for WeaknessRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cwe(id) => id.fmt(out),
            Self::NoInfo => out.write_str("NVD-CWE-noinfo"),
            Self::Other => out.write_str("NVD-CWE-Other"),
        }
    }
}

impl FromStr for WeaknessRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "NVD-CWE-noinfo" => Ok(Self::NoInfo),
            "NVD-CWE-Other" => Ok(Self::Other),
            _ => text.parse().map(Self::Cwe),
        }
    }
}

/// An affected product by name; versions are left in the description.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Product {
    /// Who makes it.
    pub vendor: String,
    /// What it is called.
    pub product: String,
}

/// A published CVE: out of a source it is that source's view, out of [`crate::merge`] it is all sources' together.
#[derive(Debug, Clone, PartialEq)]
pub struct Vulnerability {
    /// The CVE ID.
    pub id: CveId,
    /// The description in English.
    pub description: String,
    /// When it was published.
    pub published: Published,
    /// Last modification as `YYYYMMDDhhmmss` in one number, 0 where unknown; decides between two copies of one record.
    pub modified: u64,
    /// CWE labels in the source's order.
    pub cwes: Vec<Label<WeaknessRef>>,
    /// CVSS vectors in the source's order.
    pub cvss: Vec<Label<CvssVector>>,
    /// SSVC assessments in the source's order.
    pub ssvc: Vec<Label<Ssvc>>,
    /// Affected products, sorted, each once.
    pub products: Vec<Product>,
    /// Which sources have it, such as `nvd`.
    pub sources: Vec<String>,
}

impl Vulnerability {
    /// Whether any source names a CWE of the catalogue's numbering (placeholders do not count).
    #[must_use]
    pub fn has_cwe(&self) -> bool {
        self.cwes.iter().any(|label| label.value.cwe().is_some())
    }

    /// The CVSS vectors of `version`, best source first, as [`ranked`] says.
    #[must_use]
    pub fn cvss_of(&self, version: CvssVersion) -> Vec<&Label<CvssVector>> {
        let mut found = ranked(&self.cvss);
        found.retain(|label| label.value.version() == version);
        found
    }
}

/// `labels`, best source first: NVD's primary labels, NVD's others, the CNA's, an ADP's; of one kind of source the main
/// word before others and a field before free text; what is alike in all that, in the given order.
#[must_use]
pub fn ranked<T>(labels: &[Label<T>]) -> Vec<&Label<T>> {
    let mut ranked: Vec<&Label<T>> = labels.iter().collect();
    ranked.sort_by_key(|label| (rank_of_source(&label.source), label.from_text, !label.primary));
    ranked
}

/// 0 for the source that is asked first.
fn rank_of_source(source: &str) -> u8 {
    match source.split(':').next() {
        Some("nvd") => 0,
        Some("cna") => 1,
        _ => 2,
    }
}

/// Why a CVE is no vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawnState {
    /// The ID must not be used.
    Rejected,
    /// The ID is taken, nothing is published.
    Reserved,
}

impl WithdrawnState {
    /// The state that a description states by its own words, as `** REJECT **` does.
    #[must_use]
    pub fn of_description(text: &str) -> Option<Self> {
        let start: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '*').take(14).collect::<String>().to_ascii_lowercase();
        let starred = text.trim_start().starts_with("**");
        if start.starts_with("rejectedreason") || (starred && start.starts_with("reject")) {
            return Some(Self::Rejected);
        }
        (starred && start.starts_with("reserved")).then_some(Self::Reserved)
    }
}

/// A CVE that a source withdraws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn {
    /// The CVE ID.
    pub id: CveId,
    /// Rejected or reserved.
    pub state: WithdrawnState,
    /// As [`Vulnerability::modified`].
    pub modified: u64,
    /// Which source says so.
    pub source: &'static str,
}

/// How the catalogue wants an entry to be used as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Usage {
    /// A good label.
    #[default]
    Allowed,
    /// A label that deserves a second look.
    AllowedWithReview,
    /// Often misused; still a label.
    Discouraged,
    /// No label.
    Prohibited,
}

impl FromStr for Usage {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "Allowed" => Ok(Self::Allowed),
            "Allowed-with-Review" => Ok(Self::AllowedWithReview),
            "Discouraged" => Ok(Self::Discouraged),
            "Prohibited" => Ok(Self::Prohibited),
            _ => Err(()),
        }
    }
}

/// A relation to another entry within one view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Relation {
    /// `ChildOf`, `PeerOf`, `CanPrecede`, … as the catalogue writes it.
    pub nature: String,
    /// The other entry.
    pub target: CweId,
    /// The view in which this holds, where one is named.
    pub view: Option<u32>,
}

/// What follows from a weakness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Consequence {
    /// What suffers, such as `Confidentiality`.
    pub scopes: Vec<String>,
    /// How, such as `Read Application Data`.
    pub impacts: Vec<String>,
    /// More words on it.
    pub note: String,
}

/// What can be done about a weakness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Mitigation {
    /// When, such as `Implementation`.
    pub phases: Vec<String>,
    /// The kind of measure, where the catalogue names one.
    pub strategy: String,
    /// The measure.
    pub description: String,
}

/// A real CVE that shows a weakness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ObservedExample {
    /// The CVE ID as the catalogue writes it.
    pub reference: String,
    /// What happened.
    pub description: String,
}

/// A weakness of the CWE catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// Its ID.
    pub id: CweId,
    /// Its name.
    pub name: String,
    /// `Pillar`, `Class`, `Base`, `Variant` or `Compound`.
    pub abstraction: String,
    /// `Stable`, `Draft`, `Incomplete`, `Deprecated`, …
    pub status: String,
    /// How it may be used as a label.
    pub usage: Usage,
    /// The short description.
    pub description: String,
    /// The long description, as plain text.
    pub extended_description: String,
    /// Other names of it.
    pub alternate_terms: Vec<String>,
    /// Relations in the catalogue's order.
    pub relations: Vec<Relation>,
    /// What follows from it.
    pub consequences: Vec<Consequence>,
    /// What can be done about it.
    pub mitigations: Vec<Mitigation>,
    /// Real CVEs that show it.
    pub observed_examples: Vec<ObservedExample>,
    /// The date of the catalogue's edition, where it states one.
    pub edition: Option<Published>,
}

impl Weakness {
    /// Whether the catalogue has retired it.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.status == "Deprecated" || self.status == "Obsolete"
    }
}

/// A category of the CWE catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its ID.
    pub id: CweId,
    /// Its name.
    pub name: String,
    /// `Deprecated`, `Draft`, …
    pub status: String,
    /// What it heaps together.
    pub summary: String,
    /// Its members, with the view in which they are.
    pub members: Vec<Relation>,
}

/// A view of the CWE catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its ID.
    pub id: CweId,
    /// Its name.
    pub name: String,
    /// `Deprecated`, `Draft`, …
    pub status: String,
    /// What it is for.
    pub objective: String,
    /// Its roots.
    pub members: Vec<CweId>,
}

/// A record that could not be used; counted, never a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The file, and the line or record in it.
    pub place: String,
    /// Why.
    pub reason: RejectReason,
}

/// Why a record could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The bytes are no JSON or XML, or no UTF-8.
    Malformed,
    /// Well-formed, but fields are missing or have another type than the format says.
    WrongShape,
    /// The ID is no CVE ID or CWE ID.
    BadId,
    /// The publication date is no date; the rest of the record is kept, dated by the year of its ID.
    BadDate,
    /// A published record without a description in English.
    NoEnglishDescription,
    /// One record is larger than a record may be.
    TooLarge,
    /// A CVSS vector that its specification does not allow; the rest of the record is kept.
    BadCvss,
    /// A CWE label that is neither a CWE ID nor a placeholder of NVD; the rest of the record is kept.
    BadCwe,
    /// An SSVC assessment without a known value for each of its decision points; the rest of the record is kept.
    BadSsvc,
    /// A reference to a CVE, technique or pattern that is none or leads nowhere; the rest of the record is kept.
    BadReference,
    /// Its source has withdrawn it; nothing is made of it, and that is no failure.
    Withdrawn,
    /// Nobody has looked at its labels yet.
    Unreviewed,
    /// It has no text of its own, or none that says anything; that is no failure either.
    NoText,
}

impl RejectReason {
    /// Whether the whole record is lost, not only a label of it.
    #[must_use]
    pub fn loses_record(self) -> bool {
        let label = matches!(self, Self::BadCvss | Self::BadCwe | Self::BadSsvc | Self::BadDate | Self::BadReference);
        !label && !self.sets_aside()
    }

    /// Whether the record is as it should be, only there is nothing in it to learn from.
    #[must_use]
    pub fn sets_aside(self) -> bool {
        matches!(self, Self::Withdrawn | Self::Unreviewed | Self::NoText)
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Malformed => "malformed",
            Self::WrongShape => "wrong shape",
            Self::BadId => "bad id",
            Self::BadDate => "bad date",
            Self::NoEnglishDescription => "no English description",
            Self::TooLarge => "too large",
            Self::BadCvss => "bad CVSS vector",
            Self::BadCwe => "bad CWE label",
            Self::BadSsvc => "bad SSVC assessment",
            Self::BadReference => "bad reference",
            Self::Withdrawn => "withdrawn",
            Self::Unreviewed => "unreviewed",
            Self::NoText => "no text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholders_of_nvd_are_no_cwe() {
        for text in ["NVD-CWE-noinfo", "NVD-CWE-Other", "CWE-79"] {
            let label: WeaknessRef = text.parse().unwrap();
            assert_eq!(label.to_string(), text);
            assert_eq!(label.cwe().is_some(), text == "CWE-79");
        }
        assert!("NVD-CWE-new".parse::<WeaknessRef>().is_err());
    }

    #[test]
    fn vectors_of_a_version_come_with_the_best_source_first() {
        let label = |source: &str, primary, text: &str| Label {
            value: text.parse::<CvssVector>().unwrap(),
            source: source.into(),
            primary,
            from_text: false,
        };
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H";
        let labels = [
            label("adp:CISA-ADP", false, &format!("{base}/A:N")),
            label("cna:acme", true, &format!("{base}/A:L")),
            label("nvd", false, &format!("{base}/A:H")),
            label("nvd", true, "AV:N/AC:L/Au:N/C:P/I:P/A:P"),
            label("nvd", true, &format!("{base}/A:L/E:U")),
        ];
        let one =
            Vulnerability { cvss: labels.to_vec(), ..crate::merge::tests::vulnerability("CVE-2024-0001", "A hole.") };
        let found: Vec<_> = one.cvss_of(CvssVersion::V3_1).into_iter().map(|label| label.source.as_str()).collect();
        assert_eq!(found, ["nvd", "nvd", "cna:acme", "adp:CISA-ADP"]);
        assert_eq!(one.cvss_of(CvssVersion::V3_1)[0], &labels[4]);
        assert_eq!(one.cvss_of(CvssVersion::V2), [&labels[3]]);
        assert!(one.cvss_of(CvssVersion::V4_0).is_empty());
    }

    #[test]
    fn descriptions_that_withdraw_a_cve_are_recognised() {
        use WithdrawnState::{Rejected, Reserved};
        for (text, want) in [
            ("** REJECT **  DO NOT USE THIS NUMBER.", Some(Rejected)),
            ("** REJECT ** it is a copy", Some(Rejected)),
            ("**REJECTED** it is a copy", Some(Rejected)),
            (" Rejected reason: not used", Some(Rejected)),
            ("** RESERVED ** for later", Some(Reserved)),
            ("** DISPUTED ** a hole", None),
            ("Rejected packets crash the server", None),
            ("Reserved names crash the server", None),
            ("** UNSUPPORTED WHEN ASSIGNED ** a hole", None),
            ("", None),
        ] {
            assert_eq!(WithdrawnState::of_description(text), want, "{text}");
        }
    }
}
