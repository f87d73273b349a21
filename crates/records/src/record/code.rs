//! A function before and after a security fix.

use super::CweId;

/// A function with a weakness, and the same function with the weakness mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePair {
    /// Unique within its source and stable.
    pub id: String,
    /// `c`, `cpp`, `python`, …
    pub language: String,
    /// The weakness.
    pub cwe: CweId,
    /// The function's name.
    pub function: String,
    /// The repository or commit that it is from: pairs of one origin stand in one split.
    pub origin: String,
    /// The code with the weakness.
    pub vulnerable: String,
    /// The code without it.
    pub fixed: String,
    /// Which source has it.
    pub source: &'static str,
}
