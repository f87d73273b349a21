//! What a run says that it needs is what it takes. Shapes up to 135 million weights are held against it by the bench
//! `memory`; here are two small ones.
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{aloud, run, tiny};

/// Tunes for two steps; what was needed by the estimate, and what was taken, in bytes.
fn measured(at: &Path, name: &str, model: &str, train: &str) -> (f64, f64) {
    let text =
        format!("name = \"m\"\n{model}\n[train]\ndataset = \"data\"\nmax_len_tokens = 256\nmax_steps = 2\n{train}\n");
    fs::write(at.join(format!("{name}.toml")), text).unwrap();
    let (good, text) = run(at, &["tune", &format!("{name}.toml"), "--out", name]);
    assert!(good, "{text}");
    let estimate: Value =
        serde_json::from_str(&fs::read_to_string(at.join(name).join("estimate.json")).unwrap()).unwrap();
    (estimate["needed_bytes"].as_f64().unwrap(), estimate["peak_bytes"].as_f64().unwrap_or(0.0))
}

#[test]
fn what_is_said_to_be_needed_is_what_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "max_steps = 1\n");
    let init = "[model]\ntokenizer = \"tokenizer\"\ninit = { model_type = \"llama\", hidden_size = 192, intermediate_size = 512, \
                num_hidden_layers = 4, num_attention_heads = 4, max_position_embeddings = 256 }";
    let adapter = "[model]\nbase = \"all/model\"\n[lora]\nrank = 8\ntarget_modules = [\"q_proj\", \"down_proj\"]";
    let few_bits = adapter.replacen("[lora]", "dtype = \"bf16\"\nquantization = \"nf4\"\n[lora]", 1);
    for (name, model, tokens) in [("all", init, 2048), ("adapter", adapter, 4096), ("few-bits", &few_bits, 4096)] {
        let (needed, taken) = measured(at, name, model, &format!("tokens_per_pack = {tokens}"));
        if taken == 0.0 {
            aloud("skipped: this system does not tell what a process takes");
            return;
        }
        let off = needed / taken - 1.0;
        assert!(off.abs() < 0.1, "{name}: said {needed}, took {taken}");
        aloud(&format!("ran: {name}: {:.0} MiB, said {:+.1} %", taken / 1_048_576.0, off * 100.0));
    }
    let manifest = fs::read_to_string(at.join("few-bits/adapter/wardsmith.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["base"], serde_json::json!({ "dtype": "bf16", "quantization": "nf4" }));
    // The adapter on its base, held so, gives what the model beside it gives: both exports hold one against the other.
    let (good, text) = run(at, &["export", "--model", "few-bits/adapter", "--format", "hf", "--out", "exported"]);
    assert!(good && text.contains("merged against adapter"), "{text}");
    let weights = |folder: &str| fs::read(at.join(folder).join("model.safetensors")).unwrap();
    assert!(weights("exported") == weights("few-bits/model"), "the adapter's base was held otherwise");
    // A machine that is too small for it.
    let vast = "[model]\ntokenizer = \"tokenizer\"\ninit = { model_type = \"llama\", hidden_size = 65536, intermediate_size = 262144, \
                num_hidden_layers = 200, num_attention_heads = 512, max_position_embeddings = 256 }";
    let text = format!("name = \"v\"\n{vast}\n[train]\ndataset = \"data\"\nmax_len_tokens = 256\nmax_steps = 1\n");
    fs::write(at.join("vast.toml"), text).unwrap();
    let (good, text) = run(at, &["tune", "vast.toml", "--out", "vast"]);
    assert!(!good && text.contains("of memory, and") && text.contains("--force"), "{text}");
    assert!(!at.join("vast/recipe.toml").exists(), "nothing was begun");
}
