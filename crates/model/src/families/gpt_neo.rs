//! GPT-Neo (Black et al. 2021): learned positions, unscaled scores, alternating local attention.

use super::Family;
use super::config::Config;
use crate::error::{Error, Result};
use crate::spec::{Biases, BlockKind, DecoderSpec, NameMap, NormKind, Positions, QkNorm, QkvLayout};

/// `model_type = "gpt_neo"`.
pub struct GptNeo;

impl GptNeo {
    /// One entry a layer, "global" or "local": `attention_layers`, or `attention_types` written out.
    fn kinds(config: &Config, layers: usize) -> Result<Vec<String>> {
        let wrong =
            || config.invalid("`attention_types` should be a list of [[kinds], repeats] that gives one kind a layer");
        let texts = |v: &serde_json::Value| -> Option<Vec<String>> {
            v.as_array()?.iter().map(|k| k.as_str().map(str::to_owned)).collect()
        };
        if let Some(list) = config.get("attention_layers") {
            return texts(list).filter(|k| k.len() == layers).ok_or_else(wrong);
        }
        let Some(types) = config.get("attention_types") else {
            return Ok((0..layers).map(|i| if i % 2 == 0 { "global" } else { "local" }.to_owned()).collect());
        };
        let mut kinds = Vec::new();
        for entry in types.as_array().ok_or_else(wrong)? {
            let pattern = entry.get(0).and_then(texts).ok_or_else(wrong)?;
            let repeats =
                entry.get(1).and_then(serde_json::Value::as_u64).filter(|r| *r <= layers as u64).ok_or_else(wrong)?;
            (0..repeats).for_each(|_| kinds.extend(pattern.iter().cloned()));
        }
        if kinds.len() == layers { Ok(kinds) } else { Err(wrong()) }
    }
}

impl Family for GptNeo {
    fn model_type(&self) -> &'static str {
        "gpt_neo"
    }

    fn class_prefix(&self) -> &'static str {
        "GPTNeo"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let (hidden, heads) = (config.size("hidden_size")?, config.size("num_heads")?);
        let head_dim = config.require_multiple(("hidden_size", hidden), ("num_heads", heads))?;
        let window = config.optional_size("window_size")?.unwrap_or(256);
        let layer = |kind: &String| match kind.as_str() {
            "global" => Ok(None),
            "local" => Ok(Some(window)),
            other => Err(Error::Unsupported { family: "gpt_neo", feature: format!("attention of type {other}") }),
        };
        let layers = config.size("num_layers")?;
        Ok(DecoderSpec {
            vocab: config.size("vocab_size")?,
            hidden,
            inner: config.optional_size("intermediate_size")?.unwrap_or(4 * hidden),
            heads,
            kv_heads: heads,
            head_dim,
            windows: Self::kinds(config, layers)?.iter().map(layer).collect::<Result<_>>()?,
            score_scale: 1.0,
            score_softcap: None,
            logit_softcap: None,
            positions: Positions::Learned { length: config.size("max_position_embeddings")? },
            norm: NormKind::Layer,
            norm_eps: config.number_or("layer_norm_epsilon", 1e-5)?,
            block: BlockKind::PreNorm,
            embedding_scale: 1.0,
            embedding_norm: false,
            qkv: QkvLayout::Separate,
            qk_norm: QkNorm::None,
            biases: Biases { qkv: false, output: true, mlp: true },
            activation: config.activation("gpt_neo", "activation_function", "gelu_new")?,
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
            embedding: "transformer.wte",
            positions: "transformer.wpe",
            block: "transformer.h.{}",
            attention_norm: "ln_1",
            q: "attn.attention.q_proj",
            k: "attn.attention.k_proj",
            v: "attn.attention.v_proj",
            output: "attn.attention.out_proj",
            mlp_norm: "ln_2",
            up: "mlp.c_fc",
            down: "mlp.c_proj",
            final_norm: "transformer.ln_f",
            ..NameMap::NONE
        }
    }
}
