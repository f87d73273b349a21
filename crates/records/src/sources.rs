//! One file a source; the table is [`crate::source::ALL`].

pub mod cvelist;
pub mod cwe;
mod draft;
mod json;
pub mod nvd;
mod xml;
