//! Published benchmarks from outside, on files of our own words in their shapes.
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::common::{run, tiny, wardsmith};

/// What is answered, by the key.
type Said = fn(&str) -> String;
/// Items of the file that [`questions`] writes.
const ITEMS: usize = 96;

/// A file in CyberMetric's shape, whose keys are A, B, C, D, A, …
fn questions(at: &Path) {
    let item = |number: usize| {
        let key = ["A", "B", "C", "D"][number % 4];
        serde_json::json!({
            "question": format!("Which kettle number {number} boils?"),
            "answers": {"A": "the red one", "B": "the blue one", "C": "the small one", "D": "none"},
            "solution": key,
        })
    };
    let items: Vec<Value> = (0..ITEMS).map(item).collect();
    fs::write(at.join("kettles.json"), serde_json::json!({"questions": items}).to_string()).unwrap();
}

fn report(at: &Path, out: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(at.join(out).join("cybermetric/report.json")).unwrap()).unwrap()
}

fn metric(report: &Value, system: &str, name: &str) -> f64 {
    let system = report["systems"].as_array().unwrap().iter().find(|one| one["name"] == system).unwrap();
    let found = system["metrics"].as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name}"))["value"].as_f64().unwrap()
}

#[test]
fn planted_answers_score_what_was_counted_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    questions(at);
    // Twenty of each kind; the keys of items 1, 2, 3, 4, … are A, B, C, D, …
    let kinds: [(&str, Said, bool); 7] = [
        ("right", |key| key.to_owned(), true),
        ("lower case", str::to_lowercase, true),
        ("extra prose", |key| format!("Let me think. The answer is {key}, I am sure."), true),
        ("unparseable", |_| "It depends on the kettle.".to_owned(), false),
        ("two answers", |_| "The answer is A. Or rather: the answer is B.".to_owned(), false),
        ("empty", |_| String::new(), false),
        ("wrong label set", |_| "F".to_owned(), false),
    ];
    for (name, said, right) in kinds {
        let line = |number: usize| {
            let key = ["A", "B", "C", "D"][number % 4];
            let text = if number < 20 { said(key) } else { key.to_owned() };
            serde_json::json!({"id": (number + 1).to_string(), "text": text}).to_string()
        };
        let lines: Vec<String> = (0..ITEMS).map(line).collect();
        fs::write(at.join("answers.jsonl"), lines.join("\n")).unwrap();
        let args = ["eval", "--benchmark", "cybermetric=kettles.json", "--answers", "answers.jsonl", "--out", "out"];
        let (good, text) = run(at, &args);
        assert!(good, "{name}: {text}");
        let report = report(at, "out");
        let wrong = if right { 0.0 } else { 20.0 };
        let expected = (ITEMS as f64 - wrong) / ITEMS as f64;
        assert!((metric(&report, "answers", "accuracy") - expected).abs() < 1e-12, "{name}");
        assert!((metric(&report, "answers", "unparseable") - wrong / ITEMS as f64).abs() < 1e-12, "{name}");
        assert!((metric(&report, "constant", "accuracy") - 0.25).abs() < 1e-12);
    }
}

#[test]
fn answers_that_fit_no_item_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    questions(at);
    let args = ["eval", "--benchmark", "cybermetric=kettles.json", "--answers", "answers.jsonl", "--out", "out"];
    for (lines, said) in [
        ("{\"id\": \"97\", \"text\": \"A\"}", "answers `97`, which the benchmark does not ask"),
        (
            "{\"id\": \"1\", \"text\": \"A\"}\n{\"id\": \"1\", \"text\": \"B\"}",
            "line 2 of `answers.jsonl` answers `1` again",
        ),
        ("{\"id\": \"1\"}", "tells no item and no answer"),
        ("A", "line 1 of `answers.jsonl` is not JSON"),
    ] {
        fs::write(at.join("answers.jsonl"), lines).unwrap();
        let (good, text) = run(at, &args);
        assert!(!good && text.contains(said) && text.contains("hint:"), "{lines}: {text}");
    }
    // Samples of lm-evaluation-harness; what is missing counts as wrong and is told.
    fs::write(at.join("answers.jsonl"), "{\"doc_id\": 2, \"resps\": [[\"C\"]], \"filtered_resps\": [\"C\"]}\n")
        .unwrap();
    let (good, text) = run(at, &args);
    assert!(good && text.contains("95 of 96 items are not answered"), "{text}");
    assert!((metric(&report(at, "out"), "answers", "accuracy") - 1.0 / 96.0).abs() < 1e-12);
    for (args, said) in [
        (["--benchmark", "kettles=kettles.json", "--model", "m"], "no benchmark is called `kettles`"),
        (["--benchmark", "kettles.json", "--model", "m"], "is no NAME=FILE"),
        (["--benchmark", "seceval=kettles.json", "--model", "m"], "is no file of `seceval`"),
    ] {
        let (good, text) = run(at, &[&["eval", "--out", "out"], &args[..]].concat());
        assert!(!good && text.contains(said) && text.contains("hint:"), "{text}");
    }
}

#[test]
fn a_model_answers_a_benchmark_and_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "max_steps = 10\n");
    questions(at);
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "run"]);
    assert!(good, "{text}");
    let eval = |out: &'static str| {
        let written = ["--method", "generate", "--max-new-tokens", "24"];
        [&["eval", "--model", "run/model", "--benchmark", "cybermetric=kettles.json", "--out", out], &written[..]]
            .concat()
    };
    let (good, text) = run(at, &eval("whole"));
    assert!(good, "{text}");
    let answers = |out: &str| fs::read(at.join(out).join("cybermetric/answers-model.jsonl"));
    let part = at.join("cut/cybermetric/answers-model.part.jsonl");
    let mut child = wardsmith(at, &eval("cut")).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let lines = || fs::read_to_string(&part).map_or(0, |text| text.lines().count());
    for _ in 0..2000 {
        if lines() > 1 || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (good, text) = run(at, &eval("cut"));
    assert!(good, "{text}");
    assert_eq!(answers("cut").unwrap(), answers("whole").unwrap());
    let reports = |out: &str| fs::read(at.join(out).join("cybermetric/report.json")).unwrap();
    assert_eq!(reports("cut"), reports("whole"));
    // Label scores need no parsing.
    let (good, text) =
        run(at, &["eval", "--model", "run/model", "--benchmark", "cybermetric=kettles.json", "--out", "scored"]);
    assert!(good, "{text}");
    let report = report(at, "scored");
    assert_eq!(metric(&report, "model", "unparseable"), 0.0);
    assert_eq!(report["systems"][0]["answers"], ITEMS);
}
