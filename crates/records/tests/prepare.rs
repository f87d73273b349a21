//! The whole way from feeds to a dataset, on feeds invented here.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its own feeds may panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wardsmith_records::conversation::Role;
use wardsmith_records::dataset::{Dataset, Split};
use wardsmith_records::prepare::{PrepareOptions, prepare};

const CATALOGUE: &str = include_str!("../fixtures/cwe.xml");
const WORDS: [&str; 12] =
    ["kettle", "saucer", "spoon", "teapot", "lid", "handle", "sugar", "milk", "leaf", "steam", "table", "cloth"];

/// A description of its own for each number: twelve words in an order that no other number has.
fn description(number: usize) -> String {
    let mut text = String::from("In Acme Tearoom");
    for place in 0..12 {
        let word = WORDS[(number * (place + 1) + place * place + number / 7) % WORDS.len()];
        write!(text, " {word}{}", ["ing", "ed", "er"][(number / 3 + place) % 3]).unwrap();
    }
    text
}

fn line(id: &str, date: Option<&str>, description: &str, cwe: u32) -> String {
    let date = date.map(|date| format!(r#","datePublished":"{date}T00:00:00Z""#)).unwrap_or_default();
    format!(
        r#"{{"dataType":"CVE_RECORD","dataVersion":"5.1","cveMetadata":{{"cveId":"{id}","state":"PUBLISHED"{date}}},"containers":{{"cna":{{"descriptions":[{{"lang":"en","value":"{description}"}}],"problemTypes":[{{"descriptions":[{{"lang":"en","cweId":"CWE-{cwe}","description":"x"}}]}}]}}}}}}"#
    )
}

/// 40 CVEs a year of 2021 to 2024; every tenth of 2024 tells what one of 2021 tells, with another version.
fn feeds(folder: &Path) -> Vec<(String, PathBuf)> {
    for (at, year) in (2021..=2024).enumerate() {
        let mut text = String::new();
        for number in 0..40 {
            let date = format!("{year}-03-{:02}", number % 28 + 1);
            let copies = year == 2024 && number % 10 == 0;
            let told = if copies { number } else { at * 40 + number };
            let told = format!("{} before {year}.{number}", description(told));
            let cwe = if number % 2 == 0 { 9001 } else { 9003 };
            let date = (number != 39).then_some(date.as_str());
            text.push_str(&line(&format!("CVE-{year}-{:04}", number + 1), date, &told, cwe));
            text.push('\n');
        }
        std::fs::create_dir_all(folder.join("cves")).unwrap();
        std::fs::write(folder.join(format!("cves/{year}.jsonl")), text).unwrap();
    }
    std::fs::write(folder.join("cwe.xml"), CATALOGUE).unwrap();
    vec![("cvelist".into(), folder.join("cves")), ("cwe".into(), folder.join("cwe.xml"))]
}

fn options(sources: Vec<(String, PathBuf)>, tasks: &[&str]) -> PrepareOptions {
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    let date = |text: &str| text.parse().unwrap();
    PrepareOptions {
        max_reject_rate: 0.25,
        min_train_examples: 10,
        ..PrepareOptions::new(sources, tasks, date("2023-01-01"), date("2024-01-01"))
    }
}

fn run(options: &PrepareOptions, out: &Path) -> Dataset {
    prepare(options, out, false, &|_| {}).unwrap()
}

#[test]
fn copies_of_training_texts_neither_teach_nor_test_and_the_manifest_tells_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    run(&options(feeds(folder.path()), &["cwe_classify"]), &out);
    let dataset = Dataset::open(&out).unwrap();
    let report = &dataset.manifest.report;
    assert_eq!(report.merge.described, 160);
    assert_eq!(report.merge.dated_by_year_only, 4);
    assert_eq!(report.groups.groups_of_several, 4, "{:?}", report.groups);
    let left_out = &report.split.left_out["vulnerabilities"];
    assert_eq!((left_out["younger_than_its_group"], left_out["dated_by_year_only"]), (4, 3));
    assert_eq!(report.split.leaks, 0);
    let examples = &report.tasks["cwe_classify"].examples;
    let counts: Vec<u64> = Split::ALL.iter().map(|split| examples[split]).collect();
    assert_eq!(counts, [78, 39, 36]);
    assert_eq!(dataset.labels("cwe_classify").len(), 2);
    assert_eq!(dataset.examples("cwe_classify", Split::Test).unwrap().len(), 36);
    assert_eq!(dataset.manifest.options["sources"][0][1], "cves", "paths of the machine stay out");
}

#[test]
fn no_text_of_the_test_period_is_a_training_document() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = run(&options(feeds(folder.path()), &["document"]), &folder.path().join("set"));
    for example in dataset.examples("document", Split::Train).unwrap() {
        assert_eq!(example.conversation.messages[0].role, Role::Document);
        assert_eq!(example.gold, None);
        if example.id.starts_with("CVE") {
            assert!(example.published.as_str() < "2023" && example.published.len() == 10, "{example:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(feeds(folder.path()), &["cwe_classify", "document"]);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&options, &folder.path().join(threads.to_string()))).manifest
    };
    let (one, three) = (with(1), with(3));
    let data = one.files.keys().filter(|name| !name.starts_with("bias/")).count();
    assert_eq!(data, 8, "three splits a task, the labels of one, the hierarchy");
    assert_eq!(one, three);
}

#[test]
fn caps_bound_the_splits() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(feeds(folder.path()), &["cwe_classify"]);
    options.caps.train = Some(30);
    options.caps.test = Some(5);
    let dataset = run(&options, &folder.path().join("set"));
    let counts = &dataset.manifest.report.tasks["cwe_classify"].examples;
    assert_eq!((counts[&Split::Train], counts[&Split::Validation], counts[&Split::Test]), (30, 39, 5));
    assert_eq!(dataset.labels("cwe_classify").iter().map(|label| label.train_count).sum::<usize>(), 30);
}

#[test]
fn every_mistake_in_the_options_is_told() {
    let date = |text: &str| text.parse().unwrap();
    let mut options = PrepareOptions::new(
        vec![("nvdd".into(), "x".into())],
        vec!["poetry".into()],
        date("2024-01-01"),
        date("2023-01-01"),
    );
    options.near_duplicate_threshold = 0.0;
    options.max_reject_rate = f64::NAN;
    let mistakes: Vec<String> = options.mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
    assert!(mistakes.iter().all(|mistake| mistake.contains("\nhint: ")));
    assert!(prepare(&options, Path::new("nowhere"), false, &|_| {}).is_err());
}

#[test]
fn a_wrong_feed_a_broken_gzip_and_nothing_to_learn_from_are_clear_errors() {
    let folder = tempfile::tempdir().unwrap();
    let sources = feeds(folder.path());
    let error = |sources: Vec<(String, PathBuf)>| {
        let out = folder.path().join("none");
        let message = prepare(&options(sources, &["cwe_classify"]), &out, false, &|_| {}).unwrap_err().to_string();
        assert!(!out.exists(), "a dataset that failed leaves nothing");
        message
    };
    let message = error(vec![("nvd".into(), folder.path().join("cves"))]);
    assert!(
        message.contains("`cves/2021.jsonl` looks like CVE records") && message.contains("source `cvelist` reads that"),
        "{message}"
    );
    let broken = folder.path().join("broken.gz");
    std::fs::write(&broken, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    let message = error(vec![("nvd".into(), broken)]);
    assert!(message.contains("`broken.gz` is damaged"), "{message}");
    let message = error(vec![sources[1].clone()]);
    assert!(message.contains("task `cwe_classify` needs records"), "{message}");
    let message = error(vec![sources[0].clone()]);
    assert!(message.contains("needs the CWE catalogue"), "{message}");
}
