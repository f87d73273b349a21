//! SmolLM3 (Hugging Face 2025): Llama's layout, but every few layers have no positions (NoPE).

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use super::windows::windows;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, NameMap, Positions};

/// `model_type = "smollm3"`.
pub struct SmolLm3;

impl SmolLm3 {
    /// Whether each layer turns its queries and keys: `no_rope_layers` says 1 for those that do.
    fn turned(config: &Config, layers: usize) -> Result<Vec<bool>> {
        let interval = config.optional_size("no_rope_layer_interval")?.unwrap_or(4);
        let flag = |value: &serde_json::Value| value.as_u64().filter(|v| *v <= 1).map(|v| v == 1);
        let listed = config.per_layer("no_rope_layers", layers, flag)?;
        Ok(listed.unwrap_or_else(|| (0..layers).map(|i| !(i + 1).is_multiple_of(interval)).collect()))
    }
}

impl Family for SmolLm3 {
    fn model_type(&self) -> &'static str {
        "smollm3"
    }

    fn class_prefix(&self) -> &'static str {
        "SmolLM3"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let spec = common(config, Rope::whole("smollm3", 2_000_000.0, 32_768), None)?;
        let turned = Self::turned(config, spec.layers())?;
        let used = config.flag_or("use_sliding_window", false)?;
        let window = config.optional_size("sliding_window")?.filter(|_| used);
        let windows = windows("smollm3", config, (spec.layers(), window), |i| window.is_some() && !turned[i])?;
        let positions = match spec.positions {
            Positions::Rotary { turns, length, .. } => {
                let of_layer = turned.iter().map(|turned| turned.then_some(0)).collect();
                Positions::Rotary { turns, of_layer, length }
            }
            other => other,
        };
        let bias = config.flag_or("attention_bias", false)?;
        let biases = Biases { qkv: bias, output: bias, mlp: config.flag_or("mlp_bias", false)? };
        Ok(DecoderSpec { windows, positions, biases, tied: config.flag_or("tie_word_embeddings", true)?, ..spec })
    }

    fn names(&self) -> NameMap {
        NAMES
    }
}
