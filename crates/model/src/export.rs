//! Models in the formats of other programs, and the gate that each export passes.

pub mod gguf;
pub mod gguf_model;
pub mod gguf_read;
pub mod gguf_tokenizer;
pub mod parity;
