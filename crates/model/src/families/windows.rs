//! Which layers see a window only: `layer_types` and what families mean without it.

use super::config::Config;
use crate::error::{Error, Result};

/// One entry a layer; `sliding` says which layers have the window where `layer_types` does not.
///
/// # Errors
/// A layer is of a kind that is not computed, or slides without a window.
pub fn windows(
    family: &'static str,
    config: &Config,
    (layers, window): (usize, Option<usize>),
    sliding: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let kinds = config.per_layer("layer_types", layers, |kind| kind.as_str().map(str::to_owned))?;
    let slides: Vec<bool> = match kinds {
        None => (0..layers).map(sliding).collect(),
        Some(kinds) => kinds.iter().map(|kind| slides(family, kind)).collect::<Result<_>>()?,
    };
    if window.is_none() && slides.contains(&true) {
        return Err(config.invalid("some layers have sliding attention, but there is no `sliding_window` in use"));
    }
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}

/// The windows of Qwen: `use_sliding_window` turns them on from layer `max_window_layers` upwards.
///
/// # Errors
/// As of [`windows`].
pub fn upper_windows(family: &'static str, config: &Config, layers: usize) -> Result<Vec<Option<usize>>> {
    let used = config.flag_or("use_sliding_window", false)?;
    let window = config.size_unless_null("sliding_window", 4096)?.filter(|_| used);
    let first = config.count_or("max_window_layers", 28)?;
    windows(family, config, (layers, window), |i| window.is_some() && i >= first)
}

fn slides(family: &'static str, kind: &str) -> Result<bool> {
    match kind {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => Err(Error::Unsupported { family, feature: format!("{other} in layer_types") }),
    }
}
