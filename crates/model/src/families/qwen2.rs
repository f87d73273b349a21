//! Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's layout with biases on queries, keys and values; upper layers may slide.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use super::windows::upper_windows;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, NameMap};

/// `model_type = "qwen2"`.
pub struct Qwen2;

impl Family for Qwen2 {
    fn model_type(&self) -> &'static str {
        "qwen2"
    }

    fn class_prefix(&self) -> &'static str {
        "Qwen2"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let spec = common(config, Rope::whole("qwen2", 10_000.0, 32_768), None)?;
        let windows = upper_windows("qwen2", config, spec.layers())?;
        Ok(DecoderSpec { windows, biases: Biases { qkv: true, ..spec.biases }, ..spec })
    }

    fn names(&self) -> NameMap {
        NAMES
    }
}
