//! All real feeds beside the checkout in one dataset, where they are there.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::common::{aloud, run};

/// What stands in the feeds, counted independently of this program.
const DESCRIBED: f64 = 242_314.0;
const WITH_CWE: f64 = 168_831.0;

fn near(count: &Value, expected: f64) -> bool {
    (count.as_f64().unwrap() / expected - 1.0).abs() < 0.01
}

#[test]
fn every_described_cve_is_found_and_no_group_crosses_a_border() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        aloud("skipped: all real feeds; needs ../shared/data");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sources = ["nvd", "cvelist", "cwe"].map(|name| format!("{name}={}", data.join(name).display()));
    let mut args = vec!["prepare"];
    sources.iter().for_each(|source| args.extend(["--source", source.as_str()]));
    args.extend(["--task", "cwe_classify", "--out", "data"]);
    let begun = Instant::now();
    let (good, text) = run(folder.path(), &args);
    assert!(good, "{text}");
    let seconds = begun.elapsed().as_secs_f64();
    let manifest = std::fs::read_to_string(folder.path().join("data/manifest.json")).unwrap();
    let report = serde_json::from_str::<Value>(&manifest).unwrap()["report"].clone();
    let merge = &report["merge"];
    assert!(near(&merge["described"], DESCRIBED) && near(&merge["with_cwe"], WITH_CWE), "{merge}");
    assert_eq!(report["split"]["leaks"], 0);
    aloud(&format!("ran: all real feeds, {} CVEs in {seconds:.0} s", merge["described"]));
}
