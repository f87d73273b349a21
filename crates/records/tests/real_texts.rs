//! Rules, guides, labelled sentences and code beside the repository, where they are there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wardsmith_records::ingest::{Ingested, ingest};
use wardsmith_records::record::{DocumentKind, RejectReason};

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// All of `files` read by `source`, and how long it took; nothing where there is no data.
fn read(source: &str, files: &[&str]) -> Option<(Ingested, f64)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud(&format!("skipped: real data for source `{source}`; needs ../shared/data"));
        return None;
    }
    let start = Instant::now();
    let named: Vec<(String, PathBuf)> = files.iter().map(|file| (source.to_owned(), data.join(file))).collect();
    let found = ingest(&named, 0.0, &|_, _| {}).expect("real data is read without a reject");
    Some((found, start.elapsed().as_secs_f64()))
}

/// Says what was read, and that no record was rejected.
fn report(source: &str, found: &Ingested, seconds: f64) {
    let counts = &found.counts[source];
    assert!(counts.rejected.is_empty(), "{counts:?}");
    aloud(&format!(
        "ran: source `{source}`, {} records ({:?}), set aside {:?}, labels lost {:?}, {seconds:.2} s",
        counts.records, counts.kinds, counts.set_aside, counts.labels_rejected
    ));
}

#[test]
fn every_rule_of_sigma_is_read() {
    let Some((found, seconds)) = read("sigma", &["reports/sigma/sigma-rules.tar.xz"]) else { return };
    report("sigma", &found, seconds);
    assert_eq!(found.counts["sigma"].kinds["documents"], 3780);
    assert!(found.counts["sigma"].labels_rejected.is_empty());
    let rules = &found.knowledge.documents;
    assert_eq!(rules.len(), 3780, "every rule has an ID of its own");
    assert!(rules.iter().all(|one| one.kind == DocumentKind::DetectionRule && one.published.is_some()));
    assert!(rules.iter().all(|one| one.text.contains("\n\nDetection:\n") && !one.summary.is_empty()));
    let with_techniques = rules.iter().filter(|one| !one.techniques.is_empty()).count();
    let with_cves = rules.iter().filter(|one| !one.cves.is_empty()).count();
    aloud(&format!("     {with_techniques} rules with techniques, {with_cves} with CVEs"));
    assert!(with_techniques == 3309 && with_cves > 200);
}

#[test]
fn the_sets_of_tram_are_joined_to_one() {
    let Some((found, seconds)) = read("tram", &["reports/tram/tram-data.tar.xz"]) else { return };
    report("tram", &found, seconds);
    assert_eq!(found.counts["tram"].kinds["sentences"], 5_089 + 11_130);
    let sentences = &found.knowledge.sentences;
    let in_reports = sentences.iter().filter(|one| !one.document.is_empty()).count();
    let several = sentences.iter().filter(|one| one.techniques.len() > 1).count();
    aloud(&format!(
        "     {} different sentences, {in_reports} of known reports, {several} with several techniques",
        sentences.len()
    ));
    assert!((11_500..12_100).contains(&sentences.len()), "{}", sentences.len());
    assert!(sentences.iter().all(|one| !one.techniques.is_empty() && !one.text.contains("(Citation")));
}

#[test]
fn every_pair_of_sven_is_read() {
    let Some((found, seconds)) = read("sven", &["code/sven/sven-data_train_val.tar.xz"]) else { return };
    report("sven", &found, seconds);
    let pairs = &found.knowledge.code;
    let aside = found.counts["sven"].set_aside[&RejectReason::NoText];
    assert_eq!((pairs.len(), aside), (803 - 4, 4), "in four pairs nothing changes");
    let mut by_cwe: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_language: BTreeMap<&str, usize> = BTreeMap::new();
    for pair in pairs {
        *by_cwe.entry(pair.cwe.to_string()).or_default() += 1;
        *by_language.entry(&pair.language).or_default() += 1;
    }
    aloud(&format!("     {by_cwe:?} {by_language:?}"));
    assert_eq!((by_cwe.len(), by_cwe["CWE-89"]), (9, 204));
    assert_eq!(by_language.into_iter().collect::<Vec<_>>(), [("c", 362), ("cpp", 57), ("python", 380)]);
}

#[test]
fn the_guides_of_owasp_are_read() {
    let files = ["cheatsheets/cheatsheets-md", "wstg/wstg-md", "asvs/asvs-en"];
    for (file, least) in files.iter().zip([130, 100, 40]) {
        let Some((found, seconds)) = read("documents", &[&format!("reports/{file}.tar.xz")]) else { return };
        report("documents", &found, seconds);
        let documents = &found.knowledge.documents;
        let longest = documents.iter().map(|one| one.text.chars().count()).max().unwrap_or(0);
        let remedies = documents.iter().filter(|one| !one.remedy.is_empty()).count();
        aloud(&format!(
            "     {} parts, the longest of {longest} characters, {remedies} with a remedy",
            documents.len()
        ));
        assert!(documents.len() >= least && longest <= 8_000);
        assert!(documents.iter().all(|one| !one.title.is_empty() && one.id.contains(".tar.xz/")));
        let aside = found.counts["documents"].set_aside.get(&RejectReason::NoText).copied().unwrap_or(0);
        assert!(aside < documents.len() as u64 / 2, "{aside}");
    }
}
