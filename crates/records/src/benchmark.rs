//! Evaluation sets that must not be learned from: reads them, and tells which examples overlap them.
//!
//! Any file of questions will do ([`read`](self) does not know benchmarks by name): every field of some words is an item's
//! text, and the CVE, GHSA and ICS advisory IDs in it are the item's IDs. IDs of CWE and ATT&CK are not: they are the
//! subject of an item, not the item.
//!
//! An example overlaps where, in this order,
//! 1. its own ID is an item's (**same ID**);
//! 2. a message or a paragraph of it is an item's text (**same text**);
//! 3. it shares a run of [`GRAM_WORDS`] words with an item, as GPT-3's training data were cleaned (Brown et al., "Language models
//!    are few-shot learners", 2020, appendix C); of an item of [`MIN_GRAM_WORDS`] words and more, but fewer than that, all words
//!    are the run (**n-gram**);
//! 4. a paragraph is a near-duplicate of an item's text (**near-duplicate**).
//!
//! What says nothing is ignored: runs that many items of one benchmark share are its instructions; runs that many texts of the
//! corpus ([`Benchmarks::ignore_common`]) or examples of many things ([`Benchmarks::ignore_common_among`]) share are common
//! phrases, as GPT-3 took what more than 10 documents had; short texts that several items share are its categories.
//!
//! Examples of training and validation that overlap are taken out ([`crate::gate`]). Test examples stay: nothing is learned from
//! them, and what they share with a benchmark is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rayon::prelude::*;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::alike::{Frequencies, Hashes, Postings, Set, hash_run, hash_word, is_alike, plain_hashes, runs_of_hashes};
use crate::dataset::{Example, Split};
use crate::dedup::{DEFAULT_THRESHOLD, SHINGLE_WORDS};
use crate::error::Result;
use crate::leak::MIN_COMPARED;

mod read;

/// Words in a run that only a copy shares.
pub const GRAM_WORDS: usize = 13;
/// Fewer words are no run; an item of fewer is found by equality alone.
pub const MIN_GRAM_WORDS: usize = 8;
/// Fewer words are no item's text but a label, a heading or a short answer, as `Cross-Site Request Forgery (CSRF)`.
const MIN_ITEM_WORDS: usize = 7;
/// A run of fewer different words is a table or a list of zeros.
const MIN_DISTINCT_WORDS: usize = 6;
/// A run is common where more items of one benchmark than this have it, and more than this share of them.
const MAX_ITEMS: u32 = 10;
const MAX_ITEM_SHARE: f64 = 0.05;
/// A text of fewer than [`GRAM_WORDS`] words that more items than this have is a category.
const MAX_ITEMS_OF_SHORT_TEXT: u32 = 3;
/// A run that more different texts of the corpus than this have is a common phrase.
const MAX_TEXTS: u32 = 10;

/// How an example overlaps an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapKind {
    /// Its ID is one that the item names.
    SameId,
    /// A message or paragraph of it is the item's text.
    SameText,
    /// It shares a long run of words.
    Ngram,
    /// A paragraph of it is a near-duplicate of the item's text.
    NearDuplicate,
}

/// An overlap with a benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The benchmark's name.
    pub benchmark: String,
    /// How.
    pub kind: OverlapKind,
    /// The number of the item among the different ones of the benchmark, from 0.
    pub item: u32,
}

/// Examples that overlap benchmarks: by benchmark and kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OverlapCounts {
    /// Examples of training and validation, which were taken out.
    pub taken_out: BTreeMap<String, BTreeMap<OverlapKind, u64>>,
    /// Test examples, which stay.
    pub in_test: BTreeMap<String, BTreeMap<OverlapKind, u64>>,
}

impl OverlapCounts {
    /// Counts one example of `split`.
    pub fn add(&mut self, split: Split, overlap: &Overlap) {
        let side = if split == Split::Test { &mut self.in_test } else { &mut self.taken_out };
        *side.entry(overlap.benchmark.clone()).or_default().entry(overlap.kind).or_default() += 1;
    }
}

/// What was read of one benchmark's file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BenchmarkInput {
    /// The name that the user gave it.
    pub benchmark: String,
    /// The last part of its path.
    pub name: String,
    /// SHA-256 as of an [`InputSummary`](crate::manifest::InputSummary).
    pub sha256: String,
    /// Bytes, as stored.
    pub bytes: u64,
    /// Items in it, repeated ones too.
    pub items: u64,
}

/// An item by its benchmark and number.
#[derive(Debug, Clone, Copy)]
struct Item {
    benchmark: u32,
    number: u32,
}

/// A run of words.
#[derive(Debug)]
struct Gram {
    /// The first item that has it.
    item: u32,
    /// Many examples have it, so it tells nothing. Set once and never taken back.
    is_common: AtomicBool,
}

/// All items of all benchmarks, ready to be looked up.
#[derive(Debug, Default)]
pub struct Benchmarks {
    inputs: Vec<BenchmarkInput>,
    names: Vec<String>,
    items: Vec<Item>,
    ids: HashMap<String, u32>,
    texts: Hashes<u32>,
    /// Runs of words by their hashes.
    grams: Hashes<Gram>,
    /// The first words of runs, [`MIN_GRAM_WORDS`] of them, with the lengths of those runs: bit `n` for `n` words.
    heads: Hashes<u32>,
    near: Near,
}

/// The items' texts as sets of shingles.
#[derive(Debug, Default)]
struct Near {
    frequencies: Frequencies,
    postings: Postings,
    sets: Vec<(Set, u32)>,
    /// All shingles in `sets`.
    known: Hashes<()>,
    /// Shingles of instructions, which are not compared.
    common: Hashes<()>,
}

impl Benchmarks {
    /// Reads pairs of a name and a file, or a folder of files.
    ///
    /// # Errors
    /// Where one cannot be read or is too large.
    pub fn read(named: &[(String, PathBuf)]) -> Result<Self> {
        let mut benchmarks = Self::default();
        let mut rows: Vec<Vec<read::Row>> = Vec::new();
        for (name, path) in named {
            let (summary, read) = read::rows(path)?;
            let at = benchmarks.number_of(name);
            rows.resize_with(benchmarks.names.len(), Vec::new);
            benchmarks.inputs.push(BenchmarkInput {
                benchmark: name.clone(),
                name: summary.name,
                sha256: summary.sha256,
                bytes: summary.bytes,
                items: read.len() as u64,
            });
            rows[at].extend(read);
        }
        for (at, rows) in rows.iter().enumerate() {
            benchmarks.add(at, rows);
        }
        benchmarks.near.index();
        Ok(benchmarks)
    }

    /// What was read.
    #[must_use]
    pub fn inputs(&self) -> &[BenchmarkInput] {
        &self.inputs
    }

    /// Forgets runs of words that more than 10 different ones of `texts` have: they are phrases, not copies.
    pub fn ignore_common(&mut self, texts: &[&str]) {
        let numbers: Hashes<usize> = self.grams.keys().enumerate().map(|(at, gram)| (*gram, at)).collect();
        let seen: Vec<AtomicU32> = numbers.iter().map(|_| AtomicU32::new(0)).collect();
        let mut different: Vec<&str> = texts.to_vec();
        different.par_sort_unstable();
        different.dedup();
        different.par_iter().for_each(|text| {
            let mut own: BTreeSet<usize> = BTreeSet::new();
            self.each_gram(&plain_hashes(text), &mut |gram| own.extend(numbers.get(&gram)));
            for at in own {
                seen[at].fetch_add(1, Ordering::Relaxed);
            }
        });
        self.grams.retain(|gram, _| seen[numbers[gram]].load(Ordering::Relaxed) <= MAX_TEXTS);
    }

    /// Forgets runs of words that more than 10 things of these examples have, by their IDs: answers that many questions
    /// have in common, such as the name of a weakness, and instructions.
    pub fn ignore_common_among(&self, examples: &[(Split, Example)]) {
        let grams_of = |(_, example): &(Split, Example)| {
            let thing = hash_word(example.id.split('#').next().unwrap_or_default());
            let mut found = BTreeSet::new();
            for message in &example.conversation.messages {
                self.each_gram(&plain_hashes(&message.content), &mut |gram| {
                    found.extend(self.grams.contains_key(&gram).then_some((gram, thing)));
                });
            }
            found
        };
        let mut found: Vec<(u64, u64)> = examples.par_iter().flat_map_iter(grams_of).collect();
        found.par_sort_unstable();
        found.dedup();
        for of_one in found.chunk_by(|left, right| left.0 == right.0).filter(|all| all.len() > MAX_TEXTS as usize) {
            self.grams[&of_one[0].0].is_common.store(true, Ordering::Relaxed);
        }
    }

    /// The first overlap of `example` with an item, by the order of the kinds.
    #[must_use]
    pub fn overlap(&self, example: &Example) -> Option<Overlap> {
        if self.items.is_empty() {
            return None;
        }
        let root = example.id.split('#').next().unwrap_or_default();
        let by_id = self.ids.get(&root.to_uppercase()).map(|item| (OverlapKind::SameId, *item));
        let (kind, item) = by_id.or_else(|| self.by_words(example))?;
        let Item { benchmark, number } = self.items[item as usize];
        Some(Overlap { benchmark: self.names[benchmark as usize].clone(), kind, item: number })
    }

    fn by_words(&self, example: &Example) -> Option<(OverlapKind, u32)> {
        let messages = || example.conversation.messages.iter().map(|one| one.content.as_str());
        let wholes: Vec<Vec<u64>> = messages().map(plain_hashes).collect();
        let parts: Vec<Vec<u64>> = messages().filter(|text| text.contains(BREAK)).flat_map(paragraphs).collect();
        let texts = || wholes.iter().chain(&parts);
        let equal = texts().find_map(|words| self.texts.get(&hash_run(words)));
        let equal = equal.map(|item| (OverlapKind::SameText, *item));
        let gram = || Some((OverlapKind::Ngram, wholes.iter().find_map(|words| self.shared_gram(words))?));
        let near = || Some((OverlapKind::NearDuplicate, texts().find_map(|words| self.near.find(words))?));
        equal.or_else(gram).or_else(near)
    }

    fn number_of(&mut self, name: &str) -> usize {
        let known = self.names.iter().position(|one| one == name);
        known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        })
    }

    /// Adds all items of one benchmark; equal ones count once.
    fn add(&mut self, benchmark: usize, rows: &[read::Row]) {
        let mut different: BTreeSet<&read::Row> = BTreeSet::new();
        let first = self.items.len() as u32;
        let rows: Vec<&read::Row> = rows.iter().filter(|row| different.insert(row)).collect();
        self.items.extend((0..rows.len() as u32).map(|number| Item { benchmark: benchmark as u32, number }));
        let shared = Shared::count(&rows);
        self.near.common.extend(shared.common_shingles());
        for (item, row) in (first..).zip(rows) {
            for id in row.iter().flat_map(|text| ids_in(text)) {
                self.ids.entry(id).or_insert(item);
            }
            for text in row {
                self.add_text(item, text, &shared);
            }
        }
    }

    fn add_text(&mut self, item: u32, text: &str, shared: &Shared) {
        let words = plain_hashes(text);
        let whole = hash_run(&words);
        if words.len() < MIN_ITEM_WORDS || shared.is_common(whole, words.len() < GRAM_WORDS) {
            return;
        }
        self.texts.entry(whole).or_insert(item);
        for run in runs_of_item(&words) {
            let gram = hash_run(run);
            if !shared.is_common(gram, false) {
                *self.heads.entry(hash_run(&run[..MIN_GRAM_WORDS])).or_default() |= 1 << run.len();
                self.grams.entry(gram).or_insert(Gram { item, is_common: AtomicBool::new(false) });
            }
        }
        self.near.sets.extend(self.near.set_of(&words).map(|set| (set, item)));
    }

    fn shared_gram(&self, words: &[u64]) -> Option<u32> {
        let mut found = None;
        self.each_gram(words, &mut |gram| {
            let known = self.grams.get(&gram).filter(|known| !known.is_common.load(Ordering::Relaxed));
            found = found.or(known.map(|known| known.item));
        });
        found
    }

    /// Hands every run of `words` that begins as some item's run and is as long to `visit`.
    fn each_gram(&self, words: &[u64], visit: &mut dyn FnMut(u64)) {
        for (at, head) in words.windows(MIN_GRAM_WORDS).enumerate() {
            let Some(lengths) = self.heads.get(&hash_run(head)) else { continue };
            let runs = (MIN_GRAM_WORDS..=GRAM_WORDS).filter(|len| lengths & 1 << len != 0);
            runs.filter_map(|len| words.get(at..at + len)).for_each(|run| visit(hash_run(run)));
        }
    }
}

impl Near {
    fn index(&mut self) {
        self.frequencies = Frequencies::of(self.sets.iter().map(|(set, _)| set));
        self.known = self.sets.iter().flat_map(|(set, _)| set).map(|shingle| (*shingle, ())).collect();
        for (at, (set, _)) in (0u32..).zip(&self.sets) {
            self.postings.insert(&self.frequencies.rarest(set, DEFAULT_THRESHOLD), at);
        }
    }

    /// The shingles of a text that are no instructions, where there are enough.
    fn set_of(&self, words: &[u64]) -> Option<Set> {
        let all = runs_of_hashes(words, SHINGLE_WORDS);
        let set: Set = all.iter().copied().filter(|shingle| !self.common.contains_key(shingle)).collect();
        (set.len() >= MIN_COMPARED).then_some(set)
    }

    /// The item that has a text which the one of these words is alike.
    fn find(&self, words: &[u64]) -> Option<u32> {
        let known = |run: &&[u64]| self.known.contains_key(&hash_run(run));
        // What is alike has most of its shingles in items, whichever; few texts have.
        if (words.windows(SHINGLE_WORDS).filter(known).count() as f64) < DEFAULT_THRESHOLD * MIN_COMPARED as f64 {
            return None;
        }
        let set = self.set_of(words)?;
        let candidates = self.postings.candidates(&self.frequencies.rarest(&set, DEFAULT_THRESHOLD), |_| true);
        let alike = |at: &u32| is_alike(&set, &self.sets[*at as usize].0, DEFAULT_THRESHOLD);
        candidates.into_iter().find(alike).map(|at| self.sets[at as usize].1)
    }
}

/// How many items of a benchmark have each text and each run.
struct Shared {
    items: usize,
    counts: Hashes<u32>,
    shingles: Hashes<u32>,
}

impl Shared {
    fn count(rows: &[&read::Row]) -> Self {
        let (mut counts, mut shingles): (Hashes<u32>, Hashes<u32>) = Default::default();
        for row in rows {
            let (mut own, mut own_shingles) = (BTreeSet::new(), BTreeSet::new());
            for text in row.iter() {
                let words = plain_hashes(text);
                own.insert(hash_run(&words));
                own.extend(runs_of_item(&words).map(hash_run));
                own_shingles.extend(runs_of_hashes(&words, SHINGLE_WORDS));
            }
            own.into_iter().for_each(|hash| *counts.entry(hash).or_default() += 1);
            own_shingles.into_iter().for_each(|hash| *shingles.entry(hash).or_default() += 1);
        }
        Self { items: rows.len(), counts, shingles }
    }

    fn most(&self) -> u32 {
        MAX_ITEMS.max((self.items as f64 * MAX_ITEM_SHARE) as u32)
    }

    fn common_shingles(&self) -> impl Iterator<Item = (u64, ())> {
        self.shingles.iter().filter(|(_, count)| **count > self.most()).map(|(shingle, _)| (*shingle, ()))
    }

    fn is_common(&self, hash: u64, is_short_text: bool) -> bool {
        let most = if is_short_text { MAX_ITEMS_OF_SHORT_TEXT } else { self.most() };
        self.counts.get(&hash).is_some_and(|count| *count > most)
    }
}

/// What stands between paragraphs.
const BREAK: &str = "\n\n";

/// The runs of an item's text that tell something.
fn runs_of_item(words: &[u64]) -> impl Iterator<Item = &[u64]> {
    let len = words.len().min(GRAM_WORDS);
    let enough = |run: &&[u64]| run.iter().collect::<BTreeSet<_>>().len() >= MIN_DISTINCT_WORDS;
    words.windows(len.max(1)).filter(move |_| len >= MIN_GRAM_WORDS).filter(enough)
}

/// The words of each paragraph.
fn paragraphs(text: &str) -> impl Iterator<Item = Vec<u64>> {
    text.split(BREAK).map(plain_hashes).filter(|words| !words.is_empty())
}

/// IDs that name one thing, in capitals.
fn ids_in(text: &str) -> Vec<String> {
    static IDS: std::sync::LazyLock<Regex> = std::sync::LazyLock::new(|| {
        let pattern = r"(?i)\b(?:CVE-\d{4}-\d{4,19}|GHSA(?:-[0-9a-z]{4}){3}|ICSM?A-\d{2}-\d{3}-\d{2}[A-Z]?)\b";
        Regex::new(pattern).expect("the pattern is fixed and tested")
    });
    IDS.find_iter(text).map(|found| found.as_str().to_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Conversation;

    const QUESTION: &str =
        "Which part of the tearoom must be locked at night so that no guest can steal the silver spoons?";

    fn read_json(text: &str) -> Benchmarks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quiz one.json");
        std::fs::write(&path, text).unwrap();
        Benchmarks::read(&[("quiz".into(), path)]).unwrap()
    }

    fn quiz() -> Benchmarks {
        let short = "May a kettle ever boil without any water inside?";
        let tiny = "Is tea really a drink for kings?";
        read_json(&format!(
            r#"{{"questions":[{{"q":"{QUESTION}","o":["A door","B lid"]}},{{"q":"{short}"}},{{"q":"{tiny}"}},{{"q":"Tell of cve-2024-0007 now"}}]}}"#
        ))
    }

    fn example(id: &str, text: &str) -> Example {
        Example {
            id: id.into(),
            task: "document".into(),
            published: String::new(),
            group: 0,
            sources: vec!["nvd".into()],
            weight: 1.0,
            private: false,
            conversation: Conversation::document(text),
            gold: None,
        }
    }

    fn kind(benchmarks: &Benchmarks, id: &str, text: &str) -> Option<(OverlapKind, u32)> {
        benchmarks.overlap(&example(id, text)).map(|found| (found.kind, found.item))
    }

    #[test]
    fn each_kind_of_overlap_is_found_and_nothing_else() {
        let quiz = quiz();
        let found = |id: &str, text: &str| kind(&quiz, id, text);
        assert_eq!(found("CVE-2024-0007#1", "Nothing."), Some((OverlapKind::SameId, 3)));
        assert_eq!(
            found("a", &format!("An instruction.\n\n{}", QUESTION.to_uppercase())),
            Some((OverlapKind::SameText, 0))
        );
        assert_eq!(found("a", "is tea REALLY a drink for kings"), Some((OverlapKind::SameText, 2)));
        let quoted = "They asked me which part of the tearoom must be locked at night so that no thief comes";
        assert_eq!(found("a", quoted), Some((OverlapKind::Ngram, 0)));
        assert_eq!(
            found("a", "So: may a kettle ever boil without any water inside, or not?"),
            Some((OverlapKind::Ngram, 1))
        );
        for text in
            ["He said: is tea really a drink for kings? Yes.", "A door", "which part of the tearoom must be locked", ""]
        {
            assert_eq!(found("CVE-2024-0008", text), None, "{text}");
        }
    }

    #[test]
    fn an_item_that_lacks_a_word_is_a_near_duplicate() {
        let item = "Where does a careful waiter put the hot copper kettle down";
        let benchmarks = read_json(&format!(r#"["{item}"]"#));
        let shorter = item.strip_suffix(" down").unwrap();
        assert_eq!(kind(&benchmarks, "a", shorter), Some((OverlapKind::NearDuplicate, 0)));
        assert_eq!(kind(&benchmarks, "a", &shorter.replace("careful", "weary")), None);
    }

    #[test]
    fn instructions_and_categories_of_a_benchmark_are_no_items() {
        let rows: Vec<String> = (0..20)
            .map(|n| {
                format!(r#"{{"prompt":"Answer the following question with one of the letters A, B, C or D please: {}","kind":"questions about the noble art of brewing"}}"#, "tea ".repeat(n + 1))
            })
            .collect();
        let benchmarks = read_json(&format!("[{}]", rows.join(",")));
        assert_eq!(
            kind(&benchmarks, "a", "Answer the following question with one of the letters A, B, C or D please: 7"),
            None
        );
        assert_eq!(kind(&benchmarks, "a", "questions about the noble art of brewing"), None);
    }

    #[test]
    fn phrases_that_many_texts_have_are_ignored() {
        let mut quiz = quiz();
        let texts: Vec<String> = (0..11).map(|n| format!("{n} {QUESTION} {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        quiz.ignore_common(&texts[..10]);
        assert_eq!(kind(&quiz, "a", texts[0]).map(|one| one.0), Some(OverlapKind::Ngram));
        quiz.ignore_common(&texts);
        assert_ne!(kind(&quiz, "a", &texts[0].replace("silver", "small")).map(|one| one.0), Some(OverlapKind::Ngram));
    }

    #[test]
    fn answers_that_many_things_share_are_ignored_and_copies_of_one_thing_are_not() {
        let quiz = quiz();
        let examples = |ids: &dyn Fn(usize) -> String| -> Vec<(Split, Example)> {
            (0..12).map(|n| (Split::Train, example(&ids(n), &format!("{n} {QUESTION} {n}")))).collect()
        };
        let of_one = examples(&|n| format!("CVE-2024-0001#{n}"));
        quiz.ignore_common_among(&of_one);
        assert_eq!(quiz.overlap(&of_one[0].1).map(|one| one.kind), Some(OverlapKind::Ngram));
        let of_many = examples(&|n| format!("CVE-2024-{n:04}"));
        quiz.ignore_common_among(&of_many);
        assert_ne!(quiz.overlap(&of_many[0].1).map(|one| one.kind), Some(OverlapKind::Ngram));
    }

    #[test]
    fn ids_are_found_in_any_case_and_cwe_ids_are_not_collected() {
        let text = "See cve-2024-12345, CWE-79, T1059, icsa-24-142-01/ and GHSA-abcd-1234-ef56.";
        assert_eq!(ids_in(text), ["CVE-2024-12345", "ICSA-24-142-01", "GHSA-ABCD-1234-EF56"]);
    }
}
