//! What attackers do: attack patterns (CAPEC) and techniques (ATT&CK), as STIX bundles tell them.
//!
//! Links from weaknesses to patterns to techniques are knowledge to be told, never labels: they cover a few per cent of
//! what analysts choose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Consequence, CweId, IdError, Published};

/// The number of an attack pattern: `CAPEC-66` is `CapecId(66)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapecId(pub u32);

impl fmt::Display for CapecId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CAPEC-{}", self.0)
    }
}

impl FromStr for CapecId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix("CAPEC-").unwrap_or_default();
        let plain = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| IdError::new("CAPEC ID", text, "it looks like `CAPEC-66`"))
    }
}

/// The ID of a technique or sub-technique of ATT&CK: `T1059` or `T1059.001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TechniqueId(Box<str>);

impl TechniqueId {
    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `T1059` of `T1059.001`; itself where it is no sub-technique.
    #[must_use]
    pub fn technique(&self) -> Self {
        Self(self.0[..5].into())
    }

    /// Whether it is a sub-technique.
    #[must_use]
    pub fn is_sub(&self) -> bool {
        self.0.len() > 5
    }
}

impl fmt::Display for TechniqueId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for TechniqueId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        let plain = match bytes.len() {
            5 => bytes[0] == b'T' && digits(1..5),
            9 => bytes[0] == b'T' && digits(1..5) && bytes[5] == b'.' && digits(6..9),
            _ => false,
        };
        if plain {
            Ok(Self(text.into()))
        } else {
            Err(IdError::new("ATT&CK technique", text, "it looks like `T1059` or `T1059.001`"))
        }
    }
}

impl TryFrom<String> for TechniqueId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TechniqueId> for String {
    fn from(id: TechniqueId) -> Self {
        id.0.into()
    }
}

/// An attack pattern of CAPEC.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackPattern {
    /// Its ID.
    pub id: CapecId,
    /// Its name.
    pub name: String,
    /// `Meta`, `Standard` or `Detailed`.
    pub abstraction: String,
    /// `Stable`, `Draft`, `Deprecated`, …
    pub status: String,
    /// What it is.
    pub description: String,
    /// More words on it.
    pub extended_description: String,
    /// `Low`, `Medium`, `High`, …; empty where none is stated.
    pub likelihood: String,
    /// As `likelihood`.
    pub severity: String,
    /// What must hold for it to work.
    pub prerequisites: Vec<String>,
    /// The steps of an attack, in order.
    pub steps: Vec<String>,
    /// What follows from it.
    pub consequences: Vec<Consequence>,
    /// What can be done about it.
    pub mitigations: Vec<String>,
    /// Stories that show it.
    pub examples: Vec<String>,
    /// The weaknesses that it exploits.
    pub weaknesses: Vec<CweId>,
    /// The techniques of ATT&CK that it corresponds to.
    pub techniques: Vec<TechniqueId>,
    /// More general patterns.
    pub parents: Vec<CapecId>,
    /// The day on which it was written, where stated.
    pub created: Option<Published>,
}

impl AttackPattern {
    /// Whether CAPEC has retired it.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        matches!(self.status.as_str(), "Deprecated" | "Obsolete")
    }
}

/// A matrix of ATT&CK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// `enterprise-attack`.
    Enterprise,
    /// `mobile-attack`.
    Mobile,
    /// `ics-attack`.
    Ics,
}

/// A technique or sub-technique of ATT&CK.
#[derive(Debug, Clone, PartialEq)]
pub struct Technique {
    /// Its ID.
    pub id: TechniqueId,
    /// Its name.
    pub name: String,
    /// Its matrix.
    pub domain: Domain,
    /// What it is, as plain text without citations.
    pub description: String,
    /// The tactics that it serves, by their short names such as `initial-access`.
    pub tactics: Vec<String>,
    /// Where it works, such as `Windows`.
    pub platforms: Vec<String>,
    /// How it can be noticed; empty where nothing is said.
    pub detection: String,
    /// What can be done about it.
    pub mitigations: Vec<TechniqueMitigation>,
    /// Revoked or deprecated.
    pub is_retired: bool,
    /// The day on which it was written, where stated.
    pub created: Option<Published>,
}

/// What can be done about a technique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TechniqueMitigation {
    /// Its name, such as `User Training`.
    pub name: String,
    /// How it helps against this technique, as plain text.
    pub description: String,
}

/// A sentence to which somebody gave techniques: TRAM's reports, ATT&CK's procedure examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledSentence {
    /// Unique within its source and stable.
    pub id: String,
    /// The report that it stands in, or the group or software that it tells of.
    pub document: String,
    /// The sentence.
    pub text: String,
    /// Its techniques, sorted; empty where the sentence shows none.
    pub techniques: Vec<TechniqueId>,
    /// The day on which it was written, where stated.
    pub published: Option<Published>,
    /// Which source has it.
    pub source: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_strictly_and_written_as_read() {
        for text in ["T1059", "T1059.001"] {
            assert_eq!(text.parse::<TechniqueId>().unwrap().to_string(), text);
        }
        for text in ["", "T105", "T1059.1", "t1059", "T1059.001.1", "TA0001", "T10é9"] {
            assert!(text.parse::<TechniqueId>().is_err(), "{text}");
        }
        assert_eq!("CAPEC-66".parse::<CapecId>().unwrap().to_string(), "CAPEC-66");
        for text in ["CAPEC-", "66", "CAPEC-+6", "CAPEC-66a", "CAPEC-12345678"] {
            assert!(text.parse::<CapecId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sub_technique_knows_its_technique() {
        let id: TechniqueId = "T1059.001".parse().unwrap();
        assert!(id.is_sub() && !id.technique().is_sub());
        assert_eq!(id.technique().as_str(), "T1059");
    }
}
