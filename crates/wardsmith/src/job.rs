//! A training run: from a recipe to everything that it needs, in two stages. [`Plan`] holds what is small, and says what the
//! rest will take; [`Job`] holds the model too, and trains. `tune` and `sweep` run the same one.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use wardsmith_model::checkpoint::Storage;
use wardsmith_model::head::HeadKind;
use wardsmith_model::memory::{Setting, Trained};
use wardsmith_model::weights::write_atomically;
use wardsmith_model::{Batch, Model};
use wardsmith_records::dataset::Dataset;
use wardsmith_tokens::{Loader, Renderer, StepSize, Survey};
use wardsmith_train::adamw::{AdamW, AdamWOptions, Decay, LEAST_IN_8_BITS};
use wardsmith_train::run::Watch;
use wardsmith_train::schedule::Schedule;
use wardsmith_train::step::Trainer;
use wardsmith_train::world::World;
use wardsmith_train::{Outcome, RunOptions, run as train};
use wardsmith_vault::Key;

use crate::estimate::{Estimate, Work};
use crate::model_manifest::{ModelManifest, Sources};
use crate::recipe::{HeadRecipe, ModelRecipe, OptimizerRecipe, Recipe, TrainLength, TrainRecipe, Warmup};
use crate::say::{self, count};
use crate::{keys, resolved};

/// The resolved recipe in a run folder.
pub(crate) const RECIPE: &str = "recipe.toml";

/// A run before anything big is in memory.
pub(crate) struct Plan<'a> {
    recipe: &'a Recipe,
    model: &'a ModelRecipe,
    train: &'a TrainRecipe,
    dataset: Dataset,
    mix: resolved::Mix,
    labels: Vec<String>,
    renderer: Renderer,
    loader: Loader,
    validation: Vec<Batch>,
    survey: Survey,
}

impl<'a> Plan<'a> {
    /// Reads the dataset and tokenises it; tokens are kept in `cache`.
    pub(crate) fn new(recipe: &'a Recipe, cache: &Path) -> Result<Self> {
        let (Some(model), Some(train)) = (&recipe.model, &recipe.train) else {
            bail!("the recipe needs the tables [model] and [train]\nhint: see recipes/ for examples");
        };
        let Some(data) = &train.dataset else {
            bail!("no dataset is named\nhint: give --data DATASET, or train.dataset in the recipe");
        };
        let dataset = keys::open(data)?;
        let mix = resolved::mix(&dataset, train)?;
        let labels = labels(&dataset, &mix, model.head)?;
        let tokenizer = resolved::tokenizer_folder(model);
        let vocab = wardsmith_tokens::Tokenizer::load(tokenizer)?.vocab_size();
        let (spec, _) = resolved::spec(model, vocab)?;
        let renderer = resolved::renderer(tokenizer, train.max_len_tokens, spec.positions.limit())?;
        let classes = (model.head == HeadRecipe::Classifier).then_some(labels.as_slice());
        let learned =
            resolved::Learned { renderer: &renderer, dataset: &dataset, mix: &mix, classes, seed: recipe.seed };
        let shard = learned.train_shard(cache)?;
        let step = StepSize::Packs(train.packs_per_step);
        let mut loader = Loader::new(shard, train.tokens_per_pack, step, recipe.seed)?;
        let validation = learned.validation(train)?;
        let most = match train.length {
            TrainLength::MaxSteps(steps) => steps as u64,
            TrainLength::Epochs(epochs) => {
                loader.end_after(epochs);
                u64::MAX
            }
        };
        let survey = loader.survey(most);
        Ok(Self { recipe, model, train, dataset, mix, labels, renderer, loader, validation, survey })
    }

    /// Optimiser steps of the whole run.
    pub(crate) fn steps(&self) -> u64 {
        self.survey.steps
    }

    /// Whether there is anything to validate on.
    pub(crate) fn validates(&self) -> bool {
        !self.validation.is_empty()
    }

    /// The SHA-256 of the dataset's manifest.
    pub(crate) fn dataset_sha256(&self) -> Result<String> {
        Ok(resolved::hex(&resolved::dataset_digest(&self.dataset)?))
    }

    /// What the run takes.
    pub(crate) fn estimate(&self) -> Result<(Setting, Estimate)> {
        let vocab = self.renderer.tokenizer().vocab_size();
        let (spec, names) = resolved::spec(self.model, vocab)?;
        let largest = |of: fn(&Batch) -> usize| self.validation.iter().map(of).max().unwrap_or(0);
        let longest = |batch: &Batch| batch.lengths.iter().copied().max().unwrap_or(0);
        let setting = Setting {
            spec,
            names,
            classes: (self.model.head == HeadRecipe::Classifier).then_some(self.labels.len()),
            trained: match &self.recipe.lora {
                Some(lora) => Trained::Lora(resolved::lora_config(lora)),
                None => resolved::freezing(self.train).map_or(Trained::All, Trained::Part),
            },
            pack_tokens: self.survey.pack_tokens,
            pack_targets: self.survey.pack_targets,
            validation: self.validation.iter().map(|batch| (batch.ids.len(), batch.targets.len())).collect(),
            document_tokens: self.survey.document_tokens.max(largest(longest)),
            threads: rayon::current_num_threads(),
            storage: resolved::storage(resolved::held(self.model)),
            eight_bits_from: eight_bits(self.train).then_some(LEAST_IN_8_BITS as u64),
        };
        let evaluations = self.survey.steps / (self.train.eval_every_steps as u64).max(1) + 1;
        let work = Work { survey: &self.survey, validation: &self.validation, evaluations };
        let estimate = Estimate::of(&setting, work);
        Ok((setting, estimate))
    }

    /// Refuses more ranks than there are packs in a step.
    pub(crate) fn check_shares(&self, ranks: usize) -> Result<()> {
        let packs = self.train.packs_per_step;
        if packs < ranks {
            bail!(
                "{ranks} processes share each step, and a step has {packs} packs\nhint: start fewer, or --set train.packs_per_step={ranks}"
            );
        }
        Ok(())
    }

    /// Loads the model; the rank that leads writes the resolved recipe into the run folder.
    pub(crate) fn load(self, out: &Path, world: &Rc<dyn World>) -> Result<Job<'a>> {
        let vocab = self.renderer.tokenizer().vocab_size();
        let recipe = self.recipe;
        let mut model = resolved::model(self.model, recipe.lora.as_ref(), self.labels.clone(), recipe.seed, vocab)?;
        if let (None, Some(freezing)) = (&recipe.lora, resolved::freezing(self.train)) {
            freezing.apply(&mut model)?;
        }
        model.decoder.neftune_alpha = self.train.neftune_alpha as f32;
        let text = recipe.to_toml();
        if world.leads() {
            std::fs::create_dir_all(out).with_context(|| format!("cannot create `{}`", out.display()))?;
            write_atomically(&out.join(RECIPE), text.as_bytes())?;
        }
        let sources = Sources {
            dataset_sha256: self.dataset_sha256()?,
            run_sha256: resolved::fingerprint(&text, &self.dataset, &self.renderer, &model)?,
            recipe: text,
            base: Some(resolved::held(self.model)).filter(|held| resolved::storage(*held) != Storage::F32),
        };
        let tasks =
            self.mix.iter().map(|(task, _)| (task.name().to_owned(), self.dataset.labels(task.name()).to_vec()));
        let manifest = ModelManifest::new(tasks.collect(), self.train.max_len_tokens, sources);
        resolved::set_special_tokens(&mut model.config, self.renderer.tokenizer());
        let seal = if self.dataset.is_sealed() { keys::key()? } else { None };
        Ok(Job { plan: self, model, manifest, seal, world: Rc::clone(world) })
    }
}

/// Everything a run needs, loaded.
pub(crate) struct Job<'a> {
    plan: Plan<'a>,
    model: Model,
    manifest: ModelManifest,
    /// Seals the checkpoints, where the dataset is sealed.
    seal: Option<Key>,
    world: Rc<dyn World>,
}

/// What a run leaves in memory.
pub(crate) struct Done {
    /// How it ended, and where.
    pub outcome: Outcome,
    /// The model, as the outcome says.
    pub model: Model,
    /// The tokenizer with its template.
    pub renderer: Renderer,
    /// What belongs beside the weights.
    pub manifest: ModelManifest,
}

/// How far a run goes, and what it shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Going {
    /// Pause after this step.
    pub pause_at_step: Option<u64>,
    /// Show a bar or lines.
    pub show_progress: bool,
}

impl Job<'_> {
    /// Says what is about to be done.
    pub(crate) fn announce(&self) {
        let (params, plan) = (&self.model.params, &self.plan);
        say::note(format_args!(
            "training {} of {} values of a {} {} on {} texts ({} tokens), {} steps of about {} tokens",
            count(params.count(true) as u64),
            count(params.count(false) as u64),
            self.model.family.model_type(),
            if self.model.head.kind == HeadKind::Classifier { "classifier" } else { "language model" },
            count(plan.loader.shard().len() as u64),
            count(plan.loader.shard().tokens() as u64),
            count(plan.steps()),
            count((plan.train.tokens_per_pack * plan.train.packs_per_step) as u64),
        ));
    }

    /// Trains in the run folder `out`; goes on where a checkpoint there ends.
    pub(crate) fn train(self, out: &Path, going: Going, watch: &dyn Watch) -> Result<Done> {
        let plan = self.plan;
        let recipe = plan.train;
        let options = RunOptions {
            schedule: schedule(recipe, plan.steps()),
            eval_every_steps: recipe.eval_every_steps as u64,
            save_every_steps: recipe.save_every_steps as u64,
            patience: u32::try_from(recipe.patience).unwrap_or(u32::MAX),
            fingerprint: self.manifest.run_sha256.clone(),
            show_progress: going.show_progress,
            key: self.seal,
            pause_at_step: going.pause_at_step,
        };
        let adamw = AdamWOptions {
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            epsilon: recipe.epsilon,
            weight_decay: recipe.weight_decay,
            decay: Decay::Matrices,
            eight_bits: eight_bits(recipe),
        };
        let optimiser = AdamW::new(&self.model.params, adamw);
        let mut trainer = Trainer::new(self.model, optimiser, recipe.max_grad_norm)?;
        trainer.seed = plan.recipe.seed;
        trainer.world = self.world;
        let mut loader = plan.loader;
        let outcome = train(&mut trainer, &mut loader, &plan.validation, out, &options, watch)?;
        Ok(Done { outcome, model: trainer.model, renderer: plan.renderer, manifest: self.manifest })
    }
}

fn eight_bits(recipe: &TrainRecipe) -> bool {
    recipe.optimizer == OptimizerRecipe::AdamW8Bit
}

fn schedule(recipe: &TrainRecipe, steps: u64) -> Schedule {
    let warmup_steps = match recipe.warmup {
        Warmup::Steps(steps) => steps as u64,
        Warmup::Ratio(share) => (share * steps as f64).ceil() as u64,
    };
    Schedule {
        peak: recipe.learning_rate,
        shape: resolved::shape(recipe.schedule),
        warmup_steps: warmup_steps.min(steps),
        total_steps: steps,
        min_ratio: recipe.min_learning_rate_ratio,
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
