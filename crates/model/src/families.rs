//! Families: Hugging Face's `config.json` → [`DecoderSpec`] and a map of weight names. One file each.

pub mod bloom;
pub mod config;
pub mod gpt_neo;
pub mod llama;

use crate::error::{Error, Result};
use crate::spec::{DecoderSpec, NameMap};
use config::Config;

/// One family of decoders.
pub trait Family: Sync {
    /// `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;
    /// The class of the language model, without its suffix: `Llama` of `LlamaForCausalLM`.
    fn class_prefix(&self) -> &'static str;
    /// Reads the configuration; whatever is not supported is refused by name.
    fn spec(&self, config: &Config) -> Result<DecoderSpec>;
    /// The names of the tensors.
    fn names(&self) -> NameMap;
}

/// Every family there is.
pub static ALL: &[&dyn Family] = &[&llama::Llama, &gpt_neo::GptNeo, &bloom::Bloom];

/// The family a configuration names.
pub fn family_of(config: &Config) -> Result<&'static dyn Family> {
    let name = config.text("model_type")?;
    let known = || ALL.iter().map(|f| format!("`{}`", f.model_type())).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().copied().find(|f| f.model_type() == name);
    found.ok_or_else(|| Error::UnknownFamily { family: name, known: known() })
}
