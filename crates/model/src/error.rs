//! What can go wrong with a model: each variant names the file, the tensor or the configuration key.

use std::path::PathBuf;

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the model crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `config.json` is not valid JSON or lacks a key.
    #[error(
        "`{path}` is not a usable model configuration: {reason}\nhint: it should be the `config.json` of a Hugging Face decoder model"
    )]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The configuration names a family this engine does not have.
    #[error("unknown model family `{family}`\nhint: known families are {known}")]
    UnknownFamily {
        /// `model_type` as found.
        family: String,
        /// The families there are.
        known: String,
    },
    /// The configuration asks for something this engine does not compute.
    #[error(
        "the `{family}` configuration asks for `{feature}`, which is not supported\nhint: it is refused rather than approximated; choose a model without it"
    )]
    Unsupported {
        /// The family.
        family: &'static str,
        /// The key and its value.
        feature: String,
    },
    /// A tensor is absent.
    #[error("`{path}` lacks the tensor `{tensor}`\nhint: the weights and `config.json` must come from the same model")]
    MissingTensor {
        /// The folder or file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "the tensor `{tensor}` has shape {found:?}, but the configuration needs {expected:?}\nhint: the weights and `config.json` must come from the same model"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape needed.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a type that is not read.
    #[error("the tensor `{tensor}` is stored as {dtype}\nhint: F32, F16 and BF16 are read")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// The type.
        dtype: String,
    },
    /// A weights file is damaged.
    #[error(
        "`{path}` is not a valid safetensors file: {reason}\nhint: download or copy it again; only safetensors are loaded, never pickled weights"
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The model folder holds no weights.
    #[error(
        "`{path}` holds neither `model.safetensors` nor `model.safetensors.index.json`\nhint: convert other formats with Transformers' `save_pretrained(safe_serialization=True)`"
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// A shard index points outside its folder or is otherwise unusable.
    #[error("`{path}` is not a usable shard index: {reason}\nhint: download or copy the folder again")]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An adapter does not fit.
    #[error(
        "the adapter `{path}` cannot be used: {reason}\nhint: LoRA, rsLoRA and DoRA on linear layers of the same base are supported"
    )]
    Adapter {
        /// The adapter's folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What is to be trained cannot be chosen so.
    #[error(
        "the tensors to train cannot be chosen: {reason}\nhint: names are those of the safetensors, such as `model.embed_tokens.weight`, endings of them, or one expression for whole names"
    )]
    Freezing {
        /// What is wrong.
        reason: String,
    },
    /// A model cannot be written in another program's format.
    #[error("the model cannot be exported: {reason}\nhint: {hint}")]
    Export {
        /// What stands in the way.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A GGUF file is damaged, or holds what is not read.
    #[error(
        "`{path}` is not a usable GGUF file: {reason}\nhint: export it again; files of other programs are not read"
    )]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was exported computes something else than the model.
    #[error(
        "{what} does not compute what the model does: at position {position} of prompt {prompt} its logits are off by {relative:.1e} of their spread ({largest:.1e} at most), and {tolerance:.0e} is allowed\nhint: nothing was exported; a larger `--dtype` rounds less"
    )]
    Parity {
        /// What was held against the model.
        what: String,
        /// The root mean square of the worst row over the standard deviation of all logits.
        relative: f32,
        /// The largest difference of a logit in that row.
        largest: f32,
        /// The prompt.
        prompt: usize,
        /// The position in it.
        position: usize,
        /// What would have passed.
        tolerance: f32,
    },
    /// Settings of generation are out of their ranges.
    #[error("cannot draw tokens so: {reason}\nhint: leave a setting out to turn it off")]
    Sampling {
        /// What is wrong.
        reason: String,
    },
    /// A batch is malformed.
    #[error(
        "the batch cannot be run: {reason}\nhint: the text, its tokenizer and the model must fit together; a shorter text or `max_len_tokens` may"
    )]
    Batch {
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Wraps an I/O error with the file and the action.
    pub fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}
