//! The rotary settings of `config.json`: Transformers 5 gathers them in `rope_parameters`; before, they were `rope_theta`,
//! `partial_rotary_factor` and `rope_scaling`.

use serde_json::Value;

use super::config::Config;
use crate::error::{Error, Result};
use crate::ops::rotary::{Rotary, Scaling, Yarn};
use crate::spec::Positions;

/// Longer documents are refused whatever a configuration promises: the table of angles is made before the first token.
pub const MAX_POSITIONS: usize = 1 << 17;

/// What a family says about its rotary positions, and what it means by keys that are absent.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// The family, for refusals.
    pub family: &'static str,
    /// The base.
    pub theta: f32,
    /// Where the base stood before Transformers 5.
    pub theta_key: &'static str,
    /// The part of a head that is turned, and where it stood before; none for families that turn the whole head.
    pub partial: Option<(&'static str, f32)>,
    /// Positions when the configuration does not say.
    pub length: usize,
}

impl Rope {
    /// A base of `theta` over the whole head.
    pub fn whole(family: &'static str, theta: f32, length: usize) -> Self {
        Self { family, theta, theta_key: "rope_theta", partial: None, length }
    }

    fn refuse(&self, feature: String) -> Error {
        Error::Unsupported { family: self.family, feature }
    }

    /// The longest sequence.
    pub fn length(&self, config: &Config) -> Result<usize> {
        Ok(config.optional_size("max_position_embeddings")?.unwrap_or(self.length).min(MAX_POSITIONS))
    }

    /// One way of turning for all `layers`.
    pub fn positions(&self, config: &Config, head_dim: usize, layers: usize) -> Result<Positions> {
        let table = match config.inside("rope_scaling")? {
            Some(table) => Some(table),
            None => config.inside("rope_parameters")?,
        };
        let turn = self.rotary(config, table.as_ref(), head_dim)?;
        let mut length = self.length(config)?;
        if matches!(turn.scaling, Scaling::PerFrequency { .. }) {
            // Beyond it other factors hold for the whole text, which a cache of turned keys cannot take back.
            length = length.min(original(config, table.as_ref().unwrap_or(config))? as usize);
        }
        Ok(Positions::rotary(turn, layers, length))
    }

    /// The turning that `table`, or the configuration itself, describes.
    pub fn rotary(&self, config: &Config, table: Option<&Config>, head_dim: usize) -> Result<Rotary> {
        let table = table.unwrap_or(config);
        let theta = match table.optional_positive("rope_theta")? {
            Some(theta) => theta,
            None => config.optional_positive(self.theta_key)?.unwrap_or(self.theta),
        };
        if theta <= 1.0 {
            return Err(config.invalid(format!("`rope_theta` should be a number above 1, not {theta}")));
        }
        let dims = self.dims(config, table, head_dim)?;
        let scaling = self.scaling(config, table, dims)?;
        Ok(Rotary { theta, dims, scaling })
    }

    fn dims(&self, config: &Config, table: &Config, head_dim: usize) -> Result<usize> {
        let (key, default) = self.partial.unwrap_or(("partial_rotary_factor", 1.0));
        let part = match table.optional_positive("partial_rotary_factor")? {
            Some(part) => part,
            None => config.optional_positive(key)?.unwrap_or(default),
        };
        if self.partial.is_none() && part != 1.0 {
            return Err(self.refuse(format!("partial_rotary_factor = {part}")));
        }
        let dims = (head_dim as f64 * f64::from(part)) as usize;
        if dims == 0 || dims > head_dim || !dims.is_multiple_of(2) {
            let reason =
                format!("{dims} of {head_dim} elements of a head would be turned; it should be an even number");
            return Err(config.invalid(reason));
        }
        Ok(dims)
    }

    fn scaling(&self, config: &Config, table: &Config, dims: usize) -> Result<Scaling> {
        let kind = match table.text_or("rope_type", "")?.as_str() {
            "" => table.text_or("type", "default")?,
            kind => kind.to_owned(),
        };
        match (self.family, kind.as_str()) {
            (_, "default") => Ok(Scaling::Default),
            ("phi3", "longrope" | "su" | "yarn") => Self::longrope(config, table, dims),
            ("phi3", other) => Err(self.refuse(format!("rope_type = {other}"))),
            // It changes the base only past `max_position_embeddings`, and so far no document goes.
            (_, "dynamic") => Ok(Scaling::Default),
            (_, "linear") => Ok(Scaling::Linear { factor: table.positive("factor")? }),
            (_, "llama3") => Self::llama3(config, table),
            (_, "yarn") => yarn(config, table),
            (_, other) => Err(self.refuse(format!("rope_type = {other}"))),
        }
    }

    fn llama3(config: &Config, table: &Config) -> Result<Scaling> {
        let (low, high) = (table.positive("low_freq_factor")?, table.positive("high_freq_factor")?);
        if high <= low {
            return Err(
                config.invalid(format!("`high_freq_factor` ({high}) should be above `low_freq_factor` ({low})"))
            );
        }
        Ok(Scaling::Llama3 { factor: table.positive("factor")?, low, high, original: original(config, table)? })
    }

    fn longrope(config: &Config, table: &Config, dims: usize) -> Result<Scaling> {
        let number = |value: &Value| value.as_f64().filter(|f| f.is_finite() && *f > 0.0).map(|f| f as f32);
        let factors = table.per_layer("short_factor", dims / 2, number);
        let wrong = || config.invalid(format!("`short_factor` should be a list of {} numbers", dims / 2));
        let factors = factors.ok().flatten().ok_or_else(wrong)?;
        let original = f64::from(original(config, table)?);
        let factor = match table.optional_positive("factor")? {
            Some(factor) => f64::from(factor),
            None => config.size("max_position_embeddings")? as f64 / original,
        };
        let usual = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        let magnitude = table.optional_positive("attention_factor")?.unwrap_or(usual as f32);
        Ok(Scaling::PerFrequency { factors, magnitude })
    }
}

/// The length before stretching.
fn original(config: &Config, table: &Config) -> Result<f32> {
    let key = "original_max_position_embeddings";
    let found = match config.optional_size(key)? {
        Some(length) => length,
        None => table.optional_size(key)?.map_or_else(|| config.size("max_position_embeddings"), Ok)?,
    };
    Ok(found as f32)
}

fn yarn(config: &Config, table: &Config) -> Result<Scaling> {
    let original = f64::from(original(config, table)?);
    let factor = match table.optional_positive("factor")? {
        Some(factor) => f64::from(factor),
        None => config.size("max_position_embeddings")? as f64 / original,
    };
    let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let scale = |key| -> Result<f64> { Ok(f64::from(table.number_or(key, 0.0)?)) };
    let usual = match (scale("mscale")?, scale("mscale_all_dim")?) {
        (own, all) if own > 0.0 && all > 0.0 => magnitude(own) / magnitude(all),
        _ => magnitude(1.0),
    };
    let or = |key, default: f64| -> Result<f64> { Ok(table.optional_positive(key)?.map_or(default, f64::from)) };
    Ok(Scaling::Yarn(Yarn {
        factor: factor as f32,
        beta_fast: or("beta_fast", 32.0)?,
        beta_slow: or("beta_slow", 1.0)?,
        original,
        truncate: table.flag_or("truncate", true)?,
        magnitude: table.optional_positive("attention_factor")?.unwrap_or(usual as f32),
    }))
}
