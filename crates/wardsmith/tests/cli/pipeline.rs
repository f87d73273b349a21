//! The whole way on a tiny model: a base from scratch, an adapter and a classifier on it, both evaluated and used.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{feeds, run};

const TRAIN: &str = "[train]\ndataset = \"data\"\nmax_len_tokens = 128\ntokens_per_pack = 512\nmax_steps = 12\nwarmup_steps = 2\n\
                     eval_every_steps = 6\neval_max_examples = 10\n";

/// Runs a command that must succeed; what it said.
fn done(folder: &Path, args: &[&str]) -> String {
    let (good, text) = run(folder, args);
    assert!(good, "{args:?}: {text}");
    text
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A dataset, and four runs: `base`, `adapted` (LoRA), `classifier`, and `both`.
fn trained(at: &Path) {
    feeds(at);
    let recipe = |name: &str, model: &str| {
        let text = format!("name = \"{name}\"\n{model}\n{TRAIN}");
        fs::write(at.join(format!("{name}.toml")), text).unwrap();
    };
    recipe(
        "base",
        "[model]\ntokenizer = \"tokenizer\"\ninit = { model_type = \"gpt_neo\", hidden_size = 32, num_layers = 2, num_heads = 2, \
         max_position_embeddings = 128, window_size = 32 }",
    );
    recipe("adapted", "[model]\nbase = \"base/model\"\n[lora]\nrank = 4\ntarget_modules = [\"q_proj\", \"v_proj\"]");
    recipe(
        "both",
        "[model]\nbase = \"base/model\"\nhead = \"classifier\"\n[lora]\nrank = 4\ntarget_modules = [\"q_proj\"]",
    );
    recipe("classifier", "[model]\nbase = \"base/model\"\nhead = \"classifier\"");
    done(
        at,
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
    );
    done(at, &["tokenizer", "--data", "data", "--vocab", "500", "--out", "tokenizer"]);
    for name in ["base", "adapted", "classifier", "both"] {
        let said = done(at, &["tune", &format!("{name}.toml"), "--out", name]);
        assert!(said.contains("best validation loss"), "{said}");
    }
}

/// The metric `name` of each system, by system.
fn values(report: &Value, name: &str) -> Vec<(String, f64)> {
    let systems = report["systems"].as_array().unwrap();
    let value = |system: &Value| {
        let metrics = system["metrics"].as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == name)?;
        assert!(
            metric["low"].as_f64() <= metric["value"].as_f64() && metric["value"].as_f64() <= metric["high"].as_f64()
        );
        Some((system["name"].as_str().unwrap().to_owned(), metric["value"].as_f64().unwrap()))
    };
    systems.iter().filter_map(value).collect()
}

fn names(values: &[(String, f64)]) -> Vec<&str> {
    values.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn from_feeds_to_reports_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    trained(at);
    scores_have_likelihoods(at);
    free_answers_may_not_parse(at);
    a_classifier_stands_beside_its_base(at);
    adapter_and_merged_model_answer_alike(at);
}

fn scores_have_likelihoods(at: &Path) {
    let args = ["eval", "--model", "adapted/model", "--base", "base/model", "--data", "data", "--out", "scored"];
    let said = done(at, &args);
    assert!(said.contains("accuracy of tuned against base") && said.contains("paired"), "{said}");
    let report = json(&at.join("scored/report.json"));
    assert_eq!(names(&values(&report, "accuracy")), ["tuned", "base", "tfidf", "majority", "nearest"]);
    let perplexity = values(&report, "perplexity");
    assert_eq!(names(&perplexity), ["tuned", "base"]);
    assert!(perplexity.iter().all(|(_, value)| *value > 1.0), "nothing is less than certain: {perplexity:?}");
    assert!(perplexity[0].1 < perplexity[1].1, "tuning made the answers likelier: {perplexity:?}");
    let answers = fs::read_to_string(at.join("scored/answers-tuned.jsonl")).unwrap();
    assert_eq!(answers.lines().count() as u64, report["systems"][0]["answers"].as_u64().unwrap());
    let page = fs::read_to_string(at.join("scored/report.html")).unwrap();
    for section in ["id=\"systems\"", "id=\"loss\"", "id=\"confusion\"", "id=\"wrong\"", "Resolved recipe"] {
        assert!(page.contains(section), "{section}");
    }
    let place = at.to_string_lossy().into_owned();
    assert!(!page.contains(&place), "the page names a place of this machine");
}

fn free_answers_may_not_parse(at: &Path) {
    let args =
        ["eval", "--model", "base/model", "--data", "data", "--out", "free", "--method", "generate", "--no-baselines"];
    done(at, &[&args[..], &["--max-examples", "9"]].concat());
    let report = json(&at.join("free/report.json"));
    let metrics = |name| values(&report, name)[0].1;
    assert_eq!(report["systems"][0]["answers"], 9);
    assert!(metrics("accuracy") + metrics("unparseable") <= 1.0);
}

fn a_classifier_stands_beside_its_base(at: &Path) {
    let args = ["eval", "--model", "classifier/model", "--base", "base/model", "--data", "data", "--out", "classes"];
    done(at, &args);
    let report = json(&at.join("classes/report.json"));
    assert_eq!(names(&values(&report, "perplexity")), ["base"], "a classifier writes no text");
    let said =
        done(at, &["classify", "--model", "classifier/model", "--json", "--top", "2", "A script runs.", "A path."]);
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["labels"].as_array().unwrap().len(), 2);
    let config = json(&at.join("classifier/model/config.json"));
    assert_eq!(config["architectures"][0], "GPTNeoForSequenceClassification");
    assert_eq!(config["pad_token_id"], 0, "without it Transformers cannot find the last token");
    let (good, text) =
        run(at, &["eval", "--model", "classifier/model", "--data", "data", "--out", "x", "--method", "generate"]);
    assert!(!good && text.contains("a classifier writes no text") && text.contains("hint:"), "{text}");
}

fn adapter_and_merged_model_answer_alike(at: &Path) {
    let probabilities = |model: &str, more: &[&str]| -> Vec<f64> {
        let args = ["classify", "--model", model, "--json", "--top", "3", "The password is a part of the program."];
        let said = done(at, &[&args[..], more].concat());
        let answer: Value = serde_json::from_str(&said).unwrap();
        answer["labels"].as_array().unwrap().iter().map(|label| label["probability"].as_f64().unwrap()).collect()
    };
    for run in ["adapted", "both"] {
        let (merged, apart) =
            (probabilities(&format!("{run}/model"), &[]), probabilities(&format!("{run}/adapter"), &[]));
        assert!(merged.iter().zip(&apart).all(|(m, a)| (m - a).abs() < 1e-4), "{run}: {merged:?} against {apart:?}");
        let rounded = probabilities(&format!("{run}/adapter"), &["--bits", "8"]);
        assert!(
            merged.iter().zip(&rounded).all(|(m, r)| (m - r).abs() < 1e-2),
            "{run}: {merged:?} against {rounded:?}"
        );
    }
}
