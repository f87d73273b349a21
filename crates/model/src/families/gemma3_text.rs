//! Gemma 3, text only (Gemma Team 2025): Gemma 2 without capped scores, with norms of queries and keys, and a rotary base of
//! its own for the layers that slide.

use super::Family;
use super::config::Config;
use super::gemma2::{GEMMA_NAMES, gemma};
use super::rope::Rope;
use super::windows::windows;
use crate::error::{Error, Result};
use crate::spec::{DecoderSpec, NameMap, Positions, QkNorm};

/// `model_type = "gemma3_text"`.
pub struct Gemma3Text;

const FAMILY: &str = "gemma3_text";

impl Gemma3Text {
    /// The global turning first, then the local one; Transformers 5 nests them by the kind of layer.
    fn positions(config: &Config, head_dim: usize, windows: &[Option<usize>]) -> Result<Positions> {
        let global = Rope::whole(FAMILY, 1_000_000.0, 131_072);
        let local = Rope { theta: 10_000.0, theta_key: "rope_local_base_freq", ..global };
        let nested = config.inside("rope_parameters")?;
        let of = |kind: &str| nested.as_ref().map_or(Ok(None), |table| table.inside(kind));
        let mut full = of("full_attention")?;
        if full.is_none() {
            full = config.inside("rope_scaling")?;
        }
        let empty = Config::new(serde_json::json!({}));
        let sliding = of("sliding_attention")?.unwrap_or(empty);
        let turns =
            vec![global.rotary(config, full.as_ref(), head_dim)?, local.rotary(config, Some(&sliding), head_dim)?];
        let of_layer = windows.iter().map(|window| Some(usize::from(window.is_some()))).collect();
        Ok(Positions::Rotary { turns, of_layer, length: global.length(config)? })
    }
}

impl Family for Gemma3Text {
    fn model_type(&self) -> &'static str {
        FAMILY
    }

    fn class_prefix(&self) -> &'static str {
        "Gemma3"
    }

    fn classifier_class(&self) -> String {
        "Gemma3TextForSequenceClassification".into()
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        // Transformers 5.23 reads this key and does not apply it.
        if let Some(cap) = config.get("attn_logit_softcapping") {
            return Err(Error::Unsupported { family: FAMILY, feature: format!("attn_logit_softcapping = {cap}") });
        }
        // The two kinds of layer turn differently; the positions come below.
        let spec = gemma(config, Rope::whole(FAMILY, 1_000_000.0, 131_072))?;
        let pattern = match config.optional_size("sliding_window_pattern")? {
            Some(pattern) => pattern,
            None => config.optional_size("_sliding_window_pattern")?.unwrap_or(6),
        };
        let window = config.size_unless_null("sliding_window", 4096)?;
        let windows = windows(FAMILY, config, (spec.layers(), window), |i| !(i + 1).is_multiple_of(pattern))?;
        Ok(DecoderSpec {
            positions: Self::positions(config, spec.head_dim, &windows)?,
            windows,
            logit_softcap: config.optional_positive("final_logit_softcapping")?,
            qk_norm: QkNorm::PerHead,
            ..spec
        })
    }

    fn names(&self) -> NameMap {
        GEMMA_NAMES
    }
}
