//! Hostile input to every source: files that break off, that are changed at random, too deep, too large, or there twice.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wardsmith_records::ingest::{Ingested, ingest};
use wardsmith_records::record::{Record, Reject, RejectReason};
use wardsmith_records::source::{self, MAX_RECORD_BYTES};
use wardsmith_records::{Error, Result};

/// How a fixture is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One JSON value or XML document: cut anywhere, it is broken.
    Whole,
    /// One JSON record a line.
    Lines,
    /// A row a line.
    Table,
}

/// A source and a file that it reads.
const FIXTURES: &[(&str, &str, Shape)] = &[
    ("nvd", "nvd-feed-1.1.json", Shape::Whole),
    ("nvd", "nvd-api-2.0.json", Shape::Whole),
    ("cvelist", "cve-records-5.jsonl", Shape::Lines),
    ("cwe", "cwe.xml", Shape::Whole),
    ("capec", "capec-stix-2.1.json", Shape::Whole),
    ("capec", "capec.xml", Shape::Whole),
    ("attack", "attack-stix-2.1.json", Shape::Whole),
    ("kev", "kev.json", Shape::Whole),
    ("kev", "kev.csv", Shape::Table),
    ("epss", "epss.csv", Shape::Table),
    ("osv", "osv.jsonl", Shape::Lines),
    ("csaf", "csaf-2.0.json", Shape::Whole),
    ("csaf", "csaf-2.1.json", Shape::Whole),
    ("certcc", "certcc-vu.jsonl", Shape::Lines),
    ("certcc", "certcc-vince.json", Shape::Whole),
];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).expect("the fixtures lie beside the tests")
}

/// What a source makes of a stream.
fn parse_stream(source: &str, reader: &mut dyn BufRead) -> Result<(Vec<Record>, Vec<Reject>)> {
    let (mut records, mut rejects) = (Vec::new(), Vec::new());
    source::by_name(source)?.parse(reader, "here", &mut |one| match one {
        Ok(record) => records.push(record),
        Err(reject) => rejects.push(reject),
    })?;
    Ok((records, rejects))
}

fn parse(source: &str, mut bytes: &[u8]) -> Result<(Vec<Record>, Vec<Reject>)> {
    parse_stream(source, &mut bytes)
}

#[test]
fn every_fixture_is_read_by_its_source_and_by_no_other() {
    for (name, file, _) in FIXTURES {
        let (records, _) = parse(name, text(file).as_bytes()).unwrap();
        assert!(!records.is_empty(), "{file}");
        for other in FIXTURES.iter().map(|(other, ..)| other).filter(|other| *other != name) {
            let error = parse(other, text(file).as_bytes()).unwrap_err();
            assert!(matches!(error, Error::WrongFormat { .. }), "{other} {file}: {error}");
            assert!(error.to_string().ends_with(&format!("source `{name}` reads that")), "{error}");
        }
    }
}

#[test]
fn a_file_that_breaks_off_anywhere_is_an_error_or_a_reject() {
    for (name, file, shape) in FIXTURES {
        let whole = text(file).trim_end().to_owned();
        for end in 0..whole.len() {
            let result = parse(name, &whole.as_bytes()[..end]);
            if *shape == Shape::Whole {
                assert!(result.is_err(), "{file} cut at {end}");
            }
        }
    }
}

#[test]
fn deep_nesting_is_no_crash_wherever_it_stands() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, file, _) in FIXTURES.iter().filter(|(_, file, _)| file.contains(".json")) {
        let text = text(file);
        let braces: Vec<usize> = text.match_indices('{').map(|(at, _)| at).collect();
        for at in braces.iter().step_by(braces.len().div_ceil(12)) {
            let _ = parse(name, format!("{}\"deep\":{deep},{}", &text[..=*at], &text[at + 1..]).as_bytes());
        }
        // In the place of a field that is read.
        for (at, _) in text.match_indices("\": \"").take(40).step_by(3) {
            let end = text[at + 4..].find('"').map_or(text.len(), |end| at + 5 + end);
            let _ = parse(name, format!("{}{deep}{}", &text[..at + 3], &text[end..]).as_bytes());
        }
        let _ = parse(name, &deep.as_bytes()[..100_000]);
    }
    let elements = "<a>".repeat(100_000);
    for (name, head) in [("cwe", "<Weakness_Catalog><a><b>"), ("capec", "<Attack_Pattern_Catalog><a><b>")] {
        assert!(parse(name, format!("{head}{elements}").as_bytes()).unwrap_err().to_string().contains("nested deeper"));
    }
}

#[test]
fn a_huge_string_is_an_error_or_a_reject() {
    let huge = "x".repeat(MAX_RECORD_BYTES + (1 << 20));
    for (name, file, shape) in FIXTURES.iter().filter(|(_, file, _)| !file.ends_with(".xml")) {
        let text = text(file);
        let at = match shape {
            Shape::Table => text.rfind('\n').unwrap(),
            _ => text.find('{').unwrap() + 1,
        };
        let field = if *shape == Shape::Table { format!("\n{huge},") } else { format!("\"huge\":\"{huge}\",") };
        match parse(name, format!("{}{field}{}", &text[..at], &text[at..]).as_bytes()) {
            Ok((_, rejects)) => assert!(rejects.iter().any(|one| one.reason == RejectReason::TooLarge), "{file}"),
            Err(error) => assert!(error.to_string().contains("one record has more than"), "{file}: {error}"),
        }
    }
}

/// `before`, a gibibyte of one letter, `after`: made while it is read.
fn gibibyte(before: &str, after: &str) -> impl BufRead {
    let letters = std::io::repeat(b'x').take(1 << 30);
    let stream = std::io::Cursor::new(before.to_owned()).chain(letters).chain(std::io::Cursor::new(after.to_owned()));
    BufReader::with_capacity(1 << 16, stream)
}

#[test]
fn a_line_of_a_gibibyte_is_passed_over() {
    let good = text("osv.jsonl").lines().next().unwrap().to_owned();
    let (records, rejects) = parse_stream("osv", &mut gibibyte(&format!("{good}\n"), &format!("\n{good}\n"))).unwrap();
    assert_eq!(records.len(), 4, "an advisory and its CVE, twice");
    assert_eq!(rejects.iter().filter(|one| one.reason == RejectReason::TooLarge).count(), 1);
    let head = "cve,epss,percentile\n";
    let (records, rejects) = parse_stream("epss", &mut gibibyte(head, "\nCVE-2024-0001,0.5,0.5\n")).unwrap();
    assert_eq!((records.len(), rejects.len(), rejects[0].reason), (1, 1, RejectReason::TooLarge));
    let head = r#"{"type":"bundle","objects":[{"type":"attack-pattern","x_mitre_version":""#;
    let message = parse_stream("attack", &mut gibibyte(head, "\"}]}")).unwrap_err().to_string();
    assert!(message.contains("one record has more than"), "{message}");
}

fn read(inputs: &[(&str, &str)]) -> Ingested {
    let inputs: Vec<(String, PathBuf)> = inputs.iter().map(|(name, file)| ((*name).to_owned(), path(file))).collect();
    ingest(&inputs, 1.0, &|_, _| {}).expect("every reject is accepted")
}

#[test]
fn what_is_there_twice_counts_once() {
    let once: Vec<(&str, &str)> = FIXTURES.iter().map(|(name, file, _)| (*name, *file)).collect();
    let twice: Vec<(&str, &str)> = once.iter().flat_map(|one| [*one, *one]).collect();
    let (once, twice) = (read(&once), read(&twice));
    let (one, two) = (&once.knowledge, &twice.knowledge);
    assert_eq!(one.vulnerabilities, two.vulnerabilities);
    assert_eq!(one.documents, two.documents);
    assert_eq!(one.sentences, two.sentences);
    assert_eq!((&one.patterns, &one.techniques), (&two.patterns, &two.techniques));
    assert_eq!((&one.exploited, &one.epss), (&two.exploited, &two.epss));
    assert_eq!(once.merge.described, twice.merge.described);
    assert!(one.documents.len() >= 6 && one.patterns.len() == 3 && one.exploited.len() == 3, "all kinds are there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_change_of_bytes_makes_a_source_panic(
        which in 0..FIXTURES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..4, any::<u8>()), 1..8),
    ) {
        let (name, file, _) = FIXTURES[which];
        let mut bytes = std::fs::read(path(file)).unwrap();
        for (from, to, kind, byte) in edits {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            match kind {
                0 => bytes[from] = byte,
                1 => bytes.insert(from, byte),
                2 => drop(bytes.drain(from..(from + usize::from(byte)).min(bytes.len() - 1).max(from))),
                _ => {
                    let part = bytes[to..(to + usize::from(byte)).min(bytes.len())].to_vec();
                    bytes.splice(from..from, part);
                }
            }
        }
        let _ = parse(name, &bytes);
    }

    #[test]
    fn no_bytes_make_a_source_panic(which in 0..FIXTURES.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(FIXTURES[which].0, &bytes);
    }
}
