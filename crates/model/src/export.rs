//! Models in the formats of other programs.

pub mod gguf;
pub mod gguf_tokenizer;
