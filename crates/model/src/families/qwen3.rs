//! Qwen3 (Yang et al. 2025): Qwen2 with a norm of each query and key in place of their biases.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use super::windows::upper_windows;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, NameMap, QkNorm};

/// `model_type = "qwen3"`.
pub struct Qwen3;

impl Family for Qwen3 {
    fn model_type(&self) -> &'static str {
        "qwen3"
    }

    fn class_prefix(&self) -> &'static str {
        "Qwen3"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let spec = common(config, Rope::whole("qwen3", 10_000.0, 32_768), Some(128))?;
        let windows = upper_windows("qwen3", config, spec.layers())?;
        let bias = config.flag_or("attention_bias", false)?;
        let biases = Biases { qkv: bias, output: bias, mlp: false };
        Ok(DecoderSpec { windows, biases, qk_norm: QkNorm::PerHead, ..spec })
    }

    fn names(&self) -> NameMap {
        NAMES
    }
}
