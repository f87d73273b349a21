//! GGUF files of every family, written and read back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wardsmith_model::checkpoint::{Wanted, initialise, load};
use wardsmith_model::export::gguf::Encoding;
use wardsmith_model::export::gguf_model::{Layout, write};
use wardsmith_model::export::gguf_read::Gguf;
use wardsmith_model::export::parity::{difference, hold, logits};
use wardsmith_model::{Model, Purpose, families};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity")
}

/// The fixture's configuration without what llama.cpp does not compute.
fn config(family: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join(family).join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    if family.starts_with("gemma") {
        config["query_pre_attn_scalar"] = config["head_dim"].clone();
        return config;
    }
    if family == "qwen3" {
        config["attention_bias"] = json!(false);
    }
    for (key, value) in [
        ("layer_types", Value::Null),
        ("sliding_window", Value::Null),
        ("use_sliding_window", json!(false)),
        ("mlp_bias", json!(false)),
        ("no_rope_layers", json!([1, 1])),
    ] {
        if config.get(key).is_some() {
            config[key] = value;
        }
    }
    config
}

/// A tokenizer of bytes, as far as the vocabulary of the fixtures goes.
fn tokenizer(folder: &Path) {
    let vocab: serde_json::Map<String, Value> =
        (0..96_u8).map(|i| (char::from(i + 33).to_string(), json!(i))).collect();
    let json = json!({
        "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    std::fs::write(folder.join("tokenizer.json"), json.to_string()).unwrap();
}

fn prompts() -> Vec<Vec<u32>> {
    vec![(0..20).map(|i| 3 + i * 29 % 90).collect(), vec![5, 4, 3]]
}

fn model(family: &str) -> Model {
    initialise(config(family), None, 7, Purpose::Inference).unwrap()
}

#[test]
fn every_family_comes_back_from_gguf_in_every_encoding() {
    let folder = tempfile::tempdir().unwrap();
    tokenizer(folder.path());
    let path = folder.path().join("model.gguf");
    for family in families::ALL.iter().map(|f| f.model_type()).filter(|f| *f != "gpt_neo") {
        let model = model(family);
        let reference = logits(&model, &prompts()).unwrap();
        for encoding in Encoding::ALL {
            let bytes = write(&model, folder.path(), encoding, &path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
            let read = Layout::of(&model).unwrap().read(&path, encoding).unwrap();
            let tolerance = match encoding {
                Encoding::F32 => 1e-5,
                Encoding::F16 => 2e-3,
                Encoding::Bf16 | Encoding::Q8_0 => 5e-2,
                Encoding::Q4_0 => 0.4,
            };
            let found = logits(&read, &prompts()).unwrap();
            hold(&format!("{family} in {}", encoding.name()), &reference, &found, tolerance).unwrap();
            assert!(encoding == Encoding::F32 || difference(&reference, &found).relative > 1e-6, "{family}");
        }
    }
}

#[test]
fn llama_3_tells_how_it_stretches_each_frequency() {
    let folder = tempfile::tempdir().unwrap();
    tokenizer(folder.path());
    let mut config = config("llama");
    config["rope_parameters"] = json!({
        "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 0.4, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32
    });
    let model = initialise(config, None, 7, Purpose::Inference).unwrap();
    let path = folder.path().join("model.gguf");
    write(&model, folder.path(), Encoding::F32, &path).unwrap();
    let factors = Gguf::open(&path).unwrap().values("rope_freqs.weight", &[4]).unwrap();
    assert!(factors[0] == 1.0 && (factors[3] - 8.0).abs() < 1e-4, "{factors:?}");
    let read = Layout::of(&model).unwrap().read(&path, Encoding::F32).unwrap();
    let reference = logits(&model, &prompts()).unwrap();
    hold("the file", &reference, &logits(&read, &prompts()).unwrap(), 1e-5).unwrap();
}

#[test]
fn a_file_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tokenizer(folder.path());
    let path = folder.path().join("model.gguf");
    let llama = model("llama");
    write(&llama, folder.path(), Encoding::F16, &path).unwrap();
    let read = |model: &Model, encoding| Layout::of(model).unwrap().read(&path, encoding).err().unwrap().to_string();
    assert!(read(&model("qwen2"), Encoding::F16).contains("`general.architecture`"));
    assert!(read(&llama, Encoding::F32).contains("`general.file_type`"));
    // Other weights under the same configuration are found by what they compute.
    let other = initialise(config("llama"), None, 8, Purpose::Inference).unwrap();
    let found = logits(&Layout::of(&other).unwrap().read(&path, Encoding::F16).unwrap(), &prompts()).unwrap();
    let refused = hold("the file", &logits(&other, &prompts()).unwrap(), &found, 5e-2).unwrap_err().to_string();
    assert!(refused.contains("the file does not compute what the model does"), "{refused}");
}

#[test]
fn classifiers_and_gpt_neo_are_refused_by_name() {
    let layout = |folder: &str| {
        let model = load(&fixtures().join(folder), &Wanted::AsStored, Purpose::Inference).unwrap();
        Layout::of(&model).err().unwrap().to_string()
    };
    assert!(layout("llama/classifier").contains("it is a classifier"));
    assert!(layout("gpt_neo").contains("no architecture for `gpt_neo`"));
    assert!(layout("mistral").contains("knows no windows"));
}
