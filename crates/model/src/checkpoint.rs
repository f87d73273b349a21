//! Model folders in Hugging Face layout: `config.json` and weights, in and out.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::families::config::Config;
use crate::families::{Family, family_of};
use crate::head::HeadKind;
use crate::layers::lora::is_adapter;
use crate::model::{Model, Purpose};
use crate::weights::{Precision, RandomInit, Stored, Weights, WithNewHead, write_atomically, write_model};

/// Files of at most this size are written; larger models are sharded.
pub const MAX_SHARD_BYTES: u64 = 5 << 30;

/// Which head to put on a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one the folder says.
    AsStored,
    /// A language model.
    LanguageModel,
    /// A classifier over these labels; its weights are random unless the folder has them.
    Classifier {
        /// Label names, by class.
        labels: Vec<String>,
        /// Seed of random weights.
        seed: u64,
    },
}

/// The labels of a classifier's configuration in order; `None` for a language model.
pub fn labels_of(config: &Value) -> Option<Vec<String>> {
    let architecture = config.get("architectures")?.get(0)?.as_str()?;
    if !architecture.ends_with("ForSequenceClassification") {
        return None;
    }
    let map = config.get("id2label")?.as_object()?;
    (0..map.len()).map(|i| map.get(&i.to_string())?.as_str().map(str::to_owned)).collect()
}

/// Loads a model folder.
pub fn load(folder: &Path, wanted: &Wanted, purpose: Purpose) -> Result<Model> {
    let config = Config::read(folder)?;
    let family = family_of(&config)?;
    let spec = family.spec(&config)?;
    let mut json = config.json;
    let mut weights = Weights::open(folder, family.names().prefix)?;
    let stored = labels_of(&json);
    let labels = match wanted {
        Wanted::AsStored => stored.clone(),
        Wanted::LanguageModel => None,
        Wanted::Classifier { labels, .. } => Some(labels.clone()),
    };
    let count = labels.as_ref().map(Vec::len);
    set_head(&mut json, family, labels);
    match wanted {
        Wanted::Classifier { labels, seed } => {
            // Rows of a head mean classes in their order: those of other labels are of no use.
            let reuse = stored.is_none_or(|stored| stored == *labels);
            let mut source = WithNewHead { weights: &mut weights, fresh: RandomInit { seed: *seed }, reuse };
            Model::build(family, (spec, json), count, &mut source, purpose)
        }
        _ => Model::build(family, (spec, json), count, &mut weights, purpose),
    }
}

/// A model with random weights from a configuration.
pub fn initialise(config: Value, labels: Option<Vec<String>>, seed: u64, purpose: Purpose) -> Result<Model> {
    let config = Config::new(config);
    let family = family_of(&config)?;
    let spec = family.spec(&config)?;
    let mut json = config.json;
    let count = labels.as_ref().map(Vec::len);
    set_head(&mut json, family, labels);
    Model::build(family, (spec, json), count, &mut RandomInit { seed }, purpose)
}

/// Writes the head's class and labels into the configuration.
fn set_head(config: &mut Value, family: &dyn Family, labels: Option<Vec<String>>) {
    let Some(object) = config.as_object_mut() else { return };
    let class = if labels.is_some() { family.classifier_class() } else { family.language_model_class() };
    object.insert("architectures".into(), json!([class]));
    match labels {
        Some(labels) => {
            let id2label = labels.iter().enumerate().map(|(i, l)| (i.to_string(), json!(l)));
            object.insert("id2label".into(), Value::Object(id2label.collect()));
            let label2id = labels.iter().enumerate().map(|(i, l)| (l.clone(), json!(i)));
            object.insert("label2id".into(), Value::Object(label2id.collect()));
            object.insert("problem_type".into(), json!("single_label_classification"));
        }
        None => {
            ["id2label", "label2id", "problem_type", "num_labels"].iter().for_each(|key| {
                object.remove(*key);
            });
        }
    }
}

/// Saves a model folder: `config.json` and weights. The tokenizer's files are the caller's.
pub fn save(model: &Model, folder: &Path, precision: Precision) -> Result<()> {
    save_sharded(model, folder, precision, MAX_SHARD_BYTES)
}

/// The same, in files of at most `max_shard_bytes`, or of one tensor that is larger.
pub fn save_sharded(model: &Model, folder: &Path, precision: Precision, max_shard_bytes: u64) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let mut config = model.config.clone();
    let name = match precision {
        Precision::F32 => "float32",
        Precision::F16 => "float16",
        Precision::Bf16 => "bfloat16",
    };
    if let Some(object) = config.as_object_mut() {
        object.remove("dtype");
        object.insert("torch_dtype".into(), json!(name));
    }
    let params: Vec<_> = model.params.iter().map(|(_, p)| p).filter(|p| !is_adapter(&p.name)).collect();
    let layouts: Vec<_> = params.iter().map(|p| (p.stored_shape(), p.stored(&p.value))).collect();
    let tensors: Vec<Stored<'_>> =
        params.iter().zip(&layouts).map(|(p, (shape, values))| Stored { name: &p.name, shape, values }).collect();
    write_model(folder, &tensors, precision, max_shard_bytes)?;
    write_atomically(&folder.join("config.json"), format!("{config:#}\n").as_bytes())
}

impl Model {
    /// The names of the classes, for a classifier.
    pub fn labels(&self) -> Option<Vec<String>> {
        (self.head.kind == HeadKind::Classifier).then(|| labels_of(&self.config)).flatten()
    }
}
