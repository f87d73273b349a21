//! All real descriptions and notes beside the repository, where they are there: what cleaning does to them, and how fast.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::{Language, Policy, Removed, clean, language, note, one_line};
use crate::scrub::real::{Stopwatch, data, descriptions, strings};

fn aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Set to a number to see so many changed and so many foreign texts.
const SHOW: &str = "WARDSMITH_SHOW_CLEAN";

fn measure(name: &str, texts: &[String]) -> BTreeMap<&'static str, u64> {
    let limit: usize = std::env::var(SHOW).ok().and_then(|limit| limit.parse().ok()).unwrap_or_default();
    let bytes: usize = texts.iter().map(String::len).sum();
    let watch = Stopwatch::start();
    let (mut removed, mut languages, mut changed) = (Removed::new(), BTreeMap::new(), 0);
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        let cleaned = clean(text, &Policy::default());
        changed += usize::from(!cleaned.removed.is_empty());
        for (&name, &count) in &cleaned.removed {
            note(&mut removed, name, count);
            let seen = shown.entry(name).or_default();
            *seen += 1;
            if *seen <= limit {
                aloud(&format!("{name}: {}\n    -> {}", one_line(text), cleaned.text));
            }
        }
        *languages.entry(cleaned.language.code()).or_default() += 1;
        if !cleaned.language.is_english() && languages[cleaned.language.code()] <= limit as u64 {
            aloud(&format!("{}: {}", cleaned.language, cleaned.text));
        }
    }
    let mb_per_s = watch.mb_per_s(bytes);
    let watch = Stopwatch::start();
    let english = texts.iter().filter(|text| language(text) == Language::ENGLISH).count();
    let language_mb_per_s = watch.mb_per_s(bytes);
    aloud(&format!(
        "ran: clean {name}: {} texts, {changed} changed, {mb_per_s:.0} MB/s, language alone {language_mb_per_s:.0} MB/s, {english} English before cleaning\n  {languages:?}\n  {removed:?}",
        texts.len()
    ));
    languages
}

#[test]
fn real_descriptions_are_english_and_get_plain() {
    let Some(data) = data() else {
        aloud("skipped: cleaning of real texts; needs ../shared/data");
        return;
    };
    let nvd = descriptions(&data, "nvd");
    let languages = measure("nvd", &nvd);
    let foreign: u64 = languages.iter().filter(|(code, _)| **code != "eng").map(|(_, count)| count).sum();
    assert!(nvd.len() > 150_000 && foreign * 10_000 < nvd.len() as u64, "{languages:?}");
    measure("cvelist", &descriptions(&data, "cvelist"));
    measure("certcc-vu", &strings(&data.join("reports/certcc-vu/certcc-vu-notes.jsonl.gz")));
    measure("cisa-csaf", &strings(&data.join("reports/cisa-csaf/cisa-csaf-2024-10-24.jsonl.gz")));
}
