//! LoRA adapters in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod modules;

use std::path::Path;

use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::layers::linear::Linear;
use crate::layers::lora::{Dora, Lora};
use crate::model::{Model, Purpose};
use crate::params::Params;
use crate::weights::{Init, Precision, RandomInit, Stored, TensorSource, Weights, write_atomically, write_file};

pub use config::{CONFIG, LoraConfig, StoredConfig, read_config};
pub use modules::{ALL_LINEAR, Matcher, Modules};

/// What PEFT puts before every name.
const PREFIX: &str = "base_model.model.";

/// Puts fresh adapters (A random, B zero, magnitudes those of the weight) on the chosen layers, freezes everything else but a
/// classifier's head.
///
/// # Errors
/// A configuration that means nothing, or that names layers which the model does not have.
pub fn attach(model: &mut Model, config: &LoraConfig, seed: u64) -> Result<()> {
    let (mut source, path) = (FreshPair { init: RandomInit { seed } }, Path::new("(new)"));
    let excluded = attach_from(model, config, &mut source, path)?;
    if let Some(idle) = excluded.as_ref().and_then(Matcher::idle) {
        let reason = format!("`exclude_modules` takes `{idle}` out, which was not in");
        return Err(Error::Adapter { path: path.to_path_buf(), reason });
    }
    let params = &mut model.params;
    for linear in model.decoder.linears_mut() {
        if let Some(dora) = linear.lora.as_ref().and_then(|lora| lora.dora.as_deref()) {
            let lengths = linear.row_lengths(params);
            params[dora.magnitude].value = lengths;
        }
    }
    Ok(())
}

/// A uniform in ±√(1/in) as PEFT's Kaiming initialisation of A gives in variance; B zero.
struct FreshPair {
    init: RandomInit,
}

impl TensorSource for FreshPair {
    fn tensor(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        let init = if name.ends_with("lora_A.weight") {
            Init::Normal((1.0 / (3.0 * shape[1] as f32)).sqrt())
        } else {
            Init::Zeros
        };
        self.init.tensor(name, shape, init)
    }
}

/// Returns what was excluded.
fn attach_from(
    model: &mut Model,
    config: &LoraConfig,
    source: &mut dyn TensorSource,
    path: &Path,
) -> Result<Option<Matcher>> {
    let bad = |reason: String| Error::Adapter { path: path.to_path_buf(), reason };
    config.check().map_err(bad)?;
    let (mut targets, mut excluded) = config.matchers().map_err(bad)?;
    model.params.iter_mut().for_each(|(_, p)| p.trainable = false);
    let (params, mut adapted) = (&mut model.params, 0);
    for linear in model.decoder.linears_mut() {
        let name = params[linear.weight].name.trim_end_matches(".weight").to_owned();
        if targets.hits(&name) && !excluded.as_mut().is_some_and(|excluded| excluded.hits(&name)) {
            linear.lora = Some(pair(params, linear, &name, config, source)?);
            adapted += 1;
        }
    }
    if let Some(idle) = targets.idle() {
        return Err(bad(format!("no linear layer is called `{idle}`")));
    }
    if adapted == 0 {
        return Err(bad("`exclude_modules` leaves no layer to adapt".into()));
    }
    if model.head.kind == HeadKind::Classifier {
        let score = model.head.linear.weight;
        model.params[score].trainable = true;
    }
    Ok(excluded)
}

fn pair(
    params: &mut Params,
    linear: &Linear,
    name: &str,
    config: &LoraConfig,
    source: &mut dyn TensorSource,
) -> Result<Lora> {
    let mut add = |suffix: &str, shape: &[usize]| -> Result<_> {
        let name = format!("{name}.{suffix}");
        let value = source.tensor(&name, shape, Init::Zeros)?;
        let id = params.add(name, shape.to_vec(), value);
        params[id].trainable = true;
        Ok(id)
    };
    let a = add("lora_A.weight", &[config.r, linear.inputs])?;
    let b = add("lora_B.weight", &[linear.outputs, config.r])?;
    let dora = match config.use_dora {
        true => Some(Box::new(Dora::new(add("lora_magnitude_vector", &[linear.outputs])?))),
        false => None,
    };
    Ok(Lora { a, b, rank: config.r, scale: config.scale(), dropout: config.lora_dropout, dora })
}

/// Adapter tensors under PEFT's names.
struct PeftNames {
    weights: Weights,
}

impl TensorSource for PeftNames {
    fn tensor(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        self.weights.values(&format!("{PREFIX}{name}"), shape)
    }
}

/// Puts a stored adapter on its base model.
///
/// # Errors
/// The configuration is refused, or its tensors are not exactly those that it says.
pub fn load(model: &mut Model, folder: &Path) -> Result<LoraConfig> {
    let StoredConfig { lora, .. } = read_config(folder)?;
    let file = folder.join("adapter_model.safetensors");
    let mut source = PeftNames { weights: Weights::open_file(&file)? };
    attach_from(model, &lora, &mut source, folder)?;
    let score = model.head.linear.weight;
    let stored = format!("{PREFIX}{}", model.params[score].name);
    if model.head.kind == HeadKind::Classifier && source.weights.contains(&stored) {
        let values = source.weights.values(&stored, &model.params[score].shape)?;
        model.params[score].set(values);
    }
    let known =
        |name: &str| model.params.iter().any(|(_, p)| p.trainable && name.strip_prefix(PREFIX) == Some(&p.name));
    if let Some(name) = source.weights.names().find(|name| !known(name)) {
        return Err(Error::Adapter { path: file, reason: format!("the tensor `{name}` has no place in this model") });
    }
    if model.purpose == Purpose::Inference {
        let params = &model.params;
        model.decoder.linears_mut().for_each(|linear| linear.settle(params));
    }
    Ok(lora)
}

/// Writes the trainable tensors as a PEFT adapter. `base` is what PEFT records as the base model's name or path.
pub fn save(model: &Model, config: &LoraConfig, base: &str, folder: &Path) -> Result<()> {
    save_as(model, config, base, (folder, Precision::F32))
}

/// The same, stored as `precision` says.
pub fn save_as(model: &Model, config: &LoraConfig, base: &str, (folder, precision): (&Path, Precision)) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let trainable: Vec<_> = model.params.iter().filter(|(_, p)| p.trainable).map(|(_, p)| p).collect();
    let names: Vec<String> = trainable.iter().map(|p| format!("{PREFIX}{}", p.name)).collect();
    let tensors: Vec<Stored<'_>> =
        trainable.iter().zip(&names).map(|(p, name)| Stored { name, shape: &p.shape, values: &p.value }).collect();
    write_file(&folder.join("adapter_model.safetensors"), &tensors, precision)?;
    let json = config.to_json(model, base);
    write_atomically(&folder.join(CONFIG), format!("{json:#}\n").as_bytes())
}

/// Puts every adapter into its weight, so that the model stands alone.
pub fn merge(model: &mut Model) {
    let params = &mut model.params;
    model.decoder.linears_mut().for_each(|linear| linear.merge(params));
}
