//! Near-duplicates and joins as plans: the same answers as the code that holds everything in memory.
#![cfg(feature = "datafusion")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use wardsmith_records::catalogue::Catalogue;
use wardsmith_records::dedup::DEFAULT_THRESHOLD;
use wardsmith_records::ingest::ingest;
use wardsmith_records::knowledge::Knowledge;
use wardsmith_records::minhash::near_duplicates;
use wardsmith_records::record::{CveId, CweId, Exploited, Label, Record, Usage, Vulnerability, Weakness, WeaknessRef};
use wardsmith_tables::plan::{EXPLOITED_WEAKNESSES, Engine, EngineOptions, Groups};
use wardsmith_tables::records::export_records;

fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{line}").expect("standard error takes a line");
}

fn vulnerability(number: u32, description: &str, cwes: &[u32]) -> Vulnerability {
    let label =
        |id: &u32| Label { value: WeaknessRef::Cwe(CweId(*id)), source: "nvd".into(), primary: true, from_text: false };
    Vulnerability {
        id: format!("CVE-2024-{number:04}").parse().unwrap(),
        description: description.into(),
        published: "2024-01-02".parse().unwrap(),
        modified: 0,
        cwes: cwes.iter().map(label).collect(),
        cvss: Vec::new(),
        ssvc: Vec::new(),
        products: Vec::new(),
        sources: vec!["nvd".into()],
    }
}

fn weakness(id: u32, name: &str) -> Record {
    Record::Weakness(Box::new(Weakness {
        id: CweId(id),
        name: name.into(),
        abstraction: "Base".into(),
        status: "Stable".into(),
        usage: Usage::Allowed,
        description: String::new(),
        extended_description: String::new(),
        alternate_terms: Vec::new(),
        relations: Vec::new(),
        consequences: Vec::new(),
        mitigations: Vec::new(),
        observed_examples: Vec::new(),
        edition: None,
    }))
}

fn exploited(id: CveId) -> Exploited {
    Exploited {
        id,
        vendor: String::new(),
        product: String::new(),
        name: String::new(),
        added: "2024-03-01".parse().unwrap(),
        due: None,
        action: String::new(),
        description: String::new(),
        ransomware: false,
        cwes: Vec::new(),
    }
}

/// Twelve words of a small language, so that windows of it overlap.
fn words(from: usize, count: usize) -> String {
    let word = |n: usize| format!("w{}", char::from(b'a' + (n % 26) as u8)).repeat(1 + n / 26);
    (from..from + count).map(word).collect::<Vec<_>>().join(" ")
}

/// A chain of texts, each alike to its neighbours alone, equal texts, texts that differ in numbers, and texts alone.
fn small() -> Knowledge {
    let mut texts: Vec<String> = (0..30).map(|n| words(3 * n, 50)).collect();
    texts.extend(
        ["Equal words about a kettle that boils", "Equal words about a kettle that boils", "", ""].map(String::from),
    );
    texts.extend((1..4).map(|n| format!("The teapot of Acme before {n}.0 leaks tea into the saucer of its neighbour")));
    texts.extend((0..20).map(|n| words(400 + 40 * n, 30)));
    let one =
        |(at, text): (usize, &String)| vulnerability(at as u32, text, if at % 2 == 0 { &[79, 89] } else { &[79, 79] });
    let vulnerabilities: Vec<Vulnerability> = texts.iter().enumerate().map(one).collect();
    let known = [0, 1, 4].map(|at| exploited(vulnerabilities[at].id));
    Knowledge {
        exploited: known.into_iter().map(|one| (one.id, one)).collect(),
        catalogue: Catalogue::from_records([weakness(79, "XSS"), weakness(89, "SQL injection"), weakness(20, "input")]),
        vulnerabilities,
        ..Knowledge::default()
    }
}

/// The members of each group, however groups are called.
fn partition<L: Ord>(labels: impl IntoIterator<Item = (String, L)>) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<L, Vec<String>> = BTreeMap::new();
    labels.into_iter().for_each(|(id, label)| groups.entry(label).or_default().push(id));
    let mut groups: Vec<Vec<String>> = groups.into_values().collect();
    groups.iter_mut().for_each(|one| one.sort_unstable());
    groups.sort_unstable();
    groups
}

fn in_memory(knowledge: &Knowledge) -> Vec<Vec<String>> {
    let texts: Vec<&str> = knowledge.vulnerabilities.iter().map(|one| one.description.as_str()).collect();
    let groups = near_duplicates(&texts, DEFAULT_THRESHOLD).groups;
    partition(knowledge.vulnerabilities.iter().map(|one| one.id.to_string()).zip(groups))
}

fn as_plans(tables: &Path, work: &Path, options: &EngineOptions) -> Groups {
    let mut engine = Engine::new(work, options).unwrap();
    engine.register("vulnerabilities", &tables.join("vulnerabilities")).unwrap();
    engine.near_duplicates("vulnerabilities", "id", "description").unwrap()
}

#[test]
fn plans_find_the_groups_that_memory_finds_however_they_are_cut_and_joined() {
    let place = tempfile::tempdir().unwrap();
    let knowledge = small();
    export_records(&knowledge, &place.path().join("tables"), false).unwrap();
    let want = in_memory(&knowledge);
    assert!(want.iter().any(|group| group.len() == 30), "the chain is one group");
    for (partitions, sorted_joins) in [(1, false), (3, false), (3, true)] {
        let options = EngineOptions { partitions, sorted_joins, ..EngineOptions::default() };
        let found = as_plans(&place.path().join("tables"), &place.path().join("work"), &options);
        assert_eq!(partition(found.labels.clone()), want, "{options:?}");
        assert!(found.representatives < knowledge.vulnerabilities.len() as u64);
        assert!(found.edges >= 29 && found.edges <= found.candidate_pairs, "{found:?}");
        assert!(found.rounds < 10, "stars settle a chain of 30 in {} rounds", found.rounds);
        assert!(
            found.shuffles.iter().any(|one| one.stage == "pairs" && one.rows > 0) || partitions == 1,
            "{:?}",
            found.shuffles
        );
    }
}

#[test]
fn texts_that_are_all_unlike_are_groups_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let texts = ["A kettle boils over on the stove", "Some spoon falls behind a cupboard", "Tea is cold by nine"];
    let one = |(at, text): (usize, &&str)| vulnerability(at as u32, text, &[]);
    let vulnerabilities = texts.iter().enumerate().map(one).collect();
    export_records(&Knowledge { vulnerabilities, ..Knowledge::default() }, &place.path().join("tables"), false)
        .unwrap();
    let found = as_plans(&place.path().join("tables"), &place.path().join("work"), &EngineOptions::default());
    assert_eq!((found.edges, partition(found.labels).len()), (0, 3));
}

#[test]
fn proposing_and_verifying_is_one_plan() {
    let place = tempfile::tempdir().unwrap();
    export_records(&small(), &place.path().join("tables"), false).unwrap();
    let engine = Engine::new(&place.path().join("work"), &EngineOptions::default()).unwrap();
    engine.register("vulnerabilities", &place.path().join("tables/vulnerabilities")).unwrap();
    let plan = engine.explain_pairs("vulnerabilities", "id", "description").unwrap();
    for part in
        ["DataSourceExec", "shingles", "minhash_bands", "UnnestExec", "alike", "HashJoinExec", "RepartitionExec"]
    {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}

#[test]
fn cves_kev_and_the_catalogue_join() {
    let place = tempfile::tempdir().unwrap();
    export_records(&small(), &place.path().join("tables"), false).unwrap();
    let mut engine = Engine::new(&place.path().join("work"), &EngineOptions::default()).unwrap();
    for table in ["vulnerabilities", "exploited", "weaknesses"] {
        engine.register(table, &place.path().join("tables").join(table)).unwrap();
    }
    let rows = engine.query(EXPLOITED_WEAKNESSES).unwrap();
    assert_eq!(
        rows,
        [["CWE-79", "XSS", "3"], ["CWE-89", "SQL injection", "2"]].map(|row| row.map(String::from).to_vec())
    );
    let message = engine.query("SELECT nothing FROM nowhere").unwrap_err().to_string();
    assert!(message.starts_with("the plan failed: ") && message.contains("nowhere"), "{message}");
}

/// Peak resident memory of this process, in bytes, where the system tells it.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

#[test]
fn on_real_descriptions_plans_and_memory_agree() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let feed = data.join("cvelist/cve-records-5-vulnrichment.jsonl.gz");
    if !feed.exists() {
        say(format_args!("skipped: no real feeds beside the checkout"));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let knowledge = ingest(&[("cvelist".into(), feed)], 0.01, &|_, _| {}).unwrap().knowledge;
    let tables = place.path().join("tables");
    export_records(&knowledge, &tables, false).unwrap();
    let start = Instant::now();
    let want = in_memory(&knowledge);
    let memory_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let found = as_plans(&tables, &place.path().join("work"), &EngineOptions::default());
    let plan_s = start.elapsed().as_secs_f64();
    for one in &found.shuffles {
        say(format_args!("ran: {} shuffled {} rows, {} bytes by {}", one.stage, one.rows, one.bytes, one.keys));
    }
    assert!(partition(found.labels) == want, "the groups differ");
    say(format_args!(
        "ran: {} descriptions, {} groups; in memory {memory_s:.1} s, as plans {plan_s:.1} s; {} representatives, {} \
         candidate pairs, {} edges, {} rounds, peak memory of the test {} MiB",
        knowledge.vulnerabilities.len(),
        want.len(),
        found.representatives,
        found.candidate_pairs,
        found.edges,
        found.rounds,
        peak_bytes().unwrap_or(0) >> 20,
    ));
}
