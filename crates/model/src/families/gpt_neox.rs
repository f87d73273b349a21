//! GPT-NeoX (Black et al. 2022) and Pythia: rotary over a part of each head, both halves of a block side by side.

use super::Family;
use super::config::Config;
use super::rope::Rope;
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind, QkNorm, QkvLayout};

/// `model_type = "gpt_neox"`.
pub struct GptNeoX;

impl Family for GptNeoX {
    fn model_type(&self) -> &'static str {
        "gpt_neox"
    }

    fn class_prefix(&self) -> &'static str {
        "GPTNeoX"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
        let head_dim = config.require_multiple(("hidden_size", hidden), ("num_attention_heads", heads))?;
        let layers = config.size("num_hidden_layers")?;
        let rope = Rope {
            theta_key: "rotary_emb_base",
            partial: Some(("rotary_pct", 0.25)),
            ..Rope::whole("gpt_neox", 10_000.0, 2048)
        };
        let parallel = config.flag_or("use_parallel_residual", true)?;
        let bias = config.flag_or("attention_bias", true)?;
        Ok(DecoderSpec {
            vocab: config.size("vocab_size")?,
            hidden,
            inner: config.size("intermediate_size")?,
            heads,
            kv_heads: heads,
            head_dim,
            windows: vec![None; layers],
            score_scale: 1.0 / (head_dim as f32).sqrt(),
            score_softcap: None,
            logit_softcap: None,
            positions: rope.positions(config, head_dim, layers)?,
            norm: NormKind::Layer,
            norm_eps: config.number_or("layer_norm_eps", 1e-5)?,
            block: if parallel { BlockKind::Parallel } else { BlockKind::PreNorm },
            embedding_scale: 1.0,
            embedding_norm: false,
            qkv: QkvLayout::FusedByHead,
            qk_norm: QkNorm::None,
            biases: Biases { qkv: bias, output: bias, mlp: true },
            activation: config.activation("gpt_neox", "hidden_act", "gelu")?,
            gated: false,
            fused_gate: false,
            transposed: false,
            tied: config.flag_or("tie_word_embeddings", false)?,
            initializer_range: config.number_or("initializer_range", 0.02)?,
        })
    }

    fn names(&self) -> NameMap {
        NameMap {
            prefix: "gpt_neox.",
            embedding: "gpt_neox.embed_in",
            block: "gpt_neox.layers.{}",
            attention_norm: "input_layernorm",
            q: "attention.query_key_value",
            output: "attention.dense",
            mlp_norm: "post_attention_layernorm",
            up: "mlp.dense_h_to_4h",
            down: "mlp.dense_4h_to_h",
            final_norm: "gpt_neox.final_layer_norm",
            head: "embed_out",
            ..NameMap::NONE
        }
    }
}
