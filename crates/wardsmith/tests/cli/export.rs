//! `wardsmith export`: datasets and models become what others read.
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wardsmith_model::Purpose;
use wardsmith_model::checkpoint::{self, Wanted};
use wardsmith_model::weights::Precision;

use crate::common::{feeds, run, tiny};

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

/// A dataset, a tokenizer, a base of six steps and an adapter on it.
fn tuned(at: &Path) {
    tiny(at, "max_steps = 6\n");
    let lora = "name = \"adapted\"\n[model]\nbase = \"base/model\"\n[lora]\nrank = 2\ntarget_modules = [\"q_proj\", \"down_proj\"]\n\
                [train]\ndataset = \"data\"\nmax_len_tokens = 96\ntokens_per_pack = 512\nmax_steps = 3\nlearning_rate = 1e-2\n";
    fs::write(at.join("adapted.toml"), lora).unwrap();
    for args in [["tune", "tiny.toml", "--out", "base"], ["tune", "adapted.toml", "--out", "adapted"]] {
        let (good, text) = run(at, &args);
        assert!(good, "{text}");
    }
}

/// Names in a folder, hidden ones too, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_adapter_becomes_a_folder_an_adapter_and_a_file_that_compute_the_same() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    tuned(at);
    let export = |format: &str, more: &[&str]| {
        run(
            at,
            &[&["export", "--model", "adapted/adapter", "--format", format, "--out", &format!("out/{format}")], more]
                .concat(),
        )
    };
    let (good, text) = export("hf", &["--dtype", "bf16", "--max-shard-size", "40KB"]);
    assert!(good && text.contains("merged against adapter: logits off by"), "{text}");
    assert!(text.contains("exported against model: logits off by") && text.contains("(5e-2 is allowed)"), "{text}");
    let files = names(&at.join("out/hf"));
    for file in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "wardsmith.json"] {
        assert!(files.iter().any(|name| name == file), "{file}: {files:?}");
    }
    assert!(files.iter().filter(|name| name.starts_with("model-0")).count() > 1, "{files:?}");
    let manifest = fs::read_to_string(at.join("out/hf/wardsmith.json")).unwrap();
    assert!(manifest.contains("\"recipe\": \"\""), "a recipe may name places: {manifest}");
    let (good, text) = export("peft", &["--name", "somebody/base"]);
    assert!(good && text.contains("exported against model: logits off by 0.0e0"), "{text}");
    let config = fs::read_to_string(at.join("out/peft/adapter_config.json")).unwrap();
    assert!(config.contains("\"base_model_name_or_path\": \"somebody/base\""), "{config}");
    let (good, text) = export("gguf", &["--dtype", "q8_0"]);
    assert!(good && text.contains("in q8_0"), "{text}");
    assert!(fs::read(at.join("out/gguf")).unwrap().starts_with(b"GGUF"));
    let (good, text) = export("gguf", &["--dtype", "q4_0"]);
    assert!(!good && text.contains("is already there\nhint:"), "{text}");
    let (good, text) = export("gguf", &["--overwrite"]);
    assert!(good && text.contains("in f16"), "{text}");
    assert_eq!(names(&at.join("out")), ["gguf", "hf", "peft"], "no half export is left");
    let (good, text) = run(at, &["export", "--model", "out/hf", "--format", "hf", "--overwrite", "--out", "out/hf"]);
    assert!(good, "an export can be exported again: {text}");
    let (good, text) = run(at, &["export", "--model", "base/model", "--format", "hf", "--overwrite", "--out", "base"]);
    assert!(!good && text.contains("is no such export"), "{text}");
}

#[test]
fn what_cannot_be_stored_or_does_not_fit_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity");
    let text_of = |path: PathBuf| path.to_str().unwrap().to_owned();
    let mut model = checkpoint::load(&fixtures.join("llama"), &Wanted::AsStored, Purpose::Inference).unwrap();
    let norm = model.decoder.final_norm.weight;
    model.params[norm].value.iter_mut().for_each(|x| *x *= 1e6);
    checkpoint::save(&model, &at.join("large"), Precision::F32).unwrap();
    let export = |model: &str, format: &str, dtype: &str| {
        run(at, &["export", "--model", model, "--format", format, "--dtype", dtype, "--out", "out"])
    };
    let (good, text) = export("large", "hf", "f16");
    assert!(!good && text.contains("the exported folder does not compute what the model does"), "{text}");
    assert!(text.contains("hint: nothing was exported"), "{text}");
    assert_eq!(names(at), ["large"]);
    let (good, text) = export("large", "hf", "f32");
    assert!(good, "{text}");
    let classifier = text_of(fixtures.join("llama/classifier"));
    let (good, text) = run(at, &["export", "--model", &classifier, "--format", "hf", "--out", "classes"]);
    assert!(good, "{text}");
    let config = fs::read_to_string(at.join("classes/config.json")).unwrap();
    assert!(config.contains("\"id2label\"") && config.contains("LlamaForSequenceClassification"), "{config}");
    for (model, format, dtype, says) in [
        (classifier, "gguf", "f16", "it is a classifier"),
        (text_of(fixtures.join("gpt_neo")), "gguf", "f16", "no architecture for `gpt_neo`"),
        (text_of(fixtures.join("llama")), "gguf", "f16", "no `tokenizer.json`"),
        (text_of(fixtures.join("llama")), "peft", "f32", "has no adapter"),
        (text_of(fixtures.join("llama")), "hf", "q8_0", "f32, f16 or bf16"),
        (text_of(fixtures.join("llama")), "chat", "f32", "as hf, peft or gguf"),
    ] {
        let (good, text) = run(at, &["export", "--model", &model, "--format", format, "--dtype", dtype, "--out", "x"]);
        assert!(!good && text.contains(says) && text.contains("hint:"), "{says}: {text}");
    }
    assert_eq!(names(at), ["classes", "large", "out"]);
}
