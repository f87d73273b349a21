//! One file a task; the table is [`crate::task::ALL`].

pub mod cwe_classify;
pub mod document;
