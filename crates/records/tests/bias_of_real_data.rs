//! Bias, masking, sampling and probes on all real feeds beside the repository, where they are there.

#![expect(clippy::unwrap_used, reason = "a test of real data may panic where they are not as they should be")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wardsmith_records::augment::mask_names;
use wardsmith_records::bias::{BiasReport, Observed};
use wardsmith_records::conversation::Role;
use wardsmith_records::corpus::{Corpus, Places, Settings};
use wardsmith_records::dataset::{Example, Split};
use wardsmith_records::dedup::Thresholds;
use wardsmith_records::ingest::ingest;
use wardsmith_records::knowledge::Knowledge;
use wardsmith_records::probes::{Kind, RULES, paraphrase};
use wardsmith_records::sampling::{Sampling, sample};
use wardsmith_records::split::{Borders, Rules};
use wardsmith_records::task::by_name;

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Where the files of the report and the probes are left to be looked at; nowhere unless this is set.
const LEAVE_IN: &str = "WARDSMITH_BIAS_OUT";

#[test]
fn the_real_feeds_are_told_their_bias_and_give_probes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud("skipped: the bias of the real feeds; needs ../shared/data");
        return;
    }
    let begun = Instant::now();
    let step = |what: &str| aloud(&format!("{:6.1} s: {what}", begun.elapsed().as_secs_f64()));
    let sources = [("nvd", "nvd"), ("cvelist", "cvelist"), ("cwe", "cwe")];
    let sources: Vec<(String, PathBuf)> =
        sources.iter().map(|(name, path)| ((*name).to_owned(), data.join(path))).collect();
    let knowledge = ingest(&sources, 0.01, &|_, _| {}).unwrap().knowledge;
    step("read");
    let borders = Borders::new("2023-07-01".parse().unwrap(), "2024-01-01".parse().unwrap()).unwrap();
    // Without template groups, as the figures in LOG.md.
    let thresholds = Thresholds { near_duplicate: 0.8, template: None };
    let rules = Rules { borders, thresholds, validation_share: 0.05, test_share: 0.1 };
    let (places, _, _) = Places::of(&knowledge, &rules);
    step("placed");
    let settings = Settings { seed: 1, ..Settings::default() };
    let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &settings };
    let observed = Observed::of(&corpus);
    step("observed");
    let mut report = observed.report();
    step("told the records");
    let examples = by_name("cwe_classify").unwrap().make(&corpus).unwrap().examples;
    report.tasks.insert("cwe_classify".into(), observed.task(&examples));
    step("told the task");
    check_report(&report);
    let probes = by_name("probe").unwrap().make(&corpus).unwrap().examples;
    step("made probes");
    check_probes(&probes);
    check_paraphrases(&examples);
    let masked = check_masks(&knowledge, &examples);
    check_sampling(&examples);
    leave(&report, &probes, &masked);
    step("ran: the bias of the real feeds");
}

fn check_report(report: &BiasReport) {
    let records: u64 = report.records.records.values().sum();
    assert!(records > 200_000, "{records}");
    let labels = report.tasks["cwe_classify"].labels.as_ref().unwrap();
    let train = &labels.classes.balance[&Split::Train];
    assert!(train.gini > 0.5 && train.top_10 > 0.5, "{train:?}");
    let vendor = &labels.shortcuts[0];
    assert!(vendor.gain > 0.0 && vendor.association.explained > 0.05, "a vendor tells something: {vendor:?}");
    let cwe = &report.records.sources[0].pairs[0];
    let agreement = cwe.same as f64 / cwe.both as f64;
    assert!((0.6..0.9).contains(&agreement), "NVD and the CNAs agree on most: {cwe:?}");
    let english = report.records.language.certain["eng"];
    assert!(english * 10 > report.records.language.looked_at * 8, "{:?}", report.records.language);
}

fn text(example: &Example) -> &str {
    let question = example.conversation.text_of(Role::User).unwrap();
    question.split_once("\n\n").unwrap().1
}

fn check_probes(probes: &[(Split, Example)]) {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for (_, probe) in probes {
        *counts.entry(Kind::of_id(&probe.id).unwrap().0).or_default() += 1;
    }
    aloud(&format!("probes: {counts:?}"));
    assert!(Kind::ALL.iter().all(|kind| counts[kind] >= 500), "{counts:?}");
}

fn check_paraphrases(examples: &[(Split, Example)]) {
    let test: Vec<&Example> = examples.iter().filter(|(split, _)| *split == Split::Test).map(|(_, one)| one).collect();
    let mut fired: BTreeMap<&str, usize> = BTreeMap::new();
    let made: Vec<_> = test.iter().filter_map(|one| paraphrase(text(one))).collect();
    made.iter().flat_map(|one| &one.fired).for_each(|rule| *fired.entry(rule).or_default() += 1);
    aloud(&format!("paraphrased: {} of {} test examples", made.len(), test.len()));
    for rule in RULES {
        aloud(&format!("  {:<18} {}", rule.name, fired.get(rule.name).copied().unwrap_or(0)));
    }
    assert!(made.len() * 2 > test.len(), "more than half can be said in other words");
}

/// Texts before and after.
fn check_masks(knowledge: &Knowledge, examples: &[(Split, Example)]) -> Vec<(String, String)> {
    let train: Vec<&Example> =
        examples.iter().filter(|(split, _)| *split == Split::Train).map(|(_, one)| one).step_by(20).collect();
    let mask = |one: &&Example| {
        let record = knowledge.vulnerability(one.id.parse().unwrap()).unwrap();
        Some((text(one).to_owned(), mask_names(text(one), &record.products)?))
    };
    let masked: Vec<(String, String)> = train.iter().filter_map(mask).collect();
    aloud(&format!("masked: {} of {} training examples", masked.len(), train.len()));
    assert!(masked.len() * 2 > train.len());
    masked
}

fn check_sampling(examples: &[(Split, Example)]) {
    for sampling in [Sampling::Cap(2000), Sampling::SquareRoot, Sampling::Balanced, Sampling::EffectiveNumber(0.999)] {
        let sampled = sample(examples.to_vec(), sampling, 1);
        let mut classes: BTreeMap<&str, f64> = BTreeMap::new();
        for (_, one) in sampled.iter().filter(|(split, _)| *split == Split::Train) {
            *classes.entry(one.gold.as_deref().unwrap()).or_default() += one.weight;
        }
        let (sum, most) = classes.values().fold((0.0, 0.0), |(sum, most): (f64, f64), one| (sum + one, most.max(*one)));
        aloud(&format!("{sampling:?}: {sum:.0} in all, the most frequent class has {:.1} %", 100.0 * most / sum));
    }
}

fn leave(report: &BiasReport, probes: &[(Split, Example)], masked: &[(String, String)]) {
    let Some(folder) = std::env::var_os(LEAVE_IN).map(PathBuf::from) else { return };
    std::fs::create_dir_all(folder.join("bias")).unwrap();
    for (name, bytes) in report.files() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let lines = masked.iter().map(|pair| serde_json::to_string(pair).unwrap() + "\n");
    std::fs::write(folder.join("masked.jsonl"), lines.collect::<String>()).unwrap();
    let lines = probes.iter().map(|(_, one)| serde_json::to_string(one).unwrap() + "\n");
    std::fs::write(folder.join("probes.jsonl"), lines.collect::<String>()).unwrap();
}
