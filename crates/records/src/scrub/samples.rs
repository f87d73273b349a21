//! Precision and recall on the labelled samples in `fixtures/scrub/`.
//!
//! A line is `{"text": "… [[kind|what to replace]] …"}`. Tokens are written as markers such as `{github}` and made up here
//! from a seed, so that no file of the repository holds anything shaped like a secret; `{home}` and its like keep paths of
//! machines out of it. `develop.jsonl` was looked at while the rules were written; `held_out.jsonl` was written before them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::hits;

const DEVELOP: &str = include_str!("../../fixtures/scrub/develop.jsonl");
const HELD_OUT: &str = include_str!("../../fixtures/scrub/held_out.jsonl");
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";

/// A text with what should be found in it.
struct Sample {
    text: String,
    gold: Vec<(String, Range<usize>)>,
}

fn chance(rng: &mut ChaCha8Rng, alphabet: &str, count: usize) -> String {
    let letters = alphabet.as_bytes();
    (0..count).map(|_| char::from(letters[rng.random_range(0..letters.len())])).collect()
}

/// Letters and digits, with some of both for sure.
fn mixed(rng: &mut ChaCha8Rng, count: usize) -> String {
    format!("{}{}", chance(rng, ALNUM, count - 4), "x7Q2")
}

/// What stands for `{marker}`, or `None` where that is no marker.
fn expanded(marker: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let (name, count) = marker.split_once(':').map_or((marker, 0), |(name, count)| (name, count.parse().unwrap_or(0)));
    Some(match name {
        "aws" => ["AK", "IA", &chance(rng, UPPER, 16)].concat(),
        "aws_secret" => mixed(rng, 40),
        "github" => ["gh", "p_", &mixed(rng, 36)].concat(),
        "github_fine" => ["github", "_pat_", &mixed(rng, 22), "_", &mixed(rng, 59)].concat(),
        "gitlab" => ["gl", "pat-", &mixed(rng, 20)].concat(),
        "slack" => ["xo", "xb-", &chance(rng, DIGITS, 12), "-", &mixed(rng, 24)].concat(),
        "slack_hook" => {
            // The host stays: only the path is secret; the sample's span is narrowed to it below.
            let (team, hook) = (chance(rng, UPPER, 9), chance(rng, UPPER, 9));
            ["hooks.slack", ".com/services/T", &team, "/B", &hook, "/", &mixed(rng, 24)].concat()
        }
        "google" => ["AI", "za", &mixed(rng, 35)].concat(),
        "stripe" => ["sk", "_live_", &mixed(rng, 24)].concat(),
        "npm" => ["np", "m_", &mixed(rng, 36)].concat(),
        "pypi" => ["py", "pi-AgE", &mixed(rng, 80)].concat(),
        "hf" => ["h", "f_", &mixed(rng, 34)].concat(),
        "jwt" => ["ey", "J", &mixed(rng, 30), ".ey", "J", &mixed(rng, 40), ".", &mixed(rng, 43)].concat(),
        "azure_key" => format!("{}==", mixed(rng, 86)),
        "sas" => format!("sig={}%3D", mixed(rng, 43)),
        "sendgrid" => ["S", "G.", &mixed(rng, 22), ".", &mixed(rng, 43)].concat(),
        "pem" => {
            let line = ["PRIVATE", " KEY"].concat();
            format!("-----BEGIN {line}-----\\n{}\\n-----END {line}-----", mixed(rng, 200))
        }
        "random" => mixed(rng, count),
        "hex" => chance(rng, HEX, count),
        "iban" => iban(rng).replace(' ', ""),
        "iban_spaced" => iban(rng),
        "card" => card(rng).concat(),
        "card_spaced" => card(rng).join(" "),
        "card_dashed" => card(rng).join("-"),
        "md5" => chance(rng, HEX, 32),
        "sha1" => chance(rng, HEX, 40),
        "sha256" => chance(rng, HEX, 64),
        "home" => ["/ho", "me"].concat(),
        "users" => ["/Use", "rs"].concat(),
        "win" => ["C:", "\\Users"].concat(),
        _ => return None,
    })
}

/// A German account number with right check digits.
fn iban(rng: &mut ChaCha8Rng) -> String {
    let account = chance(rng, DIGITS, 18);
    let remainder = format!("{account}131400").bytes().fold(0, |sum, digit| (sum * 10 + u32::from(digit - b'0')) % 97);
    let signs = format!("DE{:02}{account}", 98 - remainder);
    let groups: Vec<&str> = (0..signs.len()).step_by(4).map(|at| &signs[at..signs.len().min(at + 4)]).collect();
    groups.join(" ")
}

/// Four groups of a card's number with a right check digit.
fn card(rng: &mut ChaCha8Rng) -> Vec<String> {
    let body = format!("4{}", chance(rng, DIGITS, 14));
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(digit - b'0') << ((at + 1) % 2);
            doubled / 10 + doubled % 10
        })
        .sum();
    let signs = format!("{body}{}", (10 - sum % 10) % 10);
    (0..16).step_by(4).map(|at| signs[at..at + 4].to_owned()).collect()
}

/// `line` with its markers replaced.
fn filled(line: &str, rng: &mut ChaCha8Rng) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let marker = rest[open + 1..].split('}').next().unwrap_or_default();
        if let Some(value) = expanded(marker, rng) {
            out.push_str(&value);
            rest = &rest[open + marker.len() + 2..];
        } else {
            out.push('{');
            rest = &rest[open + 1..];
        }
    }
    out + rest
}

fn samples(file: &str) -> Vec<Sample> {
    let mark = regex::Regex::new(r"\[\[([a-z_]+)\|(?s)(.*?)\]\]").unwrap();
    let mut samples = Vec::new();
    for (at, line) in file.lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let marked = filled(value["text"].as_str().unwrap(), &mut ChaCha8Rng::seed_from_u64(at as u64));
        let (mut text, mut gold, mut from) = (String::new(), Vec::new(), 0);
        for found in mark.captures_iter(&marked) {
            text.push_str(&marked[from..found.get_match().start()]);
            let start = text.len();
            text.push_str(&found[2]);
            gold.push((found[1].to_owned(), start..text.len()));
            from = found.get_match().end();
        }
        text.push_str(&marked[from..]);
        samples.push(Sample { text, gold });
    }
    samples
}

/// What was found rightly, found wrongly and missed.
#[derive(Default, Clone, Copy)]
struct Score {
    right: u64,
    wrong: u64,
    missed: u64,
}

impl Score {
    fn add(&mut self, other: Self) {
        *self = Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            missed: self.missed + other.missed,
        };
    }

    fn precision(self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    fn recall(self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }
}

/// Scores by kind and, under `all`, of all kinds; says each mistake on `develop` aloud. A hit is right where its kind is and it overlaps.
fn scores(name: &str, samples: &[Sample]) -> BTreeMap<String, Score> {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut note = |kind: &str, score: Score, what: &str| {
        scores.entry(kind.to_owned()).or_default().add(score);
        scores.entry("all".to_owned()).or_default().add(score);
        // Whoever looks at the mistakes on held-out samples holds them out no longer.
        if score.right == 0 && name == "develop" {
            let _ = writeln!(std::io::stderr(), "{name}: {kind}: {what}");
        }
    };
    for sample in samples {
        let found = hits(&sample.text);
        let overlaps = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        for (kind, range) in &sample.gold {
            assert!(super::by_name(kind).is_some(), "`{kind}`");
            let is_right = found.iter().any(|hit| hit.kind.name == kind && overlaps(&hit.range, range));
            let score = Score { right: u64::from(is_right), wrong: 0, missed: u64::from(!is_right) };
            note(kind, score, &format!("missed `{}` in {}", &sample.text[range.clone()], sample.text));
        }
        for hit in &found {
            let is_right = sample.gold.iter().any(|(kind, range)| hit.kind.name == kind && overlaps(&hit.range, range));
            if !is_right {
                let wrong = Score { wrong: 1, ..Score::default() };
                note(hit.kind.name, wrong, &format!("wrong `{}` in {}", &sample.text[hit.range.clone()], sample.text));
            }
        }
    }
    scores
}

fn report(name: &str, file: &str) -> BTreeMap<String, Score> {
    let samples = samples(file);
    let negatives = samples.iter().filter(|sample| sample.gold.is_empty()).count();
    let scores = scores(name, &samples);
    let mut lines = format!("ran: {name}, {} samples, {negatives} without a hit\n", samples.len());
    for (kind, score) in &scores {
        let Score { right, wrong, missed } = *score;
        let (precision, recall) = (score.precision(), score.recall());
        lines += &format!(
            "  {kind}: precision {precision:.3}, recall {recall:.3} ({right} right, {wrong} wrong, {missed} missed)\n"
        );
    }
    let _ = write!(std::io::stderr(), "{lines}");
    scores
}

#[test]
fn the_samples_are_three_hundred_and_half_of_them_are_hard_negatives() {
    let all: Vec<Sample> = [DEVELOP, HELD_OUT].into_iter().flat_map(samples).collect();
    assert!(all.len() >= 300, "{}", all.len());
    assert!(all.iter().filter(|sample| sample.gold.is_empty()).count() * 2 >= all.len());
    for kind in super::ALL {
        let count = all.iter().flat_map(|sample| &sample.gold).filter(|(name, _)| name == kind.name).count();
        assert!(count >= 2, "{}: {count}", kind.name);
    }
}

/// Floors: overall, and of each kind, where one mistake weighs more. Measured: 1.000 and 1.000 on `develop`, 1.000 and
/// 0.988 on `held_out`.
#[test]
fn precision_and_recall_on_the_samples_do_not_fall() {
    for (name, file, floor) in [("develop", DEVELOP, 0.99), ("held out", HELD_OUT, 0.97)] {
        for (kind, score) in report(name, file) {
            let floor = if kind == "all" { floor } else { 0.90 };
            assert!(score.precision() >= floor && score.recall() >= floor, "{name}: {kind}");
        }
    }
}
