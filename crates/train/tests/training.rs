//! Ten steps of AdamW against PyTorch, resuming bit for bit, and learning at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use wardsmith_model::adapter::{LoraConfig, Modules};
use wardsmith_model::checkpoint::{Wanted, load};
use wardsmith_model::families;
use wardsmith_model::freeze::Freezing;
use wardsmith_model::{Batch, Model, Purpose, Target, adapter};
use wardsmith_tokens::Cursor;
use wardsmith_train::adamw::{AdamW, AdamWOptions, Decay, Kept};
use wardsmith_train::feed::Feed;
use wardsmith_train::progress::read_lines;
use wardsmith_train::run::Ending;
use wardsmith_train::schedule::{Schedule, Shape};
use wardsmith_train::step::Trainer;
use wardsmith_train::{Error, RunOptions, run};
use wardsmith_vault::Key;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn packed(folder: &Path) -> Batch {
    let json = json(&folder.join("batch.json"));
    let rows = |key: &str| -> Vec<Vec<i64>> { serde_json::from_value(json[key].clone()).unwrap() };
    let mut batch = Batch::default();
    for (ids, labels) in rows("input_ids").iter().zip(rows("labels")) {
        let start = batch.ids.len();
        batch.ids.extend(ids.iter().map(|i| *i as u32));
        batch.lengths.push(ids.len());
        let supervised = labels.iter().enumerate().skip(1).filter(|(_, l)| **l >= 0);
        batch.targets.extend(supervised.map(|(i, l)| Target { position: (start + i - 1) as u32, token: *l as u32 }));
    }
    batch
}

fn trainer(model: Model, decay: Decay) -> Trainer {
    let optimiser = AdamW::new(&model.params, AdamWOptions { decay, ..AdamWOptions::default() });
    Trainer::new(model, optimiser, 0.0).unwrap()
}

fn ten_losses(model: Model, batch: &Batch, expected: &Path, what: &str) {
    let expected: Vec<f64> = serde_json::from_value(json(expected)["adamw_losses"].clone()).unwrap();
    let mut trainer = trainer(model, Decay::All);
    for (i, reference) in expected.iter().enumerate() {
        let loss = trainer.step(std::slice::from_ref(batch), 1e-3, i as u64 + 2).unwrap().loss_nats;
        assert!((loss - reference).abs() < 2e-5, "{what} step {i}: {loss} against {reference}");
    }
}

#[test]
fn ten_adamw_steps_agree_with_pytorch() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let folder = fixtures().join(family);
        let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
        model.train_all();
        ten_losses(model, &packed(&folder), &folder.join("expected.json"), family);
        let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
        adapter::load(&mut model, &folder.join("lora")).unwrap();
        ten_losses(model, &packed(&folder), &folder.join("lora/expected.json"), &format!("{family} LoRA"));
    }
}

#[test]
fn ten_adamw_steps_of_every_kind_of_adapter_agree_with_pytorch() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("adapters")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (family, variant) = name.split_once('_').unwrap();
        if !variant.starts_with("classifier") {
            let base = fixtures().join(family);
            let mut model = load(&base, &Wanted::AsStored, Purpose::Training).unwrap();
            adapter::load(&mut model, &folder).unwrap();
            ten_losses(model, &packed(&base), &folder.join("expected.json"), name);
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}

/// Documents whose next token is a fixed function of the last: something to learn.
struct Patterns {
    position: u64,
}

impl Feed for Patterns {
    fn next_step(&mut self) -> Vec<Batch> {
        self.position += 1;
        (0..2).map(|i| pattern(self.position * 2 + i)).collect()
    }
    fn cursor(&self) -> Cursor {
        Cursor { epoch: 0, position: self.position }
    }
    fn seek(&mut self, cursor: Cursor) -> wardsmith_train::Result<()> {
        self.position = cursor.position;
        Ok(())
    }
    fn epochs_done(&self) -> f64 {
        self.position as f64 / 100.0
    }
}

fn pattern(seed: u64) -> Batch {
    let mut batch = Batch::default();
    for document in 0..4 {
        let start = batch.ids.len();
        let mut token = (seed * 7 + document * 13) % 96;
        for _ in 0..12 {
            batch.ids.push(token as u32);
            token = (token * 5 + 3) % 96;
        }
        batch.lengths.push(12);
        batch.targets.extend((0..11).map(|i| Target { position: (start + i) as u32, token: batch.ids[start + i + 1] }));
    }
    batch
}

fn options(total_steps: u64) -> RunOptions {
    RunOptions {
        schedule: Schedule { peak: 3e-3, shape: Shape::Cosine, warmup_steps: 3, total_steps, min_ratio: 0.1 },
        eval_every_steps: 4,
        save_every_steps: 3,
        patience: 0,
        fingerprint: "test".into(),
        show_progress: false,
        key: None,
        pause_at_step: None,
    }
}

fn fresh() -> Trainer {
    let mut model = load(&fixtures().join("llama"), &Wanted::AsStored, Purpose::Training).unwrap();
    model.train_all();
    trainer(model, Decay::Matrices)
}

/// All tensors, with the moments of the large ones in 8 bits.
fn eight_bits() -> Trainer {
    let config = serde_json::json!({"model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64});
    let mut model = wardsmith_model::checkpoint::initialise(config, None, 3, Purpose::Training).unwrap();
    model.train_all();
    model.decoder.neftune_alpha = 5.0;
    let options = AdamWOptions { eight_bits: true, ..AdamWOptions::default() };
    let optimiser = AdamW::new(&model.params, options);
    let mut trainer = Trainer::new(model, optimiser, 1.0).unwrap();
    trainer.seed = 4;
    trainer
}

/// With an adapter of every kind at once, and dropout.
fn adapted(seed: u64) -> Trainer {
    let mut model = load(&fixtures().join("llama"), &Wanted::AsStored, Purpose::Training).unwrap();
    let config = LoraConfig {
        lora_dropout: 0.2,
        use_rslora: true,
        use_dora: true,
        ..LoraConfig::plain(4, 4.0, Modules::Pattern("all-linear".into()))
    };
    adapter::attach(&mut model, &config, 1).unwrap();
    let mut trainer = trainer(model, Decay::Matrices);
    trainer.seed = seed;
    trainer
}

fn bytes(trainer: &Trainer) -> Vec<u32> {
    trainer.model.params.iter().flat_map(|(_, p)| p.value.iter().map(|x| x.to_bits())).collect()
}

/// Ends the loop before step 9 without a word.
struct Killed(Patterns);

impl Feed for Killed {
    fn next_step(&mut self) -> Vec<Batch> {
        assert!(self.0.position < 8, "killed here");
        self.0.next_step()
    }
    fn cursor(&self) -> Cursor {
        self.0.cursor()
    }
    fn seek(&mut self, cursor: Cursor) -> wardsmith_train::Result<()> {
        self.0.seek(cursor)
    }
    fn epochs_done(&self) -> f64 {
        self.0.epochs_done()
    }
}

#[test]
fn a_run_that_is_killed_and_resumed_ends_with_the_same_bytes() {
    let validation = [pattern(1000)];
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    let mut first = fresh();
    run(&mut first, &mut Patterns { position: 0 }, &validation, whole.path(), &options(20), &never).unwrap();
    // The loop stops after step 8 without a word; its last checkpoint is of step 6.
    let killed = std::panic::catch_unwind(|| {
        run(
            &mut fresh(),
            &mut Killed(Patterns { position: 0 }),
            &validation,
            cut.path(),
            &options(20),
            &AtomicBool::new(false),
        )
    });
    assert!(killed.is_err());
    let mut second = fresh();
    let outcome =
        run(&mut second, &mut Patterns { position: 0 }, &validation, cut.path(), &options(20), &never).unwrap();
    assert_eq!(outcome.ending, Ending::Finished);
    assert_eq!(bytes(&first), bytes(&second));
    let losses = |folder: &Path| -> Vec<_> {
        read_lines(folder)
            .into_iter()
            .map(|l| (l.step, l.loss_nats.map(f64::to_bits), l.validation_loss_nats.map(f64::to_bits)))
            .collect()
    };
    assert_eq!(losses(whole.path()), losses(cut.path()), "the metrics are those of one run");
}

#[test]
fn dropout_is_fixed_by_the_seed_and_goes_on_where_it_was() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    let go = |seed: u64, folder: &Path, pause: Option<u64>| {
        let mut trainer = adapted(seed);
        let options = RunOptions { pause_at_step: pause, fingerprint: seed.to_string(), ..options(12) };
        run(&mut trainer, &mut Patterns { position: 0 }, &[pattern(1000)], folder, &options, &never).unwrap();
        trainer
    };
    let first = go(1, whole.path(), None);
    go(1, cut.path(), Some(5));
    let second = go(1, cut.path(), None);
    assert_eq!(bytes(&first), bytes(&second));
    let other = go(2, tempfile::tempdir().unwrap().path(), None);
    assert_ne!(bytes(&first), bytes(&other), "another seed drops other values");
    let mut evaluated = adapted(1);
    let losses = [evaluated.evaluate(&[pattern(3)]).unwrap(), evaluated.evaluate(&[pattern(3)]).unwrap()];
    let trained = evaluated.step(&[pattern(3)], 0.0, 1).unwrap().loss_nats;
    assert_eq!(losses[0], losses[1]);
    assert!((trained - losses[0]).abs() < 1e-6, "while B is zero, nothing that is dropped counts");
}

#[test]
fn moments_in_8_bits_and_noise_on_tokens_go_on_where_they_were() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    let go = |folder: &Path, pause: Option<u64>| {
        let mut trainer = eight_bits();
        let options = RunOptions { pause_at_step: pause, ..options(12) };
        run(&mut trainer, &mut Patterns { position: 0 }, &[pattern(1000)], folder, &options, &never).unwrap();
        trainer
    };
    let first = go(whole.path(), None);
    go(cut.path(), Some(5));
    let second = go(cut.path(), None);
    assert_eq!(bytes(&first), bytes(&second));
    let codes = |trainer: &Trainer| {
        let kept = trainer.optimiser.moments.iter();
        kept.filter_map(|m| match &m.kept {
            Kept::Codes(first, second) => Some([first.clone(), second.clone()]),
            Kept::Whole(..) => None,
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(codes(&first).len(), 2 + 2 * 7, "embedding, head and the matrices of two blocks");
    assert_eq!(codes(&first), codes(&second));
}

#[test]
fn eight_bits_learn_what_thirty_two_do() {
    let mut whole = eight_bits();
    whole.optimiser = AdamW::new(&whole.model.params, AdamWOptions::default());
    let mut coded = eight_bits();
    let last = |trainer: &mut Trainer| {
        trainer.model.decoder.neftune_alpha = 0.0;
        let mut feed = Patterns { position: 0 };
        (1..=200).map(|step| trainer.step(&feed.next_step(), 3e-3, step).unwrap().loss_nats).last().unwrap()
    };
    let (whole, coded) = (last(&mut whole), last(&mut coded));
    assert!(whole < 0.5 && (coded - whole).abs() < 0.1, "{whole} in 32 bits, {coded} in 8");
}

#[test]
fn neftune_disturbs_training_alone_and_grows_with_alpha() {
    let loss = |alpha: f32, seed: u64| {
        let mut trainer = eight_bits();
        trainer.model.decoder.neftune_alpha = alpha;
        trainer.seed = seed;
        let evaluated = trainer.evaluate(&[pattern(3)]).unwrap();
        let trained = trainer.step(&[pattern(3)], 0.0, 1).unwrap().loss_nats;
        (evaluated, trained)
    };
    let (plain, same) = loss(0.0, 1);
    assert!((plain - same).abs() < 1e-6);
    let (evaluated, disturbed) = loss(5.0, 1);
    assert_eq!(evaluated, plain);
    assert!((disturbed - plain).abs() > 1e-4);
    assert_eq!(loss(5.0, 1).1, disturbed);
    assert_ne!(loss(5.0, 2).1, disturbed);
}

#[test]
fn tensors_decay_as_in_transformers() {
    let lists = json(&fixtures().join("decay.json"));
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let model = load(&fixtures().join(family), &Wanted::AsStored, Purpose::Training).unwrap();
        let decays = |model: &Model| {
            let all = model.params.iter().filter(|(_, p)| Decay::Matrices.takes(p));
            let mut names: Vec<_> = all.map(|(_, p)| p.name.clone()).collect();
            names.sort();
            names
        };
        let expected: Vec<String> = serde_json::from_value(lists[family].clone()).unwrap();
        assert_eq!(decays(&model), expected, "{family}");
    }
    let dora = adapted(0).model;
    let trained = dora.params.iter().filter(|(_, p)| p.trainable && Decay::Matrices.takes(p));
    let mut ours: Vec<_> = trained.map(|(_, p)| p.name.clone()).collect();
    ours.sort();
    assert_eq!(serde_json::json!(ours), lists["llama with DoRA"], "pairs and magnitudes");
}

#[test]
fn a_tensor_that_learns_nothing_or_no_numbers_stops_every_session_by_its_name() {
    let mut trainer = fresh();
    let names: Vec<_> = trainer.model.params.iter().map(|(id, p)| (id, p.name.clone())).collect();
    let id = |wanted: &str| names.iter().find(|(_, name)| name == wanted).unwrap().0;
    // Nothing comes back through an output projection of zeros.
    trainer.model.params[id("model.layers.1.self_attn.o_proj.weight")].value.fill(0.0);
    let told = trainer.step(&[pattern(1)], 1e-3, 17).unwrap_err().to_string();
    assert!(told.contains("`model.layers.1.input_layernorm.weight`") && told.contains("no gradient"), "{told}");
    adapted(0).step(&[pattern(1)], 1e-3, 1).expect("a fresh lora_A is exempt: its lora_B is zero");
    let pair = |trainer: &Trainer, end: &str| {
        trainer.model.params.iter().find(|(_, p)| p.name.ends_with(end)).map(|(id, _)| id).unwrap()
    };
    // The pair of a layer that hears nothing.
    let mut deaf = adapted(0);
    for name in ["model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.lora_A.weight"] {
        let id = pair(&deaf, name);
        deaf.model.params[id].value.fill(0.0);
    }
    let told = deaf.step(&[pattern(1)], 1e-3, 1).unwrap_err().to_string();
    assert!(told.contains("no gradient") && told.contains("lora_"), "{told}");
}

#[test]
fn frozen_tensors_keep_their_bits() {
    let mut trainer = fresh();
    let freezing = Freezing::Frozen(Modules::Pattern(r"model\.(embed_tokens|layers\.0)\..*".into()));
    freezing.apply(&mut trainer.model).unwrap();
    let mut trainer = self::trainer(trainer.model, Decay::Matrices);
    let before: Vec<_> = trainer.model.params.iter().map(|(_, p)| p.clone()).collect();
    trainer.step(&[pattern(1)], 1e-2, 1).unwrap();
    for ((_, after), before) in trainer.model.params.iter().zip(before) {
        let lower = before.name.contains("embed_tokens") || before.name.contains("layers.0.");
        assert_eq!(after.value == before.value, lower, "{}", before.name);
    }
}

#[test]
fn only_the_checkpoint_that_the_state_names_is_kept_beside_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let names = || {
        let entries = std::fs::read_dir(&checkpoints).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let never = AtomicBool::new(false);
    let pausing = RunOptions { pause_at_step: Some(7), ..options(20) };
    let go = |options: &RunOptions| {
        run(&mut fresh(), &mut Patterns { position: 0 }, &[pattern(1000)], folder.path(), options, &never).unwrap()
    };
    go(&pausing);
    assert_eq!(names(), ["best.safetensors", "state-7.safetensors", "state.json"]);
    let state = json(&checkpoints.join("state.json"));
    assert_eq!((state["step"].as_u64(), state["format"].as_u64()), (Some(7), Some(1)));
    // What a session that was cut off between two renames left behind goes at the next save.
    std::fs::copy(checkpoints.join("state-7.safetensors"), checkpoints.join("state-9.safetensors")).unwrap();
    go(&options(20));
    assert_eq!(names(), ["best.safetensors", "state-20.safetensors", "state.json"]);
}

#[test]
fn a_run_that_pauses_at_rungs_has_the_weights_of_one_that_does_not() {
    let validation = [pattern(1000)];
    let (whole, rungs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    let options = options(20);
    let mut first = fresh();
    run(&mut first, &mut Patterns { position: 0 }, &validation, whole.path(), &options, &never).unwrap();
    let mut last = fresh();
    for (pause, ending) in [(4, Ending::Paused), (12, Ending::Paused), (20, Ending::Finished)] {
        last = fresh();
        let options = RunOptions { pause_at_step: Some(pause), ..options.clone() };
        let mut feed = Patterns { position: 0 };
        let outcome = run(&mut last, &mut feed, &validation, rungs.path(), &options, &never).unwrap();
        assert_eq!((outcome.ending, outcome.state.step), (ending, pause));
        assert!(outcome.state.best.is_some());
    }
    assert_eq!(bytes(&first), bytes(&last));
}

fn key() -> Key {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Key::generate_text()).unwrap();
    Key::from_file(file.path()).unwrap()
}

#[test]
fn sealed_checkpoints_resume_to_the_same_bytes_and_only_by_their_key() {
    let validation = [pattern(1000)];
    let sealed = RunOptions { key: Some(key()), ..options(12) };
    let (plain, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = AtomicBool::new(false);
    let mut first = fresh();
    run(&mut first, &mut Patterns { position: 0 }, &validation, plain.path(), &options(12), &never).unwrap();
    let killed = std::panic::catch_unwind(|| {
        let mut feed = Killed(Patterns { position: 0 });
        run(&mut fresh(), &mut feed, &validation, folder.path(), &sealed, &AtomicBool::new(false))
    });
    assert!(killed.is_err());
    let entries = std::fs::read_dir(folder.path().join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["best.safetensors.age", "state-6.safetensors.age", "state.json"]);
    let other = RunOptions { key: Some(key()), ..sealed.clone() };
    let error = run(&mut fresh(), &mut Patterns { position: 0 }, &validation, folder.path(), &other, &never);
    assert!(matches!(error.unwrap_err(), Error::Key(_)));
    let mut second = fresh();
    run(&mut second, &mut Patterns { position: 0 }, &validation, folder.path(), &sealed, &never).unwrap();
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn an_interrupted_run_saves_and_another_recipe_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(true);
    let outcome = run(&mut fresh(), &mut Patterns { position: 0 }, &[], folder.path(), &options(5), &stop).unwrap();
    assert_eq!(outcome.ending, Ending::Interrupted);
    let other = RunOptions { fingerprint: "other".into(), ..options(5) };
    let error = run(&mut fresh(), &mut Patterns { position: 0 }, &[], folder.path(), &other, &stop).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }));
}

#[test]
fn training_that_no_longer_helps_stops_early_and_leaves_the_best_weights() {
    // The validation follows another rule than the training, so that learning the one makes the other worse.
    let mut other = pattern(1000);
    other.targets.iter_mut().for_each(|target| target.token = (target.token + 7) % 96);
    let validation = [other];
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions { eval_every_steps: 2, patience: 3, ..options(400) };
    let mut trainer = fresh();
    let never = AtomicBool::new(false);
    let mut feed = Patterns { position: 0 };
    let outcome = run(&mut trainer, &mut feed, &validation, folder.path(), &options, &never).unwrap();
    assert_eq!(outcome.ending, Ending::EarlyStop);
    let (best, step) = outcome.state.best.unwrap();
    assert_eq!(outcome.state.step, step + 2 * 3, "three evaluations without improvement");
    assert_eq!(trainer.evaluate(&validation).unwrap(), best, "the best weights are back, not the last");
}

#[test]
fn a_tiny_model_learns_a_pattern_by_heart() {
    let mut trainer = fresh();
    let batch = pattern(1);
    let mut loss = f64::INFINITY;
    for step in 1..=150 {
        loss = trainer.step(std::slice::from_ref(&batch), 1e-2, step).unwrap().loss_nats;
    }
    assert!(loss < 0.05, "loss {loss}");
}

#[test]
fn accumulated_packs_equal_one_big_pack() {
    let (a, b) = (pattern(3), pattern(4));
    let mut joined = a.clone();
    joined.ids.extend(&b.ids);
    joined.lengths.extend(&b.lengths);
    joined.targets.extend(b.targets.iter().map(|t| Target { position: t.position + a.ids.len() as u32, ..*t }));
    let (mut apart, mut together) = (fresh(), fresh());
    let one = apart.step(&[a, b], 1e-3, 1).unwrap();
    let two = together.step(&[joined], 1e-3, 1).unwrap();
    assert!((one.loss_nats - two.loss_nats).abs() < 1e-6);
    assert!((one.grad_norm - two.grad_norm).abs() < 1e-5 * one.grad_norm);
}

#[test]
fn a_rate_that_is_far_too_high_stops_with_a_clear_error() {
    let mut trainer = fresh();
    let batch = pattern(1);
    let error =
        (1..200).find_map(|step| trainer.step(std::slice::from_ref(&batch), 1e30, step).err()).expect("it diverges");
    assert!(error.to_string().contains("hint: lower the learning rate"), "{error}");
}
