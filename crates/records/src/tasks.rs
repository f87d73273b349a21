//! The tasks, one file each; see [`crate::task`].

pub mod attack_map;
pub mod capec_map;
pub mod cvss_vector;
pub mod cwe_classify;
pub mod document;
pub mod explain;
pub mod extract;
pub mod mitigation;
pub mod probe;
pub mod qa;
pub mod severity;
pub mod ssvc;
pub mod summarise;
pub mod vulnerable_code;
