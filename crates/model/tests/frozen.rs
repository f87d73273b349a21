//! Models whose frozen weights lie in few bits: they compute what their expanded weights give in f32, bit for bit, and are saved
//! as these.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use wardsmith_model::adapter::{LoraConfig, Modules};
use wardsmith_model::checkpoint::{Storage, Wanted, load, load_as, save};
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::frozen::Form;
use wardsmith_model::params::Gradients;
use wardsmith_model::weights::Precision;
use wardsmith_model::{Batch, Model, Purpose, Target, adapter, families};

const STORAGES: [Storage; 4] = [
    Storage { linears: Form::Bf16, rest: Form::Bf16 },
    Storage { linears: Form::Int8, rest: Form::F32 },
    Storage { linears: Form::Nf4, rest: Form::F32 },
    Storage { linears: Form::Nf4, rest: Form::Bf16 },
];

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity").join(family)
}

fn batch() -> Batch {
    let targets = [2, 3, 9, 17].map(|position| Target { position, token: position * 3 + 1 });
    Batch {
        ids: (0..18).map(|i| i * 5 % 90).collect(),
        lengths: vec![11, 7],
        targets: targets.to_vec(),
        ..Batch::default()
    }
}

/// A model held as `storage` says with an adapter whose halves are not zero, and the same with its weights expanded.
fn pair_of(family: &str, storage: Storage, dora: bool) -> (Model, Model) {
    let mut stored = load_as(&folder(family), &Wanted::AsStored, Purpose::Training, storage).unwrap();
    let names = stored.family.names();
    let targets = [names.q, names.down].map(|name| name.rsplit('.').next().unwrap().to_owned());
    let plain = LoraConfig::plain(4, 8.0, Modules::from_iter(targets.iter().map(String::as_str)));
    let config = LoraConfig { use_dora: dora, ..plain };
    let mut plain = load(&folder(family), &Wanted::AsStored, Purpose::Training).unwrap();
    for model in [&mut stored, &mut plain] {
        adapter::attach(model, &config, 7).unwrap();
        let pairs = model.params.iter_mut().filter(|(_, p)| p.name.ends_with("lora_B.weight"));
        pairs.for_each(|(_, p)| p.value.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 11) as f32 * 0.01 - 0.05));
    }
    for ((_, plain), (_, stored)) in plain.params.iter_mut().zip(stored.params.iter()) {
        plain.set(stored.values().into_owned());
    }
    (stored, plain)
}

fn loss_and_gradients(model: &Model) -> (f64, Gradients) {
    let (mut gradients, mut workspace) = (Gradients::zeros(&model.params), Workspace::default());
    let loss = model.accumulate(&batch(), 0.25, &mut gradients, &mut workspace).unwrap();
    (loss, gradients)
}

#[test]
fn loss_and_gradients_are_those_of_the_expanded_weights_in_every_family() {
    for family in families::ALL.iter().map(|family| family.model_type()) {
        for (storage, dora) in STORAGES.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            let (stored, plain) = pair_of(family, storage, dora);
            assert!(stored.weight_bytes() < plain.weight_bytes(), "{family} {storage:?}");
            let ((a, ours), (b, theirs)) = (loss_and_gradients(&stored), loss_and_gradients(&plain));
            assert_eq!(a, b, "{family} {storage:?}: loss");
            for (id, param) in stored.params.iter() {
                assert_eq!(ours.get(id), theirs.get(id), "{family} {storage:?} {}", param.name);
                assert_eq!(param.trainable, ours.get(id).is_some());
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for storage in STORAGES {
        let (mut model, _) = pair_of("qwen3", storage, false);
        let (_, gradients) = loss_and_gradients(&model);
        let ids: Vec<_> = model.params.iter().filter(|(_, p)| p.trainable).map(|(id, _)| id).collect();
        for id in ids {
            let analytic = gradients.get(id).unwrap().to_vec();
            let at = (0..analytic.len()).max_by(|a, b| analytic[*a].abs().total_cmp(&analytic[*b].abs())).unwrap();
            let original = model.params[id].value[at];
            let mut loss = |x: f32| {
                model.params[id].value[at] = x;
                0.25 * model.losses(&batch(), &mut Workspace::default()).unwrap().iter().sum::<f64>()
            };
            let numeric = (loss(original + 4e-3) - loss(original - 4e-3)) / 8e-3;
            loss(original);
            let off = (numeric - f64::from(analytic[at])).abs();
            assert!(
                off < 1e-3 + 2e-2 * numeric.abs(),
                "{storage:?} {}: {numeric}, {}",
                model.params[id].name,
                analytic[at]
            );
        }
    }
}

#[test]
fn a_saved_model_is_its_expanded_weights_with_the_adapter_added() {
    for family in ["llama", "gpt2"] {
        for (storage, dora) in STORAGES.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            let (stored, mut plain) = pair_of(family, storage, dora);
            let place = tempfile::tempdir().unwrap();
            save(&stored, place.path(), Precision::F32).unwrap();
            adapter::merge(&mut plain);
            let back = load(place.path(), &Wanted::AsStored, Purpose::Inference).unwrap();
            for (_, param) in back.params.iter() {
                let theirs = plain.params.iter().find(|(_, p)| p.name == param.name).unwrap().1;
                assert_eq!(param.value, theirs.value, "{family} {storage:?} {}", param.name);
            }
            let (ours, theirs) =
                [&stored, &back].map(|model| model.logits(&batch(), &mut Workspace::default()).unwrap()).into();
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
            let ours: Vec<f32> = ours;
            let theirs: Vec<f32> = theirs;
            assert!(ours.iter().zip(&theirs).all(near), "{family} {storage:?}");
        }
    }
}

#[test]
fn one_token_after_the_other_gives_what_the_whole_gives() {
    let (stored, _) = pair_of("llama", STORAGES[3], false);
    let limits = wardsmith_model::generate::Limits { max_new_tokens: 8, stop: vec![] };
    let workspace = &mut Workspace::default();
    let mut ids = vec![3, 14, 15, 92];
    let greedy = stored.generate(&ids, &limits, workspace).unwrap();
    for token in greedy {
        let last = Target { position: ids.len() as u32 - 1, token: 0 };
        let batch = Batch { lengths: vec![ids.len()], ids: ids.clone(), targets: vec![last], ..Batch::default() };
        let logits = stored.logits(&batch, workspace).unwrap();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(best as u32, token);
        ids.push(token);
    }
}
