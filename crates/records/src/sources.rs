//! One file a source; the table is [`crate::source::ALL`].

pub mod attack;
pub mod capec;
pub mod certcc;
pub mod csaf;
mod csv;
pub mod cvelist;
pub mod cwe;
mod draft;
pub mod epss;
mod json;
pub mod kev;
mod lines;
pub mod nvd;
pub mod osv;
mod stix;
mod text;
mod xml;
