//! A recipe: one TOML file that describes one run, read into plain structs with all its mistakes at once.
//!
//! The text becomes a tree with places (`tree`), overrides are laid over it (`overrides`), a reader takes typed values
//! out of it (`reader`, `check`), one function a table (`sections`). What the values *mean*, such as whether a folder
//! exists, is for those who use them.

mod check;
mod mistake;
mod overrides;
mod prepare_section;
mod reader;
mod sections;
mod sweep_section;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wardsmith_model::adapter::Modules;
use wardsmith_records::label::CwePolicy;
use wardsmith_records::record::Published;
use wardsmith_records::refine::RefinePolicy;
use wardsmith_records::sampling::Sampling;

pub(crate) use mistake::RecipeErrors;
pub(crate) use sweep_section::{ParameterRecipe, SweepMethod, SweepRecipe};

use mistake::Wrong;
use reader::Reader;

/// No recipe is near this size.
const MAX_BYTES: u64 = 1 << 20;

/// One run. Serialised as TOML it is a recipe again, with every default written out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Recipe {
    /// The run's name: a-z, 0-9 and `-`.
    pub name: String,
    /// Fixes every draw of the run; at most 2⁶³ − 1.
    pub seed: u64,
    /// How the dataset is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepare: Option<PrepareRecipe>,
    /// Where training starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecipe>,
    /// The adapter that is trained; absent: all weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraRecipe>,
    /// How it is trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainRecipe>,
    /// What `wardsmith sweep` searches; `wardsmith tune` passes it over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepRecipe>,
}

/// `[prepare]`: from feeds to a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PrepareRecipe {
    /// Files or folders by the name of the source that reads them.
    pub sources: BTreeMap<String, Paths>,
    /// Names of tasks of [`wardsmith_records::task::ALL`].
    pub tasks: Vec<String>,
    /// A weakness is a label where at least so many training examples have it.
    pub min_train_examples: usize,
    /// First day of validation.
    pub validation_from: Published,
    /// First day of test.
    pub test_from: Published,
    /// Descriptions at least so similar (Jaccard, 0..=1) never cross a border of splits.
    pub near_duplicate_similarity: f64,
    /// As `near_duplicate_similarity`, for texts whose names are taken out; 0: templates do not count.
    pub template_similarity: f64,
    /// Files or folders of benchmarks by name: what overlaps them neither teaches nor validates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decontaminate: BTreeMap<String, PathBuf>,
    /// Share of broken records in one source above which the run fails.
    pub max_reject_rate: f64,
    /// How the weakness of a CVE is decided.
    pub cwe_labels: CwePolicy,
    /// What becomes of texts.
    pub texts: RefinePolicy,
    /// How the classes of training examples are evened out.
    pub sampling: Sampling,
    /// Share of training examples of which there is a copy without names of vendors and products.
    pub mask_names_share: f64,
    /// How many of each task's phrasings training uses; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phrasings: Option<usize>,
    /// Share of training examples whose right answer is that the text says too little.
    pub decline_share: f64,
    /// Sources whose records may teach, but are never exported or quoted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<String>,
    /// Limits on the number of examples, by split.
    pub max_examples: MaxExamples,
}

/// One path, or several that one source reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Paths(
    /// At least one.
    #[serde(serialize_with = "one_or_several")]
    pub Vec<PathBuf>,
);

fn one_or_several<S: serde::Serializer>(paths: &Vec<PathBuf>, out: S) -> Result<S::Ok, S::Error> {
    match paths.as_slice() {
        [one] => one.serialize(out),
        several => several.serialize(out),
    }
}

/// At most so many examples of each split; no limit where it is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct MaxExamples {
    /// Of the training split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Of the validation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// Of the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
}

/// `[model]`: where training starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ModelRecipe {
    /// The weights: those of a folder, or random ones.
    #[serde(flatten)]
    pub start: Start,
    /// A tokenizer's folder; absent: the base's own. Always given with random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// What the last hidden state is turned into.
    pub head: HeadRecipe,
    /// The type in which weights that are not trained are held.
    pub dtype: DtypeRecipe,
    /// In how many bits the linear layers below an adapter are held; where they are, `dtype` counts for the rest.
    pub quantization: QuantizationRecipe,
}

/// The weights that training starts from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// A model folder in Hugging Face layout.
    Base(PathBuf),
    /// Random weights for this `config.json`; `model_type` is always there.
    Init(serde_json::Map<String, serde_json::Value>),
}

/// The type of weights that are not trained. Computed is in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DtypeRecipe {
    /// 32 bits.
    F32,
    /// The upper 16 of 32 bits.
    Bf16,
}

/// In how many bits the linear layers below an adapter are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuantizationRecipe {
    /// As `dtype` says.
    None,
    /// 8, in blocks of 64.
    Int8,
    /// 4, as in QLoRA (Dettmers et al. 2023).
    Nf4,
}

/// The head on top of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HeadRecipe {
    /// Predicts the next token.
    LanguageModel,
    /// Predicts a label of the dataset.
    Classifier,
}

/// `[lora]`: a low-rank adapter (Hu et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LoraRecipe {
    /// Rank of the update.
    pub rank: usize,
    /// The update is scaled by alpha / rank.
    pub alpha: f64,
    /// By alpha / √rank instead (rsLoRA).
    pub rslora: bool,
    /// Train the lengths of the weights' rows too (DoRA).
    pub dora: bool,
    /// Share of the adapter's input that is dropped in training.
    pub dropout: f64,
    /// The linear layers that get one: names or their last parts, a regular expression, or `all-linear`.
    pub target_modules: Modules,
    /// Those of them that get none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<Modules>,
}

/// `[train]`: the loop and its optimiser.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TrainRecipe {
    /// A prepared folder; the command line may give it instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<PathBuf>,
    /// The tasks of the dataset to learn, each with its share: 1 is every example once an epoch. Empty: all tasks, 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mixture: BTreeMap<String, f64>,
    /// Longer examples are cut.
    pub max_len_tokens: usize,
    /// Tokens of one forward and backward pass; at least `max_len_tokens`.
    pub tokens_per_pack: usize,
    /// Packs whose gradients add up to one step.
    pub packs_per_step: usize,
    /// When it ends.
    #[serde(flatten)]
    pub length: TrainLength,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// How the learning rate falls after the warm-up.
    pub schedule: ScheduleRecipe,
    /// How long it rises.
    #[serde(flatten)]
    pub warmup: Warmup,
    /// The last learning rate as a share of the highest.
    pub min_learning_rate_ratio: f64,
    /// What keeps the moments.
    pub optimizer: OptimizerRecipe,
    /// Decoupled weight decay of AdamW; biases and norms have none.
    pub weight_decay: f64,
    /// AdamW's decay of the first moment.
    pub beta1: f64,
    /// AdamW's decay of the second moment.
    pub beta2: f64,
    /// AdamW's guard against division by zero.
    pub epsilon: f64,
    /// Gradients are scaled down to this norm.
    pub max_grad_norm: f64,
    /// Noise on token vectors, uniform in ± this / √(tokens · width) (NEFTune; Jain et al. 2024); 0: none.
    pub neftune_alpha: f64,
    /// Tensors that are not trained: names, endings, or one expression for whole names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_parameters: Option<Modules>,
    /// The only tensors that are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfrozen_parameters: Option<Modules>,
    /// Steps between evaluations.
    pub eval_every_steps: usize,
    /// Validation examples of one evaluation.
    pub eval_max_examples: usize,
    /// Evaluations without improvement before it stops; 0: never.
    pub patience: usize,
    /// Steps between checkpoints.
    pub save_every_steps: usize,
    /// The type of saved weights.
    pub precision: PrecisionRecipe,
}

/// When training ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrainLength {
    /// After so many steps of the optimiser.
    MaxSteps(usize),
    /// After the training split was seen so often; need not be whole.
    Epochs(f64),
}

/// How long the learning rate rises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) enum Warmup {
    /// So many steps.
    #[serde(rename = "warmup_steps")]
    Steps(usize),
    /// This share of all steps.
    #[serde(rename = "warmup_ratio")]
    Ratio(f64),
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum OptimizerRecipe {
    /// AdamW (Loshchilov and Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW,
    /// The same with moments in 8 bits (Dettmers et al. 2022).
    #[serde(rename = "adamw_8bit")]
    AdamW8Bit,
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScheduleRecipe {
    /// Along half a cosine (Loshchilov and Hutter 2017).
    Cosine,
    /// Along a line.
    Linear,
    /// Not at all.
    Constant,
}

/// The type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PrecisionRecipe {
    /// 32 bits.
    F32,
    /// The upper 16 of 32 bits.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Recipe {
    /// Reads the recipe at `path` with the overrides `sets` (`key.path=value`) laid over it.
    ///
    /// # Errors
    /// Every mistake of the file and of the overrides, at once.
    pub(crate) fn load(path: &Path, sets: &[String]) -> Result<Self, RecipeErrors> {
        let file = path.display().to_string();
        let whole = |what: String, hint: &str| RecipeErrors::whole(&file, Wrong::new(what, hint));
        let unreadable = |error: std::io::Error| {
            whole(format!("cannot be read: {error}"), "name a recipe, a file such as recipes/NAME.toml")
        };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > MAX_BYTES {
            return Err(whole(format!("has {bytes} bytes"), "a recipe is a short TOML file"));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?, &file, sets)
    }

    /// Reads the text of a recipe; `file` is what messages call it. With an empty text and `sets` only, this makes a
    /// recipe out of command-line flags.
    ///
    /// # Errors
    /// Every mistake of the text and of the overrides, at once.
    pub(crate) fn parse(text: &str, file: &str, sets: &[String]) -> Result<Self, RecipeErrors> {
        let mut tree = tree::parse(text).map_err(|errors| RecipeErrors::new(file, errors))?;
        let mistakes = RefCell::new(overrides::apply(&mut tree, sets));
        let recipe = sections::recipe(Reader::new(tree, &mistakes));
        match mistakes.into_inner() {
            none if none.is_empty() => Ok(recipe),
            mistakes => Err(RecipeErrors::new(file, mistakes)),
        }
    }

    /// The resolved recipe as TOML, every default written out; reads back as the same recipe.
    #[must_use]
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds nothing that TOML cannot: its integers are below 2⁶³")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
name = "cwe-classify-small"
seed = 3

[prepare]
sources = { nvd = "../feeds/nvd", cwe = "../feeds/cwe" }
tasks = ["cwe_classify"]
validation_from = 2023-07-01
test_from = "2024-01-01"
max_examples = { validation = 2000 }

[model]
base = "models/small"
head = "classifier"

[lora]
rank = 8
target_modules = ["q_proj", "v_proj"]

[train]
max_steps = 1000
warmup_steps = 100
learning_rate = 3e-4
schedule = "linear"
precision = "bf16"
"#;

    fn mistakes(text: &str, sets: &[&str]) -> String {
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        Recipe::parse(text, "r.toml", &sets).unwrap_err().to_string()
    }

    fn full_with(sets: &[&str]) -> Result<Recipe, RecipeErrors> {
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        Recipe::parse(FULL, "r.toml", &sets)
    }

    #[test]
    fn three_mistakes_are_shown_at_once_with_their_places() {
        let text = "name = \"x\"\n[model]\nbase = \"m\"\n[train]\nmax_stepz = 10\nepochs = 2\n  learning_rate = \"fast\"\nbeta1 = 1.5\n";
        assert_eq!(
            mistakes(text, &[]),
            "recipe `r.toml` has 3 mistakes\n\
             r.toml:5:1: `train.max_stepz`: is not a key of a recipe\n  hint: did you mean `max_steps`?\n\
             r.toml:7:3: `train.learning_rate`: expected a number, found text `fast`\n\
             r.toml:8:1: `train.beta1`: `1.5` is out of range\n  hint: from 0 to below 1"
        );
    }

    #[test]
    fn unknown_tables_and_keys_suggest_the_right_one() {
        let told = mistakes("name = \"x\"\n[trian]\nepochs = 1\n", &[]);
        assert!(told.contains("r.toml:2:2: `trian`"), "{told}");
        assert!(told.contains("did you mean `train`?"), "{told}");
        let told = mistakes(FULL, &["prepare.sources.nvdd=x", "train.schedule=cosin"]);
        assert!(told.contains("--set prepare.sources.nvdd=x: `prepare.sources.nvdd`"), "{told}");
        assert!(told.contains("did you mean `nvd`?"), "{told}");
        assert!(told.contains("did you mean `cosine`?"), "{told}");
    }

    #[test]
    fn the_resolved_form_reads_back_as_the_same_recipe() {
        let recipe = full_with(&[]).unwrap();
        let text = recipe.to_toml();
        for default in ["tokens_per_pack = 4096", "epsilon = ", "alpha = ", "max_reject_rate = 0.01"] {
            assert!(text.contains(default), "{default} in {text}");
        }
        assert_eq!(Recipe::parse(&text, "resolved", &[]).unwrap(), recipe);
        let init = "name='x'\n[model]\ntokenizer='t'\n[model.init]\nmodel_type='llama'\nrope={theta=1e4, list=[1, 2.5]}\ntied=true\n[train]\nepochs=0.5\nwarmup_ratio=0.1\n";
        let recipe = Recipe::parse(init, "r", &[]).unwrap();
        assert_eq!(Recipe::parse(&recipe.to_toml(), "resolved", &[]).unwrap(), recipe);
    }

    #[test]
    fn an_override_displaces_what_excludes_it() {
        let recipe = full_with(&["train.epochs=2", "model.base=models/big", "lora.rank=4"]).unwrap();
        let train = recipe.train.unwrap();
        assert_eq!(train.length, TrainLength::Epochs(2.0));
        assert_eq!(recipe.model.unwrap().start, Start::Base("models/big".into()));
        assert_eq!(recipe.lora.unwrap().rank, 4);
    }

    #[test]
    fn contradictions_are_mistakes() {
        let both = mistakes("name='x'\n[model]\nbase='m'\n[train]\nmax_steps=1\nepochs=1\n", &[]);
        assert!(both.contains("r.toml:6:1: `train.epochs`: contradicts `max_steps`"), "{both}");
        for (set, told) in [
            ("train.warmup_steps=1001", "longer than the training"),
            ("train.max_len_tokens=5000", "more than `tokens_per_pack`"),
            ("prepare.validation_from=2024-01-01", "not after"),
            ("prepare.tasks=[\"document\"]", "has no labels"),
            ("model.init={model_type=\"llama\"}", "nothing to adapt"),
            ("lora.target_modules=\"(q|v_proj\"", "no regular expression"),
            ("lora.exclude_modules=[]", "empty list"),
            ("lora.dropout=1", "below 1"),
            ("train.optimizer=adamw_8bits", "did you mean `adamw_8bit`?"),
            ("train.frozen_parameters=[\"lm_head\"]", "no tensors of the base"),
            ("train.unfrozen_parameters=\"(\"", "no regular expression"),
        ] {
            let all = mistakes(FULL, &[set]);
            assert!(all.contains(told), "{set}: {all}");
        }
        let whole = "name='x'\n[model]\nbase='m'\n[train]\nmax_steps=1\n";
        for (set, told) in [
            ("model.quantization=nf4", "weights in few bits cannot be trained"),
            ("model.quantization=int8", "add [lora]"),
            ("model.dtype=bf16", "all weights are trained, and held in f32"),
            ("model.dtype=f16", "is no choice here"),
        ] {
            let all = mistakes(whole, &[set]);
            assert!(all.contains(told), "{set}: {all}");
        }
        assert!(full_with(&["model.quantization=nf4", "model.dtype=bf16"]).is_ok());
    }

    #[test]
    fn an_adapters_layers_are_names_or_a_pattern() {
        let sets = ["lora.target_modules=all-linear", "lora.exclude_modules=[\"lm_head\"]", "lora.dora=true"];
        let recipe = full_with(&sets).unwrap();
        let lora = recipe.lora.as_ref().unwrap();
        assert_eq!(lora.target_modules, Modules::Pattern("all-linear".into()));
        assert_eq!(lora.exclude_modules, Some(Modules::from_iter(["lm_head"])));
        assert!(lora.dora && !lora.rslora);
        assert_eq!(Recipe::parse(&recipe.to_toml(), "resolved", &[]).unwrap(), recipe);
    }

    #[test]
    fn what_is_missing_is_told_at_its_table() {
        let told = mistakes("[train]\n", &[]);
        assert!(told.contains("r.toml: `name`: is missing"), "{told}");
        assert!(told.contains("r.toml:1:2: `train.max_steps`: is missing"), "{told}");
        assert!(told.contains("`model`"), "{told}");
        let told = mistakes("name='x'\n[model]\n[prepare]\n", &[]);
        assert!(told.contains("`model.base`: is missing"), "{told}");
        assert!(told.contains("`prepare.sources`: is missing"), "{told}");
    }

    #[test]
    fn flags_alone_make_a_recipe() {
        let sets = ["name=flags", "model.base=m", "train.max_steps=3"].map(str::to_owned);
        let recipe = Recipe::parse("", "the command line", &sets).unwrap();
        assert_eq!(recipe.train.unwrap().length, TrainLength::MaxSteps(3));
    }

    #[test]
    fn hostile_values_are_refused_without_harm() {
        for bad in [
            "train.learning_rate=nan",
            "train.learning_rate=inf",
            "train.max_steps=-1",
            "train.max_steps=99999999999999999999",
            "train.max_steps=1e3",
            "train.epochs=0",
            "seed=9223372036854775808",
            "name=../x",
            "lora.target_modules=[]",
            "lora.target_modules=[\"a\", \"a\"]",
            "prepare.test_from=2024-02-30",
            "model.base=\"\"",
            "model.init={model_type=\"llama\", x=nan}",
            "lora=3",
        ] {
            assert!(full_with(&[bad]).is_err(), "{bad}");
        }
        let deep = format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(Recipe::parse(&deep, "deep", &[]).is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_one_clear_error() {
        let told = Recipe::load(Path::new("no/such.toml"), &[]).unwrap_err().to_string();
        assert!(told.contains("no/such.toml") && told.contains("hint:"), "{told}");
    }
}
