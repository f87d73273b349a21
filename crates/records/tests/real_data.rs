//! The smallest real feeds beside the repository, where they are there.

use std::io::Write as _;
use std::path::Path;

use wardsmith_records::dataset::Split;
use wardsmith_records::prepare::{PrepareOptions, prepare};

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn the_smallest_real_feeds_are_prepared_without_a_reject() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud("skipped: the smallest real feeds; needs ../shared/data");
        return;
    }
    let sources = [
        ("nvd", "nvd/nvdcve-1.1-2010.json.gz"),
        ("cvelist", "cvelist/cve-records-5-descriptions.jsonl.gz"),
        ("cwe", "cwe/cwec_v4.16.xml.zip"),
    ];
    let sources = sources.iter().map(|(name, path)| ((*name).to_owned(), data.join(path))).collect();
    let tasks = vec!["cwe_classify".to_owned(), "document".to_owned()];
    let options = PrepareOptions::new(sources, tasks, "2010-07-01".parse().unwrap(), "2020-01-01".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let dataset = prepare(&options, &folder.path().join("set"), false, &|_| {}).unwrap();
    let report = &dataset.manifest.report;
    for (name, counts) in &report.sources {
        assert!(counts.rejected.is_empty() && counts.labels_rejected.is_empty(), "{name}: {counts:?}");
    }
    let cwe = &report.sources["cwe"].kinds;
    assert_eq!((cwe["weaknesses"], cwe["categories"], cwe["views"]), (965, 409, 55));
    assert_eq!(report.sources["cvelist"].kinds["vulnerabilities"], 31_208);
    assert_eq!(report.split.leaks, 0);
    assert!(report.merge.described > 32_000, "{:?}", report.merge);
    let examples = &report.tasks["cwe_classify"].examples;
    assert!(Split::ALL.iter().all(|split| examples[split] > 100), "{examples:?}");
    let xss = dataset.labels("cwe_classify").iter().find(|label| label.name == "CWE-79").unwrap();
    assert!(xss.title.contains("Cross-site Scripting"), "{xss:?}");
    assert_eq!(xss.ancestors, ["CWE-74", "CWE-707"]);
    aloud(&format!("ran: the smallest real feeds, {} CVEs", report.merge.described));
}
