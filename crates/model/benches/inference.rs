//! How fast a model reads, writes and scores labels: `cargo bench -p wardsmith-model --bench inference [-- MODEL_DIR [q8_0 …] [cpu]]`.
//!
//! Without a folder, a Llama of SmolLM2-135M's shape with random weights. `reference/decode_speed.py` measures llama.cpp and
//! Transformers the same way: one sequence, a prompt of 128 tokens, then 128 tokens, each the likeliest.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
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
/// How the probabilities of labels fall with their rank, p ∝ rank^-s: from flat to sharp.
const FALLS: [f64; 3] = [0.5, 1.5, 2.5];

fn model() -> Model {
    match std::env::args().skip(1).find(|a| Path::new(a).is_dir()) {
        Some(folder) => load(Path::new(&folder), &Wanted::LanguageModel, Purpose::Inference).unwrap(),
        None => initialise(shape(), None, 7, Purpose::Inference).unwrap(),
    }
}

/// Of SmolLM2-135M.
fn shape() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true
    })
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

/// The same with an end of its own each, so that a head can be made that knows them.
fn words(vocab: usize) -> Vec<Vec<u32>> {
    labels(vocab).into_iter().map(|label| [&label[..label.len() - 1], &[label[2] + 1]].concat()).collect()
}

/// A model that knows the labels as a tuned one does: their first words have probabilities that fall with rank, and every
/// further word is all but certain. Only embedding and head are made so; all work is that of any model of the shape.
fn knowing(fall: f64) -> Model {
    let mut config = shape();
    config["tie_word_embeddings"] = json!(false);
    let mut model = initialise(config, None, 7, Purpose::Inference).unwrap();
    let (d, embedding, head) = (model.spec.hidden, model.decoder.embedding, model.head.linear.weight);
    // So large that what the blocks add changes little.
    model.params[embedding].value.iter_mut().for_each(|x| *x *= 50.0);
    let mut lead = |from: u32, to: u32, logit: f32| {
        let row = model.params[embedding].value[from as usize * d..][..d].to_vec();
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt() * (d as f32).sqrt();
        let to = &mut model.params[head].value[to as usize * d..][..d];
        to.iter_mut().zip(row).for_each(|(x, e)| *x += logit / norm * e);
    };
    lead(3, 4, 25.0);
    for (rank, label) in words(model.spec.vocab).iter().enumerate() {
        lead(4, label[2], 25.0 - (fall * (1.0 + rank as f64).ln()) as f32);
        label[2..].windows(2).for_each(|pair| lead(pair[0], pair[1], 25.0));
    }
    model
}

/// Nats of the distribution over the labels.
fn entropy(nats: &[f64]) -> f64 {
    let mass: f64 = nats.iter().map(|nats| nats.exp()).sum();
    nats.iter().map(|nats| nats.exp() / mass).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum()
}

/// The search for the three best labels of a question, whole and behind an instruction that is there already.
fn search(format: Option<Format>, name: &str, workspace: &mut Workspace) {
    for fall in FALLS {
        let mut model = knowing(fall);
        format.into_iter().for_each(|format| model.quantise(format));
        let trie = Trie::new(&words(model.spec.vocab)).unwrap();
        let question = ids(QUESTION, model.spec.vocab);
        let read = shortest(|| drop(model.prefill(&question, workspace).unwrap()));
        let wanted = Search { most: 3, left_out: 1e-4, budget: QUESTION / 12, certain: None };
        let behind = |shared: usize, workspace: &mut Workspace| {
            let mut cache = Cache::new(&model);
            let mut found = None;
            let time = shortest(|| {
                cache.truncate(shared);
                found = Some(model.search_answers(&mut cache, &question, (&trie, wanted), workspace).unwrap());
            });
            (time, found.unwrap())
        };
        let (whole, found) = behind(0, workspace);
        let (after, _) = behind(INSTRUCTION, workspace);
        let Found { nodes, passes, left_out, .. } = found;
        say(format_args!(
            "{name}: {:.2} nats over 200 labels: {nodes} nodes in {passes} passes, at most {left_out:.1e} left out; question {:.1} ms, search {:.1} ms ({:.2}x), behind its instruction {:.1} ms ({:.2}x)",
            entropy(&model.score_answers(&question, &trie, workspace).unwrap()),
            1e3 * read,
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
        drop(model);
        search(format, name, &mut Workspace::default());
    }
}
