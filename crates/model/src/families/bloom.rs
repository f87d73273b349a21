//! BLOOM (BigScience 2022): ALiBi positions, one fused projection, a norm after the embedding.

use super::Family;
use super::config::Config;
use crate::error::{Error, Result};
use crate::ops::activation::Activation;
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind, Positions, QkNorm, QkvLayout};

/// `model_type = "bloom"`.
pub struct Bloom;

impl Family for Bloom {
    fn model_type(&self) -> &'static str {
        "bloom"
    }

    fn class_prefix(&self) -> &'static str {
        "Bloom"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        if config.flag_or("apply_residual_connection_post_layernorm", false)? {
            let feature = "apply_residual_connection_post_layernorm = true".to_owned();
            return Err(Error::Unsupported { family: "bloom", feature });
        }
        let hidden = config.size_of_either("hidden_size", "n_embed")?;
        let heads = config.size_of_either("n_head", "num_attention_heads")?;
        let head_dim = config.require_multiple(("hidden_size", hidden), ("n_head", heads))?;
        Ok(DecoderSpec {
            vocab: config.size("vocab_size")?,
            hidden,
            inner: 4 * hidden,
            heads,
            kv_heads: heads,
            head_dim,
            windows: vec![None; config.size_of_either("n_layer", "num_hidden_layers")?],
            score_scale: 1.0 / (head_dim as f32).sqrt(),
            score_softcap: None,
            logit_softcap: None,
            positions: Positions::Alibi,
            norm: NormKind::Layer,
            norm_eps: config.number_or("layer_norm_epsilon", 1e-5)?,
            block: BlockKind::PreNorm,
            embedding_scale: 1.0,
            embedding_norm: true,
            qkv: QkvLayout::FusedByHead,
            qk_norm: QkNorm::None,
            biases: Biases { qkv: true, output: true, mlp: true },
            activation: Activation::GeluTanh,
            gated: false,
            fused_gate: false,
            transposed: false,
            tied: config.flag_or("tie_word_embeddings", true)?,
            initializer_range: config.number_or("initializer_range", 0.02)?,
        })
    }

    fn names(&self) -> NameMap {
        NameMap {
            prefix: "transformer.",
            embedding: "transformer.word_embeddings",
            embedding_norm: "transformer.word_embeddings_layernorm",
            block: "transformer.h.{}",
            attention_norm: "input_layernorm",
            q: "self_attention.query_key_value",
            output: "self_attention.dense",
            mlp_norm: "post_attention_layernorm",
            up: "mlp.dense_h_to_4h",
            down: "mlp.dense_4h_to_h",
            final_norm: "transformer.ln_f",
            ..NameMap::NONE
        }
    }
}
