//! Every adapter on the published files, where they lie beside the checkout.

use std::io::Write as _;
use std::path::Path;

use wardsmith_eval::benchmarks::by_name;
use wardsmith_eval::item::Asked;

/// Benchmark, file, items in it, items without a key, items that no rule judges.
const FILES: &[(&str, &str, usize, usize, usize)] = &[
    ("cybermetric", "benchmarks/cybermetric/CyberMetric-80-v1.json", 80, 0, 0),
    ("cybermetric", "benchmarks/cybermetric/CyberMetric-500-v1.json", 500, 0, 0),
    ("cybermetric", "benchmarks/cybermetric/CyberMetric-2000-v1.json", 2_000, 0, 0),
    ("seceval", "benchmarks/seceval/questions.json", 2_189, 7, 0),
    ("secure-cpst", "benchmarks/secure/Dataset/SECURE - CPST.tsv", 100, 0, 0),
    ("secure-cwet", "benchmarks/secure/Dataset/SECURE - CWET.tsv", 965, 1, 0),
    ("secure-kcv", "benchmarks/secure/Dataset/SECURE - KCV.tsv", 466, 0, 0),
    ("secure-maet", "benchmarks/secure/Dataset/SECURE - MAET.tsv", 1_072, 0, 0),
    ("secure-rert", "benchmarks/secure/Dataset/SECURE - RERT.tsv", 1_000, 0, 0),
    ("secure-vood", "benchmarks/secure/Dataset/SECURE - VOOD.tsv", 466, 0, 0),
    ("cyberseceval-autocomplete", "benchmarks/cyberseceval/autocomplete.json.gz", 1_916, 0, 1_179),
    ("cyberseceval-instruct", "benchmarks/cyberseceval/instruct.json.gz", 1_916, 0, 1_179),
    ("cyberseceval-instruct", "benchmarks/cyberseceval/instruct-v2.json.gz", 1_681, 0, 1_086),
    ("cyberseceval-interpreter", "benchmarks/cyberseceval/interpreter.json.gz", 500, 0, 0),
    ("cyberseceval-frr", "benchmarks/cyberseceval/mitre_frr.json.gz", 750, 0, 0),
    ("cyberseceval-injection", "benchmarks/cyberseceval/prompt_injection.json.gz", 251, 0, 152),
    ("cyberseceval-malware", "benchmarks/cyberseceval/questions.json.gz", 609, 1, 0),
    ("cyberseceval-reports", "benchmarks/cyberseceval/report_questions.json.gz", 588, 1, 0),
    ("sven", "code/sven", 1_606, 0, 0),
];

#[test]
fn every_row_of_every_file_becomes_an_item() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let say = |line: String| writeln!(std::io::stderr(), "{line}").unwrap();
    if !data.join("benchmarks").is_dir() {
        return say("skipped: the published benchmarks are not beside the checkout".into());
    }
    let mut wrong = Vec::new();
    for &(name, file, rows, keyless, unjudged) in FILES {
        let (summary, items) = by_name(name).unwrap().open(&data.join(file)).unwrap();
        let without_key = items.iter().filter(|item| is_keyless(&item.asked)).count();
        let without_judge = items.iter().filter(|item| !item.is_judged()).count();
        say(format!("ran: {name}: {} items, {without_key} without a key, {without_judge} not judged", items.len()));
        if (items.len(), without_key, without_judge) != (rows, keyless, unjudged) {
            wrong.push(file);
        }
        assert_eq!(summary.sha256.len(), 64);
        let ids: std::collections::HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids.len(), items.len(), "{file}");
        for item in &items {
            assert!(!item.grade("").is_correct(), "{file} {}", item.id);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn is_keyless(asked: &Asked) -> bool {
    match asked {
        Asked::Letter { gold, .. } => gold.is_none(),
        Asked::Letters { golds, options } => golds.is_empty() || golds.iter().any(|gold| !options.contains(gold)),
        _ => false,
    }
}
