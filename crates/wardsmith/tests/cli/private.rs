//! Private sources: they teach, and neither a report nor an explanation quotes them. And encryption at rest.

use std::path::Path;

use serde_json::json;

use crate::common::{advisories, feeds, run};

/// Stands in every private text, and in no other.
const MARKER: &str = "zanzibarquokka";

/// Beside the common feeds, `private.jsonl`: advisories on CVEs that nobody else knows, most of the test period.
fn private_feed(folder: &Path) {
    feeds(folder);
    let advisory = |(at, public): (usize, serde_json::Value)| {
        let year = if at % 4 == 0 { 2021 } else { 2024 };
        let text = public["text"].as_str().unwrap().split(' ').rev().collect::<Vec<_>>().join(" ");
        json!({
            "schema_version": "1.4.0", "id": format!("GHSA-aaaa-bbbb-{at:04}"), "aliases": [format!("CVE-{year}-9{at:04}")],
            "modified": format!("{year}-07-03T20:05:21Z"), "published": format!("{year}-07-01T21:31:15Z"),
            "summary": format!("{MARKER} number {at}"), "details": format!("{text} {MARKER} {at}."),
            "affected": [{"package": {"ecosystem": "npm", "name": MARKER}}],
            "database_specific": {"cwe_ids": [public["cwe"]]},
        })
        .to_string()
    };
    let lines: Vec<String> = advisories().into_iter().enumerate().map(advisory).collect();
    std::fs::write(folder.join("private.jsonl"), lines.join("\n")).unwrap();
}

const PREPARE: [&str; 15] = [
    "prepare",
    "--source",
    "cvelist=feed.jsonl",
    "--source",
    "osv=private.jsonl",
    "--source",
    "cwe=cwe.xml",
    "--task",
    "cwe_classify",
    "--set",
    "prepare.min_train_examples=5",
    "--set",
    "prepare.near_duplicate_similarity=1.0",
    "--private",
    "osv",
];

fn done(folder: &Path, args: &[&str]) -> String {
    let (good, text) = run(folder, args);
    assert!(good, "{args:?}: {text}");
    text
}

#[test]
fn a_report_on_private_examples_quotes_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    private_feed(at);
    let said = done(at, &[PREPARE.as_slice(), &["--out", "data"]].concat());
    assert!(said.contains("private examples, never exported or quoted: "), "{said}");
    assert!(std::fs::read_to_string(at.join("data/cwe_classify/test.jsonl")).unwrap().contains(MARKER));
    done(at, &["tokenizer", "--data", "data", "--vocab", "400", "--out", "tokenizer"]);
    let recipe = "name = \"base\"\n[model]\ntokenizer = \"tokenizer\"\ninit = { model_type = \"gpt_neo\", hidden_size = 16, \
                  num_layers = 1, num_heads = 2, max_position_embeddings = 128, window_size = 32 }\n[train]\n\
                  dataset = \"data\"\nmax_len_tokens = 128\ntokens_per_pack = 256\nmax_steps = 2\nwarmup_steps = 1\n";
    std::fs::write(at.join("base.toml"), recipe).unwrap();
    done(at, &["tune", "base.toml", "--out", "base"]);
    done(at, &["eval", "--model", "base/model", "--data", "data", "--max-examples", "60", "--out", "report"]);
    let page = std::fs::read_to_string(at.join("report/report.html")).unwrap();
    assert!(page.contains("(private)"), "a wrong answer to a private example is shown");
    for entry in std::fs::read_dir(at.join("report")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(MARKER), "{}", path.display());
    }
}

#[test]
fn a_record_is_explained_without_an_output() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    private_feed(at);
    let id = advisories()[0]["id"].as_str().unwrap().to_owned();
    let said = done(at, &[PREPARE.as_slice(), &["--explain", &id]].concat());
    assert!(said.starts_with(&id) && said.contains("cvelist (vulnerabilities): heard first"), "{said}");
    let (_, text) = run(at, &[PREPARE.as_slice(), &["--explain", "CVE-2021-90000", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["private"], &json["joined"]["description"]), (&json!(true), &json!("(private)")));
    assert!(!text.contains(MARKER));
    let (good, text) = run(at, &[PREPARE.as_slice(), &["--explain", "CVE-1999-0001"]].concat());
    assert!(!good && text.contains("error: no source says anything of `CVE-1999-0001`\nhint: "), "{text}");
    let (good, text) = run(at, &[PREPARE.as_slice(), &["--private", "kev", "--out", "none"]].concat());
    assert!(!good && text.contains("`kev` cannot be private"), "{text}");
    assert!(!at.join("none").exists());
}

/// Every file below `folder` that shows the marker. A tokenizer's vocabulary is made of its texts, and left out.
fn shown(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(shown(&path));
        } else if !path.file_name().unwrap().to_string_lossy().contains("token") {
            let bytes = std::fs::read(&path).unwrap();
            let shows = bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
            found.extend(shows.then_some(path));
        }
    }
    found
}

#[test]
fn what_is_encrypted_is_learned_and_measured_and_leaves_no_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    private_feed(at);
    let sealed = [PREPARE.as_slice(), &["--encrypt", "--out", "data"]].concat();
    let (good, text) = run(at, &sealed);
    assert!(!good && text.contains("nobody is named to encrypt for\nhint: "), "{text}");
    let secret = wardsmith_vault::Key::generate_text();
    std::fs::write(at.join("key.txt"), format!("# made for a test\n{secret}\n")).unwrap();
    let with_key = |args: &[&str]| done(at, &[args, &["--key", "key.txt"]].concat());
    with_key(&sealed);
    assert!(
        at.join("data/cwe_classify/train.jsonl.age").exists() && !at.join("data/cwe_classify/train.jsonl").exists()
    );
    assert!(std::fs::read_to_string(at.join("data/manifest.json")).unwrap().contains("plain_sha256"));
    let tokenizer = ["tokenizer", "--data", "data", "--vocab", "400", "--out", "tokenizer"];
    let (good, text) = run(at, &tokenizer);
    assert!(!good && text.contains("is encrypted, and no key is given\nhint: "), "{text}");
    with_key(&tokenizer);
    let recipe = "name = \"base\"\n[model]\ntokenizer = \"tokenizer\"\ninit = { model_type = \"gpt_neo\", hidden_size = 16, \
                  num_layers = 1, num_heads = 2, max_position_embeddings = 128, window_size = 32 }\n[train]\n\
                  dataset = \"data\"\nmax_len_tokens = 128\ntokens_per_pack = 256\nmax_steps = 2\nwarmup_steps = 1\n";
    std::fs::write(at.join("base.toml"), recipe).unwrap();
    with_key(&["tune", "base.toml", "--out", "base"]);
    assert!(!at.join("base/shards").exists(), "tokens are text");
    let checkpoints = std::fs::read_dir(at.join("base/checkpoints")).unwrap();
    let names: Vec<_> = checkpoints.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() > 1 && names.iter().all(|name| name == "state.json" || name.ends_with(".age")), "{names:?}");
    with_key(&["eval", "--model", "base/model", "--data", "data", "--max-examples", "20", "--out", "report"]);
    assert!(std::fs::read_to_string(at.join("report/report.html")).unwrap().contains("(private)"));
    for part in ["data", "base", "report"] {
        assert_eq!(shown(&at.join(part)), Vec::<std::path::PathBuf>::new());
        let manifest = std::fs::read_to_string(at.join("data/manifest.json")).unwrap();
        assert!(!manifest.contains(&secret[20..50]));
    }
    let other = wardsmith_vault::Key::generate_text();
    std::fs::write(at.join("other.txt"), other).unwrap();
    let again = ["tokenizer", "--data", "data", "--vocab", "400", "--out", "other", "--key", "other.txt"];
    let (good, text) = run(at, &again);
    assert!(!good && text.contains("it is sealed for another key") && !text.contains("AGE-SECRET"), "{text}");
}
