//! From plain recipes and folders to live objects: datasets, renderers, models, token shards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wardsmith_model::adapter::{self, LoraConfig};
use wardsmith_model::checkpoint::{self, Storage, Wanted};
use wardsmith_model::freeze::Freezing;
use wardsmith_model::ops::frozen::Form;
use wardsmith_model::spec::NameMap;
use wardsmith_model::weights::Precision;
use wardsmith_model::{Batch, DecoderSpec, Model, Purpose, memory};
use wardsmith_records::dataset::{Dataset, Example, Split};
use wardsmith_records::mixture;
use wardsmith_records::task::{self, Task};
use wardsmith_tokens::{Limits, Renderer, Shard, ShardKey, Tokenizer, ordered_packs};
use wardsmith_train::feed::batch;
use wardsmith_train::schedule::Shape;

use crate::model_manifest::{Held, ModelManifest};
use crate::recipe::{
    DtypeRecipe, HeadRecipe, LoraRecipe, ModelRecipe, PrecisionRecipe, QuantizationRecipe, ScheduleRecipe, Start,
    TrainRecipe,
};
use crate::say;

/// Of models that do not say how long their questions were.
pub(crate) const DEFAULT_MAX_LEN_TOKENS: usize = 1024;
/// Tokens kept free for an answer: a weakness's name and number.
const ANSWER_TOKENS: usize = 40;

/// The label names of a dataset, by class.
pub(crate) fn label_names(dataset: &Dataset, task: &str) -> Vec<String> {
    dataset.labels(task).iter().map(|l| l.name.clone()).collect()
}

/// What is learned of a dataset: tasks with their shares.
pub(crate) type Mix = Vec<(&'static dyn Task, f64)>;

/// The mixture that a recipe names, or every task of the dataset once.
pub(crate) fn mix(dataset: &Dataset, train: &TrainRecipe) -> Result<Mix> {
    let named = |(name, share): (&String, &f64)| Ok((task::by_name(dataset.task(Some(name))?)?, *share));
    let all = || dataset.manifest.tasks.iter().map(|name| Ok((task::by_name(name)?, 1.0))).collect();
    if train.mixture.is_empty() { all() } else { train.mixture.iter().map(named).collect() }
}

/// The examples of a mixture in `split`; shares and weights count in training only.
fn mixed(dataset: &Dataset, mix: &Mix, split: Split, seed: u64) -> Result<Vec<(&'static dyn Task, Vec<Example>)>> {
    let examples = |(task, share): &(&'static dyn Task, f64)| {
        let all = dataset.examples(task.name(), split)?;
        Ok((*task, if split == Split::Train { mixture::weigh(all, *share, seed) } else { all }))
    };
    mix.iter().map(examples).collect()
}

/// The tokenizer and template for a model, limited to what the model's positions allow.
pub(crate) fn renderer(folder: &Path, max_len_tokens: usize, positions: Option<usize>) -> Result<Renderer> {
    let tokenizer = Tokenizer::load(folder)?;
    let max_len_tokens = positions.map_or(max_len_tokens, |p| p.min(max_len_tokens));
    let answer_tokens = ANSWER_TOKENS.min(max_len_tokens / 2);
    Ok(Renderer::new(tokenizer, Limits { max_len_tokens, answer_tokens })?)
}

/// Where the tokenizer of a recipe's model lies.
pub(crate) fn tokenizer_folder(recipe: &ModelRecipe) -> &Path {
    match (&recipe.tokenizer, &recipe.start) {
        (Some(folder), _) => folder,
        (None, Start::Base(base)) => base,
        (None, Start::Init(_)) => Path::new(""),
    }
}

/// The spec and the layers' names of the model a recipe starts from, without its weights.
pub(crate) fn spec(recipe: &ModelRecipe, vocab: usize) -> Result<(DecoderSpec, NameMap)> {
    match &recipe.start {
        Start::Base(base) => {
            memory::spec_of_folder(base).with_context(|| format!("cannot load the base model `{}`", base.display()))
        }
        Start::Init(config) => Ok(memory::spec_of(initial(config, vocab))?),
    }
}

/// A recipe's configuration for random weights, with the tokenizer's vocabulary where it names none.
fn initial(config: &serde_json::Map<String, Value>, vocab: usize) -> Value {
    let mut config = config.clone();
    config.entry("vocab_size").or_insert_with(|| vocab.into());
    Value::Object(config)
}

/// The model a recipe starts from, ready to train.
pub(crate) fn model(
    recipe: &ModelRecipe,
    lora: Option<&LoraRecipe>,
    labels: Vec<String>,
    seed: u64,
    vocab: usize,
) -> Result<Model> {
    let labels = (recipe.head == HeadRecipe::Classifier).then_some(labels);
    let mut model = match &recipe.start {
        Start::Base(base) => {
            let wanted = match labels {
                Some(labels) => Wanted::Classifier { labels, seed },
                None => Wanted::LanguageModel,
            };
            checkpoint::load_as(base, &wanted, Purpose::Training, storage(held(recipe)))
                .with_context(|| format!("cannot load the base model `{}`", base.display()))?
        }
        Start::Init(config) => checkpoint::initialise(initial(config, vocab), labels, seed, Purpose::Training)?,
    };
    check_vocabulary(&model, vocab)?;
    match lora {
        Some(lora) => adapter::attach(&mut model, &lora_config(lora), seed)?,
        None => model.train_all(),
    }
    Ok(model)
}

/// How a recipe's model is held below its adapter.
pub(crate) fn held(recipe: &ModelRecipe) -> Held {
    Held { dtype: recipe.dtype, quantization: recipe.quantization }
}

/// The same as the engine names it.
pub(crate) fn storage(held: Held) -> Storage {
    let rest = match held.dtype {
        DtypeRecipe::F32 => Form::F32,
        DtypeRecipe::Bf16 => Form::Bf16,
    };
    let linears = match held.quantization {
        QuantizationRecipe::None => rest,
        QuantizationRecipe::Int8 => Form::Int8,
        QuantizationRecipe::Nf4 => Form::Nf4,
    };
    Storage { linears, rest }
}

/// Refuses a tokenizer that names tokens which the model does not have.
pub(crate) fn check_vocabulary(model: &Model, vocab: usize) -> Result<()> {
    if model.spec.vocab < vocab {
        let has = model.spec.vocab;
        bail!(
            "the tokenizer has {vocab} tokens but the model only {has}\nhint: use the tokenizer that belongs to the model"
        );
    }
    Ok(())
}

/// Which tensors a recipe trains, where it does not train all.
pub(crate) fn freezing(train: &TrainRecipe) -> Option<Freezing> {
    let frozen = train.frozen_parameters.clone().map(Freezing::Frozen);
    frozen.or_else(|| train.unfrozen_parameters.clone().map(Freezing::Unfrozen))
}

/// A recipe's adapter as PEFT describes it.
pub(crate) fn lora_config(lora: &LoraRecipe) -> LoraConfig {
    LoraConfig {
        r: lora.rank,
        lora_alpha: lora.alpha as f32,
        lora_dropout: lora.dropout as f32,
        target_modules: lora.target_modules.clone(),
        exclude_modules: lora.exclude_modules.clone(),
        use_rslora: lora.rslora,
        use_dora: lora.dora,
    }
}

/// A model folder, or a PEFT adapter folder whose base lies where its configuration says, held as it was when the adapter was
/// tuned. `labels` are the classes of a classifier's adapter, which stands on a language model that knows of none.
pub(crate) fn trained(folder: &Path, labels: &[String]) -> Result<Model> {
    match base_of(folder)? {
        Some(base) => Ok(on_base(folder, &base, labels)?.0),
        None => Ok(checkpoint::load(folder, &Wanted::AsStored, Purpose::Inference)?),
    }
}

/// Where the base of an adapter folder lies; `None` of a model folder.
pub(crate) fn base_of(folder: &Path) -> Result<Option<PathBuf>> {
    if !folder.join(adapter::CONFIG).exists() {
        return Ok(None);
    }
    let said = adapter::read_config(folder)?.base.unwrap_or_default();
    let mut places = [said.clone(), folder.join(&said)].into_iter();
    let Some(base) = places.find(|base| base.join("config.json").exists()) else {
        bail!(
            "the base of the adapter `{}` is not at `{}`\nhint: go to the folder it was tuned in, or set base_model_name_or_path in its adapter_config.json",
            folder.display(),
            said.display()
        );
    };
    Ok(Some(base))
}

/// The adapter in `folder` on the model in `base`.
pub(crate) fn on_base(folder: &Path, base: &Path, labels: &[String]) -> Result<(Model, LoraConfig)> {
    let wanted = match (adapter::read_config(folder)?.classifier, labels) {
        (false, _) => Wanted::AsStored,
        (true, []) => {
            bail!(
                "the adapter `{}` is a classifier's and does not name its labels\nhint: use the complete model beside it",
                folder.display()
            )
        }
        (true, labels) => Wanted::Classifier { labels: labels.to_vec(), seed: 0 },
    };
    let held = ModelManifest::read(folder)?.and_then(|manifest| manifest.base);
    let storage = held.map_or(Storage::F32, storage);
    let mut model = checkpoint::load_as(base, &wanted, Purpose::Inference, storage)?;
    let config = adapter::load(&mut model, folder)?;
    Ok((model, config))
}

/// The task of a dataset that `wanted` names, or its only one.
pub(crate) fn task_of(dataset: &Dataset, wanted: Option<&str>) -> Result<&'static dyn Task> {
    Ok(task::by_name(dataset.task(wanted)?)?)
}

/// What is tokenised for a training run.
pub(crate) struct Learned<'a> {
    /// The tokenizer with its template.
    pub renderer: &'a Renderer,
    /// Where the examples lie.
    pub dataset: &'a Dataset,
    /// Which of them are learned.
    pub mix: &'a Mix,
    /// The classes, for a classifier.
    pub classes: Option<&'a [String]>,
    /// Fixes every draw.
    pub seed: u64,
}

impl Learned<'_> {
    /// Tokenises the training split; cached in `cache`.
    pub(crate) fn train_shard(&self, cache: &Path) -> Result<Arc<Shard>> {
        let heads = if self.classes.is_some() { "classes" } else { "text" };
        let shares: Vec<String> = self.mix.iter().map(|(task, share)| format!("{}*{share}", task.name())).collect();
        let part = format!("train {heads} {} {}", shares.join(" "), self.seed);
        let key = ShardKey::new(self.renderer, dataset_digest(self.dataset)?, &part);
        let make = || -> Result<Shard> { self.render(&mixed(self.dataset, self.mix, Split::Train, self.seed)?) };
        // Tokens are text: what is encrypted at rest is tokenised anew at each start, and never lies about.
        let shard = match self.dataset.is_sealed() {
            true => make()?,
            false => {
                // Processes of one sweep share the cache: one makes it, the others find it.
                std::fs::create_dir_all(cache).with_context(|| format!("cannot make `{}`", cache.display()))?;
                let lock = std::fs::File::create(cache.join("lock"));
                let _held = lock.and_then(|lock| lock.lock().map(|()| lock));
                Shard::open_or_make(&cache.join(format!("train-{heads}.shard")), key, make)?.0
            }
        };
        if shard.truncated() > 0 {
            let (cut, all) = (say::count(shard.truncated()), say::count(shard.len() as u64));
            let limit = self.renderer.limits().max_len_tokens;
            say::note(format_args!("{cut} of {all} training texts were cut to {limit} tokens"));
        }
        Ok(Arc::new(shard))
    }

    /// The validation packs: of each task at most its part of the recipe's limit, drawn by the seed.
    pub(crate) fn validation(&self, train: &TrainRecipe) -> Result<Vec<Batch>> {
        let most = train.eval_max_examples.div_ceil(self.mix.len().max(1));
        let mut parts = mixed(self.dataset, self.mix, Split::Validation, self.seed)?;
        parts.iter_mut().for_each(|(_, examples)| *examples = draw(std::mem::take(examples), most, self.seed));
        if parts.iter().all(|(_, examples)| examples.is_empty()) {
            return Ok(Vec::new());
        }
        let shard = self.render(&parts)?;
        Ok(ordered_packs(&shard, train.tokens_per_pack)?.map(batch).collect())
    }

    /// Tokenises examples for a language model, or for a classifier.
    fn render(&self, parts: &[(&'static dyn Task, Vec<Example>)]) -> Result<Shard> {
        let all = || parts.iter().flat_map(|(task, examples)| examples.iter().map(move |example| (*task, example)));
        let bar = say::bar(all().count() as u64, "tokenising");
        let progress = |n: usize| bar.inc(n as u64);
        let shard = match self.classes {
            None => Shard::render(self.renderer, all().map(|(_, example)| &example.conversation), &progress),
            Some(classes) => {
                let class = |e: &Example| classes.iter().position(|c| Some(c) == e.gold.as_ref()).map(|i| i as u32);
                let pairs = all().filter_map(|(task, example)| Some((task.input(example), class(example)?)));
                Shard::render_classes(self.renderer, pairs, &progress)
            }
        };
        bar.finish_and_clear();
        Ok(shard?)
    }
}

/// Tells Transformers which tokens begin, end and pad a text: its classifiers find the last token by the padding.
pub(crate) fn set_special_tokens(config: &mut Value, tokenizer: &Tokenizer) {
    let Some(config) = config.as_object_mut() else { return };
    let pad = tokenizer.pad_id().or(tokenizer.eos_id());
    for (key, id) in [("bos_token_id", tokenizer.bos_id()), ("eos_token_id", tokenizer.eos_id()), ("pad_token_id", pad)]
    {
        if let Some(id) = id
            && config.get(key).is_none_or(Value::is_null)
        {
            config.insert(key.into(), id.into());
        }
    }
}

/// At most `most` of them, by a hash of seed and ID, in their order.
pub(crate) fn draw(mut examples: Vec<Example>, most: usize, seed: u64) -> Vec<Example> {
    if examples.len() <= most {
        return examples;
    }
    let key = |e: &Example| Sha256::digest(format!("{seed} {}", e.id)).to_vec();
    let mut keys: Vec<_> = examples.iter().map(key).collect();
    keys.sort();
    let limit = keys.swap_remove(most);
    examples.retain(|e| key(e) < limit);
    examples
}

/// What identifies a dataset: the SHA-256 of its `manifest.json`, which holds those of its other files.
pub(crate) fn dataset_digest(dataset: &Dataset) -> Result<[u8; 32]> {
    let path = dataset.path.join("manifest.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Sha256::digest(bytes).into())
}

/// What identifies a run: its recipe, its data, how that is rendered, and the weights it starts from.
pub(crate) fn fingerprint(recipe: &str, dataset: &Dataset, renderer: &Renderer, model: &Model) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(recipe);
    hash.update(dataset_digest(dataset)?);
    hash.update(renderer.sha256());
    for (_, param) in model.params.iter() {
        param.values().iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    Ok(hex(&hash.finalize()))
}

/// The SHA-256 of a folder's weights: of its safetensors files with their names, in the order of these.
pub(crate) fn weights_digest(folder: &Path) -> Result<String> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let mut hash = Sha256::new();
    for path in &paths {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        let mut file = std::fs::File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        std::io::copy(&mut file, &mut Hashing(&mut hash))
            .with_context(|| format!("cannot read `{}`", path.display()))?;
    }
    Ok(hex(&hash.finalize()))
}

/// Writes into a hash.
struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A recipe's precision as the model crate names it.
pub(crate) fn precision(recipe: PrecisionRecipe) -> Precision {
    match recipe {
        PrecisionRecipe::F32 => Precision::F32,
        PrecisionRecipe::Bf16 => Precision::Bf16,
        PrecisionRecipe::F16 => Precision::F16,
    }
}

/// A recipe's schedule as the training loop names it.
pub(crate) fn shape(recipe: ScheduleRecipe) -> Shape {
    match recipe {
        ScheduleRecipe::Cosine => Shape::Cosine,
        ScheduleRecipe::Linear => Shape::Linear,
        ScheduleRecipe::Constant => Shape::Constant,
    }
}
