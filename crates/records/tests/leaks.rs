//! Leaks between splits: that the checker finds every kind, that placing leaves none, and that real data have none.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its own feeds may panic")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use proptest::prelude::*;

use wardsmith_records::benchmark::Benchmarks;
use wardsmith_records::conversation::Conversation;
use wardsmith_records::dataset::{Dataset, Example, Split};
use wardsmith_records::dedup::Thresholds;
use wardsmith_records::ingest::ingest;
use wardsmith_records::leak::{LeakCheck, LeakReport};
use wardsmith_records::prepare::{PrepareOptions, prepare};
use wardsmith_records::split::{Borders, Rules, Thing, place};

const BOTH: Thresholds = Thresholds { near_duplicate: 0.8, template: Some(0.8) };

/// Eight texts that have nothing in common.
const TEXTS: [&str; 8] = [
    "A heap overflow in the saucer parser of Acme Kettle lets a nearby guest crash the whole host with one long spoon",
    "Session tokens of the Larkmoor portal never expire, so whoever finds a forgotten laptop may still read all mail",
    "SQL injection in Larkmoor Desk 2.3 allows remote attackers to run SQL statements through the sort parameter of the main page",
    "Log files written by the night watch hold passwords in cleartext and every clerk of the tearoom can open them",
    "Missing authorization in the brewing queue gives any waiter the rights of the head cook after a second login",
    "The installer follows symbolic links below its temporary folder and overwrites whatever they happen to point at",
    "An attacker who controls the clock of a teapot can replay signed orders until somebody resets the counter by hand",
    "Uploads are checked by their suffix only, which lets authors place scripts beside the pictures of their cakes",
];

fn example(id: &str, task: &str, group: u64, text: &str) -> Example {
    Example {
        id: id.into(),
        task: task.into(),
        published: String::new(),
        group,
        sources: vec!["invented".into()],
        weight: 1.0,
        private: false,
        conversation: Conversation::document(text),
        gold: None,
    }
}

/// Checks all of `TEXTS`, spread over splits and tasks, and `planted` beside them.
fn check_with(planted: &[(Split, Example)], benchmarks: Option<&Benchmarks>) -> LeakReport {
    let mut check = LeakCheck::new(BOTH);
    if let Some(benchmarks) = benchmarks {
        check = check.with_benchmarks(benchmarks);
    }
    for (at, text) in TEXTS.iter().enumerate() {
        let split = Split::ALL[at % 3];
        for task in ["document", "severity"] {
            check.add(split, &example(&format!("note-{at}"), task, at as u64, text), text);
        }
    }
    for (split, one) in planted {
        check.add(*split, one, &one.conversation.messages[0].content);
    }
    check.finish()
}

/// The kinds that were found, with their counts.
fn kinds(report: &LeakReport) -> Vec<(&'static str, u64)> {
    report.kinds().into_iter().filter(|(_, leaks)| leaks.count > 0).map(|(kind, leaks)| (kind, leaks.count)).collect()
}

#[test]
fn what_does_not_leak_is_not_told() {
    let report = check_with(&[], None);
    assert_eq!((report.examples, report.texts, report.total()), (16, 8, 0));
    let short = |id: &str, group, text: &str| example(id, "define", group, text);
    let planted = [
        (Split::Train, short("CWE-79", 100, "What is CWE-79?")),
        (Split::Test, short("CWE-80", 101, "What is CWE-80?")),
        (Split::Train, short("a", 102, "")),
        (Split::Test, short("b", 103, " … ")),
        (Split::Train, short("again", 0, TEXTS[0])),
    ];
    assert_eq!(kinds(&check_with(&planted, None)), [], "short questions, no words, a copy in its own split");
}

#[test]
fn every_kind_of_leak_is_found_by_its_kind_and_names_both_sides() {
    let fresh = "Nobody had told the gardener that his new fountain answers to every remote control in town";
    let near = TEXTS[0].replace("spoon", "ladle");
    let template = "SQL injection in Tarn Viewer 1.8 lets a remote attacker execute SQL statements via the id parameter of the main page";
    // Texts 0 and 3 stand in training, 2 in test.
    let cases = [
        (
            "same ID",
            Split::Test,
            example("note-0#2", "qa", 100, fresh),
            "`note-0` (document, train) and `note-0#2` (qa, test)",
        ),
        ("same group", Split::Test, example("x", "qa", 3, fresh), "`note-3` (document, train) and `x` (qa, test)"),
        (
            "same text",
            Split::Test,
            example("x", "qa", 100, &TEXTS[0].to_uppercase()),
            "`note-0` (document, train) and `x` (qa, test)",
        ),
        (
            "near-duplicate",
            Split::Validation,
            example("x", "qa", 100, &near),
            "`note-0` (document, train) and `x` (qa, validation)",
        ),
        ("template", Split::Train, example("x", "qa", 100, template), "`x` (qa, train) and `note-2` (document, test)"),
    ];
    for (kind, split, planted, told) in cases {
        let report = check_with(&[(split, planted)], None);
        assert_eq!(kinds(&report), [(kind, 1)]);
        let message = report.into_result().unwrap_err().to_string();
        assert!(message.contains(&format!("1 leaks of the kind {kind}")) && message.contains(told), "{message}");
    }
}

#[test]
fn an_item_of_a_benchmark_may_not_teach_but_may_test() {
    let folder = tempfile::tempdir().unwrap();
    let item = "Who may open the silver cupboard of the tearoom after the last guest has left the house?";
    let path = folder.path().join("quiz.json");
    std::fs::write(&path, format!(r#"[{{"question":"{item}"}}]"#)).unwrap();
    let benchmarks = Benchmarks::read(&[("quiz".into(), path)]).unwrap();
    let planted = |split| [(split, example("x", "qa", 100, item))];
    let report = check_with(&planted(Split::Validation), Some(&benchmarks));
    assert_eq!(kinds(&report), [("benchmark", 1)]);
    assert!(report.into_result().unwrap_err().to_string().contains("`x` (qa, validation) and `quiz 0` (benchmark)"));
    assert_eq!(kinds(&check_with(&planted(Split::Test), Some(&benchmarks))), []);
}

const WORDS: [&str; 24] = [
    "kettle", "saucer", "spoon", "teapot", "lid", "handle", "sugar", "milk", "leaf", "steam", "table", "cloth",
    "river", "garden", "window", "ladder", "copper", "wheel", "candle", "basket", "mirror", "anchor", "feather",
    "bridge",
];

/// A sentence of its own for each number.
fn own_text(number: usize) -> String {
    let mut text = format!("The {} in the", WORDS[number % 24]);
    let mut state = number as u32 + 1;
    for _ in 0..14 {
        // A step of the generator of "Numerical Recipes"; its high bits are good enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pick = (state >> 16) as usize;
        write!(text, " {}{}", WORDS[pick % 24], ["ing", "ed", "er", "ish"][pick / 24 % 4]).unwrap();
    }
    text
}

fn record(id: &str, date: &str, text: &str) -> String {
    format!(
        r#"{{"dataType":"CVE_RECORD","dataVersion":"5.1","cveMetadata":{{"cveId":"{id}","state":"PUBLISHED","datePublished":"{date}T00:00:00Z"}},"containers":{{"cna":{{"descriptions":[{{"lang":"en","value":"{text}"}}]}}}}}}"#
    )
}

/// Feeds in which 2024 repeats 2022: a copy, a near-duplicate and another name in the same template.
fn feeds(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut lines = String::new();
    for number in 0..60 {
        let year = 2022 + number / 20;
        let text = own_text(number);
        writeln!(lines, "{}", record(&format!("CVE-{year}-{:04}", 1000 + number), &format!("{year}-05-05"), &text))
            .unwrap();
    }
    let sql = |name: &str, way: &str| {
        format!("SQL injection in {name} {way} run SQL statements via the id parameter of the first page")
    };
    for (id, date, text) in [
        ("CVE-2022-2001", "2022-06-06", sql("Larkmoor Desk 2.3", "allows remote attackers to")),
        ("CVE-2024-2001", "2024-06-06", sql("Tarn Viewer 1.8", "lets a remote attacker")),
        ("CVE-2024-2002", "2024-06-06", own_text(3)),
        ("CVE-2024-2003", "2024-06-06", format!("{} again", own_text(4))),
    ] {
        writeln!(lines, "{}", record(id, date, &text)).unwrap();
    }
    std::fs::write(folder.join("cves.jsonl"), lines).unwrap();
    vec![("cvelist".into(), folder.join("cves.jsonl"))]
}

fn options(sources: Vec<(String, PathBuf)>) -> PrepareOptions {
    PrepareOptions::new(sources, vec!["document".into()], "2023-01-01".parse().unwrap(), "2024-01-01".parse().unwrap())
}

fn ids(dataset: &Dataset, split: Split) -> Vec<String> {
    dataset.examples("document", split).unwrap().into_iter().map(|one| one.id).collect()
}

#[test]
fn prepare_never_writes_a_pair_into_two_splits() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(feeds(folder.path()));
    let dataset = prepare(&options, &folder.path().join("set"), false, &|_| {}).unwrap();
    let report = &dataset.manifest.report.split;
    assert_eq!((report.leaks, report.leak_report.examples), (0, 61));
    assert_eq!(report.left_out["vulnerabilities"]["younger_than_its_group"], 3);
    assert!(ids(&dataset, Split::Test).iter().all(|id| !id.starts_with("CVE-2024-2")));
    let loose = PrepareOptions { template_threshold: 0.0, ..options };
    let dataset = prepare(&loose, &folder.path().join("loose"), false, &|_| {}).unwrap();
    let kept: Vec<String> = ids(&dataset, Split::Test).into_iter().filter(|id| id.starts_with("CVE-2024-2")).collect();
    assert_eq!(kept, ["CVE-2024-2001"], "where templates do not count, another name makes another text");
}

#[test]
fn prepare_keeps_benchmarks_out_of_what_teaches_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(feeds(folder.path()));
    let quiz = folder.path().join("quiz of tea.tsv");
    let (train, test) = (own_text(7), own_text(47));
    std::fs::write(&quiz, format!("question\tanswer\n{train}\tyes\n{test}\tno\nAbout CVE-2023-1030\tno\n")).unwrap();
    options.decontaminate = vec![("quiz".into(), quiz)];
    let dataset = prepare(&options, &folder.path().join("set"), false, &|_| {}).unwrap();
    let report = &dataset.manifest.report;
    assert_eq!(report.tasks["document"].left_out["overlaps_benchmark"], 2);
    assert_eq!(report.tasks["document"].examples.values().sum::<u64>(), 59);
    let counted = serde_json::to_string(&report.benchmark_overlaps).unwrap();
    assert_eq!(counted, r#"{"taken_out":{"quiz":{"same_id":1,"same_text":1}},"in_test":{"quiz":{"same_text":1}}}"#);
    assert_eq!((report.benchmarks[0].name.as_str(), report.benchmarks[0].items), ("quiz of tea.tsv", 3));
    assert_eq!(dataset.manifest.options["decontaminate"][0][1], "quiz of tea.tsv", "paths of the machine stay out");
    assert!(!ids(&dataset, Split::Train).contains(&"CVE-2022-1007".to_owned()));
    assert!(ids(&dataset, Split::Test).contains(&"CVE-2024-1047".to_owned()));
}

fn rules(thresholds: Thresholds) -> Rules {
    let borders = Borders::new("2023-01-01".parse().unwrap(), "2024-01-01".parse().unwrap()).unwrap();
    Rules { borders, thresholds, validation_share: 0.1, test_share: 0.1 }
}

/// Places `things` and checks what came of it.
fn placed_and_checked(things: &[Thing<'_>], thresholds: Thresholds) -> (LeakReport, [u64; 3]) {
    let (places, _) = place(things, &rules(thresholds));
    let mut check = LeakCheck::new(BOTH);
    let mut counts = [0; 3];
    for (thing, place) in things.iter().zip(places) {
        if let Ok(placed) = place {
            counts[placed.split as usize] += 1;
            check.add(placed.split, &example(thing.id, "document", placed.group, thing.text), thing.text);
        }
    }
    (check.finish(), counts)
}

/// Texts by a few templates with other names, versions and a changed word here and there.
fn mutated() -> impl Strategy<Value = Vec<(String, u16)>> {
    let one = (0usize..8, 0u8..30, 0usize..20, 0usize..24, 0u16..5);
    proptest::collection::vec(one, 2..60).prop_map(|all| {
        let text = |(base, name, at, word, year): (usize, u8, usize, usize, u16)| {
            let name = format!("Acme{} {}.{name}", char::from(b'a' + name % 26), name / 7);
            let mut words: Vec<&str> = TEXTS[base].split(' ').collect();
            let at = at % words.len();
            words[at] = if word < 12 { words[at] } else { WORDS[word] };
            words.insert(3, &name);
            (words.join(" "), 2020 + year)
        };
        all.into_iter().map(text).collect()
    })
}

proptest! {
    #[test]
    fn no_leak_is_left_of_any_corpus_that_was_placed(texts in mutated(), undated in 0usize..4) {
        let ids: Vec<String> = (0..texts.len()).map(|at| format!("thing-{at}")).collect();
        let things: Vec<Thing<'_>> = texts
            .iter()
            .zip(&ids)
            .enumerate()
            .map(|(at, ((text, year), id))| Thing {
                id,
                text,
                published: (at % 4 != undated).then(|| format!("{year}-02-03").parse().unwrap()),
                origin: "",
                is_cve: None,
                cves: &[],
            })
            .collect();
        let (report, _) = placed_and_checked(&things, BOTH);
        prop_assert_eq!(kinds(&report), []);
    }
}

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn all_real_cves_are_placed_without_a_leak_and_would_leak_otherwise() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud("skipped: leaks among all real CVEs; needs ../shared/data");
        return;
    }
    let named = ["nvd", "cvelist"].map(|name| (name.to_owned(), data.join(name)));
    let knowledge = ingest(&named, 0.01, &|_, _| {}).unwrap().knowledge;
    let ids: Vec<String> = knowledge.vulnerabilities.iter().map(|one| one.id.to_string()).collect();
    let things: Vec<Thing<'_>> = knowledge
        .vulnerabilities
        .iter()
        .zip(&ids)
        .map(|(one, id)| Thing {
            id,
            text: &one.description,
            published: Some(one.published),
            origin: "",
            is_cve: Some(one.id),
            cves: &[],
        })
        .collect();
    let told = |thresholds: Thresholds, things: &[Thing<'_>]| {
        let start = Instant::now();
        let (report, counts) = placed_and_checked(things, thresholds);
        let (kinds, seconds) = (kinds(&report), start.elapsed().as_secs_f64());
        aloud(&format!(
            "ran: leaks among {} real CVEs, {thresholds:?}: {counts:?}, {kinds:?}, {seconds:.1} s",
            things.len()
        ));
        report
    };
    let report = told(BOTH, &things);
    assert_eq!(report.total(), 0, "{:?}", report.into_result());
    // The checker is no ornament: without the grouping it finds what the grouping is for.
    let some: Vec<Thing<'_>> = things.into_iter().step_by(8).collect();
    let exact = told(Thresholds { near_duplicate: 1.0, template: None }, &some);
    assert!(exact.near_duplicate.count > 0 && exact.template.count > 0);
    assert!(told(Thresholds { template: None, ..BOTH }, &some).template.count > 0);
}
