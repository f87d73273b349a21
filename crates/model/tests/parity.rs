//! Parity with Transformers and PEFT on the dumps of `reference/dump_parity.py`: logits, loss and every gradient.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wardsmith_model::checkpoint::{Wanted, load, save};
use wardsmith_model::families::{self, config::Config};
use wardsmith_model::generate::Limits;
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::params::Gradients;
use wardsmith_model::weights::{Precision, Weights};
use wardsmith_model::{Batch, Error, Model, Purpose, Target, adapter};

/// Largest difference of any logit, of the loss, and of a gradient relative to its tensor's norm. Both sides are f32; the
/// reference itself lies up to 6e-6 from the same computation in f64, and GPT-Neo's unscaled scores amplify rounding most.
const LOGITS: f32 = 5e-5;
const LOSS: f64 = 5e-6;
const GRADIENT: f32 = 5e-5;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn rows(batch: &Value, key: &str) -> Vec<Vec<i64>> {
    serde_json::from_value(batch[key].clone()).unwrap()
}

/// The three rows packed, supervised where `labels` say.
fn packed(folder: &Path) -> Batch {
    let json = read(&folder.join("batch.json"));
    let mut batch = Batch::default();
    for (ids, labels) in rows(&json, "input_ids").iter().zip(rows(&json, "labels")) {
        let start = batch.ids.len();
        batch.ids.extend(ids.iter().map(|i| *i as u32));
        batch.lengths.push(ids.len());
        let supervised = labels.iter().enumerate().skip(1).filter(|(_, l)| **l >= 0);
        batch.targets.extend(supervised.map(|(i, l)| Target { position: (start + i - 1) as u32, token: *l as u32 }));
    }
    batch
}

fn classes(folder: &Path) -> Batch {
    let json = read(&folder.join("batch.json"));
    let labels: Vec<u32> = serde_json::from_value(json["labels"].clone()).unwrap();
    let mut batch = Batch::default();
    for (ids, label) in rows(&json, "input_ids").iter().zip(labels) {
        batch.ids.extend(ids.iter().map(|i| *i as u32));
        batch.lengths.push(ids.len());
        batch.targets.push(Target { position: batch.ids.len() as u32 - 1, token: label });
    }
    batch
}

fn everywhere(batch: &Batch) -> Batch {
    let targets = (0..batch.ids.len() as u32).map(|position| Target { position, token: 0 }).collect();
    Batch { targets, ..batch.clone() }
}

fn check_logits(logits: &[f32], expected: &Weights, lengths: &[usize], classes: usize, what: &str) {
    let mut at = 0;
    for (i, n) in lengths.iter().enumerate() {
        let name = format!("logits.{i}");
        let Some(shape) = expected.shape(&name) else { continue };
        assert_eq!(shape.iter().product::<usize>(), n * classes);
        for (a, b) in logits[at..].iter().zip(expected.values(&name, &shape).unwrap()) {
            assert!((a - b).abs() < LOGITS, "{what} {name}: {a} against {b}");
        }
        at += n * classes;
    }
}

fn check_gradients(model: &Model, gradients: &Gradients, expected: &Weights, prefix: &str, what: &str) {
    let mut seen = 0;
    for (id, param) in model.params.iter().filter(|(_, p)| p.trainable) {
        let ours = gradients.get(id).unwrap();
        let ours = param.stored(ours);
        let theirs = expected.values(&format!("grad.{prefix}{}", param.name), &param.stored_shape()).unwrap();
        let norm = theirs.iter().map(|x| x * x).sum::<f32>().sqrt();
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
        assert!(off <= GRADIENT * norm + 1e-6, "{what} {}: off by {off} of {norm}", param.name);
        seen += 1;
    }
    let there = expected.names().filter(|n| n.starts_with("grad.")).count();
    assert_eq!(seen, there, "{what}: every gradient of the reference has its counterpart");
}

fn check(model: &Model, batch: &Batch, folder: &Path, prefix: &str, what: &str) {
    let expected = Weights::open_file(&folder.join("expected.safetensors")).unwrap();
    let workspace = &mut Workspace::default();
    let mut gradients = Gradients::zeros(&model.params);
    let scale = 1.0 / batch.targets.len() as f32;
    let loss = model.accumulate(batch, scale, &mut gradients, workspace).unwrap() * f64::from(scale);
    let reference = read(&folder.join("expected.json"))["loss"].as_f64().unwrap();
    assert!((loss - reference).abs() < LOSS, "{what}: loss {loss} against {reference}");
    check_gradients(model, &gradients, &expected, prefix, what);
    let again = model.losses(batch, workspace).unwrap().iter().sum::<f64>() * f64::from(scale);
    assert!((again - loss).abs() < 1e-6);
}

#[test]
fn language_models_agree_with_transformers() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let folder = fixtures().join(family);
        let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
        model.train_all();
        let batch = packed(&folder);
        let expected = Weights::open_file(&folder.join("expected.safetensors")).unwrap();
        let logits = model.logits(&everywhere(&batch), &mut Workspace::default()).unwrap();
        check_logits(&logits, &expected, &batch.lengths, model.spec.vocab, family);
        check(&model, &batch, &folder, "", family);
    }
}

#[test]
fn classifiers_agree_with_transformers() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let folder = fixtures().join(family).join("classifier");
        let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
        assert_eq!(model.labels().unwrap().len(), 5);
        model.train_all();
        let batch = classes(&folder);
        let expected = Weights::open_file(&folder.join("expected.safetensors")).unwrap();
        let logits = model.logits(&batch, &mut Workspace::default()).unwrap();
        check_logits(&logits, &expected, &[1, 1, 1], 5, family);
        check(&model, &batch, &folder, "", family);
    }
}

/// An adapter's logits, loss and gradients; then saved and loaded again, then merged.
fn check_adapter(base: &Path, folder: &Path, batch: &Batch, what: &str) {
    let mut model = load(base, &Wanted::AsStored, Purpose::Training).unwrap();
    let config = adapter::load(&mut model, folder).unwrap();
    check(&model, batch, folder, "base_model.model.", what);
    let workspace = &mut Workspace::default();
    let asked = if model.labels().is_some() { batch.clone() } else { everywhere(batch) };
    let (lengths, classes) =
        if model.labels().is_some() { (vec![1; 3], 5) } else { (batch.lengths.clone(), model.spec.vocab) };
    let before = model.logits(&asked, workspace).unwrap();
    let expected = Weights::open_file(&folder.join("expected.safetensors")).unwrap();
    check_logits(&before, &expected, &lengths, classes, what);
    let out = tempfile::tempdir().unwrap();
    adapter::save(&model, &config, "base", out.path()).unwrap();
    let mut again = load(base, &Wanted::AsStored, Purpose::Inference).unwrap();
    assert_eq!(adapter::load(&mut again, out.path()).unwrap(), config);
    assert_eq!(before, again.logits(&asked, workspace).unwrap(), "{what}: saved and loaded again");
    adapter::merge(&mut model);
    let merged = model.logits(&asked, workspace).unwrap();
    assert!(before.iter().zip(&merged).all(|(a, b)| (a - b).abs() < LOGITS), "{what}: merged");
    let plain = load(base, &Wanted::AsStored, Purpose::Inference).unwrap().logits(&asked, workspace).unwrap();
    assert!(
        before.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1000.0 * LOGITS),
        "{what}: an adapter that does nothing"
    );
}

#[test]
fn adapters_agree_with_peft() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let base = fixtures().join(family);
        check_adapter(&base, &base.join("lora"), &packed(&base), family);
    }
}

/// Rank-stabilised, with DoRA, with both; chosen by names, endings, patterns, all less some; a classifier with its head.
#[test]
fn variants_of_adapters_agree_with_peft() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("adapters")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (family, variant) = name.split_once('_').unwrap();
        let base = fixtures().join(family);
        if variant.starts_with("classifier") {
            let base = base.join("classifier");
            check_adapter(&base, &folder, &classes(&base), name);
        } else {
            check_adapter(&base, &folder, &packed(&base), name);
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

/// Other configurations over the same weights: scaled rotary angles, GPT-NeoX with its halves in sequence.
#[test]
fn variants_agree_with_transformers() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("variants")).unwrap() {
        let folder = entry.unwrap().path();
        let facts = read(&folder.join("expected.json"));
        let base = fixtures().join(facts["family"].as_str().unwrap());
        let joined = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("config.json"), joined.path().join("config.json")).unwrap();
        std::fs::copy(base.join("model.safetensors"), joined.path().join("model.safetensors")).unwrap();
        let mut model = load(joined.path(), &Wanted::AsStored, Purpose::Training).unwrap();
        let (batch, what) = (packed(&base), folder.display().to_string());
        let expected = Weights::open_file(&folder.join("expected.safetensors")).unwrap();
        let logits = model.logits(&everywhere(&batch), &mut Workspace::default()).unwrap();
        check_logits(&logits, &expected, &batch.lengths, model.spec.vocab, &what);
        for (_, param) in model.params.iter_mut() {
            param.trainable = expected.contains(&format!("grad.{}", param.name));
        }
        check(&model, &batch, &folder, "", &what);
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// The fixture's model under a configuration of which one key is changed.
fn altered(family: &str, key: &str, value: &Value) -> wardsmith_model::Result<Model> {
    let folder = fixtures().join(family);
    let out = tempfile::tempdir().unwrap();
    let mut config = read(&folder.join("config.json"));
    config[key] = value.clone();
    std::fs::write(out.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(folder.join("model.safetensors"), out.path().join("model.safetensors")).unwrap();
    load(out.path(), &Wanted::AsStored, Purpose::Inference)
}

/// Each of these could be forgotten in the engine; a fixture in which it changed nothing would not notice.
#[test]
fn every_feature_of_a_fixture_changes_its_logits() {
    let full = json!(["full_attention", "full_attention"]);
    let rope =
        |theta: f64, part: f64| json!({"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": part});
    let bases =
        |full: f64, local: f64| json!({"full_attention": rope(full, 1.0), "sliding_attention": rope(local, 1.0)});
    let features = [
        ("gpt2", "scale_attn_weights", json!(false)),
        ("gpt2", "layer_norm_epsilon", json!(0.1)),
        ("gpt_neox", "rope_parameters", rope(10_000.0, 1.0)),
        ("gpt_neox", "hidden_act", json!("gelu_new")),
        ("mistral", "sliding_window", Value::Null),
        ("qwen2", "layer_types", full.clone()),
        ("qwen3", "layer_types", full.clone()),
        ("gemma2", "layer_types", full.clone()),
        ("gemma2", "attn_logit_softcapping", Value::Null),
        ("gemma2", "final_logit_softcapping", Value::Null),
        ("gemma2", "query_pre_attn_scalar", json!(8)),
        ("gemma3_text", "layer_types", full.clone()),
        ("gemma3_text", "final_logit_softcapping", Value::Null),
        ("gemma3_text", "rope_parameters", bases(1e6, 100.0)),
        ("gemma3_text", "rope_parameters", bases(1e4, 1e4)),
        ("phi3", "sliding_window", Value::Null),
        ("phi3", "rope_parameters", rope(10_000.0, 1.0)),
        ("olmo2", "rms_norm_eps", json!(0.1)),
        ("smollm3", "no_rope_layers", json!([1, 1])),
        ("smollm3", "layer_types", full),
    ];
    for (family, key, value) in features {
        let batch = packed(&fixtures().join(family));
        let workspace = &mut Workspace::default();
        let stored = load(&fixtures().join(family), &Wanted::AsStored, Purpose::Inference).unwrap();
        let logits = |model: &Model, workspace: &mut Workspace| model.logits(&everywhere(&batch), workspace).unwrap();
        let (before, after) = (logits(&stored, workspace), logits(&altered(family, key, &value).unwrap(), workspace));
        let most = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most > 20.0 * LOGITS, "{family}: {key} = {value} changes no logit by more than {most}");
    }
}

#[test]
fn what_is_not_computed_is_refused_in_the_familys_name() {
    let refused = [
        ("llama", "hidden_act", json!("quick_gelu")),
        ("llama", "partial_rotary_factor", json!(0.5)),
        ("llama", "rope_scaling", json!({"rope_type": "longrope", "factor": 2.0})),
        ("gpt2", "activation_function", json!("relu")),
        ("gpt2", "scale_attn_by_inverse_layer_idx", json!(true)),
        ("gpt2", "reorder_and_upcast_attn", json!(true)),
        ("gpt2", "add_cross_attention", json!(true)),
        ("gpt_neox", "hidden_act", json!("relu2")),
        ("mistral", "layer_types", json!(["sliding_attention", "full_attention"])),
        ("qwen2", "layer_types", json!(["full_attention", "chunked_attention"])),
        ("qwen3", "rope_scaling", json!({"type": "proportional"})),
        ("gemma2", "use_bidirectional_attention", json!(true)),
        ("gemma3_text", "use_bidirectional_attention", json!(true)),
        ("gemma3_text", "attn_logit_softcapping", json!(50.0)),
        ("phi3", "rope_scaling", json!({"type": "llama3"})),
        ("olmo2", "hidden_act", json!("relu")),
        ("smollm3", "layer_types", json!(["full_attention", "linear_attention"])),
    ];
    for (family, key, value) in refused {
        let error = altered(family, key, &value).err().unwrap_or_else(|| panic!("{family} takes {key} = {value}"));
        let text = error.to_string();
        assert!(text.starts_with(&format!("the `{family}` configuration asks for ")), "{text}");
        assert!(matches!(error, Error::Unsupported { .. }), "{text}");
    }
}

#[test]
fn a_configuration_that_contradicts_itself_is_an_error() {
    let wrong = [
        ("qwen2", "use_sliding_window", json!(false), "sliding_window"),
        ("qwen2", "layer_types", json!(["full_attention"]), "layer_types"),
        ("smollm3", "no_rope_layers", json!([1, 2]), "no_rope_layers"),
        ("gpt_neox", "rope_parameters", json!({"partial_rotary_factor": 0.4}), "even number"),
        ("llama", "rope_parameters", json!({"rope_type": "linear"}), "factor"),
        ("llama", "rope_parameters", json!({"rope_type": "linear", "factor": 0}), "factor"),
        ("llama", "rope_parameters", json!([1]), "rope_parameters"),
        ("llama", "rope_parameters", json!({"rope_theta": 0.5}), "rope_theta"),
        ("phi3", "rope_scaling", json!({"type": "su", "short_factor": [1.0]}), "short_factor"),
    ];
    for (family, key, value, says) in wrong {
        let error = altered(family, key, &value).err().unwrap_or_else(|| panic!("{family} takes {key} = {value}"));
        assert!(matches!(error, Error::Config { .. }) && error.to_string().contains(says), "{error}");
    }
}

/// Configurations on the Hub are mostly older than Transformers 5: their rotary keys stand at the top level.
#[test]
fn the_rotary_keys_of_older_transformers_mean_the_same() {
    let old = [
        ("llama", json!({"rope_theta": 10_000.0})),
        ("qwen3", json!({"rope_theta": 10_000.0, "rope_scaling": null})),
        ("gpt_neox", json!({"rotary_emb_base": 10_000, "rotary_pct": 0.5})),
        ("phi3", json!({"rope_theta": 10_000.0, "partial_rotary_factor": 0.5})),
        ("smollm3", json!({"rope_theta": 100.0})),
        (
            "gemma3_text",
            json!({"rope_theta": 1e6, "rope_local_base_freq": 100.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
        ),
        ("variants/rope_linear", json!({"rope_theta": 10_000.0, "rope_scaling": {"type": "linear", "factor": 3.0}})),
        (
            "variants/rope_llama3",
            json!({"rope_theta": 10_000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 0.4,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}),
        ),
        (
            "variants/rope_long",
            json!({"rope_theta": 10_000.0, "partial_rotary_factor": 0.5, "rope_scaling": {"type": "su",
                "short_factor": [1.25, 2.5], "long_factor": [3.0, 9.0]}}),
        ),
    ];
    for (folder, keys) in old {
        let new = read(&fixtures().join(folder).join("config.json"));
        let mut config = new.clone();
        config.as_object_mut().unwrap().remove("rope_parameters").expect("the fixture has the new key");
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let spec = |json: Value| {
            let config = Config::new(json);
            families::family_of(&config).unwrap().spec(&config).unwrap()
        };
        assert_eq!(spec(config), spec(new), "{folder}");
    }
}

#[test]
fn saved_folders_hold_the_tensors_and_the_class_that_were_loaded() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        for part in ["", "classifier"] {
            let folder = fixtures().join(family).join(part);
            let model = load(&folder, &Wanted::AsStored, Purpose::Inference).unwrap();
            let out = tempfile::tempdir().unwrap();
            save(&model, out.path(), Precision::F32).unwrap();
            let (before, after) = (Weights::open(&folder, "").unwrap(), Weights::open(out.path(), "").unwrap());
            assert_eq!(before.names().collect::<Vec<_>>(), after.names().collect::<Vec<_>>(), "{family}");
            for name in before.names() {
                let shape = before.shape(name).unwrap();
                assert_eq!(
                    before.values(name, &shape).unwrap(),
                    after.values(name, &shape).unwrap(),
                    "{family} {name}"
                );
            }
            let class = |folder: &Path| read(&folder.join("config.json"))["architectures"].clone();
            assert_eq!(class(&folder), class(out.path()), "{family}");
        }
    }
}

#[test]
fn greedy_continuations_agree_and_the_cache_changes_nothing() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let folder = fixtures().join(family);
        let model = load(&folder, &Wanted::AsStored, Purpose::Inference).unwrap();
        let expected = read(&folder.join("expected.json"));
        let reference: Vec<u32> = serde_json::from_value(expected["greedy"]["continuation"].clone()).unwrap();
        let prompt = &packed(&folder).ids[..5];
        let limits = Limits { max_new_tokens: 12, stop: Vec::new() };
        let ours = model.generate(prompt, &limits, &mut Workspace::default()).unwrap();
        assert_eq!(ours, reference, "{family}");
    }
}

#[test]
fn trie_scores_equal_separate_runs() {
    use wardsmith_model::constrain::Trie;
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let model = load(&fixtures().join(family), &Wanted::AsStored, Purpose::Inference).unwrap();
        let prompt = [3, 14, 15, 92, 65, 35];
        let answers = vec![vec![5, 6, 1], vec![5, 7, 8, 1], vec![9, 1], vec![5, 6, 2, 1]];
        let workspace = &mut Workspace::default();
        let scores = model.score_answers(&prompt, &Trie::new(&answers).unwrap(), workspace).unwrap();
        for (answer, score) in answers.iter().zip(scores) {
            let ids: Vec<u32> = prompt.iter().chain(answer).copied().collect();
            let targets = (0..answer.len())
                .map(|i| Target { position: (prompt.len() + i - 1) as u32, token: answer[i] })
                .collect();
            let batch = Batch { lengths: vec![ids.len()], ids, targets, ..Batch::default() };
            let alone: f64 = model.losses(&batch, workspace).unwrap().iter().sum();
            assert!((alone + score).abs() < 1e-4, "{family}: {alone} against {}", -score);
        }
    }
}

/// The documents of a batch behind one copy of a beginning.
fn shared(batch: &Batch, beginning: usize) -> Batch {
    let mut one = Batch { ids: batch.ids[..beginning].to_vec(), lengths: vec![beginning], ..Batch::default() };
    one.beginnings.push(None);
    let mut start = 0;
    for n in &batch.lengths {
        let own = start + beginning..start + n;
        let to = |p: usize| if p < own.start { p - start } else { p - own.start + one.ids.len() };
        let here = batch.targets.iter().filter(|t| (start..start + n).contains(&(t.position as usize)));
        let targets: Vec<Target> = here.map(|t| Target { position: to(t.position as usize) as u32, ..*t }).collect();
        one.targets.extend(targets);
        one.ids.extend(&batch.ids[own.clone()]);
        one.lengths.push(own.len());
        one.beginnings.push(Some(0));
        start += n;
    }
    one
}

#[test]
fn documents_behind_a_shared_beginning_learn_as_separate_ones() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        let mut model = load(&fixtures().join(family), &Wanted::AsStored, Purpose::Training).unwrap();
        model.train_all();
        let beginning = [7, 21, 9, 33, 4, 60, 61];
        let mut separate = Batch::default();
        for own in [&[11, 5, 90][..], &[12, 6], &[44, 45, 46, 47, 48], &[3]] {
            let start = separate.ids.len();
            separate.ids.extend(beginning.iter().chain(own));
            separate.lengths.push(beginning.len() + own.len());
            // One target within the beginning, one at its end, and all of the document's own.
            let last = separate.ids.len() - 1;
            let places = [start + 2].into_iter().chain(start + beginning.len() - 1..last);
            separate.targets.extend(places.map(|p| Target { position: p as u32, token: separate.ids[p + 1] }));
        }
        let together = shared(&separate, beginning.len());
        assert_eq!((together.ids.len(), together.targets.len()), (18, separate.targets.len()));
        let workspace = &mut Workspace::default();
        let run = |batch: &Batch, workspace: &mut Workspace| {
            let mut gradients = Gradients::zeros(&model.params);
            let loss = model.accumulate(batch, 0.1, &mut gradients, workspace).unwrap();
            (loss, gradients)
        };
        let ((loss, apart), (again, joined)) = (run(&separate, workspace), run(&together, workspace));
        assert!((loss - again).abs() < 1e-4, "{family}: {loss} against {again}");
        for (id, param) in model.params.iter() {
            let (a, b) = (apart.get(id).unwrap(), joined.get(id).unwrap());
            let norm = a.iter().map(|x| x * x).sum::<f32>().sqrt();
            let off = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
            assert!(off <= GRADIENT * norm + 1e-6, "{family} {}: off by {off} of {norm}", param.name);
        }
    }
}

/// What the last block computes only for the tokens that are asked for is what it computes for all.
#[test]
fn a_few_targets_learn_what_they_learn_among_all() {
    for family in families::ALL {
        let folder = fixtures().join(family.model_type());
        let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
        model.train_all();
        let (mut all, mut workspace) = (everywhere(&packed(&folder)), Workspace::default());
        let everything = all.targets.clone();
        let mut gradients = [Gradients::zeros(&model.params), Gradients::zeros(&model.params)];
        let mut losses = [0.0_f64; 2];
        losses[0] += model.accumulate(&all, 1.0, &mut gradients[0], &mut workspace).unwrap();
        // Not in order, and one row twice.
        let (last, few) = (everything.len() - 1, everything.len() / 3);
        let mut parts = vec![everything[..few].iter().rev().copied().collect::<Vec<_>>(), everything[few..].to_vec()];
        parts[0].push(everything[last]);
        parts[1].retain(|target| *target != everything[last]);
        for targets in parts {
            all.targets = targets;
            losses[1] += model.accumulate(&all, 1.0, &mut gradients[1], &mut workspace).unwrap();
        }
        assert!((losses[0] - losses[1]).abs() < 1e-4, "{}: {losses:?}", family.model_type());
        for (id, param) in model.params.iter() {
            let [one, sum] = [&gradients[0], &gradients[1]].map(|g| g.get(id).unwrap());
            let norm = one.iter().map(|x| x * x).sum::<f32>().sqrt();
            let off = one.iter().zip(sum).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                off <= GRADIENT * norm.max(1e-3),
                "{}, {}: off by {off} of {norm}",
                family.model_type(),
                param.name
            );
        }
    }
}

#[test]
fn sharded_and_half_precision_folders_load() {
    let single = load(&fixtures().join("llama"), &Wanted::AsStored, Purpose::Inference).unwrap();
    let sharded = load(&fixtures().join("sharded"), &Wanted::AsStored, Purpose::Inference).unwrap();
    let half = load(&fixtures().join("llama_bf16"), &Wanted::AsStored, Purpose::Inference).unwrap();
    for ((_, a), ((_, b), (_, c))) in single.params.iter().zip(sharded.params.iter().zip(half.params.iter())) {
        assert_eq!(a.value, b.value, "{}", a.name);
        assert!(a.value.iter().zip(&c.value).all(|(x, y)| (x - y).abs() <= x.abs() / 128.0), "{}", a.name);
    }
}

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn stories_continue_as_their_author_shows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models/stories260K-llama");
    if !folder.exists() {
        aloud("skipped: stories260K; needs ../shared/data");
        return;
    }
    aloud("ran: stories260K");
    let model = load(&folder, &Wanted::AsStored, Purpose::Inference).unwrap();
    let vocabulary = read(&folder.join("tokenizer.json"))["model"]["vocab"].clone();
    let piece = |id: u32| {
        vocabulary.as_object().unwrap().iter().find(|(_, v)| v.as_u64() == Some(u64::from(id))).unwrap().0.clone()
    };
    let limits = Limits { max_new_tokens: 200, stop: vec![] };
    // The beginning-of-text token alone: the model tells the whole story.
    let ids = model.generate(&[1], &limits, &mut Workspace::default()).unwrap();
    let text: String = ids.into_iter().map(piece).collect::<String>().replace('▁', " ").replace("<0x0A>", "\n");
    let expected = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.";
    assert!(text.trim_start().starts_with(expected), "{text}");
}
