//! Model folders in Hugging Face layout: `config.json` and weights, in and out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::families::config::Config;
use crate::families::{Family, family_of};
use crate::head::HeadKind;
use crate::layers::linear::Linear;
use crate::layers::lora::is_adapter;
use crate::model::{Model, Purpose};
use crate::ops::frozen::Form;
use crate::params::{Param, ParamId, Params, transpose};
use crate::weights::{Precision, RandomInit, Weights, WithNewHead, Written, write_atomically, write_model};

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

/// How matrices that are not trained are held in memory. Norms, biases and what is trained are always held in f32. Linear
/// layers alone may go below 16 bits, as everywhere since QLoRA (Dettmers et al. 2023): the tables of tokens and positions
/// and a language model's head, tied or not, are `rest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// The linear layers of the blocks.
    pub linears: Form,
    /// The other matrices: [`Form::F32`] or [`Form::Bf16`].
    pub rest: Form,
}

impl Storage {
    /// Everything as it is, which training of all weights needs.
    pub const F32: Self = Self { linears: Form::F32, rest: Form::F32 };
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

/// Loads a model folder, all weights in f32.
///
/// # Errors
/// A configuration that is refused, or weights that do not fit it.
pub fn load(folder: &Path, wanted: &Wanted, purpose: Purpose) -> Result<Model> {
    load_as(folder, wanted, purpose, Storage::F32)
}

/// Loads a model folder, a tensor at a time, each held as `storage` says.
///
/// # Errors
/// As [`load`].
pub fn load_as(folder: &Path, wanted: &Wanted, purpose: Purpose, storage: Storage) -> Result<Model> {
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
            Model::build(family, (spec, json), count, (&mut source, storage), purpose)
        }
        _ => Model::build(family, (spec, json), count, (&mut weights, storage), purpose),
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
    Model::build(family, (spec, json), count, (&mut RandomInit { seed }, Storage::F32), purpose)
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

/// A tensor of a complete model: in Hugging Face's layout, with what an adapter adds to it.
struct Complete<'a> {
    params: &'a Params,
    param: &'a Param,
    linear: Option<&'a Linear>,
    shape: Vec<usize>,
}

impl<'a> Complete<'a> {
    /// `None` for an adapter's own tensors.
    fn new(params: &'a Params, param: &'a Param, linear: Option<&'a Linear>) -> Option<Self> {
        (!is_adapter(&param.name)).then(|| Self { params, param, linear, shape: param.stored_shape() })
    }
}

impl Written for Complete<'_> {
    fn name(&self) -> &str {
        &self.param.name
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn values(&self) -> Cow<'_, [f32]> {
        let values = self.linear.map_or_else(|| self.param.values(), |linear| linear.merged(self.params));
        if self.param.transposed { transpose(&values, self.param.shape[1]).into() } else { values }
    }
}

/// Saves a model folder: `config.json` and weights, an adapter added to them on their way. Only one tensor is in memory a
/// second time. The tokenizer's files are the caller's.
///
/// # Errors
/// The folder cannot be written.
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
    let pairs: HashMap<ParamId, &Linear> = model.decoder.linears().map(|linear| (linear.weight, linear)).collect();
    let complete = |(id, param)| Complete::new(&model.params, param, pairs.get(&id).copied());
    write_model(folder, model.params.iter().filter_map(complete).collect(), precision, max_shard_bytes)?;
    write_atomically(&folder.join("config.json"), format!("{config:#}\n").as_bytes())
}

impl Model {
    /// The names of the classes, for a classifier.
    pub fn labels(&self) -> Option<Vec<String>> {
        (self.head.kind == HeadKind::Classifier).then(|| labels_of(&self.config)).flatten()
    }
}
