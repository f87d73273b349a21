//! What is built in for the demo: a small base model that this project's own commands pretrained, and real CVEs told in
//! the project's own words, with the numbers and relations of their weaknesses.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// The base model's folder.
pub(crate) static BASE: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("demo/base/config.json")),
    ("model.safetensors", include_bytes!("demo/base/model.safetensors")),
    ("special_tokens_map.json", include_bytes!("demo/base/special_tokens_map.json")),
    ("tokenizer.json", include_bytes!("demo/base/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("demo/base/tokenizer_config.json")),
];
/// Facts of real CVEs with a text of our own, one JSON object a line.
pub(crate) static ADVISORIES: &str = include_str!("demo/advisories.jsonl");
/// Their weaknesses and what stands above them, in the layout of the CWE catalogue.
pub(crate) static CATALOGUE: &[u8] = include_bytes!("demo/cwe.xml");
/// How the demo tunes.
pub(crate) static RECIPE: &[u8] = include_bytes!("demo/recipe.toml");

/// One line of [`ADVISORIES`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    id: String,
    date: String,
    vendor: String,
    product: String,
    cwe: String,
    cvss: String,
    text: String,
}

/// The advisories as a CVE list: one CVE record (JSON 5.1) a line, read by the same source as the official one.
pub(crate) fn feed(advisories: &str) -> Result<String> {
    let mut feed = String::new();
    for line in advisories.lines() {
        let advisory: Advisory = serde_json::from_str(line).context("a built-in advisory is damaged")?;
        feed.push_str(&record(&advisory).to_string());
        feed.push('\n');
    }
    Ok(feed)
}

fn record(advisory: &Advisory) -> Value {
    let metric = match advisory.cvss.starts_with("CVSS:3.0") {
        true => "cvssV3_0",
        false => "cvssV3_1",
    };
    json!({
        "dataType": "CVE_RECORD",
        "dataVersion": "5.1",
        "cveMetadata": {"cveId": advisory.id, "state": "PUBLISHED", "datePublished": format!("{}T00:00:00Z", advisory.date)},
        "containers": {"cna": {
            "descriptions": [{"lang": "en", "value": advisory.text}],
            "affected": [{"vendor": advisory.vendor, "product": advisory.product}],
            "problemTypes": [{"descriptions": [{"lang": "en", "type": "CWE", "cweId": advisory.cwe, "description": advisory.cwe}]}],
            "metrics": [{metric: {"vectorString": advisory.cvss}}],
        }},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    fn advisories() -> Vec<Advisory> {
        ADVISORIES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn there_are_enough_advisories_of_enough_weaknesses_each_told_once() {
        let all = advisories();
        let mut by_weakness: BTreeMap<&str, usize> = BTreeMap::new();
        all.iter().for_each(|one| *by_weakness.entry(&one.cwe).or_default() += 1);
        assert!(all.len() >= 400 && by_weakness.len() >= 16, "{} of {}", all.len(), by_weakness.len());
        assert!(by_weakness.values().all(|&count| count >= 10), "{by_weakness:?}");
        assert_eq!(all.iter().map(|one| &one.id).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|one| &one.text).collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn advisories_are_a_few_sentences_and_no_template() {
        let all = advisories();
        let mut beginnings: BTreeMap<String, usize> = BTreeMap::new();
        for one in &all {
            let words: Vec<&str> = one.text.split_whitespace().collect();
            assert!((10..=80).contains(&words.len()), "{}: {} words", one.id, words.len());
            *beginnings.entry(words[..4].join(" ")).or_default() += 1;
        }
        let most = beginnings.iter().max_by_key(|(_, count)| **count).unwrap();
        assert!(*most.1 <= all.len() / 50, "{most:?} begin alike");
    }

    #[test]
    fn the_base_is_small_enough_to_travel() {
        let bytes: usize = BASE.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 12_000_000, "{bytes} bytes");
    }
}
