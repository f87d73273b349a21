//! LoRA adapters in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::layers::linear::{Linear, Lora};
use crate::model::Model;
use crate::params::Params;
use crate::weights::{Init, Precision, RandomInit, Stored, TensorSource, Weights, write_atomically, write_file};

/// What PEFT puts before every name.
const PREFIX: &str = "base_model.model.";

/// The part of PEFT's configuration that matters here; anything that would change the arithmetic is refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// Scale: the pair's product is multiplied by `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Last parts of the names of the layers that get a pair.
    pub target_modules: Vec<String>,
}

/// Puts fresh pairs (A random, B zero) on the chosen layers, freezes everything else but a classifier's head.
pub fn attach(model: &mut Model, config: &LoraConfig, seed: u64) -> Result<()> {
    let mut source = FreshPair { init: RandomInit { seed } };
    attach_from(model, config, &mut source, Path::new("(new)"))
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

fn attach_from(model: &mut Model, config: &LoraConfig, source: &mut dyn TensorSource, path: &Path) -> Result<()> {
    let bad = |reason: String| Error::Adapter { path: path.to_path_buf(), reason };
    if config.r == 0 || config.r > 4096 {
        return Err(bad(format!("rank {} is not between 1 and 4096", config.r)));
    }
    model.params.iter_mut().for_each(|(_, p)| p.trainable = false);
    let mut used = vec![false; config.target_modules.len()];
    let params = &mut model.params;
    for linear in model.decoder.linears_mut() {
        let name = params[linear.weight].name.trim_end_matches(".weight").to_owned();
        let hit = config
            .target_modules
            .iter()
            .position(|t| name.rsplit('.').next() == Some(t) || name == *t || name.ends_with(&format!(".{t}")));
        if let Some(i) = hit {
            used[i] = true;
            linear.lora = Some(pair(params, linear, &name, config, source)?);
        }
    }
    if let Some(i) = used.iter().position(|u| !u) {
        return Err(bad(format!("no linear layer is called `{}`", config.target_modules[i])));
    }
    if model.head.kind == HeadKind::Classifier {
        let score = model.head.linear.weight;
        model.params[score].trainable = true;
    }
    Ok(())
}

fn pair(
    params: &mut Params,
    linear: &Linear,
    name: &str,
    config: &LoraConfig,
    source: &mut dyn TensorSource,
) -> Result<Lora> {
    let mut add = |suffix: &str, shape: [usize; 2]| -> Result<_> {
        let name = format!("{name}.{suffix}.weight");
        let value = source.tensor(&name, &shape, Init::Zeros)?;
        let id = params.add(name, shape.to_vec(), value);
        params[id].trainable = true;
        Ok(id)
    };
    let a = add("lora_A", [config.r, linear.inputs])?;
    let b = add("lora_B", [linear.outputs, config.r])?;
    Ok(Lora { a, b, rank: config.r, scale: config.lora_alpha / config.r as f32 })
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

/// An adapter's configuration file.
pub const CONFIG: &str = "adapter_config.json";
/// No such file is larger.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// Keys that change the arithmetic, or that say which tensors are trained; set, they are refused.
/// `fan_in_fan_out` is not among them: PEFT sets it by the kind of each layer, whatever the file says, and so do we.
const VARIANTS: [&str; 11] = [
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "use_qalora",
    "lora_bias",
    "target_parameters",
    "alora_invocation_tokens",
    "trainable_token_indices",
];
/// Initialisations after which the base is not the one that its folder holds.
const CHANGES_BASE: [&str; 4] = ["pissa", "olora", "corda", "loftq"];

/// A stored adapter's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConfig {
    /// What is computed.
    pub lora: LoraConfig,
    /// Where the base lies, as the file says.
    pub base: Option<PathBuf>,
    /// Whether it is a classifier's.
    pub classifier: bool,
}

/// Reads an adapter's configuration, refusing variants that are computed differently.
///
/// # Errors
/// The file is missing, too large, not a LoRA configuration, or asks for what is not supported.
pub fn read_config(folder: &Path) -> Result<StoredConfig> {
    let path = folder.join(CONFIG);
    let bad = |reason: String| Error::Adapter { path: path.clone(), reason };
    let bytes = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
    if bytes > MAX_CONFIG_BYTES {
        return Err(bad(format!("it has {bytes} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let text_of = |key: &str| json.get(key).and_then(Value::as_str);
    if text_of("peft_type") != Some("LORA") {
        return Err(bad("`peft_type` is not `LORA`".into()));
    }
    if let Some(key) = VARIANTS.iter().find(|key| json.get(**key).is_some_and(is_set)) {
        return Err(bad(format!("`{key}` is not supported")));
    }
    if text_of("bias").is_some_and(|bias| bias != "none") {
        return Err(bad("trained biases are not supported".into()));
    }
    if let Some(init) = text_of("init_lora_weights").filter(|init| CHANGES_BASE.iter().any(|c| init.starts_with(c))) {
        return Err(bad(format!("`init_lora_weights` = `{init}` changes the base, which is not supported")));
    }
    let saved = json.get("modules_to_save").and_then(Value::as_array).into_iter().flatten();
    if let Some(other) = saved.filter_map(Value::as_str).find(|name| !["score", "classifier"].contains(name)) {
        return Err(bad(format!("`modules_to_save` names `{other}`; only a classifier's `score` is supported")));
    }
    let (base, task) = (text_of("base_model_name_or_path").map(PathBuf::from), text_of("task_type"));
    let classifier = task == Some("SEQ_CLS");
    let lora = serde_json::from_value(json.clone()).map_err(|e| bad(e.to_string()))?;
    Ok(StoredConfig { lora, base, classifier })
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(object) => !object.is_empty(),
        Value::Array(array) => !array.is_empty(),
        _ => true,
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
        model.params[score].value = source.weights.values(&stored, &model.params[score].shape.clone())?;
    }
    let known =
        |name: &str| model.params.iter().any(|(_, p)| p.trainable && name.strip_prefix(PREFIX) == Some(&p.name));
    match source.weights.names().find(|name| !known(name)) {
        Some(name) => {
            Err(Error::Adapter { path: file, reason: format!("the tensor `{name}` has no place in this model") })
        }
        None => Ok(lora),
    }
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
    let classifier = model.head.kind == HeadKind::Classifier;
    let json = serde_json::json!({
        "peft_type": "LORA",
        "task_type": if classifier { "SEQ_CLS" } else { "CAUSAL_LM" },
        "base_model_name_or_path": base,
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": 0.0,
        "target_modules": config.target_modules,
        "modules_to_save": if classifier { serde_json::json!(["score"]) } else { Value::Null },
        "bias": "none",
        "fan_in_fan_out": model.spec.transposed,
        "inference_mode": true,
    });
    write_atomically(&folder.join(CONFIG), format!("{json:#}\n").as_bytes())
}

/// Adds every pair into its weight, so that the model stands alone.
pub fn merge(model: &mut Model) {
    let params = &mut model.params;
    model.decoder.linears_mut().for_each(|linear| linear.merge(params));
}
