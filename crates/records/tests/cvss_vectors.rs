//! Scores held against vectors that others have scored, where they lie beside the repository.

use std::io::Write as _;
use std::path::PathBuf;

use wardsmith_records::record::{CvssVector, CvssVersion, Severity};

/// Files of lines `VECTOR - (base, temporal, environmental)`, and how many lines each has.
const LINES: &[(&str, usize)] = &[
    ("redhat/vectors_calculator2", 5),
    ("redhat/vectors_calculator3", 2),
    ("redhat/vectors_cvsslib2", 24),
    ("redhat/vectors_cvsslib3", 29),
    ("redhat/vectors_security4", 54),
    ("redhat/vectors_simple2", 729),
    ("redhat/vectors_simple3", 2592),
    ("redhat/vectors_simple31", 2592),
    ("redhat/vectors_simple4", 1058),
    ("redhat/vectors_supplemental4", 576),
    ("redhat/vectors_threat4", 6),
];

/// Says it even where the test passes: `cargo test` keeps what `println!` says to itself.
fn aloud(text: &str) {
    // A closed standard error is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The folder of vectors, or nothing and a word about it.
fn folder(what: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/schemas/cvss-vectors"));
    if !folder.exists() {
        aloud(&format!("skipped: {what}; needs ../shared/schemas/cvss-vectors"));
        return None;
    }
    Some(folder)
}

/// `-0.0`, `5` and `9.8` as tenths.
fn tenths(number: &str) -> i64 {
    let number: f64 = number.trim().parse().expect("a number");
    (number * 10.0).round() as i64
}

/// What is wrong with our scores of a line, if anything.
fn fault(line: &str) -> Option<String> {
    let (text, scores) = line.split_once(" - ").expect("a vector and its scores");
    let vector: CvssVector = text.parse().expect("a vector");
    let wanted: Vec<&str> = scores.trim_matches(|c| "(), ".contains(c)).split(',').map(str::trim).collect();
    let ours = [vector.base_score(), vector.temporal_score(), vector.environmental_score()];
    // Version 4 has one score, of all that the vector states.
    let ours = if vector.version() == CvssVersion::V4_0 { vec![vector.score()] } else { ours.to_vec() };
    assert_eq!(wanted.len(), ours.len(), "{line}");
    let pairs = wanted.iter().zip(&ours).filter(|(wanted, _)| **wanted != "None");
    let mut faults = pairs.filter(|(wanted, ours)| tenths(wanted) != i64::from(ours.tenths()));
    if let Some((wanted, ours)) = faults.next() {
        return Some(format!("{text}: {ours} instead of {wanted}"));
    }
    // In version 2 a column is `None` where no metric of its group is stated: the last number is the overall score.
    let last = wanted.iter().rfind(|wanted| **wanted != "None").map(|wanted| tenths(wanted));
    let is_overall = vector.version() == CvssVersion::V2;
    (is_overall && last != Some(i64::from(vector.score().tenths())))
        .then(|| format!("{text}: overall {}", vector.score()))
}

#[test]
fn every_line_of_red_hats_vectors_has_our_scores() {
    let Some(folder) = folder("the vectors of Red Hat") else {
        return;
    };
    let mut sum = 0;
    for (name, count) in LINES {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let faults: Vec<String> = text.lines().filter_map(fault).collect();
        assert!(faults.is_empty(), "{name}: {} of {count} disagree\n{}", faults.len(), faults.join("\n"));
        assert_eq!(text.lines().count(), *count, "{name}");
        sum += count;
    }
    aloud(&format!("ran: {sum} lines of Red Hat's vectors, all agree"));
}

#[test]
fn every_macro_vector_of_first_has_our_score() {
    let Some(folder) = folder("the macro-vectors of FIRST") else {
        return;
    };
    let vectors = std::fs::read_to_string(folder.join("first-v4/macro-vectors")).unwrap();
    let scores = std::fs::read_to_string(folder.join("first-v4/macro-scores")).unwrap();
    assert_eq!((vectors.lines().count(), scores.lines().count()), (270, 270));
    for (text, line) in vectors.lines().zip(scores.lines()) {
        let stated: serde_json::Value = serde_json::from_str(&line.replace('\'', "\"")).unwrap();
        assert_eq!(stated["vector"], text);
        holds(&stated);
    }
    aloud("ran: 270 macro-vectors of FIRST, all agree");
}

#[test]
fn every_base_score_of_nvds_samples_is_ours() {
    let Some(folder) = folder("the samples of NVD") else {
        return;
    };
    let mut sum = 0;
    for (name, count) in [("nvd-go/v30-scores.json", 3), ("nvd-go/v31-scores.json", 79)] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let stated: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        stated.iter().for_each(holds);
        assert_eq!(stated.len(), count, "{name}");
        sum += count;
    }
    aloud(&format!("ran: {sum} samples of NVD, all agree"));
}

/// Checks an object with `vector`, `score` and `severity`.
fn holds(stated: &serde_json::Value) {
    let vector: CvssVector = stated["vector"].as_str().and_then(|text| text.parse().ok()).expect("a vector");
    assert_eq!(i64::from(vector.score().tenths()), tenths(&stated["score"].to_string()), "{vector}");
    let severity: Severity = stated["severity"].as_str().and_then(|text| text.parse().ok()).expect("a severity");
    assert_eq!(vector.severity(), severity, "{vector}");
}
