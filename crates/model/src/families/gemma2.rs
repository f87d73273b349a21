//! Gemma 2 (Gemma Team 2024): capped scores and logits, norms on both sides of each half, scaled embeddings; every other
//! layer slides.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use super::windows::windows;
use crate::error::{Error, Result};
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind};

/// `model_type = "gemma2"`.
pub struct Gemma2;

/// What Gemma 2 and 3 have in common.
///
/// # Errors
/// A key is missing or wrong, or asks for what is not supported.
pub fn gemma(config: &Config, rope: Rope) -> Result<DecoderSpec> {
    if config.flag_or("use_bidirectional_attention", false)? {
        let feature = "use_bidirectional_attention = true".to_owned();
        return Err(Error::Unsupported { family: rope.family, feature });
    }
    let spec = common(config, rope, Some(256))?;
    let bias = config.flag_or("attention_bias", false)?;
    Ok(DecoderSpec {
        score_scale: 1.0 / config.optional_positive("query_pre_attn_scalar")?.unwrap_or(256.0).sqrt(),
        norm: NormKind::RmsPlusOne,
        block: BlockKind::Sandwich,
        embedding_scale: (spec.hidden as f32).sqrt(),
        biases: Biases { qkv: bias, output: bias, mlp: false },
        activation: config.activation(rope.family, "hidden_activation", "gelu_pytorch_tanh")?,
        tied: config.flag_or("tie_word_embeddings", true)?,
        ..spec
    })
}

/// The cap under a key: the default when it is absent, none when it is null.
fn cap(config: &Config, key: &str, default: f32) -> Result<Option<f32>> {
    if config.json.get(key).is_none() { Ok(Some(default)) } else { config.optional_positive(key) }
}

/// Their names.
pub const GEMMA_NAMES: NameMap = NameMap {
    attention_post_norm: "post_attention_layernorm",
    mlp_norm: "pre_feedforward_layernorm",
    mlp_post_norm: "post_feedforward_layernorm",
    ..NAMES
};

impl Family for Gemma2 {
    fn model_type(&self) -> &'static str {
        "gemma2"
    }

    fn class_prefix(&self) -> &'static str {
        "Gemma2"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let spec = gemma(config, Rope::whole("gemma2", 10_000.0, 8192))?;
        let window = config.size_unless_null("sliding_window", 4096)?;
        Ok(DecoderSpec {
            windows: windows("gemma2", config, (spec.layers(), window), |i| i.is_multiple_of(2))?,
            score_softcap: cap(config, "attn_logit_softcapping", 50.0)?,
            logit_softcap: cap(config, "final_logit_softcapping", 30.0)?,
            ..spec
        })
    }

    fn names(&self) -> NameMap {
        GEMMA_NAMES
    }
}
