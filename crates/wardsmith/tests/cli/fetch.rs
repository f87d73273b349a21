//! `wardsmith fetch` from a folder that stands in for all servers; no test goes to a network.
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::common::{feeds, run};

const EPSS: &str = "epss.empiricalsecurity.com/epss_scores-current.csv.gz";
const CAPEC: &str = "raw.githubusercontent.com/mitre/cti/master/capec/2.1/stix-capec.json";

fn put(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join("mirror").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two feeds in a mirror.
fn mirror() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), EPSS, &gzip(b"cve,epss\n"));
    put(folder.path(), CAPEC, b"{\"type\":\"bundle\"}");
    folder
}

#[test]
fn feeds_are_listed_fetched_verified_and_fetched_again() {
    let folder = mirror();
    let folder = folder.path();
    let (good, text) = run(folder, &["fetch", "--list"]);
    assert!(good && text.contains("cvelist ") && text.contains("terms: US government work (NVD)"), "{text}");

    let (good, text) = run(folder, &["fetch", "epss", "capec", "--mirror", "mirror", "--into", "feeds"]);
    assert!(good && text.contains("epss: 1 new, 0 unchanged") && text.contains("capec: 1 new"), "{text}");
    assert_eq!(fs::read(folder.join("feeds/capec/stix-capec.json")).unwrap(), b"{\"type\":\"bundle\"}");
    let (good, text) = run(folder, &["fetch", "--verify", "--into", "feeds"]);
    assert!(good && text.contains("2 files, ") && text.contains("all as the lock file says"), "{text}");

    let (good, text) = run(folder, &["fetch", "--mirror", "mirror", "--into", "feeds"]);
    assert!(good && text.contains("epss: 0 new, 1 unchanged") && text.contains("capec: 0 new, 1 unchanged"), "{text}");

    fs::write(folder.join("feeds/capec/stix-capec.json"), b"{\"type\":\"bundel\"}").unwrap();
    let (good, text) = run(folder, &["fetch", "--verify", "--into", "feeds"]);
    assert!(!good && text.contains("`capec/stix-capec.json` was changed") && text.contains("hint:"), "{text}");
}

#[test]
fn a_lock_file_is_followed_to_the_byte() {
    let folder = mirror();
    let folder = folder.path();
    let (good, text) = run(folder, &["fetch", "epss", "capec", "--mirror", "mirror", "--into", "feeds"]);
    assert!(good, "{text}");
    let locked = ["fetch", "--locked", "feeds/wardsmith.lock.json", "--mirror", "mirror", "--into"];
    let (good, text) = run(folder, &[&locked[..], &["again"]].concat());
    assert!(good && text.contains("epss: 1 new"), "{text}");
    put(folder, CAPEC, b"{\"type\":\"other\"}");
    let (good, text) = run(folder, &[&locked[..], &["later"]].concat());
    assert!(!good && text.contains("is not what the lock file says") && text.contains("epss: 1 new"), "{text}");
    assert!(!folder.join("later/capec/stix-capec.json").exists());
}

#[test]
fn mistakes_are_one_clear_error() {
    let folder = mirror();
    let folder = folder.path();
    for (args, says) in [
        (&["fetch", "--into", "feeds"][..], "no feed is named"),
        (&["fetch", "nvdd", "--into", "feeds"], "did you mean `nvd`"),
        (&["fetch", "cwe", "--mirror", "mirror", "--into", "feeds"], "is not in the mirror"),
        (&["fetch", "cwe", "--mirror", "nowhere", "--into", "feeds"], "`nowhere` is no mirror"),
        (&["fetch", "--locked", "nothing.json", "--into", "feeds"], "nothing.json"),
        (&["fetch", "--verify", "--into", "mirror"], "wardsmith.lock.json"),
    ] {
        let (good, text) = run(folder, args);
        assert!(!good && text.contains(says) && text.contains("hint:"), "{args:?}: {text}");
        assert_eq!(text.matches("error: ").count(), 1, "{text}");
    }
}

#[test]
fn what_was_fetched_is_prepared_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    feeds(folder);
    let record = |id: u32, cwe: &str| {
        format!(
            r#"{{"cve":{{"id":"CVE-2023-{id:04}","sourceIdentifier":"nvd@nist.gov","published":"2023-02-0{}T00:00:00.000","lastModified":"2023-03-01T00:00:00.000","vulnStatus":"Analyzed","descriptions":[{{"lang":"en","value":"invented flaw number {id} of an imaginary program"}}],"weaknesses":[{{"source":"nvd@nist.gov","type":"Primary","description":[{{"lang":"en","value":"{cwe}"}}]}}],"references":[]}}}}"#,
            1 + id % 9
        )
    };
    let records: Vec<String> = (0..6).map(|id| record(id, ["CWE-79", "CWE-89"][id as usize % 2])).collect();
    let page = format!(
        r#"{{"resultsPerPage":6,"startIndex":0,"totalResults":6,"format":"NVD_CVE","version":"2.0","timestamp":"2024-05-01T00:00:00.000","vulnerabilities":[{}]}}"#,
        records.join(",")
    );
    put(folder, "services.nvd.nist.gov/rest/json/cves/2.0@resultsPerPage=2000&startIndex=0", page.as_bytes());
    let (good, text) = run(folder, &["fetch", "nvd-api", "--mirror", "mirror", "--into", "feeds"]);
    assert!(good, "{text}");
    let args =
        ["prepare", "--source", "nvd=feeds/nvd-api", "--source", "cvelist=feed.jsonl", "--source", "cwe=cwe.xml"];
    let rest = ["--task", "cwe_classify", "--set", "prepare.min_train_examples=1", "--out", "data"];
    let (good, text) = run(folder, &[&args[..], &rest].concat());
    let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(good && text.lines().any(|line| row(line) == ["nvd", "6", "0", "0", "0"]), "{text}");
}
