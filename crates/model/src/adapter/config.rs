//! `adapter_config.json`, as PEFT 0.21 writes it: what is read of it, what is refused, and what is written.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::modules::{Matcher, Modules};
use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::model::Model;

/// An adapter's configuration file.
pub const CONFIG: &str = "adapter_config.json";
/// No such file is larger.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// Keys that change the arithmetic, or that say which tensors are trained; set, they are refused.
/// `fan_in_fan_out` is not among them: PEFT sets it by the kind of each layer, whatever the file says, and so do we.
const VARIANTS: [&str; 17] = [
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layers_pattern",
    "layer_replication",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "target_parameters",
    "alora_invocation_tokens",
    "trainable_token_indices",
    "arrow_config",
    "kasa_config",
    "megatron_config",
    "monteclora_config",
    "velora_config",
    "ensure_weight_tying",
];
/// Initialisations after which the base is not the one that its folder holds.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];
/// Largest rank.
const MAX_RANK: usize = 4096;

/// The part of PEFT's configuration that matters here; anything else that would change the arithmetic is refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The pair's product is multiplied by `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Share of the pair's input that is dropped in training.
    #[serde(default)]
    pub lora_dropout: f32,
    /// The layers that get a pair.
    pub target_modules: Modules,
    /// Those of them that do not.
    #[serde(default)]
    pub exclude_modules: Option<Modules>,
    /// Multiply by `lora_alpha / √r` instead (Kalajdzievski 2023).
    #[serde(default)]
    pub use_rslora: bool,
    /// Train the lengths of the weight's rows too (Liu et al. 2024).
    #[serde(default)]
    pub use_dora: bool,
}

impl LoraConfig {
    /// Plain pairs.
    pub fn plain(r: usize, lora_alpha: f32, target_modules: Modules) -> Self {
        let (lora_dropout, exclude_modules, use_rslora, use_dora) = (0.0, None, false, false);
        Self { r, lora_alpha, lora_dropout, target_modules, exclude_modules, use_rslora, use_dora }
    }

    /// Factor of the pair's product.
    pub fn scale(&self) -> f32 {
        let rank = self.r as f32;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Refuses values that mean nothing, in words.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if self.r == 0 || self.r > MAX_RANK {
            return Err(format!("rank {} is not between 1 and {MAX_RANK}", self.r));
        }
        if !self.lora_alpha.is_finite() {
            return Err(format!("`lora_alpha` is {}", self.lora_alpha));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(format!("`lora_dropout` is {}, not from 0 to below 1", self.lora_dropout));
        }
        Ok(())
    }

    /// Those who get a pair, and those of them who do not.
    ///
    /// # Errors
    /// A pattern that cannot be used, in words.
    pub fn matchers(&self) -> std::result::Result<(Matcher, Option<Matcher>), String> {
        let said = |key: &'static str| move |reason: String| format!("`{key}`: {reason}");
        let targets = self.target_modules.matcher().map_err(said("target_modules"))?;
        let excluded = self.exclude_modules.as_ref().map(Modules::matcher).transpose();
        Ok((targets, excluded.map_err(said("exclude_modules"))?))
    }

    /// As PEFT writes it. `base` is what PEFT records as the base model's name or path.
    pub(super) fn to_json(&self, model: &Model, base: &str) -> Value {
        let classifier = model.head.kind == HeadKind::Classifier;
        json!({
            "alora_invocation_tokens": null,
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": base,
            "bias": "none",
            "exclude_modules": self.exclude_modules,
            "fan_in_fan_out": model.spec.transposed,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "loftq_config": {},
            "lora_alpha": short(self.lora_alpha),
            "lora_bias": false,
            "lora_dropout": short(self.lora_dropout),
            "modules_to_save": if classifier { json!(["score"]) } else { Value::Null },
            "peft_type": "LORA",
            "r": self.r,
            "rank_pattern": {},
            "revision": null,
            "target_modules": self.target_modules,
            "target_parameters": null,
            "task_type": if classifier { "SEQ_CLS" } else { "CAUSAL_LM" },
            "trainable_token_indices": null,
            "use_dora": self.use_dora,
            "use_qalora": false,
            "use_rslora": self.use_rslora,
        })
    }
}

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
    parse(&json).map_err(bad)
}

/// The same of what the file holds; what is wrong comes in words.
fn parse(json: &Value) -> std::result::Result<StoredConfig, String> {
    let text_of = |key: &str| json.get(key).and_then(Value::as_str);
    if text_of("peft_type") != Some("LORA") {
        return Err("`peft_type` is not `LORA`".into());
    }
    if let Some(key) = VARIANTS.iter().find(|key| json.get(**key).is_some_and(is_set)) {
        return Err(format!("`{key}` is not supported"));
    }
    if text_of("bias").is_some_and(|bias| bias != "none") {
        return Err("trained biases are not supported".into());
    }
    if let Some(init) = text_of("init_lora_weights").filter(|init| CHANGES_BASE.iter().any(|c| init.starts_with(c))) {
        return Err(format!("`init_lora_weights` = `{init}` changes the base, which is not supported"));
    }
    let saved = json.get("modules_to_save").and_then(Value::as_array).into_iter().flatten();
    if let Some(other) = saved.filter_map(Value::as_str).find(|name| !["score", "classifier"].contains(name)) {
        return Err(format!("`modules_to_save` names `{other}`; only a classifier's `score` is supported"));
    }
    for key in ["target_modules", "exclude_modules"] {
        if json.get(key).is_some_and(|modules| serde_json::from_value::<Option<Modules>>(modules.clone()).is_err()) {
            return Err(format!("`{key}` is neither a list of names nor a pattern"));
        }
    }
    let (base, task) = (text_of("base_model_name_or_path").map(PathBuf::from), text_of("task_type"));
    let classifier = task == Some("SEQ_CLS");
    let lora: LoraConfig = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
    // An empty list excludes nothing.
    let excluded = lora.exclude_modules.clone().filter(|modules| *modules != Modules::Names(Vec::new()));
    let lora = LoraConfig { exclude_modules: excluded, ..lora };
    lora.check()?;
    Ok(StoredConfig { lora, base, classifier })
}

/// A number with the digits that tell it from its neighbours, and no more.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(object) => !object.is_empty(),
        Value::Array(array) => !array.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: Value) -> std::result::Result<StoredConfig, String> {
        let mut json = json!({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 8,
            "target_modules": ["q_proj"], "exclude_modules": null, "use_dora": false, "rank_pattern": {}});
        json[key] = value;
        parse(&json)
    }

    #[test]
    fn the_scale_is_alpha_over_the_rank_or_over_its_root() {
        let config = with("use_rslora", json!(false)).unwrap().lora;
        assert_eq!((config.scale(), config.use_dora, config.lora_dropout), (0.5, false, 0.0));
        assert_eq!(with("use_rslora", json!(true)).unwrap().lora.scale(), 2.0);
        assert_eq!((short(0.05), short(32.0)), (0.05, 32.0));
        let pattern = with("target_modules", json!("all-linear")).unwrap().lora;
        assert_eq!(pattern.target_modules, Modules::Pattern("all-linear".into()));
        assert_eq!(with("exclude_modules", json!([])).unwrap().lora.exclude_modules, None);
    }

    #[test]
    fn what_is_computed_otherwise_or_means_nothing_is_refused_by_its_name() {
        let refused = [
            ("peft_type", json!("LOHA")),
            ("rank_pattern", json!({"q_proj": 8})),
            ("alpha_pattern", json!({"q_proj": 8})),
            ("layers_to_transform", json!([0])),
            ("kasa_config", json!({"beta": 1e-4})),
            ("velora_config", json!({"num_groups": 2})),
            ("use_bdlora", json!({"nblocks": 2})),
            ("bias", json!("all")),
            ("init_lora_weights", json!("lora_ga")),
            ("modules_to_save", json!(["embed_tokens"])),
            ("target_modules", json!(3)),
            ("exclude_modules", json!({"a": 1})),
            ("lora_dropout", json!(1.0)),
            ("lora_dropout", json!(-0.1)),
            ("lora_alpha", json!(1e39)),
            ("r", json!(0)),
            ("r", json!(5000)),
        ];
        for (key, value) in refused {
            let told = with(key, value.clone()).expect_err(key);
            let named = [key, "rank", "biases"].iter().any(|word| told.contains(word));
            assert!(named, "{key} = {value}: {told}");
        }
    }
}
