//! What is told of one record, and what is never told: the words of private sources. On feeds invented here.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its own feeds may panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use wardsmith_records::dataset::{Dataset, Split};
use wardsmith_records::explain::{Explanation, explain};
use wardsmith_records::prepare::{PrepareOptions, prepare};
use wardsmith_records::task;

/// Stands in every private text, and in no other.
const MARKER: &str = "zanzibarquokka";

const GOLDEN: &str = r#"CVE-2022-0001

What the sources say
  nvd (vulnerabilities): heard after the first: its labels and products are added
    published: 2022-03-02
    modified: 20220501000000
    CWE CWE-9003 by nvd (primary)
    CVSS CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H by nvd (primary)
    NVD tells of the kettle.
  cvelist (vulnerabilities): heard first: its description is taken
    published: 2022-03-01
    CWE CWE-9001 by cna:acme (primary)
    The kettle of Acme boils over when somebody fills it to the brim.

Joined, of cvelist, nvd
  published: 2022-03-01
  CWE CWE-9001 by cna:acme (primary)
  CWE CWE-9003 by nvd (primary)
  CVSS CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H by nvd (primary)
  weakness by the recipe's policy: CWE-9003 (weight 1), else CWE-9001 (weight 1)
  The kettle of Acme boils over when somebody fills it to the brim.

Cleaning
  cleaned and scrubbed: nothing to change

Place: train
  group 0: 2 members, among them CVE-2024-0001

Examples
  cwe_classify: 1 example
    CVE-2022-0001 in train, label CWE-9003, weight 1
      question:
        Which software weakness is the root cause of the vulnerability described below? Answer with its name and CWE ID, for example: Cross-site Scripting (CWE-79).
        
        The kettle of Acme boils over when somebody fills it to the brim.
      answer:
        Cold Tea (CWE-9003)
  document: 1 example
    CVE-2022-0001 in train, weight 1
      text:
        The kettle of Acme boils over when somebody fills it to the brim.
"#;

fn record(id: &str, day: &str, text: &str, cwe: u32) -> String {
    serde_json::json!({
        "dataType": "CVE_RECORD", "dataVersion": "5.1",
        "cveMetadata": {"cveId": id, "state": "PUBLISHED", "datePublished": format!("{day}T00:00:00Z"), "assignerShortName": "acme"},
        "containers": {"cna": {
            "providerMetadata": {"shortName": "acme"},
            "descriptions": [{"lang": "en", "value": text}],
            "problemTypes": [{"descriptions": [{"lang": "en", "cweId": format!("CWE-{cwe}"), "description": "x"}]}],
        }},
    })
    .to_string()
}

fn nvd(id: &str, text: &str) -> String {
    serde_json::json!({"format": "NVD_CVE", "version": "2.0", "totalResults": 1, "resultsPerPage": 1, "startIndex": 0,
        "timestamp": "2024-06-01T00:00:00.000", "vulnerabilities": [{"cve": {
        "id": id, "published": "2022-03-02T00:00:00.000", "lastModified": "2022-05-01T00:00:00.000",
        "vulnStatus": "Analyzed", "descriptions": [{"lang": "en", "value": text}],
        "metrics": {"cvssMetricV31": [{"source": "nvd@nist.gov", "type": "Primary", "cvssData":
            {"version": "3.1", "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]},
        "weaknesses": [{"source": "nvd@nist.gov", "type": "Primary",
            "description": [{"lang": "en", "value": "CWE-9003"}]}],
    }}]})
    .to_string()
}

/// Public CVEs of two lists and the catalogue.
fn feeds(folder: &Path) -> Vec<(String, PathBuf)> {
    let brim = "The kettle of Acme boils over when somebody fills it to the brim.";
    let lines = [
        record("CVE-2022-0001", "2022-03-01", brim, 9001),
        record("CVE-2024-0001", "2024-03-01", brim, 9001),
        record("CVE-2022-0002", "2022-03-05", "A saucer of another maker breaks under hot milk.", 9003),
        record("CVE-2024-0002", "2024-03-05", "Spoons of the third maker bend in thick honey at night.", 9003),
    ];
    std::fs::write(folder.join("cves.jsonl"), lines.join("\n")).unwrap();
    std::fs::write(folder.join("nvd.json"), nvd("CVE-2022-0001", "NVD tells of the kettle.")).unwrap();
    std::fs::write(folder.join("cwe.xml"), include_str!("../fixtures/cwe.xml")).unwrap();
    [("nvd", "nvd.json"), ("cvelist", "cves.jsonl"), ("cwe", "cwe.xml")]
        .map(|(name, file)| (name.to_owned(), folder.join(file)))
        .to_vec()
}

fn options(sources: Vec<(String, PathBuf)>, tasks: &[&str]) -> PrepareOptions {
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    PrepareOptions {
        max_reject_rate: 0.5,
        min_train_examples: 1,
        phrasings: Some(1),
        ..PrepareOptions::new(sources, tasks, "2023-01-01".parse().unwrap(), "2024-01-01".parse().unwrap())
    }
}

fn told(options: &PrepareOptions, id: &str) -> Explanation {
    explain(options, id, &|_| {}).unwrap()
}

#[test]
fn what_became_of_a_cve_is_told_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(feeds(folder.path()), &["cwe_classify", "document"]);
    let explanation = told(&options, "cve-2022-0001");
    assert_eq!(explanation.to_string(), GOLDEN);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["stands"]["others"][0], "CVE-2024-0001");
    assert_eq!(json["tasks"][0]["examples"][0]["conversation"][1]["content"], "Cold Tea (CWE-9003)");
}

#[test]
fn a_copy_that_is_left_out_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let text = told(&options(feeds(folder.path()), &["cwe_classify"]), "CVE-2024-0001").to_string();
    assert!(text.contains("Place: in no split, as its group has an older member"), "{text}");
    assert!(text.contains("group 0: 2 members, among them CVE-2022-0001"), "{text}");
    assert!(text.contains("  cwe_classify: none\n"), "{text}");
}

#[test]
fn entries_of_a_catalogue_have_no_place_and_label_other_things() {
    let folder = tempfile::tempdir().unwrap();
    let told = told(&options(feeds(folder.path()), &["cwe_classify", "document"]), "cwe-9003");
    assert_eq!((told.stands, told.joined), (None, None));
    assert_eq!((told.tasks[0].label_of, told.tasks[0].examples.len()), (3, 0));
    assert_eq!(told.tasks[1].examples[0].id, "CWE-9003");
}

#[test]
fn an_id_that_nobody_names_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(feeds(folder.path()), &["cwe_classify"]);
    for id in ["CVE-1999-9999", "", "no such document"] {
        let message = explain(&options, id, &|_| {}).unwrap_err().to_string();
        assert!(message.starts_with(&format!("no source says anything of `{id}`\nhint: ")), "{message}");
    }
}

/// Feeds of which `osv`, `csaf`, `documents`, `tram` and `sven` are private and say the marker wherever they can.
fn with_private(folder: &Path) -> PrepareOptions {
    let mut sources = feeds(folder);
    let advisory = |id: &str, cve: &str| {
        serde_json::json!({"schema_version": "1.4.0", "id": id, "modified": "2022-07-03T20:05:21Z",
            "published": "2022-07-01T21:31:15Z", "aliases": [cve],
            "summary": format!("Secret of {MARKER} {id}"),
            "details": format!("Only the {MARKER} knows that the {id} teapot of our kitchen leaks under its handle.  Ask Jo.Doe@kitchen.acme-tea.com for a new one."),
            "affected": [{"package": {"ecosystem": "npm", "name": MARKER}}],
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "database_specific": {"cwe_ids": ["CWE-9001"]}})
        .to_string()
    };
    // The first CVE is public too, the second is not.
    let osv = [advisory("GHSA-aaaa-bbbb-cccc", "CVE-2022-0002"), advisory("GHSA-dddd-eeee-ffff", "CVE-2022-0777")];
    let guide = format!(
        "# The {MARKER} guide\n\nCWE: CWE-9001\n\nHow our {MARKER} is cleaned, told in one paragraph that \
         is long enough to be worth reading by anybody who cleans, on every day of the week, and who likes tea.\n"
    );
    let tram =
        serde_json::json!([{"text": format!("The {MARKER} reads the registry."), "label": "T1012", "doc_title": "R"}]);
    let sven = serde_json::json!({"func_name": "pour", "func_src_before": format!("int {MARKER}() {{ return 1; }}"),
        "func_src_after": format!("int {MARKER}() {{ return 2; }}"), "vul_type": "cwe-022", "file_name": "a.c",
        "commit_link": "github.com/acme/kettle/commit/0123abcd"});
    let files = [
        ("osv", "osv.jsonl", osv.join("\n")),
        ("documents", "zanzibarquokka.md", guide),
        ("tram", "tram.json", tram.to_string()),
        ("sven", "sven.jsonl", sven.to_string()),
    ];
    for (name, file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
        sources.push((name.into(), folder.join(file)));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (name, file) in [("capec", "capec-stix-2.1.json"), ("attack", "attack-stix-2.1.json"), ("kev", "kev.json")] {
        sources.push((name.into(), fixtures.join(file)));
    }
    let mut options = options(sources, &[]);
    options.private_sources = ["osv", "documents", "tram", "sven"].map(str::to_owned).to_vec();
    options
}

/// The tasks of which these feeds hold something.
fn possible(options: &PrepareOptions, folder: &Path) -> Vec<String> {
    let names = task::ALL.iter().map(|task| task.name().to_owned());
    let works = |name: &String| {
        let alone = PrepareOptions { tasks: vec![name.clone()], ..options.clone() };
        prepare(&alone, &folder.join(format!("try-{name}")), true, &|_| {}).is_ok()
    };
    names.filter(|name| works(name)).collect()
}

#[test]
fn private_words_stand_in_private_examples_alone_and_in_no_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = with_private(folder.path());
    options.tasks = possible(&options, folder.path());
    let needed = ["cwe_classify", "document", "extract", "attack_map", "vulnerable_code", "mitigation", "severity"];
    assert!(needed.iter().all(|name| options.tasks.iter().any(|task| task == name)), "{:?}", options.tasks);
    let out = folder.path().join("set");
    prepare(&options, &out, false, &|_| {}).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    let mut private = 0;
    for task in &options.tasks {
        for split in Split::ALL {
            for example in dataset.examples(task, split).unwrap() {
                let text = serde_json::to_string(&example).unwrap();
                assert!(example.private || !text.contains(MARKER), "{text}");
                private += u64::from(example.private);
            }
        }
    }
    let report = &dataset.manifest.report;
    assert_eq!(private, report.tasks.values().map(|counts| counts.private_examples).sum::<u64>());
    assert!(private >= 5, "{private}");
    assert_eq!(report.merge.private_ignored, 1, "the advisory on a public CVE");
    for file in ["manifest.json", "hierarchy.json"] {
        assert!(!std::fs::read_to_string(out.join(file)).unwrap().contains(MARKER), "{file}");
    }
    let labels = serde_json::to_string(&dataset.labels).unwrap();
    assert!(!labels.contains(MARKER));
}

#[test]
fn what_private_sources_say_of_a_public_cve_changes_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let with = with_private(folder.path());
    let told = told(&PrepareOptions { tasks: vec!["document".into()], ..with }, "CVE-2022-0002");
    assert!(!told.private);
    assert_eq!(told.joined.as_ref().unwrap().sources, ["cvelist"]);
    let text = told.to_string();
    assert!(text.contains("osv (vulnerabilities): ignored: the source is private"), "{text}");
    assert!(!text.contains(MARKER) && text.contains("(private)"), "{text}");
}

#[test]
fn a_private_record_is_told_without_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let with = with_private(folder.path());
    let told = told(&PrepareOptions { tasks: vec!["document".into(), "extract".into()], ..with }, "CVE-2022-0777");
    assert!(told.private && told.tasks[0].examples[0].private);
    let text = told.to_string() + &serde_json::to_string(&told).unwrap();
    assert!(!text.contains(MARKER) && text.contains("It is of private sources alone"), "{text}");
}

#[test]
fn catalogues_cannot_be_private_and_a_private_source_must_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(feeds(folder.path()), &["document"]);
    options.private_sources = vec!["cwe".into(), "sven".into()];
    let mistakes: Vec<String> = options.mistakes().iter().map(ToString::to_string).collect();
    assert!(mistakes.len() == 2 && mistakes[0].starts_with("`cwe` cannot be private"), "{mistakes:?}");
    assert!(mistakes[1].starts_with("`sven` is private, but no source"), "{mistakes:?}");
}

#[test]
fn a_real_cve_that_several_sources_label_is_told() {
    let aloud = |text: &str| {
        // A closed standard error is no failure of the test.
        let _ = writeln!(std::io::stderr(), "{text}");
    };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud("skipped: a real CVE explained; needs ../shared/data");
        return;
    }
    let sources = [
        ("nvd", "nvd/nvdcve-1.1-2021.json.gz"),
        ("cvelist", "cvelist/cve-records-5-vulnrichment.jsonl.gz"),
        ("cwe", "cwe/cwec_v4.16.xml.zip"),
    ];
    let sources = sources.iter().map(|(name, path)| ((*name).to_owned(), data.join(path))).collect();
    let options = options(sources, &["cwe_classify", "ssvc"]);
    let told = told(&options, "CVE-2021-1126");
    let heard: Vec<&str> = told.said.iter().map(|one| one.source.as_str()).collect();
    assert_eq!(heard, ["nvd", "cvelist"]);
    // NVD and the CNA disagree here, and CISA adds an assessment.
    let labels = &told.joined.as_ref().unwrap().labels;
    let has = |start: &str| labels.iter().any(|label| label.starts_with(start));
    assert!(has("CWE CWE-522 by nvd") && has("CWE CWE-256 by cna:") && has("SSVC "), "{labels:?}");
    assert_eq!(told.joined.as_ref().unwrap().decided[0].0, "CWE-522");
    assert!(told.stands.as_ref().unwrap().group_size >= 1);
    aloud(&format!("ran: a real CVE explained\n{told}"));
}
