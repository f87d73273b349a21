//! Two runs side by side, with evaluations in their folders.
use std::fs;

use serde_json::Value;

use crate::common::{feeds, run};

const RECIPE: &str = r#"
name = "classes"
[model]
tokenizer = "tokenizer"
head = "classifier"
init = { model_type = "llama", hidden_size = 32, intermediate_size = 64, num_hidden_layers = 1, num_attention_heads = 2, max_position_embeddings = 128 }
[train]
dataset = "data"
max_len_tokens = 96
tokens_per_pack = 512
max_steps = 25
learning_rate = 5e-3
eval_every_steps = 5
eval_max_examples = 20
"#;

#[test]
fn runs_are_compared_by_recipe_losses_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    feeds(at);
    fs::write(at.join("classes.toml"), RECIPE).unwrap();
    let commands: [&[&str]; 6] = [
        &[
            "prepare",
            "--source",
            "cvelist=feed.jsonl",
            "--source",
            "cwe=cwe.xml",
            "--task",
            "cwe_classify",
            "--set",
            "prepare.min_train_examples=5",
            "--out",
            "data",
        ],
        &["tokenizer", "--data", "data", "--vocab", "500", "--out", "tokenizer"],
        &["tune", "classes.toml", "--out", "fast"],
        &["tune", "classes.toml", "--set", "train.learning_rate=1e-5", "--out", "slow"],
        &["eval", "--model", "fast/model", "--data", "data", "--no-baselines", "--out", "fast/test"],
        &["eval", "--model", "slow/model", "--data", "data", "--no-baselines", "--out", "slow/test"],
    ];
    for args in commands {
        let (good, text) = run(at, args);
        assert!(good, "{args:?}: {text}");
    }
    let (good, text) = run(at, &["compare", "slow", "fast", "--out", "side"]);
    assert!(good, "{text}");
    for said in
        ["train.learning_rate", "validation loss, best", "McNemar's exact p = ", "accuracy", "fast against slow"]
    {
        assert!(text.contains(said), "{said} in {text}");
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(at.join("side/compare.json")).unwrap()).unwrap();
    let keys: Vec<&str> = report["recipe"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(keys, ["train.learning_rate"]);
    let flips = &report["pairs"][0]["flips"];
    let count = |key: &str| flips[key].as_array().map_or(flips[key].as_u64().unwrap_or(0), |list| list.len() as u64);
    let answers = fs::read_to_string(at.join("fast/test/answers-model.jsonl")).unwrap().lines().count() as u64;
    assert_eq!(["gained", "lost", "both_right", "both_wrong"].map(count).iter().sum::<u64>(), answers);
    assert!(fs::read_to_string(at.join("side/compare.html")).unwrap().contains("validation-title"));

    // Evaluations alone, and what is neither.
    let (good, text) = run(at, &["compare", "slow/test", "fast/test", "--out", "side"]);
    assert!(good && text.contains("McNemar"), "{text}");
    let (good, text) = run(at, &["compare", "slow", "data"]);
    assert!(!good && text.contains("neither a run nor an evaluation"), "{text}");
}
