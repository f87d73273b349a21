//! What each table of a recipe may say: its keys, their defaults, their ranges and what contradicts what.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wardsmith_model::adapter::Modules;
use wardsmith_records::task;

use super::check;
use super::mistake::{Wrong, suggest};
use super::prepare_section::prepare;
use super::reader::{Any, Reader};
use super::sweep_section::sweep;
use super::{
    DtypeRecipe, HeadRecipe, LoraRecipe, ModelRecipe, OptimizerRecipe, PrecisionRecipe, QuantizationRecipe, Recipe,
    ScheduleRecipe, Start, TrainLength, TrainRecipe, Warmup,
};

/// The whole recipe.
pub(super) fn recipe(mut reader: Reader<'_>) -> Recipe {
    let recipe = Recipe {
        name: reader.required("name", "name the run: name = \"my-run\"", check::name),
        seed: reader.or("seed", 0, check::any),
        prepare: reader.section("prepare").map(prepare),
        model: reader.section("model").map(model),
        lora: reader.section("lora").map(lora),
        train: reader.section("train").map(train),
        sweep: reader.section("sweep").map(sweep),
    };
    contradictions(&recipe, &reader);
    reader.finish();
    recipe
}

/// What one table alone cannot know.
fn contradictions(recipe: &Recipe, reader: &Reader<'_>) {
    let model = recipe.model.as_ref();
    if recipe.train.is_some() && model.is_none() {
        let hint = "[train] needs a [model] to start from, with base = \"FOLDER\" or init = { … }";
        reader.note("model", Wrong::new("is missing", hint));
    }
    if recipe.lora.is_some() && model.is_some_and(|model| matches!(model.start, Start::Init(_))) {
        let what = "there is nothing to adapt in random weights (`model.init`)";
        reader.note("lora", Wrong::new(what, "remove [lora], or start from a base"));
    }
    if let Some(model) = model.filter(|_| recipe.lora.is_none()) {
        if model.quantization != QuantizationRecipe::None {
            let what = "`model.quantization` needs an adapter: weights in few bits cannot be trained";
            reader.note("model", Wrong::new(what, "add [lora], or say quantization = \"none\""));
        }
        if model.dtype != DtypeRecipe::F32 {
            let what = "`model.dtype` = \"bf16\" needs an adapter: all weights are trained, and held in f32 for it";
            reader.note("model", Wrong::new(what, "add [lora]; train.precision = \"bf16\" is for what is saved"));
        }
    }
    let chosen = |train: &TrainRecipe| train.frozen_parameters.is_some() || train.unfrozen_parameters.is_some();
    if recipe.lora.is_some() && recipe.train.as_ref().is_some_and(chosen) {
        let hint = "choose the adapter's layers by lora.target_modules, or remove [lora]";
        reader.note("train", Wrong::new("an adapter trains no tensors of the base, so none can be chosen", hint));
    }
    let document = recipe.prepare.as_ref().is_some_and(|prepare| prepare.tasks == ["document"]);
    if document && model.is_some_and(|model| model.head == HeadRecipe::Classifier) {
        let what = "task `document` has no labels that a classifier could learn";
        reader.note("model", Wrong::new(what, "head = \"language_model\""));
    }
}

/// Shares by the names of tasks.
fn mixture(reader: Reader<'_>) -> BTreeMap<String, f64> {
    let known: Vec<_> = task::ALL.iter().map(|task| task.name()).collect();
    reader.entries(|name, share| match known.contains(&name) {
        true => check::above_zero_to(wardsmith_records::mixture::MAX_REPEATS as f64)(share),
        false => Err(Wrong::new("is no task", suggest(name, &known))),
    })
}

fn model(mut reader: Reader<'_>) -> ModelRecipe {
    if !reader.at_most_one("base", "init") {
        let hint = "a model folder, or init = { model_type = \"llama\", … } for random weights";
        reader.note("base", Wrong::new("is missing", hint));
    }
    let init = reader.optional("init", |config: &Any| match config.0.get("model_type") {
        Some(serde_json::Value::String(_)) => Ok(()),
        _ => Err(Wrong::new("has no `model_type`", "such as model_type = \"llama\"")),
    });
    let base = reader.or("base", PathBuf::new(), check::path);
    let tokenizer: Option<PathBuf> = reader.optional("tokenizer", check::path);
    if init.is_some() && tokenizer.is_none() {
        let hint = "random weights have no tokenizer of their own; `wardsmith tokenizer` trains one";
        reader.note("tokenizer", Wrong::new("is missing", hint));
    }
    let heads = [("language_model", HeadRecipe::LanguageModel), ("classifier", HeadRecipe::Classifier)];
    let quantizations =
        [("none", QuantizationRecipe::None), ("int8", QuantizationRecipe::Int8), ("nf4", QuantizationRecipe::Nf4)];
    let model = ModelRecipe {
        start: init.map_or(Start::Base(base), |config| Start::Init(config.0)),
        tokenizer,
        head: reader.choice("head", &heads),
        dtype: reader.choice("dtype", &[("f32", DtypeRecipe::F32), ("bf16", DtypeRecipe::Bf16)]),
        quantization: reader.choice("quantization", &quantizations),
    };
    reader.finish();
    model
}

fn lora(mut reader: Reader<'_>) -> LoraRecipe {
    let hint = "name linear layers, such as [\"q_proj\", \"v_proj\"] (bloom: [\"query_key_value\"]), or \"all-linear\"";
    if !reader.has("target_modules") {
        reader.note("target_modules", Wrong::new("is missing", hint));
    }
    let lora = LoraRecipe {
        rank: reader.or("rank", 16, |rank: &usize| match *rank {
            1..=4096 => Ok(()),
            _ => Err(Wrong::new(format!("`{rank}` is out of range"), "from 1 to 4096")),
        }),
        alpha: reader.or("alpha", 32.0, check::above_zero_to(1e6)),
        rslora: reader.or("rslora", false, check::any),
        dora: reader.or("dora", false, check::any),
        dropout: reader.or("dropout", 0.0, check::below_one),
        target_modules: reader.or("target_modules", Modules::Names(Vec::new()), check::modules),
        exclude_modules: reader.optional("exclude_modules", check::modules),
    };
    reader.finish();
    lora
}

fn train(mut reader: Reader<'_>) -> TrainRecipe {
    reader.at_most_one("frozen_parameters", "unfrozen_parameters");
    let train = TrainRecipe {
        dataset: reader.optional("dataset", check::path),
        mixture: reader.section("mixture").map(mixture).unwrap_or_default(),
        max_len_tokens: reader.or("max_len_tokens", 256, check::at_least(2)),
        tokens_per_pack: reader.or("tokens_per_pack", 4096, check::within(2, 1 << 22)),
        packs_per_step: reader.or("packs_per_step", 1, check::within(1, 1 << 16)),
        length: length(&mut reader),
        learning_rate: reader.or("learning_rate", 3e-4, check::above_zero_to(10.0)),
        schedule: schedule(&mut reader),
        warmup: warmup(&mut reader),
        min_learning_rate_ratio: reader.or("min_learning_rate_ratio", 0.1, check::zero_to(1.0)),
        optimizer: reader
            .choice("optimizer", &[("adamw", OptimizerRecipe::AdamW), ("adamw_8bit", OptimizerRecipe::AdamW8Bit)]),
        weight_decay: reader.or("weight_decay", 0.01, check::zero_to(10.0)),
        beta1: reader.or("beta1", 0.9, check::below_one),
        beta2: reader.or("beta2", 0.999, check::below_one),
        epsilon: reader.or("epsilon", 1e-8, check::above_zero_to(1.0)),
        max_grad_norm: reader.or("max_grad_norm", 1.0, check::above_zero_to(1e9)),
        neftune_alpha: reader.or("neftune_alpha", 0.0, check::zero_to(1e3)),
        frozen_parameters: reader.optional("frozen_parameters", check::modules),
        unfrozen_parameters: reader.optional("unfrozen_parameters", check::modules),
        eval_every_steps: reader.or("eval_every_steps", 100, check::at_least(1)),
        eval_max_examples: reader.or("eval_max_examples", 1000, check::at_least(1)),
        patience: reader.or("patience", 0, check::any),
        save_every_steps: reader.or("save_every_steps", 100, check::at_least(1)),
        precision: precision(&mut reader),
    };
    if train.max_len_tokens > train.tokens_per_pack {
        let what = format!("`{}` is more than `tokens_per_pack`, `{}`", train.max_len_tokens, train.tokens_per_pack);
        reader.note("max_len_tokens", Wrong::new(what, "an example has to fit into a pack"));
    }
    if let (Warmup::Steps(warmup), TrainLength::MaxSteps(all)) = (train.warmup, train.length)
        && warmup > all
        && all > 0
    {
        let what = format!("`{warmup}` is longer than the training, `max_steps` = {all}");
        reader.note("warmup_steps", Wrong::new(what, "or say warmup_ratio = 0.05"));
    }
    reader.finish();
    train
}

fn length(reader: &mut Reader<'_>) -> TrainLength {
    if !reader.at_most_one("max_steps", "epochs") {
        reader.note("max_steps", Wrong::new("is missing", "give max_steps or epochs"));
    }
    let epochs = reader.optional("epochs", check::above_zero_to(1e6));
    let steps = reader.or("max_steps", 0, check::at_least(1));
    epochs.map_or(TrainLength::MaxSteps(steps), TrainLength::Epochs)
}

fn warmup(reader: &mut Reader<'_>) -> Warmup {
    reader.at_most_one("warmup_steps", "warmup_ratio");
    let steps = reader.optional("warmup_steps", check::any).map(Warmup::Steps);
    let ratio = reader.or("warmup_ratio", 0.05, check::zero_to(1.0));
    steps.unwrap_or(Warmup::Ratio(ratio))
}

fn schedule(reader: &mut Reader<'_>) -> ScheduleRecipe {
    let choices = [
        ("cosine", ScheduleRecipe::Cosine),
        ("linear", ScheduleRecipe::Linear),
        ("constant", ScheduleRecipe::Constant),
    ];
    reader.choice("schedule", &choices)
}

fn precision(reader: &mut Reader<'_>) -> PrecisionRecipe {
    let choices = [("f32", PrecisionRecipe::F32), ("bf16", PrecisionRecipe::Bf16), ("f16", PrecisionRecipe::F16)];
    reader.choice("precision", &choices)
}
