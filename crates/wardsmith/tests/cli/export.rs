//! `wardsmith export`: a dataset becomes folders that others read.
use std::fs;

use serde_json::Value;

use crate::common::{feeds, run};

#[test]
fn a_dataset_becomes_a_hugging_face_folder_and_chats() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    feeds(at);
    let made = run(
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
    assert!(made.0, "{}", made.1);
    let (good, text) = run(at, &["export", "--data", "data", "--format", "hf", "--name", "Kettles", "--out", "hub"]);
    assert!(good && text.contains("cwe_classify: train "), "{text}");
    let card = fs::read_to_string(at.join("hub/README.md")).unwrap();
    assert!(card.starts_with("---\npretty_name: Kettles\n") && card.contains("\n# Kettles\n"), "{card}");
    assert!(at.join("hub/data/cwe_classify/train-00000-of-00001.parquet").exists());
    let (good, text) = run(at, &["export", "--data", "data", "--format", "chat", "--out", "chats"]);
    assert!(good, "{text}");
    let lines = fs::read_to_string(at.join("chats/cwe_classify-train.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["messages"][1]["role"], "assistant");
    let statement: Value =
        serde_json::from_str(&fs::read_to_string(at.join("hub/wardsmith-export.json")).unwrap()).unwrap();
    assert_eq!(statement["examples"]["cwe_classify"]["train"], lines.lines().count());
    let (good, text) = run(at, &["export", "--data", "data", "--format", "hf", "--out", "data"]);
    assert!(!good && text.contains("and is no export"), "{text}");
    let (good, text) = run(at, &["export", "--data", "data", "--format", "hf", "--out", "hub"]);
    assert!(!good && text.contains("hint: name another folder, or allow it to be overwritten"), "{text}");
}
