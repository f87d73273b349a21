//! Mistral (Jiang et al. 2023): Llama's layout with a sliding window in every layer.

use super::Family;
use super::config::Config;
use super::llama::{NAMES, common};
use super::rope::{MAX_POSITIONS, Rope};
use crate::error::{Error, Result};
use crate::spec::{DecoderSpec, NameMap};

/// `model_type = "mistral"`.
pub struct Mistral;

impl Family for Mistral {
    fn model_type(&self) -> &'static str {
        "mistral"
    }

    fn class_prefix(&self) -> &'static str {
        "Mistral"
    }

    fn spec(&self, config: &Config) -> Result<DecoderSpec> {
        if config.get("layer_types").is_some() {
            return Err(Error::Unsupported { family: "mistral", feature: "layer_types".into() });
        }
        let spec = common(config, Rope::whole("mistral", 10_000.0, MAX_POSITIONS), None)?;
        let window = config.size_unless_null("sliding_window", 4096)?;
        Ok(DecoderSpec { windows: vec![window; spec.layers()], ..spec })
    }

    fn names(&self) -> NameMap {
        NAMES
    }
}
