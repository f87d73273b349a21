//! One file a source; the table is [`crate::source::ALL`].

pub mod attack;
pub mod capec;
pub mod certcc;
pub mod csaf;
mod csv;
pub mod cvelist;
pub mod cwe;
pub mod documents;
mod draft;
pub mod epss;
mod json;
pub mod kev;
mod lines;
pub mod nvd;
pub mod osv;
pub mod sigma;
mod stix;
pub mod sven;
mod text;
pub mod tram;
mod xml;
mod yaml;
