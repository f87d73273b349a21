//! What can go wrong between a conversation and a pack of token ids. Every message names the thing and ends in a hint.

use std::path::{Path, PathBuf};

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}\nhint: check that the path exists, that it may be used, and that the disk has room", path.display())]
    Io {
        /// What was tried: "read", "write", "rename".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is larger than anything this crate would load.
    #[error("`{}` is larger than {limit_bytes} bytes\nhint: is this the file you meant? A real one is far smaller", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read of such a file.
        limit_bytes: u64,
    },
    /// The folder holds no `tokenizer.json`.
    #[error("`{}` holds no `tokenizer.json`\nhint: give the folder of a Hugging Face model with a fast tokenizer, or make one with `wardsmith tokenizer`", dir.display())]
    NoTokenizer {
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// A tokenizer file does not say what it should.
    #[error("`{}` is not usable: {reason}\nhint: {hint}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The tokenizer refused a text or ids.
    #[error(
        "the tokenizer cannot {action}: {reason}\nhint: the tokenizer file may be damaged; fetch the model folder again"
    )]
    Tokenizer {
        /// "encode" or "decode" or "be trained".
        action: &'static str,
        /// The library's words.
        reason: String,
    },
    /// A chat template does not compile or does not render.
    #[error("chat template {place}: {reason}\nhint: {hint}")]
    Template {
        /// Where in the template.
        place: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A conversation cannot be turned into tokens.
    #[error("cannot render the conversation: {reason}\nhint: {hint}")]
    Conversation {
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// One of many conversations cannot be turned into tokens.
    #[error("in conversation {index} (counted from 0): {source}")]
    InConversation {
        /// Its place among the conversations.
        index: usize,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// What must stay (instruction, answer, markup) does not fit.
    #[error(
        "a conversation needs at least {needed_tokens} tokens but the limit is {max_len_tokens}\nhint: raise `max_len_tokens` or shorten the instruction"
    )]
    TooLong {
        /// Tokens needed with the user's text cut as far as it may be.
        needed_tokens: usize,
        /// The limit in force.
        max_len_tokens: usize,
    },
    /// One document does not fit into a pack.
    #[error(
        "document {index} has {tokens} tokens but a pack holds {max_tokens_per_pack}\nhint: raise `max_tokens_per_pack` or lower `max_len_tokens`"
    )]
    DocumentTooLong {
        /// Its place in the shard.
        index: usize,
        /// Its length.
        tokens: usize,
        /// The limit in force.
        max_tokens_per_pack: usize,
    },
    /// A setting is outside what makes sense.
    #[error("`{name}` is {value}, which is not possible: {reason}\nhint: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// It is not known which bytes the tokens stand for.
    #[error(
        "answers cannot be held to a schema with this tokenizer: {reason}\nhint: byte-level tokenizers (GPT-2, Llama 3, Qwen) and those from SentencePiece are known"
    )]
    Vocabulary {
        /// What is missing or unknown.
        reason: String,
    },
    /// A JSON schema that answers cannot be held to.
    #[error(
        "the JSON schema cannot be used: {reason}\nhint: name only what can be enforced, and bound texts and lists"
    )]
    Schema {
        /// What is wrong with it, or too much.
        reason: String,
    },
    /// A token shard on disk is damaged or of another version.
    #[error("token shard `{}` is not usable: {reason}\nhint: delete it; it is made again from the dataset", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn tokenizer(action: &'static str) -> impl FnOnce(tokenizers::Error) -> Self {
        move |source| Self::Tokenizer { action, reason: source.to_string() }
    }
}
