//! Llama (Touvron et al. 2023) and what shares its layout: TinyLlama, SmolLM2.

use super::Family;
use super::config::Config;
use crate::error::{Error, Result};
use crate::ops::activation::Activation;
use crate::spec::{Biases, DecoderSpec, NameMap, NormKind, Positions};

/// `model_type = "llama"`.
pub struct Llama;

/// Longer documents are refused whatever a configuration promises: its table of angles is made before the first token.
const MAX_POSITIONS: usize = 1 << 17;

impl Llama {
    fn refuse(feature: String) -> Error {
        Error::Unsupported { family: "llama", feature }
    }

    /// The rotary base; Transformers 5 moved it into `rope_parameters`, and scaling variants are refused.
    fn theta(config: &Config) -> Result<f32> {
        for key in ["rope_scaling", "rope_parameters"] {
            let kind = config.get(key).and_then(|v| v.get("rope_type").or_else(|| v.get("type")));
            if let Some(kind) = kind.filter(|k| k.as_str() != Some("default")) {
                return Err(Self::refuse(format!("{key} of type {kind}")));
            }
        }
        match config.get("rope_parameters").and_then(|v| v.get("rope_theta")) {
            Some(theta) => match theta.as_f64() {
                Some(theta) if theta > 1.0 => Ok(theta as f32),
                _ => {
                    Err(config.invalid(format!("`rope_parameters.rope_theta` should be a number above 1, not {theta}")))
                }
            },
            None => config.number_or("rope_theta", 10_000.0),
        }
    }
}

impl Family for Llama {
    fn model_type(&self) -> &'static str {
        "llama"
    }

    fn class_prefix(&self) -> &'static str {
        "Llama"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let activation = config.text_or("hidden_act", "silu")?;
        if activation != "silu" {
            return Err(Self::refuse(format!("hidden_act = {activation}")));
        }
        let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
        let kv_heads = config.optional_size("num_key_value_heads")?.unwrap_or(heads);
        config.require_multiple(("num_attention_heads", heads), ("num_key_value_heads", kv_heads))?;
        let head_dim = match config.optional_size("head_dim")? {
            Some(d) => d,
            None => config.require_multiple(("hidden_size", hidden), ("num_attention_heads", heads))?,
        };
        config.require_multiple(("head_dim", head_dim), ("2", 2))?;
        let attention_bias = config.flag_or("attention_bias", false)?;
        let length = config.optional_size("max_position_embeddings")?.unwrap_or(2048).min(MAX_POSITIONS);
        Ok(DecoderSpec {
            vocab: config.size("vocab_size")?,
            hidden,
            inner: config.size("intermediate_size")?,
            heads,
            kv_heads,
            head_dim,
            windows: vec![None; config.size("num_hidden_layers")?],
            score_scale: 1.0 / (head_dim as f32).sqrt(),
            positions: Positions::Rotary { theta: Self::theta(config)?, length },
            norm: NormKind::Rms,
            norm_eps: config.number_or("rms_norm_eps", 1e-6)?,
            embedding_norm: false,
            fused_qkv: false,
            biases: Biases { qkv: attention_bias, output: attention_bias, mlp: config.flag_or("mlp_bias", false)? },
            activation: Activation::Silu,
            gated: true,
            tied: config.flag_or("tie_word_embeddings", false)?,
            initializer_range: config.number_or("initializer_range", 0.02)?,
        })
    }

    fn names(&self) -> NameMap {
        NameMap {
            prefix: "model.",
            embedding: "model.embed_tokens",
            positions: "",
            embedding_norm: "",
            block: "model.layers.{}",
            attention_norm: "input_layernorm",
            q: "self_attn.q_proj",
            k: "self_attn.k_proj",
            v: "self_attn.v_proj",
            output: "self_attn.o_proj",
            mlp_norm: "post_attention_layernorm",
            gate: "mlp.gate_proj",
            up: "mlp.up_proj",
            down: "mlp.down_proj",
            final_norm: "model.norm",
        }
    }
}
