//! Phi-3 and Phi-4 mini (Abdin et al. 2024): Llama's computation with fused projections; a part of each head may be turned.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::Rope;
use crate::error::Result;
use crate::spec::{DecoderSpec, NameMap, QkvLayout};

/// `model_type = "phi3"`.
pub struct Phi3;

impl Family for Phi3 {
    fn model_type(&self) -> &'static str {
        "phi3"
    }

    fn class_prefix(&self) -> &'static str {
        "Phi3"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        let rope = Rope { partial: Some(("partial_rotary_factor", 1.0)), ..Rope::whole("phi3", 10_000.0, 4096) };
        let spec = common(config, rope, None)?;
        let window = config.optional_size("sliding_window")?;
        Ok(DecoderSpec {
            windows: vec![window; spec.layers()],
            norm_eps: config.number_or("rms_norm_eps", 1e-5)?,
            qkv: QkvLayout::FusedByPart,
            fused_gate: true,
            ..spec
        })
    }

    fn names(&self) -> NameMap {
        NameMap { q: "self_attn.qkv_proj", up: "mlp.gate_up_proj", ..NAMES }
    }
}
