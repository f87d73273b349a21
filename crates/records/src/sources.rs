//! One file a source; the table is [`crate::source::ALL`].

pub mod cvelist;
pub mod cwe;
pub mod documents;
mod draft;
mod json;
mod lines;
pub mod nvd;
pub mod sigma;
pub mod sven;
mod text;
pub mod tram;
mod xml;
mod yaml;
