//! Families: Hugging Face's `config.json` → [`DecoderSpec`] and a map of weight names. One file each.

pub mod bloom;
pub mod config;
pub mod gemma2;
pub mod gemma3_text;
pub mod gpt2;
pub mod gpt_neo;
pub mod gpt_neox;
pub mod llama;
pub mod mistral;
pub mod olmo2;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
pub mod rope;
pub mod smollm3;
pub mod windows;

use crate::error::{Error, Result};
use crate::spec::{DecoderSpec, NameMap};
use config::Config;

/// One family of decoders.
pub trait Family: Sync {
    /// `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;
    /// What Transformers' classes begin with: `Llama` of `LlamaForCausalLM`.
    fn class_prefix(&self) -> &'static str;
    /// The class of the language model.
    fn language_model_class(&self) -> String {
        format!("{}ForCausalLM", self.class_prefix())
    }
    /// The class of the classifier.
    fn classifier_class(&self) -> String {
        format!("{}ForSequenceClassification", self.class_prefix())
    }
    /// Reads the configuration; whatever is not supported is refused by name.
    fn spec(&self, config: &Config) -> Result<DecoderSpec>;
    /// The names of the tensors.
    fn names(&self) -> NameMap;
}

/// Every family there is.
pub static ALL: &[&dyn Family] = &[
    &llama::Llama,
    &gpt_neo::GptNeo,
    &bloom::Bloom,
    &gpt2::Gpt2,
    &gpt_neox::GptNeoX,
    &mistral::Mistral,
    &qwen2::Qwen2,
    &qwen3::Qwen3,
    &gemma2::Gemma2,
    &gemma3_text::Gemma3Text,
    &phi3::Phi3,
    &olmo2::Olmo2,
    &smollm3::SmolLm3,
];

/// The family a configuration names.
pub fn family_of(config: &Config) -> Result<&'static dyn Family> {
    let name = config.text("model_type")?;
    let known = || ALL.iter().map(|f| format!("`{}`", f.model_type())).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().copied().find(|f| f.model_type() == name);
    found.ok_or_else(|| Error::UnknownFamily { family: name, known: known() })
}
