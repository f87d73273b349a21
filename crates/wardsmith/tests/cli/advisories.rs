//! The built-in advisories are told in our own words: none shares eight words in a row with the public description.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::common;
use wardsmith_records::ingest::ingest;

/// So many words in a row are a quotation.
const WORDS: usize = 8;

/// Lower-case words without punctuation.
fn words(text: &str) -> Vec<String> {
    let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect()
}

fn runs(text: &str) -> HashSet<Vec<String>> {
    words(text).windows(WORDS).map(<[String]>::to_vec).collect()
}

#[test]
fn no_advisory_quotes_the_public_description() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        common::aloud("skipped: advisories against public descriptions; needs ../shared/data");
        return;
    }
    let sources = ["nvd", "cvelist"].map(|name| (name.to_owned(), data.join(name)));
    let read = ingest(&sources, 0.01, &|_, _| ()).unwrap();
    let public: HashMap<String, &str> =
        read.knowledge.vulnerabilities.iter().map(|one| (one.id.to_string(), one.description.as_str())).collect();
    let advisories = common::advisories();
    let mut compared = 0;
    for advisory in &advisories {
        let (id, text) = (advisory["id"].as_str().unwrap(), advisory["text"].as_str().unwrap());
        let Some(description) = public.get(id) else { continue };
        compared += 1;
        let shared: Vec<_> = runs(text).intersection(&runs(description)).map(|run| run.join(" ")).collect();
        assert!(shared.is_empty(), "{id} shares `{}`", shared[0]);
    }
    assert_eq!(compared, advisories.len(), "every advisory is of a real CVE");
    common::aloud(&format!("ran: {compared} advisories against public descriptions"));
}
