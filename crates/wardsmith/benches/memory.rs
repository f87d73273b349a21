//! Nine runs, from a tiny model to one of 135 million weights: the memory that `tune` says it needs, against what it took.
//! Fails where one is off by more than a tenth. `cargo bench -p wardsmith --bench memory`; it takes some minutes and 8 GiB.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../tests/cli/common.rs"]
mod common;

use std::fs;
use std::path::Path;

use common::{aloud, run, tiny};
use serde_json::Value;

/// Name; width, inner width, layers, heads, heads of keys, vocabulary (0: the tokenizer's); rank of an adapter on the base
/// of that name; tokens of a pack.
type Case = (&'static str, Result<[usize; 6], (usize, &'static str)>, usize);

const SMOLLM2_135M: [usize; 6] = [576, 1536, 30, 9, 3, 49152];
const CASES: [Case; 9] = [
    ("tiny", Ok([64, 128, 2, 2, 2, 0]), 512),
    ("small", Ok([256, 688, 6, 4, 4, 0]), 2048),
    ("small-8192", Ok([256, 688, 6, 4, 2, 0]), 8192),
    ("medium", Ok([384, 1024, 12, 6, 6, 0]), 4096),
    ("medium-lora", Err((8, "medium")), 2048),
    ("large", Ok(SMOLLM2_135M), 512),
    ("large-2048", Ok(SMOLLM2_135M), 2048),
    ("large-lora", Err((16, "large")), 512),
    ("large-lora-2048", Err((16, "large")), 2048),
];

fn recipe((name, model, tokens): &Case) -> String {
    let model = match model {
        Ok([hidden, inner, layers, heads, keys, vocab]) => {
            let vocab = if *vocab > 0 { format!("vocab_size = {vocab}, ") } else { String::new() };
            format!(
                "tokenizer = \"tokenizer\"\ninit = {{ model_type = \"llama\", {vocab}hidden_size = {hidden}, intermediate_size = {inner}, \
                 num_hidden_layers = {layers}, num_attention_heads = {heads}, num_key_value_heads = {keys}, \
                 max_position_embeddings = 1024, tie_word_embeddings = true }}"
            )
        }
        Err((rank, base)) => {
            let targets = "[\"q_proj\", \"v_proj\", \"down_proj\"]";
            format!("base = \"{base}/model\"\n[lora]\nrank = {rank}\ntarget_modules = {targets}")
        }
    };
    format!(
        "name = \"{name}\"\n[model]\n{model}\n[train]\ndataset = \"data\"\nmax_len_tokens = 256\ntokens_per_pack = {tokens}\n\
         max_steps = 2\neval_max_examples = 8\n"
    )
}

fn measured(at: &Path, case: &Case) -> (f64, f64, f64) {
    let name = case.0;
    fs::write(at.join(format!("{name}.toml")), recipe(case)).unwrap();
    let (good, text) = run(at, &["tune", &format!("{name}.toml"), "--out", name]);
    assert!(good, "{text}");
    let estimate: Value =
        serde_json::from_str(&fs::read_to_string(at.join(name).join("estimate.json")).unwrap()).unwrap();
    let number = |key: &str| estimate[key].as_f64().unwrap();
    (number("needed_bytes"), number("peak_bytes"), number("seconds"))
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "max_steps = 1\n");
    let mut worst = 0.0_f64;
    for case in &CASES {
        let (needed, taken, seconds) = measured(at, case);
        let off = needed / taken - 1.0;
        worst = worst.max(off.abs());
        let mib = |bytes: f64| bytes / 1_048_576.0;
        aloud(&format!(
            "{:<16} {:>6.0} MiB taken, {:>6.0} MiB said, {:+5.1} %; {seconds:.0} s said",
            case.0,
            mib(taken),
            mib(needed),
            off * 100.0
        ));
    }
    assert!(worst < 0.1, "off by {:.1} %", worst * 100.0);
}
