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
