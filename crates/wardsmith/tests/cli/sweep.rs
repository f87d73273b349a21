//! A search from outside: several processes share one study, and one that is killed goes on as if nothing had been.
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{run, tiny, told, wardsmith};

const SWEEP: &str = r#"max_steps = 27
[sweep]
method = "tpe"
trials = 12
halving = { min_steps = 3, factor = 3 }
[sweep.parameters]
"train.learning_rate" = { kind = "log_uniform", low = 1e-4, high = 1e-1 }
"train.packs_per_step" = { kind = "int", low = 1, high = 2 }
"train.schedule" = { kind = "choice", values = ["cosine", "constant"] }
"#;

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Values and losses of every trial.
fn trials(at: &Path, out: &str) -> Vec<(Value, Value)> {
    let report = json(&at.join(out).join("sweep.json"));
    report["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trial| (trial["values"].clone(), trial["losses"].clone()))
        .collect()
}

#[test]
fn a_killed_search_goes_on_by_the_same_command_and_ends_alike() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, SWEEP);
    let (good, text) = run(at, &["sweep", "tiny.toml", "--out", "whole"]);
    assert!(good, "{text}");
    assert_eq!(trials(at, "whole").len(), 12);
    assert!(text.contains("best: trial"), "{text}");

    let mut child = wardsmith(at, &["sweep", "tiny.toml", "--out", "cut"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while !at.join("cut/trials/5").exists() && patience.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!at.join("cut/sweep.json").exists(), "killed in the middle");
    // Ctrl-C, somewhat later.
    let mut child = wardsmith(at, &["sweep", "tiny.toml", "--out", "cut"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !at.join("cut/trials/8").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    if cfg!(unix) {
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = told(&output).1;
        assert!(output.status.code() == Some(130) && said.contains("the same command goes on"), "{said}");
    } else {
        child.wait().unwrap();
    }
    let (good, text) = run(at, &["sweep", "tiny.toml", "--out", "cut"]);
    assert!(good && text.contains("going on with a study of"), "{text}");
    assert_eq!(trials(at, "whole"), trials(at, "cut"));

    // The best recipe is one that `tune` runs, and more trials may be asked for.
    let (good, text) = run(at, &["tune", "cut/best.toml", "--out", "best"]);
    assert!(good, "{text}");
    let (good, text) = run(at, &["sweep", "tiny.toml", "--set", "sweep.trials=14", "--out", "cut"]);
    assert!(good, "{text}");
    assert_eq!(trials(at, "cut").len(), 14);
    let (good, text) = run(at, &["sweep", "tiny.toml", "--set", "train.weight_decay=0.5", "--out", "cut"]);
    assert!(!good && text.contains("another recipe"), "{text}");
}

#[test]
fn two_processes_share_one_study() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, SWEEP);
    let start = || {
        let args = ["--threads", "1", "sweep", "tiny.toml", "--set", "sweep.method=random", "--out", "shared"];
        wardsmith(at, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(), start());
    let said = [first, second].map(|child| told(&child.wait_with_output().unwrap()));
    assert!(said.iter().all(|(good, _)| *good), "{said:?}");
    let reported = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains(": validation loss")).map(str::to_owned).collect()
    };
    let [left, right] = said.map(|(_, text)| reported(&text));
    assert!(!left.is_empty() && !right.is_empty(), "both worked: {left:?} {right:?}");
    let found = trials(at, "shared");
    let results: usize = found.iter().map(|(_, losses)| losses.as_array().unwrap().len()).sum();
    assert_eq!((found.len(), left.len() + right.len()), (12, results), "every result was made once");
    let mut values: Vec<String> = found.iter().map(|(values, _)| values.to_string()).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 12, "no two trials are the same");
}
