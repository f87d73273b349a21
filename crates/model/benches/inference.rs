//! How fast a model reads, writes and scores labels: `cargo bench -p wardsmith-model --bench inference [-- MODEL_DIR [q8_0 …] [cpu]]`.
//!
//! Without a folder, a Llama of SmolLM2-135M's shape with random weights. `reference/decode_speed.py` measures llama.cpp and
//! Transformers the same way: one sequence, a prompt of 128 tokens, then 128 tokens, each the likeliest.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use wardsmith_model::cache::Cache;
use wardsmith_model::checkpoint::{Wanted, initialise, load};
use wardsmith_model::constrain::{Found, Search, Trie};
use wardsmith_model::generate::Limits;
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::quant::Format;
use wardsmith_model::{Model, Purpose};

const PROMPT: usize = 128;
const NEW: usize = 128;
const REPEATS: usize = 3;
/// A CVE's question, and the instruction that all questions begin with.
const QUESTION: usize = 300;
const INSTRUCTION: usize = 60;
/// Factors of the logits of a model that was never trained, until it is as sure of a label as a tuned one.
const SHARPER: [f32; 3] = [1.0, 8.0, 16.0];

fn model() -> Model {
    match std::env::args().skip(1).find(|a| Path::new(a).is_dir()) {
        Some(folder) => load(Path::new(&folder), &Wanted::LanguageModel, Purpose::Inference).unwrap(),
        None => {
            let config = json!({
                "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
                "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
                "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true
            });
            initialise(config, None, 7, Purpose::Inference).unwrap()
        }
    }
}

/// Seconds on the processor of this thread so far, where Linux tells: with `RAYON_NUM_THREADS=1` all work is this thread's,
/// and a busy machine does not count.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// The shortest of several times, in seconds: what else the machine does only ever adds. With the argument `cpu`, time on the
/// processor.
fn shortest(mut work: impl FnMut()) -> f64 {
    let cpu = std::env::args().any(|a| a == "cpu");
    let time = |_| {
        let (start, processor) = (Instant::now(), processor_seconds().filter(|_| cpu));
        work();
        match processor.zip(processor_seconds()) {
            Some((start, end)) => end - start,
            None => start.elapsed().as_secs_f64(),
        }
    };
    (0..REPEATS).map(time).fold(f64::INFINITY, f64::min)
}

fn say(text: std::fmt::Arguments<'_>) {
    // A closed standard output ends nothing that matters.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Ids that are no special tokens, spread over the vocabulary.
fn ids(n: usize, vocab: usize) -> Vec<u32> {
    (0..n).map(|i| (3 + i * 7919 % (vocab - 3)) as u32).collect()
}

/// 200 answers as `CWE-79: Cross-site Scripting` has them: a shared beginning, a number, some words, an end.
fn labels(vocab: usize) -> Vec<Vec<u32>> {
    let word = |label: usize, i: usize| (5 + (label * 131 + i * 1009) % (vocab - 5)) as u32;
    (0..200).map(|l| [vec![3, 4], (0..1 + l % 3).map(|i| word(l, i)).collect(), vec![2]].concat()).collect()
}

/// Nats of the distribution over the labels that were reached.
fn entropy(found: &Found) -> f64 {
    let mass: f64 = found.nats.iter().map(|nats| nats.exp()).sum();
    found.nats.iter().map(|nats| nats.exp() / mass).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum()
}

/// The search for the three best labels of a question, whole and behind an instruction that is there already.
fn search(model: &mut Model, (name, read): (&str, f64), workspace: &mut Workspace) {
    let vocab = model.spec.vocab;
    let trie = Trie::new(&labels(vocab)).unwrap();
    let (question, wanted) = (ids(QUESTION, vocab), Search { most: 3, left_out: 1e-4, certain: None });
    for factor in SHARPER {
        let norm = model.decoder.final_norm.weight;
        model.params[norm].value.iter_mut().for_each(|x| *x *= factor);
        let behind = |shared: usize, workspace: &mut Workspace| {
            let mut cache = Cache::new(model);
            let mut found = None;
            let time = shortest(|| {
                cache.truncate(shared);
                found = Some(model.search_answers(&mut cache, &question, (&trie, wanted), workspace).unwrap());
            });
            (time, found.unwrap())
        };
        let (whole, found) = behind(0, workspace);
        let (after, _) = behind(INSTRUCTION, workspace);
        model.params[norm].value.iter_mut().for_each(|x| *x /= factor);
        say(format_args!(
            "{name}: search, {:.2} nats over the labels: {} nodes in {} passes, {:.1} ms ({:.2}x); behind its instruction {:.1} ms ({:.2}x)",
            entropy(&found),
            found.nodes,
            found.passes,
            1e3 * whole,
            whole / read,
            1e3 * after,
            after / read,
        ));
    }
}

fn measure(model: &mut Model, name: &str) {
    let (vocab, workspace) = (model.spec.vocab, &mut Workspace::default());
    let prompt = ids(PROMPT, vocab);
    let limits = |n| Limits { max_new_tokens: n, stop: Vec::new() };
    let prefill = shortest(|| drop(model.generate(&prompt, &limits(1), workspace).unwrap()));
    let both = shortest(|| drop(model.generate(&prompt, &limits(1 + NEW), workspace).unwrap()));
    let trie = Trie::new(&labels(vocab)).unwrap();
    let question = ids(QUESTION, vocab);
    let read = shortest(|| drop(model.prefill(&question, workspace).unwrap()));
    let score = shortest(|| drop(model.score_answers(&question, &trie, workspace).unwrap()));
    say(format_args!(
        "{name}: prefill {:.0} tokens/s, decode {:.1} tokens/s; question {:.1} ms, with 200 labels {:.1} ms ({:.2}x); weights {:.0} MiB",
        PROMPT as f64 / prefill,
        NEW as f64 / (both - prefill),
        1e3 * read,
        1e3 * score,
        score / read,
        model.weight_bytes() as f64 / f64::from(1 << 20),
    ));
    search(model, (name, read), workspace);
}

fn main() {
    let all = [("f32", None), ("q8_0", Some(Format::Q8_0)), ("q4_0", Some(Format::Q4_0))];
    let wanted: Vec<_> = all.into_iter().filter(|(name, _)| std::env::args().any(|a| a == *name)).collect();
    for (name, format) in if wanted.is_empty() { all.to_vec() } else { wanted } {
        let mut model = model();
        if let Some(format) = format {
            model.quantise(format);
        }
        measure(&mut model, name);
    }
}
