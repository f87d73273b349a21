//! What the tests of the command line share: the built program, and a small feed of the project's own advisories.
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
pub(crate) fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The program, in a folder, on two threads unless `args` say otherwise.
pub(crate) fn wardsmith(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardsmith"));
    let threads: &[&str] = if args.contains(&"--threads") { &[] } else { &["--threads", "2"] };
    command.current_dir(folder).args(threads).args(args);
    command
}

/// Runs it; standard output and standard error together, and whether it succeeded.
pub(crate) fn run(folder: &Path, args: &[&str]) -> (bool, String) {
    told(&wardsmith(folder, args).output().unwrap())
}

pub(crate) fn told(output: &Output) -> (bool, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// The built-in advisories as they lie in the source tree.
pub(crate) fn advisories() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/advisories.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes `feed.jsonl` (CVE records) and `cwe.xml` into `folder`.
pub(crate) fn feeds(folder: &Path) {
    let record = |advisory: &Value| {
        json!({
            "cveMetadata": {"cveId": advisory["id"], "state": "PUBLISHED", "datePublished": advisory["date"]},
            "containers": {"cna": {
                "descriptions": [{"lang": "en", "value": advisory["text"]}],
                "problemTypes": [{"descriptions": [{"lang": "en", "cweId": advisory["cwe"]}]}],
            }},
        })
    };
    let feed: String = advisories().iter().map(|advisory| record(advisory).to_string() + "\n").collect();
    std::fs::write(folder.join("feed.jsonl"), feed).unwrap();
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/cwe.xml");
    std::fs::copy(catalogue, folder.join("cwe.xml")).unwrap();
}

/// A recipe of a tiny language model on `data` with `tokenizer`, which [`tiny`] makes; keys of `[train]` may follow.
pub(crate) const TINY: &str = r#"
name = "tiny"
seed = 5
[model]
tokenizer = "tokenizer"
init = { model_type = "llama", hidden_size = 32, intermediate_size = 64, num_hidden_layers = 2, num_attention_heads = 2, max_position_embeddings = 128 }
[train]
dataset = "data"
max_len_tokens = 96
tokens_per_pack = 512
warmup_steps = 5
learning_rate = 1e-3
eval_every_steps = 10
eval_max_examples = 20
save_every_steps = 7
"#;

/// Makes `data` and `tokenizer` in the folder, and the recipe `tiny.toml`: [`TINY`] and what follows it.
pub(crate) fn tiny(at: &Path, more: &str) {
    feeds(at);
    std::fs::write(at.join("tiny.toml"), format!("{TINY}{more}")).unwrap();
    let source = ["--source", "cvelist=feed.jsonl", "--source", "cwe=cwe.xml"];
    let prepare = [&["prepare"][..], &source, &["--task", "document", "--out", "data"]].concat();
    for args in [&prepare[..], &["tokenizer", "--data", "data", "--vocab", "600", "--out", "tokenizer"]] {
        let (good, text) = run(at, args);
        assert!(good, "{text}");
    }
}
