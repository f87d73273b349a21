//! Questions to a model of random weights: text as it comes, and JSON that follows a schema whatever the model would write.
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::{run, tiny, wardsmith};

/// A model after one step of training, in `run/model`.
fn model(at: &Path) {
    tiny(at, "max_steps = 6\n");
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "run"]);
    assert!(good, "{text}");
}

/// Standard output of a question that is answered.
fn asked(at: &Path, args: &[&str]) -> String {
    let output = wardsmith(at, &[&["ask", "--model", "run/model"], args].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn answers_come_from_prompts_lines_and_conversations_and_a_seed_fixes_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let draw = ["--temperature", "1.2", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.001", "--max-tokens", "24"];
    let ask = |more: &[&str]| asked(at, &[&draw[..], more].concat());
    let one = json_lines(&ask(&["--json", "--seed", "3", "What is a buffer?"]));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["prompt"], "What is a buffer?");
    assert!(["end", "length"].contains(&one[0]["ended"].as_str().unwrap()));
    assert!(one[0]["answer_tokens"].as_u64().unwrap() <= 24);
    // The same, streamed; the same, as a line of a file; the same, as a conversation.
    assert_eq!(
        ask(&["--seed", "3", "What is a buffer?"]).trim_end_matches('\n'),
        one[0]["text"].as_str().unwrap().trim_end_matches('\n')
    );
    fs::write(at.join("lines.txt"), "What is a buffer?\n\nAnd what is a stack?\n").unwrap();
    let lines = json_lines(&ask(&["--json", "--seed", "3", "--file", "lines.txt"]));
    assert_eq!((lines.len(), &lines[0]), (2, &one[0]));
    fs::write(at.join("said.json"), json!([{"role": "user", "content": "What is a buffer?"}]).to_string()).unwrap();
    assert_eq!(json_lines(&ask(&["--json", "--seed", "3", "--messages", "said.json"]))[0]["text"], one[0]["text"]);
    assert_ne!(json_lines(&ask(&["--json", "--seed", "4", "What is a buffer?"]))[0]["text"], one[0]["text"]);
    // A stop string cuts before itself.
    let text = one[0]["text"].as_str().unwrap();
    let stop: String = text.chars().skip(8).take(3).collect();
    let cut = json_lines(&ask(&["--json", "--seed", "3", "--stop", &stop, "What is a buffer?"]));
    assert_eq!(cut[0]["text"].as_str().unwrap(), &text[..text.find(&stop).unwrap()]);
    assert_eq!(cut[0]["ended"], "stop");
}

#[test]
fn an_answer_under_a_schema_is_valid_whatever_the_model_would_write() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let schema = json!({
        "type": "object",
        "properties": {
            "cwe": {"type": "string", "pattern": "^CWE-[1-9][0-9]{0,3}$"},
            "severity": {"enum": ["low", "medium", "high"]},
            "score": {"type": "integer", "minimum": 0, "maximum": 10},
            "notes": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2},
        },
        "required": ["cwe", "severity", "score", "notes"],
        "additionalProperties": false,
    });
    fs::write(at.join("schema.json"), schema.to_string()).unwrap();
    let mut child =
        wardsmith(at, &["ask", "--model", "run/model", "--schema", "schema.json", "--json", "--temperature", "1.5"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut input = child.stdin.take().unwrap();
    (0..8).for_each(|i| writeln!(input, "Report {i}: a name is copied without looking at its length.").unwrap());
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(lines.len(), 8);
    for line in lines {
        let value = &line["value"];
        assert_eq!(serde_json::from_str::<Value>(line["text"].as_str().unwrap()).unwrap(), *value);
        let digits: u32 = value["cwe"].as_str().unwrap().strip_prefix("CWE-").unwrap().parse().unwrap();
        assert!((1..=9999).contains(&digits));
        assert!(["low", "medium", "high"].contains(&value["severity"].as_str().unwrap()));
        assert!((0..=10).contains(&value["score"].as_i64().unwrap()));
        let notes = value["notes"].as_array().unwrap();
        assert!(notes.len() <= 2 && notes.iter().all(|note| note.as_str().unwrap().chars().count() <= 6));
        assert_eq!(value.as_object().unwrap().len(), 4);
    }
    let plain = asked(at, &["--schema", "schema.json", "x"]);
    assert!(serde_json::from_str::<Value>(&plain).unwrap().is_object(), "{plain}");
}

#[test]
fn what_cannot_be_asked_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at);
    let refused = |args: &[&str]| {
        let (good, text) = run(at, &[&["ask", "--model", "run/model"], args].concat());
        assert!(!good && text.contains("hint:"), "{args:?}: {text}");
        text
    };
    fs::write(at.join("unique.json"), r#"{"type": "array", "uniqueItems": true}"#).unwrap();
    assert!(refused(&["--schema", "unique.json", "x"]).contains("uniqueItems"));
    fs::write(at.join("long.json"), r#"{"type": "string", "minLength": 5000}"#).unwrap();
    assert!(refused(&["--schema", "long.json", "--max-tokens", "5", "x"]).contains("--max-tokens"));
    fs::write(at.join("said.json"), r#"[{"role": "nobody", "content": "x"}]"#).unwrap();
    assert!(refused(&["--messages", "said.json"]).contains("`said.json` is no conversation"));
    refused(&["--schema", "absent.json", "x"]);
    refused(&["--top-p", "2", "x"]);
}
