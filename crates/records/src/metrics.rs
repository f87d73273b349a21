//! The metrics, one file each; [`crate::metric::ALL`] is their table.

pub mod accuracy;
pub mod bits_per_byte;
pub mod hierarchical;
pub mod macro_f1;
pub mod micro_f1;
pub mod perplexity;
pub mod top_k;
pub mod unparseable;
