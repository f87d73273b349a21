//! The page of a small report, looked at from outside.

use std::collections::HashMap;

use wardsmith_eval::evaluate::{Bootstrap, compare, evaluate};
use wardsmith_eval::metric::Answer;

use super::*;

const LABELS: [(&str, &str); 5] = [
    ("CWE-79", "Cross-site Scripting <'&'>"),
    ("CWE-89", "SQL Injection"),
    ("CWE-22", "Path Traversal"),
    ("CWE-787", "Out-of-bounds Write"),
    ("CWE-352", "Cross-Site Request Forgery"),
];

/// Answers of a system that is right in `right` of ten cases.
fn answers(right: usize, likelihood: bool) -> Vec<Answer> {
    let label = |index: usize| LABELS[index % LABELS.len()].0.to_owned();
    let answer = |index: usize| {
        let gold = index * index + index / 7;
        let parsed = if (index * 7) % 10 < right { gold } else { gold + 1 + index % 3 };
        let ranked = (0..LABELS.len()).map(|rank| (label(parsed + rank), -0.5 - rank as f64 * 1.3));
        Answer {
            id: format!("CVE-2024-{:04}", 1000 + index),
            gold: label(gold),
            parsed: (index % 41 != 3).then(|| label(parsed)),
            ranked: ranked.collect(),
            hierarchical: Some(if gold == parsed { 1.0 } else { 0.4 }),
            nats: likelihood.then_some(0.3 + (10 - right) as f64 * 0.2),
            tokens: 3,
            bytes: 6,
            ..Answer::default()
        }
    };
    (0..1234).map(answer).collect()
}

fn manifest() -> Manifest {
    let report = serde_json::json!({
        "inputs": [{
            "source": "nvd", "licence": "public domain", "name": "feeds <2024>", "sha256": "ab".repeat(32),
            "bytes": 123_456_789, "files": 3, "members": {"hidden.json": {"sha256": "cd", "bytes": 1}}, "skipped": []
        }],
        "merge": {"described": 242_300, "with_cwe": 168_800},
        "groups": {"groups_of_several": 12_345, "members_of_several": 45_678},
        "split": {
            "validation_from": "2023-07-01", "test_from": "2024-01-01",
            "placed": {"vulnerabilities": {"train": 200_000, "validation": 20_000, "test": 22_300}},
            "left_out": {"vulnerabilities": {"younger_than_its_group": 321}}
        },
        "tasks": {"cwe_classify": {"examples": {"train": 99_999, "validation": 8_888, "test": 1234}, "labels": 5}}
    });
    let report = serde_json::from_value(report).unwrap();
    let mut manifest = Manifest::new(vec!["cwe_classify".into()], serde_json::Value::Null, report);
    manifest.files.insert(
        "test.jsonl".into(),
        wardsmith_records::manifest::FileSummary { sha256: "ef".repeat(32), bytes: 4321, plain_sha256: None },
    );
    manifest
}

fn report() -> Report {
    let bootstrap = Bootstrap { resamples: 200, seed: 1 };
    let systems = [
        ("tuned", answers(7, true)),
        ("base", answers(2, true)),
        ("majority", answers(1, false)),
        ("tfidf", answers(7, false)),
    ];
    let results = systems.iter().map(|(name, answers)| evaluate(name, answers, bootstrap, 15)).collect();
    let mut report = Report::new("Tuned <b>small</b> model", "cwe_classify", "test", results);
    report.comparisons = systems[1..]
        .iter()
        .map(|(name, answers)| compare(("tuned", &systems[0].1), (name, answers), bootstrap).unwrap())
        .collect();
    report.titles = LABELS.map(|(label, title)| (label.to_owned(), title.to_owned())).into();
    report.curve = (1..=500)
        .map(|step| CurvePoint {
            step,
            train_loss: Some(0.4 + 3.0 / (1.0 + step as f64 / 40.0) + (step as f64).sin() * 0.1),
            validation_loss: (step % 50 == 0).then(|| 0.6 + 3.0 / (1.0 + step as f64 / 45.0)),
        })
        .collect();
    let text = "A <script>alert('x')</script> in the search page of \u{202e}Example & Sons 1.2 lets remote users run \
                scripts of their choice in other people's browsers, because the parameter q is written back unchanged.";
    let texts: HashMap<_, _> = systems[0].1.iter().map(|answer| (answer.id.clone(), text.to_owned())).collect();
    report.wrong = draw_wrong(&systems[0].1, &texts, 10);
    report.set_dataset(&manifest());
    report.facts = vec![
        ("Model".into(), "llama, 4 layers of width 256, 5,243,904 weights; LoRA of rank 16 on q_proj, v_proj".into()),
        ("Machine".into(), "2 threads <x86-64, AVX2>".into()),
        ("Time".into(), "1 min 23 s, 4,321 tokens/s".into()),
    ];
    report.recipe = Some("name = \"x\"\n\n[train]\nlearning_rate = 0.0003\n# </pre><script>\n".into());
    report
}

#[test]
fn the_page_has_every_section_and_is_well_formed() {
    let html = report().to_html();
    for id in ["systems", "differences", "loss", "confusion", "labels", "wrong", "dataset", "run", "reading"] {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(2).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if matches!(name, "meta" | "br") => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn nothing_untrusted_becomes_markup_and_nothing_comes_from_elsewhere() {
    let html = report().to_html();
    for danger in
        ["<script", "<b>", "alert('", "\u{202e}", "# </pre>", "http:", "https:", "src=", "url(", "@import", "href="]
    {
        let found = html.replace("style-src ", "").contains(danger);
        assert!(!found, "{danger}");
    }
    for escaped in
        ["&lt;script&gt;alert(&#39;x&#39;)", "[U+202E]", "Scripting &lt;&#39;&amp;&#39;&gt;", "feeds &lt;2024&gt;"]
    {
        assert!(html.contains(escaped), "{escaped}");
    }
}

#[test]
fn numbers_stand_with_interval_unit_direction_and_denominator() {
    let report = report();
    let html = report.to_html();
    for system in &report.systems {
        for metric in &system.metrics {
            let shown = format!(
                "{}<small>{}</small><small>n = 1,234</small>",
                words::value(&metric.unit, metric.estimate.value),
                words::interval(&metric.unit, &metric.estimate)
            );
            assert!(html.contains(&shown), "{} {}", system.name, shown);
        }
    }
    assert!(html.contains("Perplexity<small>per token; lower is better</small>"));
    assert!(html.contains("Accuracy<small>% of answers; higher is better</small>"));
    assert!(html.contains("<caption>tuned − base</caption>"));
    assert!(html.contains("no difference shown") && html.contains(">better<"));
    assert!(html.contains("321 CVEs left out") && html.contains("0 leaks between splits"));
    assert!(html.contains(&"ab".repeat(32)) && !html.contains("hidden.json"));
}

#[test]
fn a_report_survives_its_folder_and_leaves_nothing_else_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/report");
    let report = report();
    report.write_to(&out).unwrap();
    report.write_to(&out).unwrap();
    assert_eq!(Report::open(&out).unwrap(), report);
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["report.html", "report.json"]);
}

#[test]
fn other_formats_and_missing_reports_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let told = |folder: &Path| format!("{:#}", Report::open(folder).unwrap_err());
    assert!(told(folder.path()).contains("hint:"));
    fs::write(folder.path().join("report.json"), r#"{"format":"wardsmith-report","format_version":9}"#).unwrap();
    assert!(told(folder.path()).contains("version `9`"));
    fs::write(folder.path().join("report.json"), "[]").unwrap();
    assert!(told(folder.path()).contains("is not a report"));
}

#[test]
fn a_report_without_labels_or_answers_has_a_page_too() {
    let nothing = evaluate("base", &[], Bootstrap::default(), 5);
    let html = Report::new("Nothing", "document", "validation", vec![nothing]).to_html();
    assert!(html.contains("id=\"systems\"") && !html.contains("id=\"confusion\""));
    assert!(Report::new("None", "document", "test", Vec::new()).to_html().contains("</html>"));
}
