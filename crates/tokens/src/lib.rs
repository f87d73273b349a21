//! From conversations to token ids with a loss mask, packed and in a reproducible order.
//!
//! [`tokenizer`] (text to ids) → [`template`] (messages to text) → [`render`] (ids and mask) → [`shard`] (a corpus, cached
//! on disk) → [`pack`] and [`loader`] (steps of training). Nothing behind [`render`] sees a string.
//! For answers: [`stream`] makes text of tokens as they come, [`schema`] says which tokens keep to a JSON schema.

pub mod error;
mod files;
pub mod loader;
pub mod pack;
pub mod render;
pub mod schema;
pub mod shard;
pub mod shard_file;
pub mod special;
pub mod stream;
pub mod template;
#[cfg(test)]
mod testing;
mod tojson;
pub mod tokenizer;
pub mod train_bpe;
mod truncate;
mod turns;
pub mod vocabulary;

pub use error::{Error, Result};
pub use loader::{Cursor, Loader, Step, StepSize, Survey, ordered_packs};
pub use pack::{Pack, Packer, Target};
pub use render::{Limits, Rendered, Renderer};
pub use shard::{Document, Shard, Supervised};
pub use shard_file::{Origin, ShardKey};
pub use special::{SpecialToken, SpecialTokens};
pub use template::Template;
pub use tokenizer::Tokenizer;
pub use train_bpe::train_bpe;
