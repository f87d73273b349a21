//! OLMo 2 (OLMo Team 2025): Llama's layout with norms after each half of a block, and of all queries and keys together.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, QkNorm};

/// `model_type = "olmo2"`.
pub struct Olmo2;

impl Family for Olmo2 {
    fn model_type(&self) -> &'static str {
        "olmo2"
    }

    fn class_prefix(&self) -> &'static str {
        "Olmo2"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let spec = common(config, Rope::whole("olmo2", 10_000.0, 2048), None)?;
        let bias = config.flag_or("attention_bias", false)?;
        Ok(DecoderSpec {
            norm_eps: config.number_or("rms_norm_eps", 1e-5)?,
            block: BlockKind::PostNorm,
            qk_norm: QkNorm::FullWidth,
            biases: Biases { qkv: bias, output: bias, mlp: false },
            ..spec
        })
    }

    fn names(&self) -> NameMap {
        NameMap {
            attention_post_norm: "post_attention_layernorm",
            mlp_post_norm: "post_feedforward_layernorm",
            ..NAMES
        }
    }
}
