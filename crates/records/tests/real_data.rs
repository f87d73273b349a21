//! The smallest real feeds beside the repository, where they are there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use wardsmith_records::dataset::Split;
use wardsmith_records::ingest::ingest;
use wardsmith_records::prepare::{PrepareOptions, prepare};
use wardsmith_records::record::{CvssVector, RejectReason};

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

#[test]
fn nearly_every_record_of_vulnrichment_has_an_assessment_and_scores_that_are_ours() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cvelist/cve-records-5-vulnrichment.jsonl.gz");
    if !path.exists() {
        aloud("skipped: the records of Vulnrichment; needs ../shared/data");
        return;
    }
    let found = ingest(&[("cvelist".to_owned(), path.clone())], 0.01, &|_, _| {}).unwrap();
    let lost = &found.counts["cvelist"].labels_rejected;
    assert_eq!((found.merge.with_ssvc, lost.get(&RejectReason::BadSsvc)), (59_565, None), "{lost:?}");
    let labels: BTreeMap<&str, usize> =
        found.knowledge.vulnerabilities.iter().flat_map(|one| &one.ssvc).fold(BTreeMap::new(), |mut counts, label| {
            *counts.entry(label.source.split(':').next().unwrap()).or_default() += 1;
            counts
        });
    assert_eq!(labels, [("adp", 59_565), ("cna", 2)].into());

    let file = std::fs::File::open(path).unwrap();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        compare(&record["containers"], &mut counts);
    }
    let (all, agreed) = counts.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    aloud(&format!("ran: Vulnrichment, {all} stated scores, {agreed} are ours: {counts:?}"));
    // CNAs state scores by hand too, some of them for another vector.
    assert!(agreed * 1000 > all * 995, "{counts:?}");
}

/// Counts the scores that stand beside a vector, and those of them that are ours, by the version's field.
fn compare(value: &serde_json::Value, counts: &mut BTreeMap<String, (usize, usize)>) {
    match value {
        serde_json::Value::Array(all) => all.iter().for_each(|one| compare(one, counts)),
        serde_json::Value::Object(fields) => {
            for (name, one) in fields.iter().filter(|(name, _)| name.starts_with("cvssV")) {
                let vector = one["vectorString"].as_str().and_then(|text| text.parse::<CvssVector>().ok());
                if let (Some(vector), Some(stated)) = (vector, one["baseScore"].as_f64()) {
                    let count = counts.entry(name.clone()).or_default();
                    count.0 += 1;
                    let ours = [vector.base_score(), vector.score()];
                    if ours.iter().any(|ours| (ours.to_f64() - stated).abs() < 1e-6) {
                        count.1 += 1;
                    }
                }
            }
            fields.values().for_each(|one| compare(one, counts));
        }
        _ => {}
    }
}
