//! GPT-2 (Radford et al. 2019): learned positions, fused projections, weights stored as (in, out).

use super::Family;
use super::config::Config;
use crate::error::{Error, Result};
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind, Positions, QkNorm, QkvLayout};

/// `model_type = "gpt2"`.
pub struct Gpt2;

impl Family for Gpt2 {
    fn model_type(&self) -> &'static str {
        "gpt2"
    }

    fn class_prefix(&self) -> &'static str {
        "GPT2"
    }

    fn language_model_class(&self) -> String {
        "GPT2LMHeadModel".into()
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        for key in ["scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"] {
            if config.flag_or(key, false)? {
                return Err(Error::Unsupported { family: "gpt2", feature: format!("{key} = true") });
            }
        }
        let hidden = config.size_of_either("n_embd", "hidden_size")?;
        let heads = config.size_of_either("n_head", "num_attention_heads")?;
        let head_dim = config.require_multiple(("n_embd", hidden), ("n_head", heads))?;
        let scaled = config.flag_or("scale_attn_weights", true)?;
        Ok(DecoderSpec {
            vocab: config.size("vocab_size")?,
            hidden,
            inner: config.optional_size("n_inner")?.unwrap_or(4 * hidden),
            heads,
            kv_heads: heads,
            head_dim,
            windows: vec![None; config.size_of_either("n_layer", "num_hidden_layers")?],
            score_scale: if scaled { 1.0 / (head_dim as f32).sqrt() } else { 1.0 },
            score_softcap: None,
            logit_softcap: None,
            positions: Positions::Learned { length: config.size_of_either("n_positions", "max_position_embeddings")? },
            norm: NormKind::Layer,
            norm_eps: config.number_or("layer_norm_epsilon", 1e-5)?,
            block: BlockKind::PreNorm,
            embedding_scale: 1.0,
            embedding_norm: false,
            qkv: QkvLayout::FusedByPart,
            qk_norm: QkNorm::None,
            biases: Biases { qkv: true, output: true, mlp: true },
            activation: config.activation("gpt2", "activation_function", "gelu_new")?,
            gated: false,
            fused_gate: false,
            transposed: true,
            tied: config.flag_or("tie_word_embeddings", true)?,
            initializer_range: config.number_or("initializer_range", 0.02)?,
        })
    }

    fn names(&self) -> NameMap {
        NameMap {
            prefix: "transformer.",
            embedding: "transformer.wte",
            positions: "transformer.wpe",
            block: "transformer.h.{}",
            attention_norm: "ln_1",
            q: "attn.c_attn",
            output: "attn.c_proj",
            mlp_norm: "ln_2",
            up: "mlp.c_fc",
            down: "mlp.c_proj",
            final_norm: "transformer.ln_f",
            ..NameMap::NONE
        }
    }
}
