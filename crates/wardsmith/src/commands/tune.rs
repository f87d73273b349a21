//! `wardsmith tune`: recipe + dataset + base → run folder with metrics, checkpoints and the model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wardsmith_model::head::HeadKind;
use wardsmith_model::weights::{Precision, write_atomically};
use wardsmith_model::{Batch, Model, adapter, checkpoint};
use wardsmith_records::dataset::Dataset;
use wardsmith_tokens::{Loader, Renderer, StepSize};
use wardsmith_train::adamw::{AdamW, AdamWOptions, Decay};
use wardsmith_train::run::Ending;
use wardsmith_train::schedule::Schedule;
use wardsmith_train::step::Trainer;
use wardsmith_train::{Outcome, RunOptions, run as train};
use wardsmith_vault::Key;

use crate::model_manifest::{ModelManifest, Sources};
use crate::recipe::{HeadRecipe, Recipe, Start, TrainLength, TrainRecipe, Warmup};
use crate::say::{self, Interrupted, count};
use crate::{cli, interrupt, keys, resolved};

/// The resolved recipe in a run folder.
const RECIPE: &str = "recipe.toml";

/// Runs the command.
pub(crate) fn run(args: &cli::Tune) -> Result<()> {
    let (recipe, out) = match (&args.resume, &args.recipe, &args.out) {
        (Some(run), _, _) => (Recipe::load(&run.join(RECIPE), &[])?, run.clone()),
        (None, Some(path), Some(out)) => {
            let mut sets = args.set.clone();
            if let Some(data) = &args.data {
                sets.push(format!("train.dataset={}", serde_json::to_string(data)?));
            }
            (Recipe::load(path, &sets)?, new_run(out)?)
        }
        _ => bail!("a recipe and --out are needed, or --resume RUN"),
    };
    tune(&recipe, &out)
}

/// A run folder that does not hold a run yet.
fn new_run(out: &Path) -> Result<PathBuf> {
    if out.join(RECIPE).exists() {
        let shown = out.display();
        bail!(
            "`{shown}` already holds a run\nhint: go on with `wardsmith tune --resume {shown}`, or choose another --out"
        );
    }
    Ok(out.to_path_buf())
}

/// Trains as the recipe says, in the run folder `out`; goes on where a checkpoint there ends.
pub(crate) fn tune(recipe: &Recipe, out: &Path) -> Result<()> {
    let job = Job::prepare(recipe, out)?;
    job.announce();
    let begun = Instant::now();
    let trained = job.train(out)?;
    let state = &trained.outcome.state;
    let over_all = begun.elapsed().as_secs_f64() + 1.0 < state.elapsed_s;
    say::note(format_args!(
        "{} steps, {} tokens in {:.0} s{}, {:.0} tokens/s",
        count(state.step),
        count(state.tokens),
        state.elapsed_s,
        if over_all { " over all sessions" } else { "" },
        state.tokens as f64 / state.elapsed_s.max(1e-9),
    ));
    if trained.outcome.ending == Ending::Interrupted {
        let text = format!("stopped at step {}; go on with: wardsmith tune --resume {}", state.step, out.display());
        return Err(Interrupted(text).into());
    }
    if trained.outcome.ending == Ending::EarlyStop {
        say::note("stopped early: the validation loss no longer falls");
    }
    if let Some((loss, step)) = state.best {
        say::note(format_args!("best validation loss {loss:.4} nats at step {step}"));
    }
    save(recipe, trained, out)
}

/// What a run leaves in memory.
struct Trained {
    outcome: Outcome,
    model: Model,
    renderer: Renderer,
    manifest: ModelManifest,
}

/// Everything a run needs, loaded.
struct Job<'a> {
    train: &'a TrainRecipe,
    model: Model,
    renderer: Renderer,
    loader: Loader,
    validation: Vec<Batch>,
    steps: u64,
    manifest: ModelManifest,
    /// Seals the checkpoints, where the dataset is sealed.
    seal: Option<Key>,
}

impl<'a> Job<'a> {
    fn prepare(recipe: &'a Recipe, out: &Path) -> Result<Self> {
        let (Some(model_recipe), Some(train)) = (&recipe.model, &recipe.train) else {
            bail!("the recipe needs the tables [model] and [train]\nhint: see recipes/ for examples");
        };
        let Some(data) = &train.dataset else {
            bail!("no dataset is named\nhint: give --data DATASET, or train.dataset in the recipe");
        };
        let dataset = keys::open(data)?;
        let tokenizer = resolved::tokenizer_folder(model_recipe);
        let vocab = wardsmith_tokens::Tokenizer::load(tokenizer)?.vocab_size();
        let mix = resolved::mix(&dataset, train)?;
        let labels = labels(&dataset, &mix, model_recipe.head)?;
        let mut model = resolved::model(model_recipe, recipe.lora.as_ref(), labels.clone(), recipe.seed, vocab)?;
        let renderer = resolved::renderer(tokenizer, train.max_len_tokens, model.spec.positions.limit())?;
        let classes = (model.head.kind == HeadKind::Classifier).then_some(labels.as_slice());
        std::fs::create_dir_all(out).with_context(|| format!("cannot create `{}`", out.display()))?;
        let learned =
            resolved::Learned { renderer: &renderer, dataset: &dataset, mix: &mix, classes, seed: recipe.seed };
        let shard = learned.train_shard(&out.join("shards"))?;
        let step = StepSize::Packs(train.packs_per_step);
        let loader = Loader::new(shard, train.tokens_per_pack, step, recipe.seed)?;
        let validation = learned.validation(train)?;
        let steps = total_steps(train, loader.shard().tokens());
        let text = recipe.to_toml();
        let path = out.join(RECIPE);
        write_atomically(&path, text.as_bytes())?;
        let sources = Sources {
            dataset_sha256: resolved::hex(&resolved::dataset_digest(&dataset)?),
            run_sha256: resolved::fingerprint(&text, &dataset, &renderer, &model)?,
            recipe: text,
        };
        let tasks = mix.iter().map(|(task, _)| (task.name().to_owned(), dataset.labels(task.name()).to_vec()));
        let manifest = ModelManifest::new(tasks.collect(), train.max_len_tokens, sources);
        resolved::set_special_tokens(&mut model.config, renderer.tokenizer());
        let seal = if dataset.is_sealed() { keys::key()? } else { None };
        Ok(Self { train, model, renderer, loader, validation, steps, manifest, seal })
    }

    fn announce(&self) {
        let params = &self.model.params;
        say::note(format_args!(
            "training {} of {} values of a {} {} on {} texts ({} tokens), {} steps of about {} tokens",
            count(params.count(true) as u64),
            count(params.count(false) as u64),
            self.model.family.model_type(),
            if self.model.head.kind == HeadKind::Classifier { "classifier" } else { "language model" },
            count(self.loader.shard().len() as u64),
            count(self.loader.shard().tokens() as u64),
            count(self.steps),
            count((self.train.tokens_per_pack * self.train.packs_per_step) as u64),
        ));
    }

    fn train(self, out: &Path) -> Result<Trained> {
        let train_recipe = self.train;
        let warmup_steps = match train_recipe.warmup {
            Warmup::Steps(steps) => steps as u64,
            Warmup::Ratio(share) => (share * self.steps as f64).ceil() as u64,
        };
        let options = RunOptions {
            schedule: Schedule {
                peak: train_recipe.learning_rate,
                shape: resolved::shape(train_recipe.schedule),
                warmup_steps: warmup_steps.min(self.steps),
                total_steps: self.steps,
                min_ratio: train_recipe.min_learning_rate_ratio,
            },
            eval_every_steps: train_recipe.eval_every_steps as u64,
            save_every_steps: train_recipe.save_every_steps as u64,
            patience: u32::try_from(train_recipe.patience).unwrap_or(u32::MAX),
            fingerprint: self.manifest.run_sha256.clone(),
            show_progress: true,
            key: self.seal,
        };
        let adamw = AdamWOptions {
            beta1: train_recipe.beta1,
            beta2: train_recipe.beta2,
            epsilon: train_recipe.epsilon,
            weight_decay: train_recipe.weight_decay,
            decay: Decay::Matrices,
        };
        let optimiser = AdamW::new(&self.model.params, adamw);
        let mut trainer = Trainer::new(self.model, optimiser, train_recipe.max_grad_norm)?;
        let mut loader = self.loader;
        let outcome = train(&mut trainer, &mut loader, &self.validation, out, &options, interrupt::flag())?;
        Ok(Trained { outcome, model: trainer.model, renderer: self.renderer, manifest: self.manifest })
    }
}

/// The classes of a classifier: those of the one task that it learns. A language model needs none.
fn labels(dataset: &Dataset, mix: &resolved::Mix, head: HeadRecipe) -> Result<Vec<String>> {
    if head == HeadRecipe::LanguageModel {
        return Ok(Vec::new());
    }
    let [(task, _)] = mix.as_slice() else {
        bail!("a classifier learns one task, and here are {}\nhint: name one in [train.mixture]", mix.len());
    };
    let labels = resolved::label_names(dataset, task.name());
    if labels.is_empty() {
        bail!("task `{}` has no labels\nhint: head = \"language_model\"", task.name());
    }
    Ok(labels)
}

/// The steps a run takes; epochs are counted in tokens, which packs fill all but completely.
fn total_steps(train: &TrainRecipe, tokens: usize) -> u64 {
    match train.length {
        TrainLength::MaxSteps(steps) => steps as u64,
        TrainLength::Epochs(epochs) => {
            let per_step = (train.tokens_per_pack * train.packs_per_step) as f64;
            ((tokens as f64 * epochs / per_step).ceil() as u64).max(1)
        }
    }
}

/// Writes `model/` (complete, in Hugging Face layout) and, for LoRA, `adapter/` (PEFT's layout).
fn save(recipe: &Recipe, trained: Trained, out: &Path) -> Result<()> {
    let Trained { mut model, renderer, manifest, .. } = trained;
    if let Some(lora) = &recipe.lora {
        let base = match recipe.model.as_ref().map(|m| &m.start) {
            Some(Start::Base(base)) => base.display().to_string(),
            _ => String::new(),
        };
        let folder = out.join("adapter");
        adapter::save(&model, &resolved::lora_config(lora), &base, &folder)?;
        renderer.save_to(&folder)?;
        manifest.write(&folder)?;
        adapter::merge(&mut model);
        say::result(format_args!("adapter: {}", folder.display()));
    }
    let folder = out.join("model");
    let precision = recipe.train.as_ref().map_or(Precision::F32, |t| resolved::precision(t.precision));
    checkpoint::save(&model, &folder, precision)?;
    renderer.save_to(&folder)?;
    manifest.write(&folder)?;
    say::result(format_args!("model: {}", folder.display()));
    Ok(())
}
