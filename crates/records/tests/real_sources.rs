//! The real catalogues and advisories beside the repository, where they are there: that all of each is read.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wardsmith_records::ingest::{Ingested, ingest};
use wardsmith_records::manifest::SourceCounts;
use wardsmith_records::record::RejectReason;

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Reads inputs of `../shared/data`; `None`, aloud, where they are not there.
fn read(what: &str, inputs: &[(&str, &str)]) -> Option<Ingested> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud(&format!("skipped: {what}; needs ../shared/data"));
        return None;
    }
    let inputs: Vec<(String, PathBuf)> =
        inputs.iter().map(|(name, file)| ((*name).to_owned(), data.join(file))).collect();
    let start = Instant::now();
    let found = ingest(&inputs, 0.0, &|_, _| {}).expect("real data has no reject");
    let seconds = start.elapsed().as_secs_f64();
    for (name, counts) in &found.counts {
        aloud(&format!("ran: {what} in {seconds:.2} s; {name}: {}", in_words(counts)));
    }
    Some(found)
}

fn in_words(counts: &SourceCounts) -> String {
    let lost = |all: &std::collections::BTreeMap<RejectReason, u64>| {
        let all: Vec<String> = all.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let kinds: Vec<String> = counts.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let (rejected, labels) = (lost(&counts.rejected), lost(&counts.labels_rejected));
    format!("{}; rejected: {rejected}; labels: {labels}; set aside: {}", kinds.join(", "), lost(&counts.set_aside))
}

#[test]
fn all_of_capec_is_read() {
    let Some(found) = read("CAPEC", &[("capec", "capec/stix-capec-2.1.json.gz")]) else { return };
    let patterns = &found.knowledge.patterns;
    assert_eq!(patterns.len(), 615);
    assert_eq!(patterns.values().filter(|one| !one.weaknesses.is_empty()).count(), 450);
    assert_eq!(patterns.values().filter(|one| one.is_deprecated()).count(), 57);
    let weaknesses: usize = patterns.values().map(|one| one.weaknesses.len()).sum();
    let techniques: usize = patterns.values().map(|one| one.techniques.len()).sum();
    let mitigations: usize = patterns.values().map(|one| one.mitigations.len()).sum();
    let steps: usize = patterns.values().map(|one| one.steps.len()).sum();
    // The bundle states two weaknesses, one technique and four mitigations twice.
    assert_eq!((weaknesses, techniques, mitigations, steps), (1_214 - 2, 272 - 1, 1_182 - 4, 815));
    assert_eq!(patterns.values().filter(|one| !one.steps.is_empty()).count(), 239);
    let texts = patterns.values().flat_map(|one| [&one.description, &one.extended_description]);
    assert!(texts.chain(patterns.values().flat_map(|one| &one.steps)).all(|text| !text.contains("xhtml:")));
    let counts = &found.counts["capec"];
    assert!(counts.labels_rejected.is_empty() && counts.set_aside.is_empty(), "{counts:?}");
}

#[test]
fn all_of_attack_is_read() {
    let Some(found) = read("ATT&CK Enterprise", &[("attack", "attack/enterprise-attack.json.gz")]) else { return };
    let techniques = &found.knowledge.techniques;
    let live: Vec<_> = techniques.values().filter(|one| !one.is_retired).collect();
    assert_eq!((techniques.len(), live.len()), (835, 691));
    assert_eq!(found.knowledge.sentences.len(), 16_017);
    assert!(live.iter().all(|one| !one.detection.is_empty() && !one.tactics.is_empty()), "each has a strategy");
    let mitigations: usize = live.iter().map(|one| one.mitigations.len()).sum();
    let texts = techniques.values().flat_map(|one| [&one.description, &one.detection]);
    let texts = texts.chain(found.knowledge.sentences.iter().map(|one| &one.text));
    let marked = texts.filter(|text| text.contains("(Citation:") || text.contains("](http")).count();
    assert_eq!((mitigations, marked), (1_445, 0));
    let counts = &found.counts["attack"];
    assert!(counts.labels_rejected.is_empty() && counts.set_aside.is_empty(), "{counts:?}");
}

#[test]
fn all_of_kev_is_read_and_its_csv_says_the_same() {
    let Some(json) = read("KEV", &[("kev", "kev/known_exploited_vulnerabilities.json")]) else { return };
    let csv = read("KEV as CSV", &[("kev", "kev/known_exploited_vulnerabilities.csv")]).unwrap();
    let exploited = &json.knowledge.exploited;
    assert_eq!((exploited.len(), exploited.values().filter(|one| one.ransomware).count()), (1_404, 293));
    assert_eq!(*exploited, csv.knowledge.exploited);
    assert!(json.counts["kev"].labels_rejected.is_empty());
}

#[test]
fn all_advisories_of_cisa_are_read_and_change_no_description() {
    let lists = [("nvd", "nvd/nvdcve-1.1-2021.json.gz"), ("cvelist", "cvelist/cve-records-5-descriptions.jsonl.gz")];
    let advisories = ("csaf", "reports/cisa-csaf/cisa-csaf-2024-10-24.jsonl.gz");
    let Some(alone) = read("CISA's advisories", &[advisories]) else { return };
    let counts = &alone.counts["csaf"];
    assert_eq!((counts.kinds["documents"], counts.kinds["vulnerabilities"]), (2_383, 7_916));
    assert!(counts.set_aside.is_empty() && counts.labels_rejected.is_empty(), "{counts:?}");
    assert_eq!((alone.knowledge.documents.len(), alone.knowledge.vulnerabilities.len()), (2_383, 6_986));
    let documents = &alone.knowledge.documents;
    assert!(documents.iter().all(|one| !one.text.is_empty() && one.published.is_some()));
    assert_eq!(
        documents.iter().filter(|one| !one.remedy.is_empty()).count(),
        2_379,
        "four say only that there is none"
    );
    let [one, two] = lists;
    let without = read("lists", &[one, two]).unwrap();
    let with = read("lists and advisories", &[one, advisories, two]).unwrap();
    let known: BTreeSet<_> = without.knowledge.vulnerabilities.iter().map(|one| one.id).collect();
    for before in &without.knowledge.vulnerabilities {
        let after = with.knowledge.vulnerability(before.id).unwrap();
        assert_eq!((&before.description, before.published), (&after.description, after.published), "{}", before.id);
        assert!(before.cwes.iter().all(|label| after.cwes.contains(label)));
    }
    let new = with.knowledge.vulnerabilities.iter().filter(|one| !known.contains(&one.id));
    assert!(new.clone().all(|one| one.sources == ["csaf"]));
    aloud(&format!("ran: {} CVEs only in advisories", new.count()));
}

#[test]
fn all_notes_of_certcc_are_read() {
    let notes = [("certcc", "reports/certcc-vu/certcc-vu-notes.jsonl.gz")];
    let Some(found) = read("CERT/CC's notes", &notes) else { return };
    let documents = &found.knowledge.documents;
    assert_eq!(documents.len(), 4_674);
    let with = |has: fn(&wardsmith_records::record::Document) -> bool| documents.iter().filter(|one| has(one)).count();
    let facts =
        [with(|one| !one.cves.is_empty()), with(|one| !one.summary.is_empty()), with(|one| !one.remedy.is_empty())];
    assert_eq!(facts, [2_931, 3_856, 4_268]);
    assert!(documents.iter().all(|one| one.published.is_some()));
    assert!(found.counts["certcc"].labels_rejected.is_empty());
}
