//! `wardsmith bench`: what this machine can do, and how much of it the engine uses.
//!
//! Training has the shape that the peers are measured with: a Llama of SmolLM2-135M's size, LoRA of rank 16 on all linear
//! layers, AdamW; four rows of 128 random tokens, all supervised, or eight of the given examples a step, supervised on the
//! completion.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use wardsmith_model::layers::lora::is_adapter;
use wardsmith_model::ops::matmul::{Right, View, Write, matmul};
use wardsmith_model::ops::peak::peak_flops;
use wardsmith_model::{Batch, Model, Purpose, Target, adapter, checkpoint};
use wardsmith_tokens::{Document, Pack, Supervised, Tokenizer};
use wardsmith_train::adamw::{AdamW, AdamWOptions, Decay};
use wardsmith_train::feed;
use wardsmith_train::step::Trainer;

use crate::cli;
use crate::say;

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const VOCAB: usize = 49_152;
const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const EXAMPLES_PER_STEP: usize = 8;
/// Steps before the machine is warm.
const WARM_UP: usize = 2;
/// No line of examples is longer.
const MAX_LINE_BYTES: usize = 1 << 20;

pub(super) fn run(args: &cli::Bench) -> Result<()> {
    if let Some(path) = &args.examples {
        // Said before half a minute is spent on the rest.
        File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    }
    let threads = rayon::current_num_threads();
    let peak = peak_flops() / 1e9;
    say::result(format_args!("threads: {threads}"));
    say::result(format_args!("multipliers: {peak:.0} GFLOP/s (the kernel on operands in the first-level cache)"));
    for (m, k, n) in [(512, HIDDEN, INNER), (512, INNER, HIDDEN), (512, HIDDEN, VOCAB)] {
        let rate = product(m, k, n) / 1e9;
        let share = 100.0 * rate / peak;
        say::result(format_args!("product {m}×{k}×{n}: {rate:.0} GFLOP/s, {share:.0} % of it"));
    }
    train(args, peak)
}

/// Multiplications and additions a second, as if done plainly, in the median of nine products.
fn product(m: usize, k: usize, n: usize) -> f64 {
    let values = |len: usize| (0..len).map(|i| (i % 13) as f32 / 13.0 - 0.5).collect::<Vec<f32>>();
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0; m * n]);
    let once = |_| {
        let begun = Instant::now();
        matmul(&mut c, View::rows(&a, k), m, Right::turned(&b, k), Write::SET);
        begun.elapsed().as_secs_f64()
    };
    2.0 * (m * k * n) as f64 / median((0..9).map(once).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn train(args: &cli::Bench, peak: f64) -> Result<()> {
    let tokenizer = args.tokenizer.as_deref().map(Tokenizer::load).transpose()?;
    let vocab = tokenizer.as_ref().map_or(VOCAB, Tokenizer::vocab_size);
    let mut model = model(args, vocab)?;
    let steps = usize::from(args.steps);
    let batches = match (&args.examples, &tokenizer) {
        (Some(path), Some(tokenizer)) => examples(path, tokenizer, steps)?,
        _ => vec![random(vocab)],
    };
    if args.adapter.is_none() {
        let lora = adapter::LoraConfig::plain(16, 32.0, adapter::Modules::from_iter(TARGETS));
        adapter::attach(&mut model, &lora, 1)?;
    }
    let work = flops(&model, &batches[0]);
    let optimiser = AdamW::new(&model.params, AdamWOptions { decay: Decay::All, ..AdamWOptions::default() });
    let mut trainer = Trainer::new(model, optimiser, 0.0)?;
    let mut seconds = Vec::new();
    for step in 0..steps {
        let batch = &batches[step % batches.len()];
        let begun = Instant::now();
        let report = trainer.step(std::slice::from_ref(batch), 1e-4, step as u64 + 1)?;
        let passed = begun.elapsed().as_secs_f64();
        let rate = batch.ids.len() as f64 / passed;
        say::note(format_args!("step {step} loss {:.6} {rate:.1} tokens/s", report.loss_nats));
        seconds.push(passed);
    }
    let middle = median(seconds.split_off(WARM_UP));
    let resident = peak_resident_mib().map_or(String::new(), |mib| format!(", peak {mib} MiB"));
    match args.examples {
        Some(_) => {
            let rate = EXAMPLES_PER_STEP as f64 / middle;
            say::result(format_args!("training on examples: median {rate:.3} examples/s{resident}"));
        }
        None => {
            let (rate, share) = (batches[0].ids.len() as f64 / middle, 100.0 * work / middle / 1e9 / peak);
            say::result(format_args!(
                "training: median {rate:.1} tokens/s{resident}; products counted plainly: {share:.0} % of the multipliers"
            ));
        }
    }
    Ok(())
}

/// Multiplications and additions of the matrix products of one step in which only the pairs learn: frozen weights forward and
/// for the gradient of their input, the head for the targets alone.
fn flops(model: &Model, batch: &Batch) -> f64 {
    let head = model.head.linear.weight;
    let (mut frozen, mut pairs) = (0, 0);
    for (id, param) in model.params.iter().filter(|(_, p)| p.shape.len() == 2) {
        match is_adapter(&param.name) {
            true => pairs += param.value.len(),
            false if id != head && id != model.decoder.embedding => frozen += param.value.len(),
            false => {}
        }
    }
    let (tokens, targets) = (batch.ids.len() as f64, batch.targets.len() as f64);
    4.0 * tokens * frozen as f64 + 6.0 * tokens * pairs as f64 + 4.0 * targets * model.params[head].value.len() as f64
}

fn model(args: &cli::Bench, vocab: usize) -> Result<Model> {
    let Some(folder) = &args.model else {
        let config = json!({
            "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": 30, "num_attention_heads": 9,
            "num_key_value_heads": 3, "intermediate_size": INNER, "vocab_size": vocab, "tie_word_embeddings": true,
            "max_position_embeddings": 2048,
        });
        return Ok(checkpoint::initialise(config, None, 1, Purpose::Training)?);
    };
    let mut model = checkpoint::load(folder, &checkpoint::Wanted::LanguageModel, Purpose::Training)?;
    if let Some(folder) = &args.adapter {
        adapter::load(&mut model, folder)?;
    }
    Ok(model)
}

/// Four rows of 128 tokens, each to be predicted from those before it.
fn random(vocab: usize) -> Batch {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab as u64) as u32
    };
    let ids: Vec<u32> = (0..512).map(|_| next()).collect();
    let places = (0..512).filter(|p| p % 128 != 127);
    let targets = places.map(|p| Target { position: p as u32, token: ids[p + 1] }).collect();
    Batch { ids, lengths: vec![128; 4], targets, ..Batch::default() }
}

#[derive(Deserialize)]
struct Example {
    prompt: String,
    completion: String,
}

/// The examples of `steps` steps, or as many as there are.
fn examples(path: &Path, tokenizer: &Tokenizer, steps: usize) -> Result<Vec<Batch>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let (mut batches, mut pack) = (Vec::new(), Pack::default());
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read `{}`", path.display()))?;
        if line.len() > MAX_LINE_BYTES {
            bail!("line {} of `{}` is longer than {MAX_LINE_BYTES} bytes", number + 1, path.display());
        }
        let example: Example = serde_json::from_str(&line)
            .with_context(|| format!("line {} of `{}` is no example", number + 1, path.display()))?;
        let mut ids = tokenizer.encode(&example.prompt)?;
        let prompt = ids.len();
        ids.extend(tokenizer.encode(&example.completion)?);
        let mask: Vec<bool> = (0..ids.len()).map(|i| i >= prompt).collect();
        pack.push(Document { ids: &ids, supervision: Supervised::Tokens(&mask) });
        if pack.lengths.len() == EXAMPLES_PER_STEP {
            batches.push(feed::batch(std::mem::take(&mut pack)));
        }
        if batches.len() == steps {
            break;
        }
    }
    if batches.is_empty() {
        bail!("`{}` holds fewer than {EXAMPLES_PER_STEP} examples", path.display());
    }
    Ok(batches)
}

/// The most memory this process ever held, where the system tells it.
fn peak_resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}
