//! What is broken is told about in one clear error that names the thing, and nothing is left half made.
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::common::{feeds, run, told};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../records/fixtures").join(name)
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity").join(name)
}

/// Fails with exactly one error that says all of `says` and hints at the cure; `left` must not exist afterwards.
fn fails(folder: &Path, args: &[&str], says: &[&str], left: &str) {
    let (good, text) = run(folder, args);
    assert!(!good, "{args:?} succeeded: {text}");
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
    for word in says.iter().chain(&["hint:"]) {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!folder.join(left).exists(), "{left} was left behind");
    let partial = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!partial.into_iter().any(|name| name.contains("partial")), "something half written was left behind");
}

fn prepare(source: &str) -> Vec<&str> {
    let dates = ["--set", "prepare.min_train_examples=1"];
    [&["prepare", "--source", source, "--source", "cwe=cwe.xml", "--task", "cwe_classify", "--out", "data"][..], &dates]
        .concat()
}

#[test]
fn a_truncated_gzip() {
    let folder = tempfile::tempdir().unwrap();
    feeds(folder.path());
    let feed = fs::read(fixture("nvd-feed-1.1.json")).unwrap();
    let path = folder.path().join("nvdcve-1.1-2003.json.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&feed).unwrap();
    let zipped = encoder.finish().unwrap();
    fs::write(&path, &zipped[..zipped.len() / 2]).unwrap();
    fails(folder.path(), &prepare("nvd=nvdcve-1.1-2003.json.gz"), &["nvdcve-1.1-2003.json.gz"], "data");
}

#[test]
fn a_feed_of_another_format() {
    let folder = tempfile::tempdir().unwrap();
    feeds(folder.path());
    fails(folder.path(), &prepare("nvd=feed.jsonl"), &["feed.jsonl"], "data");
    fails(folder.path(), &prepare("nvd=cwe.xml"), &["cwe.xml"], "data");
    fails(folder.path(), &prepare("cvelist=cwe.xml"), &["cwe.xml"], "data");
    fs::write(folder.path().join("other.json"), "{\"vulnerable\": \"perhaps\"}").unwrap();
    fails(folder.path(), &prepare("nvd=other.json"), &["other.json"], "data");
}

#[test]
fn an_empty_folder_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    feeds(folder.path());
    fs::create_dir(folder.path().join("empty")).unwrap();
    fails(folder.path(), &prepare("nvd=empty"), &["empty"], "data");
    fails(folder.path(), &prepare("nvd=nowhere"), &["nowhere"], "data");
    fails(folder.path(), &prepare("nvdd=empty"), &["nvdd", "did you mean `nvd`"], "data");
}

#[test]
fn a_folder_that_is_no_dataset_and_a_description_that_is_none() {
    let folder = changed_model(|_| ());
    let args = ["eval", "--model", "model", "--data", "nowhere", "--out", "report"];
    fails(folder.path(), &args, &["nowhere", "there is no manifest.json"], "report");
    fails(folder.path(), &["classify", "--model", "model", "--data", "data", " "], &["description is empty"], "report");
}

#[test]
fn a_recipe_with_three_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = "name = \"x\"\n[model]\nbase = \"m\"\n[train]\nmax_stepz = 10\nepochs = 2\nlearning_rate = \"fast\"\nbeta1 = 1.5\n";
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let says = ["3 mistakes", "r.toml:5:1", "did you mean `max_steps`", "r.toml:7:1", "r.toml:8:1"];
    fails(folder.path(), &["tune", "r.toml", "--out", "run"], &says, "run");
}

/// A model folder that was changed, and a small dataset to use it with.
fn changed_model(change: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    feeds(folder.path());
    let source = "cvelist=feed.jsonl";
    let (good, text) = run(folder.path(), &prepare(source));
    assert!(good, "{text}");
    let target = folder.path().join("model");
    fs::create_dir(&target).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(model("llama").join(name), target.join(name)).unwrap();
    }
    let (good, text) = run(folder.path(), &["tokenizer", "--data", "data", "--vocab", "300", "--out", "model"]);
    assert!(good, "{text}");
    change(&target);
    folder
}

#[test]
fn a_model_folder_that_lacks_a_tensor() {
    let folder = changed_model(|model| {
        let path = model.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        // Renames a tensor in the header, keeping its length.
        let at = bytes.windows(22).position(|window| window == b"layers.1.mlp.down_proj").unwrap();
        bytes[at + 7] = b'7';
        fs::write(&path, bytes).unwrap();
    });
    let args = ["eval", "--model", "model", "--data", "data", "--out", "report"];
    fails(folder.path(), &args, &["model.layers.1.mlp.down_proj.weight", "lacks the tensor"], "report/report.json");
}

#[test]
fn an_unknown_family_and_a_model_folder_without_a_model() {
    let folder = changed_model(|model| {
        fs::write(model.join("config.json"), "{\"model_type\": \"mamba\"}").unwrap();
    });
    let args = ["eval", "--model", "model", "--data", "data", "--out", "report"];
    fails(folder.path(), &args, &["unknown model family `mamba`", "llama"], "report/report.json");
    let args = ["classify", "--model", "data", "A hole."];
    let (good, text) = run(folder.path(), &args);
    assert!(!good && text.contains("config.json"), "{text}");
}

#[test]
fn a_tokenizer_that_is_too_large_for_its_model() {
    let folder = changed_model(|_| ());
    let args = ["classify", "--model", "model", "--data", "data", "A hole."];
    let (good, text) = run(folder.path(), &args);
    assert!(!good && text.contains("300") && text.contains("hint:"), "{text}");
}

/// A full disk, as a limit on the size of files: the write fails in the middle.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    feeds(folder.path());
    let program = env!("CARGO_BIN_EXE_wardsmith");
    let limited = |args: &str| {
        let script = format!("trap '' XFSZ; ulimit -f 40; exec '{program}' {args}");
        told(&Command::new("sh").arg("-c").arg(script).current_dir(folder.path()).output().unwrap())
    };
    let (good, text) = limited(&prepare("cvelist=feed.jsonl").join(" "));
    assert!(!good && text.contains("error: ") && text.contains("cannot write"), "{text}");
    assert!(!folder.path().join("data").exists(), "half a dataset was left behind");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
