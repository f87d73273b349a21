//! A run that is killed in the middle and resumed leaves the same bytes of weights as one that was left alone, and so
//! does a run on another number of threads.
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{feeds, run, wardsmith};

const RECIPE: &str = r#"
name = "tiny"
seed = 5
[model]
tokenizer = "tokenizer"
init = { model_type = "llama", hidden_size = 32, intermediate_size = 64, num_hidden_layers = 2, num_attention_heads = 2, max_position_embeddings = 128 }
[train]
dataset = "data"
max_len_tokens = 96
tokens_per_pack = 512
max_steps = 60
warmup_steps = 5
learning_rate = 1e-3
eval_every_steps = 10
eval_max_examples = 20
save_every_steps = 7
"#;

fn steps(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn killed_and_resumed_equals_uninterrupted_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    feeds(at);
    fs::write(at.join("tiny.toml"), RECIPE).unwrap();
    let source = ["--source", "cvelist=feed.jsonl", "--source", "cwe=cwe.xml"];
    let prepare = [&["prepare"][..], &source, &["--task", "document", "--out", "data"]].concat();
    for args in [&prepare[..], &["tokenizer", "--data", "data", "--vocab", "600", "--out", "tokenizer"]] {
        let (good, text) = run(at, args);
        assert!(good, "{text}");
    }
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "whole"]);
    assert!(good, "{text}");

    let mut child = wardsmith(at, &["tune", "tiny.toml", "--out", "cut"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while steps(&at.join("cut")) < 25 && patience.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = steps(&at.join("cut"));
    assert!(done >= 25 && !at.join("cut/model").exists(), "killed at {done} lines, in the middle");

    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "cut"]);
    assert!(!good && text.contains("--resume cut"), "a run is not overwritten: {text}");
    let (good, text) = run(at, &["tune", "--resume", "cut"]);
    assert!(good, "{text}");
    let (good, text) = run(at, &["--threads", "1", "tune", "tiny.toml", "--out", "alone"]);
    assert!(good, "{text}");
    let weights = |run: &str| fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("whole") == weights("cut"), "the weights differ");
    assert!(weights("whole") == weights("alone"), "the number of threads changes the weights");
}
