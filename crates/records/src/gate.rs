//! The last gate before examples are written: what came through placing and is still alike in two splits stays out.
//!
//! Things are placed by their own texts ([`crate::split`]), but a task may ask about a part of one, or about words that it
//! makes out of one: two documents that are unlike share a paragraph, two CVEs a CVSS vector. So the gate looks at what is
//! asked about. Tasks pass in their order, and within a task training passes first: what is alike something that passed into
//! another split does not pass. What of training and validation overlaps a benchmark does not pass either; test examples
//! do, as nothing is learned from them, and are counted.
//!
//! [`crate::leak`] checks afterwards, with code of its own, that nothing came through.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::alike::{Frequencies, Hashes, Postings, Set, hash_run, is_alike, plain_hashes};
use crate::benchmark::{Benchmarks, OverlapCounts};
use crate::dataset::{Example, Split};
use crate::dedup::{Thresholds, shingles};
use crate::leak::{MIN_COMPARED, asked_about};
use crate::task::{Made, Task};
use crate::template::parts;

/// Why an example was kept out: it is alike one in another split.
pub const ALIKE_ELSEWHERE: &str = "alike_in_another_split";
/// Why an example was kept out: it overlaps a benchmark.
pub const OVERLAPS_BENCHMARK: &str = "overlaps_benchmark";
/// One of so many texts is looked at to learn which words are frequent.
const SAMPLE_STEP: usize = 8;

/// What passed so far.
#[derive(Debug)]
pub struct Gate<'a> {
    benchmarks: &'a Benchmarks,
    sides: Vec<Side>,
    passed: Hashes<Split>,
    overlaps: OverlapCounts,
}

/// Sets of one kind, by split.
#[derive(Debug)]
struct Side {
    set_of: fn(&str) -> Option<Set>,
    threshold: f64,
    frequencies: Frequencies,
    postings: [Postings; 3],
    sets: Vec<Set>,
}

/// What is asked about in one example.
struct Asked {
    text: u64,
    sets: Vec<Option<Set>>,
}

impl<'a> Gate<'a> {
    /// Nothing has passed. `texts` is a sample of what will come; it makes the gate fast and changes no outcome.
    #[must_use]
    pub fn new(thresholds: &Thresholds, benchmarks: &'a Benchmarks, texts: &[&str]) -> Self {
        let near: fn(&str) -> Option<Set> = |text| Some(shingles(text)).filter(|set| set.len() >= MIN_COMPARED);
        let template: fn(&str) -> Option<Set> = |text| parts(text, MIN_COMPARED);
        let kinds = [(near, Some(thresholds.near_duplicate)), (template, thresholds.template)];
        let sides = kinds.into_iter().filter_map(|(set_of, threshold)| Some(Side::new(set_of, threshold?, texts)));
        Self { benchmarks, sides: sides.collect(), passed: Hashes::default(), overlaps: OverlapCounts::default() }
    }

    /// Takes out of `made` what may not pass, and counts it there.
    pub fn pass(&mut self, task: &dyn Task, made: &mut Made) {
        self.benchmarks.ignore_common_among(&made.examples);
        let mut keep = self.free_of_benchmarks(&made.examples);
        count(made, OVERLAPS_BENCHMARK, keep.iter().filter(|keep| !**keep).count());
        let asked: Vec<Option<Asked>> =
            made.examples.par_iter().map(|(_, one)| self.asked(&asked_about(one, task.input(one)))).collect();
        let mut alike = 0;
        for (at, asked) in in_order(&made.examples, asked) {
            if keep[at] && !self.admits(made.examples[at].0, asked) {
                keep[at] = false;
                alike += 1;
            }
        }
        count(made, ALIKE_ELSEWHERE, alike);
        take_out(made, &keep);
    }

    /// What overlapped benchmarks so far.
    #[must_use]
    pub fn overlaps(&self) -> &OverlapCounts {
        &self.overlaps
    }

    /// Whether each example may stay as far as benchmarks are concerned.
    fn free_of_benchmarks(&mut self, examples: &[(Split, Example)]) -> Vec<bool> {
        let found: Vec<_> = examples.par_iter().map(|(_, example)| self.benchmarks.overlap(example)).collect();
        let mut keep = Vec::with_capacity(examples.len());
        for ((split, _), overlap) in examples.iter().zip(found) {
            keep.push(overlap.is_none() || *split == Split::Test);
            if let Some(overlap) = overlap {
                self.overlaps.add(*split, &overlap);
            }
        }
        keep
    }

    /// `None` for a text without a word, which is never compared.
    fn asked(&self, text: &str) -> Option<Asked> {
        let words = plain_hashes(text);
        let hash = hash_run(&words);
        let is_new = !self.passed.contains_key(&hash);
        let sets = self.sides.iter().filter(|_| is_new).map(|side| (side.set_of)(text)).collect();
        (!words.is_empty()).then_some(Asked { text: hash, sets })
    }

    /// Whether what is asked about may stand in `split`; if so, it stands there from now on.
    fn admits(&mut self, split: Split, asked: Asked) -> bool {
        if let Some(known) = self.passed.get(&asked.text) {
            return *known == split;
        }
        let mut compared = self.sides.iter().zip(&asked.sets);
        if compared.any(|(side, set)| set.as_ref().is_some_and(|set| side.has_alike_elsewhere(set, split))) {
            return false;
        }
        for (side, set) in self.sides.iter_mut().zip(asked.sets) {
            side.insert(set, split);
        }
        self.passed.insert(asked.text, split);
        true
    }
}

impl Side {
    fn new(set_of: fn(&str) -> Option<Set>, threshold: f64, texts: &[&str]) -> Self {
        let sample: Vec<&str> = texts.iter().step_by(SAMPLE_STEP).copied().collect();
        let sets: Vec<Set> = sample.par_iter().filter_map(|text| set_of(text)).collect();
        Self {
            set_of,
            threshold,
            frequencies: Frequencies::of(sets.iter()),
            postings: Default::default(),
            sets: Vec::new(),
        }
    }

    fn has_alike_elsewhere(&self, set: &Set, split: Split) -> bool {
        let rarest = self.frequencies.rarest(set, self.threshold);
        let others = Split::ALL.into_iter().filter(|other| *other != split);
        let mut candidates = others.flat_map(|other| self.postings[other as usize].candidates(&rarest, |_| true));
        candidates.any(|at| is_alike(set, &self.sets[at as usize], self.threshold))
    }

    fn insert(&mut self, set: Option<Set>, split: Split) {
        if let Some(set) = set {
            let rarest = self.frequencies.rarest(&set, self.threshold);
            self.postings[split as usize].insert(&rarest, self.sets.len() as u32);
            self.sets.push(set);
        }
    }
}

/// The places of what is asked about, training first.
fn in_order(examples: &[(Split, Example)], asked: Vec<Option<Asked>>) -> Vec<(usize, Asked)> {
    let mut order: Vec<(usize, Asked)> =
        asked.into_iter().enumerate().filter_map(|(at, asked)| Some((at, asked?))).collect();
    order.sort_by_key(|(at, _)| (examples[*at].0, *at));
    order
}

fn count(made: &mut Made, reason: &str, left_out: usize) {
    if left_out > 0 {
        *made.counts.left_out.entry(reason.into()).or_default() += left_out as u64;
    }
}

/// Keeps the examples that are marked, and the counts true to them.
fn take_out(made: &mut Made, keep: &[bool]) {
    let mut gone: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept = Vec::with_capacity(made.examples.len());
    for ((split, example), keep) in std::mem::take(&mut made.examples).into_iter().zip(keep) {
        if *keep {
            kept.push((split, example));
            continue;
        }
        if let Some(examples) = made.counts.examples.get_mut(&split) {
            *examples = examples.saturating_sub(1);
        }
        made.counts.private_examples = made.counts.private_examples.saturating_sub(u64::from(example.private));
        if let Some(gold) = example.gold.filter(|_| split == Split::Train) {
            *gone.entry(gold).or_default() += 1;
        }
    }
    made.examples = kept;
    for label in &mut made.labels {
        label.train_count = label.train_count.saturating_sub(gone.get(&label.name).copied().unwrap_or(0));
    }
}
