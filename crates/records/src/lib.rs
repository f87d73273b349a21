//! Vulnerability records: sources, merging, near-duplicates, splits, tasks, datasets.
//!
//! The way of a record: [`input`] opens what a user names → [`source`] parses it to [`record`]s → [`merge`] joins the
//! sources → [`dedup`] and [`split`] place each CVE → a [`task`] makes examples → [`dataset`] writes them;
//! [`prepare`](mod@prepare) is that whole way in one call. No tensors here, and no metrics.

mod alike;
pub mod augment;
pub mod benchmark;
pub mod bias;
pub mod catalogue;
pub mod clean;
pub mod conversation;
pub mod corpus;
mod cvss;
pub mod dataset;
pub mod dedup;
mod digest;
pub mod error;
pub mod explain;
pub mod format;
pub mod gate;
pub mod hierarchy;
mod id;
pub mod ingest;
pub mod input;
pub mod knowledge;
pub mod label;
pub mod leak;
pub mod manifest;
pub mod merge;
pub mod minhash;
pub mod mixture;
pub mod names;
pub mod overlap;
pub mod phrasing;
pub mod prepare;
pub mod probes;
mod published;
pub mod record;
pub mod refine;
pub mod sampling;
pub mod scrub;
pub mod source;
pub mod sources;
pub mod split;
pub mod ssvc;
pub mod task;
pub mod tasks;
pub mod template;
pub mod wanted;

pub use error::{Error, Result};
