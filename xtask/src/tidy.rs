//! What no compiler checks: sizes of files and functions, who may depend on whom, words that do not belong here, links.
//!
//! One rule, one file in `tidy/`; a rule reads the tree and returns findings.

pub mod edges;
pub mod links;
pub mod scan;
pub mod sizes;
pub mod tree;
pub mod words;

use std::fmt;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::say;
use tree::Tree;

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong and what is expected.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A rule: the tree in, findings out.
type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[sizes::check, edges::check, words::check, links::check];

/// All findings, sorted by place.
///
/// # Errors
/// The tree cannot be read.
pub fn findings(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort_unstable();
    Ok(findings)
}

/// Prints all findings; `false` if there are any.
///
/// # Errors
/// The tree cannot be read.
pub fn report(root: &Path, out: &mut dyn Write) -> Result<bool> {
    let findings = findings(root)?;
    for finding in &findings {
        say(out, &finding.to_string());
    }
    let count = findings.len();
    say(out, &format!("tidy: {count} finding{}", if count == 1 { "" } else { "s" }));
    Ok(findings.is_empty())
}
