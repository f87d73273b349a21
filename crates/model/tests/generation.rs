//! Generation and scoring: processors and embeddings against Transformers, batches against single sequences, reused prefixes
//! against fresh ones, weights in few bits against f32.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use wardsmith_model::cache::Cache;
use wardsmith_model::checkpoint::{Wanted, load};
use wardsmith_model::constrain::{Search, Trie};
use wardsmith_model::families;
use wardsmith_model::generate::{Limits, StopSequences, Unwatched, Watch};
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::quant::Format;
use wardsmith_model::sample::Sampling;
use wardsmith_model::{Batch, Model, Purpose};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity")
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("generation.json")).unwrap()).unwrap()
}

fn model(family: &str) -> Model {
    load(&fixtures().join(family), &Wanted::AsStored, Purpose::Inference).unwrap()
}

fn every_family() -> impl Iterator<Item = (&'static str, Model)> {
    families::ALL.iter().map(|family| (family.model_type(), model(family.model_type())))
}

#[test]
fn processors_agree_with_transformers() {
    let golden = golden();
    let floats = |v: &Value| -> Vec<Option<f32>> { serde_json::from_value(v.clone()).unwrap() };
    let seen: Vec<u32> = serde_json::from_value(golden["seen"].clone()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let number =
            |key: &str, default: f64| case["settings"].get(key).map_or(default, |v| v.as_f64().unwrap()) as f32;
        let sampling = Sampling {
            temperature: number("temperature", 1.0),
            top_k: number("top_k", 0.0) as usize,
            top_p: number("top_p", 1.0),
            min_p: number("min_p", 0.0),
            repetition_penalty: number("repetition_penalty", 1.0),
            seed: 0,
        };
        let mut logits: Vec<f32> = floats(&golden["logits"]).into_iter().map(Option::unwrap).collect();
        sampling.process(&mut logits, &seen, None);
        for (i, (ours, theirs)) in logits.iter().zip(floats(&case["logits"])).enumerate() {
            match theirs {
                Some(x) => assert!((ours - x).abs() < 1e-5, "{} token {i}: {ours} against {x}", case["settings"]),
                None => assert_eq!(*ours, f32::NEG_INFINITY, "{} token {i}", case["settings"]),
            }
        }
    }
}

#[test]
fn embeddings_agree_with_transformers() {
    let golden = golden();
    for (family, expected) in golden["embeddings"].as_object().unwrap() {
        let text = std::fs::read_to_string(fixtures().join(family).join("batch.json")).unwrap();
        let batch: Value = serde_json::from_str(&text).unwrap();
        let rows: Vec<Vec<u32>> = serde_json::from_value(batch["input_ids"].clone()).unwrap();
        let lengths = rows.iter().map(Vec::len).collect();
        let batch = Batch { ids: rows.concat(), lengths, ..Batch::default() };
        let ours = model(family).embeddings(&batch, &mut Workspace::default()).unwrap();
        let expected: Vec<Vec<f32>> = serde_json::from_value(expected.clone()).unwrap();
        assert!(ours.iter().zip(expected.concat()).all(|(a, b)| (a - b).abs() < 2e-5), "{family}");
    }
}

fn prompts() -> Vec<Vec<u32>> {
    vec![vec![3, 14, 15, 92, 65], vec![3, 14, 15, 7], vec![3, 14, 15, 92, 65, 35, 8], vec![3, 14]]
}

#[test]
fn a_batch_writes_what_its_sequences_write_alone() {
    let drawn = Sampling { temperature: 0.8, top_k: 20, seed: 4, ..Sampling::default() };
    for (family, model) in every_family() {
        for sampling in [Sampling::default(), drawn] {
            let limits = Limits { max_new_tokens: 9, stop: vec![2] };
            let workspace = &mut Workspace::default();
            let together = model.sample_batch(&prompts(), (&limits, &sampling), &mut Unwatched, workspace).unwrap();
            // Alone, but with the draws of its number in the batch: the others are cut off at once.
            struct Only(usize);
            impl Watch for Only {
                fn goes_on(&mut self, sequence: usize, _answer: &[u32]) -> bool {
                    sequence == self.0
                }
            }
            for (i, answer) in together.iter().enumerate() {
                let alone = model.sample_batch(&prompts(), (&limits, &sampling), &mut Only(i), workspace).unwrap();
                assert_eq!(&alone[i], answer, "{family} {i}");
            }
            let cache = &mut Cache::new(&model);
            let single = model.sample(cache, &prompts()[0], (&limits, &sampling), &mut Unwatched, workspace).unwrap();
            assert_eq!(single, together[0], "{family}");
        }
    }
}

#[test]
fn a_reused_beginning_changes_nothing() {
    for (family, model) in every_family() {
        let workspace = &mut Workspace::default();
        let cache = &mut Cache::new(&model);
        for prompt in prompts() {
            let (_, fresh) = model.prefill(&prompt, workspace).unwrap();
            let reused = model.prefill_from(cache, &prompt, workspace).unwrap();
            assert!(fresh.iter().zip(&reused).all(|(a, b)| (a - b).abs() < 1e-4), "{family}");
        }
        let mut fork = cache.fork(1);
        assert_eq!((fork.len(), fork.common(&[3, 14])), (1, 1));
        let again = model.prefill_from(&mut fork, &[3, 14], workspace).unwrap();
        assert!(again.iter().zip(model.prefill(&[3, 14], workspace).unwrap().1).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn stop_sequences_end_an_answer() {
    let (model, workspace) = (model("llama"), &mut Workspace::default());
    let limits = Limits { max_new_tokens: 12, stop: Vec::new() };
    let whole = model.generate(&[3, 14, 15], &limits, workspace).unwrap();
    let stop = vec![whole[3..5].to_vec()];
    let cache = &mut Cache::new(&model);
    let mut watch = StopSequences(&stop);
    let cut = model.sample(cache, &[3, 14, 15], (&limits, &Sampling::default()), &mut watch, workspace).unwrap();
    assert_eq!(cut, whole[..5]);
}

#[test]
fn the_best_answers_are_those_of_all_scores() {
    let answers: Vec<Vec<u32>> = (0..40_u32)
        .map(|i| {
            [vec![5, 6 + i % 3], (0..i % 4).map(|j| 10 + (i * 7 + j * 11) % 80).collect(), vec![50 + i, 1]].concat()
        })
        .collect();
    let trie = Trie::new(&answers).unwrap();
    for (family, model) in every_family() {
        let workspace = &mut Workspace::default();
        let cache = &mut Cache::new(&model);
        let scores = model.score_answers(&[3, 14, 15, 92], &trie, workspace).unwrap();
        let mut ranked: Vec<(usize, f64)> = scores.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (most, left_out, certain) in [(1, 1.0, None), (3, 1.0, Some(17)), (40, 1.0, None), (1, 0.05, Some(3))] {
            let search = Search { most, left_out, budget: 1000, certain };
            let found = model.search_answers(cache, &[3, 14, 15, 92], (&trie, search), workspace).unwrap();
            let mut best: Vec<(usize, f64)> = found.nats.iter().copied().enumerate().collect();
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            for ((a, x), (b, y)) in best.iter().zip(&ranked).take(most) {
                assert!(a == b && (x - y).abs() < 1e-4 && found.exact[*a], "{family}: {a} {x} against {b} {y}");
            }
            assert!(certain.is_none_or(|certain| found.exact[certain]), "{family}");
            let exact = (0..40).filter(|i| found.exact[*i]);
            assert!(exact.clone().all(|i| (found.nats[i] - scores[i]).abs() < 1e-4), "{family}");
            let mass = |all: &mut dyn Iterator<Item = usize>, nats: &[f64]| all.map(|i| nats[i].exp()).sum::<f64>();
            let (reached, rest) =
                (mass(&mut exact.clone(), &scores), mass(&mut (0..40).filter(|i| !found.exact[*i]), &scores));
            let bound = mass(&mut (0..40).filter(|i| !found.exact[*i]), &found.nats);
            assert!((found.left_out - bound / reached).abs() < 1e-4, "{family}: {} {bound}", found.left_out);
            assert!(rest <= bound * 1.001 && bound <= left_out * reached * 1.001 + 1e-12, "{family}: {rest} {bound}");
        }
        assert_eq!(cache.len(), 4, "the prompt stays for the next question");
    }
}

#[test]
fn weights_in_few_bits_give_what_their_values_give_in_f32() {
    for (family, mut plain) in every_family() {
        for format in [Format::Q8_0, Format::Q4_0] {
            let mut model = model(family);
            model.quantise(format);
            for (id, param) in model.params.iter() {
                let Some(matrix) = &param.quantised else { continue };
                assert!(param.value.is_empty(), "{} is held twice", param.name);
                let rows = plain.params[id].value.chunks_exact_mut(matrix.columns).enumerate();
                rows.for_each(|(i, row)| matrix.row(i, row));
            }
            let (ids, workspace): (Vec<u32>, _) = ((3..30).collect(), &mut Workspace::default());
            let (mut cache, _) = model.prefill(&ids[..20], workspace).unwrap();
            let logits = model.prefill_from(&mut cache, &ids, workspace).unwrap();
            let expected = plain.prefill(&ids, workspace).unwrap().1;
            let size = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
            let off = logits.iter().zip(&expected).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
            // What is left is the rounding of inputs to 8 bits. Noise as narrow as this amplifies it, GPT-Neo's unscaled scores most.
            assert!(off < 0.1 * size, "{family} {format:?}: off by {off} of {size}");
        }
    }
}
