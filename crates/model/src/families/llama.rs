//! Llama (Touvron et al. 2023) and what shares its layout: TinyLlama, SmolLM2, Llama 3.
//!
//! Many families differ from it in a few points; they begin with [`common`] and [`NAMES`].

use super::Family;
use super::config::Config;
use super::rope::Rope;
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind, QkNorm, QkvLayout};

/// `model_type = "llama"`.
pub struct Llama;

/// Llama's names.
pub const NAMES: NameMap = NameMap {
    prefix: "model.",
    embedding: "model.embed_tokens",
    block: "model.layers.{}",
    attention_norm: "input_layernorm",
    q: "self_attn.q_proj",
    k: "self_attn.k_proj",
    v: "self_attn.v_proj",
    q_norm: "self_attn.q_norm",
    k_norm: "self_attn.k_norm",
    output: "self_attn.o_proj",
    mlp_norm: "post_attention_layernorm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    final_norm: "model.norm",
    ..NameMap::NONE
};

/// Families that have as many key/value heads as query heads where the key is absent. In others Transformers means a number
/// that fits its largest model, which no file relies on; null means as many in all.
const AS_MANY_HEADS: [&str; 3] = ["llama", "olmo2", "phi3"];

/// The spec that Llama's keys describe, without biases. `head_dim` is what an absent key means, if not the width over the
/// heads.
///
/// # Errors
/// A key is missing or wrong, or asks for what is not supported.
pub fn common(config: &Config, rope: Rope, head_dim: Option<usize>) -> Result<DecoderSpec> {
    let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    if config.json.get("num_key_value_heads").is_none() && !AS_MANY_HEADS.contains(&rope.family) {
        return Err(config.invalid("the key `num_key_value_heads` is missing"));
    }
    let kv_heads = config.optional_size("num_key_value_heads")?.unwrap_or(heads);
    config.require_multiple(("num_attention_heads", heads), ("num_key_value_heads", kv_heads))?;
    let head_dim = match config.optional_size("head_dim")?.or(head_dim) {
        Some(d) => d,
        None => config.require_multiple(("hidden_size", hidden), ("num_attention_heads", heads))?,
    };
    let layers = config.size("num_hidden_layers")?;
    Ok(DecoderSpec {
        vocab: config.size("vocab_size")?,
        hidden,
        inner: config.size("intermediate_size")?,
        heads,
        kv_heads,
        head_dim,
        windows: vec![None; layers],
        score_scale: 1.0 / (head_dim as f32).sqrt(),
        score_softcap: None,
        logit_softcap: None,
        positions: rope.positions(config, head_dim, layers)?,
        norm: NormKind::Rms,
        norm_eps: config.number_or("rms_norm_eps", 1e-6)?,
        block: BlockKind::PreNorm,
        embedding_scale: 1.0,
        embedding_norm: false,
        qkv: QkvLayout::Separate,
        qk_norm: QkNorm::None,
        biases: Biases { qkv: false, output: false, mlp: false },
        activation: config.activation(rope.family, "hidden_act", "silu")?,
        gated: true,
        fused_gate: false,
        transposed: false,
        tied: config.flag_or("tie_word_embeddings", false)?,
        initializer_range: config.number_or("initializer_range", 0.02)?,
    })
}

impl Family for Llama {
    fn model_type(&self) -> &'static str {
        "llama"
    }

    fn class_prefix(&self) -> &'static str {
        "Llama"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let attention_bias = config.flag_or("attention_bias", false)?;
        let mlp = config.flag_or("mlp_bias", false)?;
        Ok(DecoderSpec {
            biases: Biases { qkv: attention_bias, output: attention_bias, mlp },
            ..common(config, Rope::whole("llama", 10_000.0, 2048), None)?
        })
    }

    fn names(&self) -> NameMap {
        NAMES
    }
}
