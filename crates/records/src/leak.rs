//! The independent checker: whether anything that was written stands in two splits.
//!
//! It takes every example of every task as it is written ([`LeakCheck::add`]) and compares what is asked about
//! ([`Task::input`]; of a multiple choice question that is the stem with its options, of a document its text). Of an
//! aspect of a catalogue's entry, such as `CWE-79/consequences`, that is the whole question: what is asked about is but
//! the name of the entry, and its aspects are held out one by one.
//!
//! - **same ID**: an ID up to its first `#`. CVE, CWE, CAPEC, ATT&CK and GHSA IDs mean the same everywhere, others within one source.
//! - **same group**: a group of the placing, such as all functions of one commit.
//! - **same text**: equal words, numbers among them. Texts without a word are not compared.
//! - **near-duplicate**: as [`crate::dedup`] defines it; texts of fewer than [`MIN_COMPARED`] shingles count by equality alone,
//!   as `What is CWE-79?` and `What is CWE-80?` are no copies.
//! - **template**: as [`crate::template`] defines it, with the same exception.
//! - **benchmark**: an example of training or validation that [`crate::benchmark`] recognises.
//!
//! What is told by an earlier kind is not told by a later one again: a copied text is no near-duplicate.
//!
//! It shares the definition of words with the grouping (`normalised`, `each_plain_word`, `skeleton`, `is_prose`) and no other code, so
//! that it finds the faults of that. It hashes in its own way, keeps all sets, and searches from one side alone: every text
//! of a later split is compared with all earlier ones that have any of its rarest members *anywhere*, which by the
//! pigeonhole principle are all that could be alike, whatever order the grouping trusts in.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::benchmark::Benchmarks;
use crate::conversation::Role;
use crate::dataset::{Example, Split};
use crate::dedup::{SHINGLE_WORDS, Thresholds, each_plain_word, normalised};
use crate::error::{Error, Result};
use crate::task::Task;
use crate::template::{PART_WORDS, is_prose, skeleton};

/// Texts of fewer different shingles, or parts of a skeleton, are compared for equality alone.
pub const MIN_COMPARED: usize = 8;
/// How many leaks of each kind are told by name.
const FIRST_LEAKS: usize = 5;
/// How IDs begin that mean the same in every source.
const GLOBAL_IDS: &[&str] = &["CVE-", "CWE-", "CAPEC-", "GHSA-", "T0", "T1"];

/// One example of a leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakMember {
    /// Its ID; of a benchmark's item, the benchmark's name and the item's number.
    pub id: String,
    /// Its task; `benchmark` where it is a benchmark's item.
    pub task: String,
    /// Its split; `None` where it is a benchmark's item.
    pub split: Option<Split>,
}

/// The leaks of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leaks {
    /// IDs in several splits; texts in several splits; texts of a later split that are alike one of an earlier split;
    /// examples that are a benchmark's.
    pub count: u64,
    /// The first few, the earlier split first.
    pub first: Vec<(LeakMember, LeakMember)>,
}

/// What [`LeakCheck::finish`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LeakReport {
    /// Examples that were looked at.
    pub examples: u64,
    /// Different texts among what they ask about.
    pub texts: u64,
    /// One ID in two splits.
    pub same_id: Leaks,
    /// One group in two splits.
    pub same_group: Leaks,
    /// One text in two splits.
    pub same_text: Leaks,
    /// Near-duplicates in two splits.
    pub near_duplicate: Leaks,
    /// Texts by one template in two splits.
    pub template: Leaks,
    /// A benchmark's items among what teaches.
    pub benchmark: Leaks,
}

impl LeakReport {
    /// Every kind by its name.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &Leaks); 6] {
        [
            ("same ID", &self.same_id),
            ("same group", &self.same_group),
            ("same text", &self.same_text),
            ("near-duplicate", &self.near_duplicate),
            ("template", &self.template),
            ("benchmark", &self.benchmark),
        ]
    }

    /// Leaks of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, leaks)| leaks.count).sum()
    }

    /// Nothing where there is no leak.
    ///
    /// # Errors
    /// Where there is one: its kind, both IDs, tasks and splits.
    pub fn into_result(self) -> Result<Self> {
        let told = |one: &LeakMember| match one.split {
            Some(split) => format!("`{}` ({}, {split})", one.id, one.task),
            None => format!("`{}` ({})", one.id, one.task),
        };
        let found = self.kinds().into_iter().find_map(|(kind, leaks)| Some((kind, leaks.count, leaks.first.first()?)));
        match found {
            None => Ok(self),
            Some((kind, count, (left, right))) => Err(Error::Options {
                problem: format!(
                    "{count} leaks of the kind {kind} between splits, first {} and {}",
                    told(left),
                    told(right)
                ),
                hint: "this is a fault of this program; please report it with the options".into(),
            }),
        }
    }
}

/// Where a text or an ID was seen first, as a member's number a split; [`NOWHERE`] where it was not.
type Witnesses = [u32; 3];
const NOWHERE: u32 = u32::MAX;
/// Sorted hashes, each once; `None` where a text is too short to be compared.
type Compared = Option<Box<[u64]>>;

/// An example that may have to be named.
#[derive(Debug)]
struct Member {
    id: Box<str>,
    /// The hash of its ID's part that counts.
    key: u64,
    task: u16,
}

/// Takes examples one after the other. It keeps hashes, not texts: some 500 bytes a different text.
#[derive(Debug)]
pub struct LeakCheck<'a> {
    thresholds: Thresholds,
    benchmarks: Option<&'a Benchmarks>,
    tasks: Vec<String>,
    members: Vec<Member>,
    ids: HashMap<u64, Witnesses>,
    groups: HashMap<u64, Witnesses>,
    text_numbers: HashMap<u64, u32>,
    texts: Vec<Witnesses>,
    shingles: Vec<Compared>,
    skeletons: Vec<Compared>,
    report: LeakReport,
}

/// What is known of an example before it is taken.
struct Look {
    id_key: u64,
    text_key: Option<u64>,
    sets: Option<(Compared, Compared)>,
    benchmark: Option<LeakMember>,
}

impl<'a> LeakCheck<'a> {
    /// Nothing was added yet.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            benchmarks: None,
            tasks: Vec::new(),
            members: Vec::new(),
            ids: HashMap::new(),
            groups: HashMap::new(),
            text_numbers: HashMap::new(),
            texts: Vec::new(),
            shingles: Vec::new(),
            skeletons: Vec::new(),
            report: LeakReport::default(),
        }
    }

    /// Looks for the items of `benchmarks`, too.
    #[must_use]
    pub fn with_benchmarks(self, benchmarks: &'a Benchmarks) -> Self {
        Self { benchmarks: Some(benchmarks), ..self }
    }

    /// Takes one example that asks about `input`.
    pub fn add(&mut self, split: Split, example: &Example, input: &str) {
        let look = self.look(split, example, input);
        self.take(split, example, look);
    }

    /// Takes all examples of `task`.
    pub fn add_all(&mut self, task: &dyn Task, examples: &[(Split, Example)]) {
        // In parts, so that what is known of texts that were seen already does not pile up.
        for part in examples.chunks(1 << 15) {
            let look = |(split, one): &(Split, Example)| self.look(*split, one, task.input(one));
            let looks: Vec<Look> = part.par_iter().map(look).collect();
            for ((split, example), look) in part.iter().zip(looks) {
                self.take(*split, example, look);
            }
        }
    }

    fn look(&self, split: Split, example: &Example, input: &str) -> Look {
        let input: &str = &asked_about(example, input);
        let text_key = hash_text(input);
        let is_new = text_key.is_some_and(|key| !self.text_numbers.contains_key(&key));
        let sets = is_new.then(|| {
            let bones = if is_prose(input) { skeleton(input) } else { Vec::new() };
            (compared(&normalised(input), SHINGLE_WORDS), compared(&bones, PART_WORDS))
        });
        let teaches = self.benchmarks.filter(|_| split != Split::Test);
        let benchmark = teaches.and_then(|all| all.overlap(example)).map(|found| LeakMember {
            id: format!("{} {}", found.benchmark, found.item),
            task: "benchmark".into(),
            split: None,
        });
        Look { id_key: id_key(example), text_key, sets, benchmark }
    }

    fn take(&mut self, split: Split, example: &Example, look: Look) {
        self.report.examples += 1;
        let task = self.task_number(&example.task);
        if let Some(item) = look.benchmark {
            let member = LeakMember { id: example.id.clone(), task: example.task.clone(), split: Some(split) };
            note(&mut self.report.benchmark, || (member, item));
        }
        let is_new = |seen: Option<&Witnesses>| seen.is_none_or(|seen| seen[split as usize] == NOWHERE);
        let id_is_new = is_new(self.ids.get(&look.id_key));
        let group_is_new = is_new(self.groups.get(&example.group));
        let known_text = |key: u64| self.text_numbers.get(&key).map(|number| &self.texts[*number as usize]);
        let text_key = look.text_key.filter(|key| is_new(known_text(*key)));
        if !id_is_new && !group_is_new && text_key.is_none() {
            return;
        }
        let number = self.members.len() as u32;
        self.members.push(Member { id: example.id.as_str().into(), key: look.id_key, task });
        if id_is_new {
            self.ids.entry(look.id_key).or_insert([NOWHERE; 3])[split as usize] = number;
        }
        if group_is_new {
            self.groups.entry(example.group).or_insert([NOWHERE; 3])[split as usize] = number;
        }
        if let Some(key) = text_key {
            self.take_text(key, split, number, look.sets);
        }
    }

    fn take_text(&mut self, key: u64, split: Split, member: u32, sets: Option<(Compared, Compared)>) {
        let at = match self.text_numbers.entry(key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let (shingles, skeleton) = sets.unwrap_or_default();
                self.texts.push([NOWHERE; 3]);
                self.shingles.push(shingles);
                self.skeletons.push(skeleton);
                *new.insert(self.texts.len() as u32 - 1)
            }
        };
        self.texts[at as usize][split as usize] = member;
    }

    fn task_number(&mut self, task: &str) -> u16 {
        let known = self.tasks.iter().position(|one| one == task);
        known.unwrap_or_else(|| {
            self.tasks.push(task.into());
            self.tasks.len() - 1
        }) as u16
    }

    /// All leaks.
    #[must_use]
    pub fn finish(self) -> LeakReport {
        let mut report = self.report.clone();
        report.texts = self.texts.len() as u64;
        for pair in in_several(&self.ids) {
            note(&mut report.same_id, || self.told(pair));
        }
        for pair in in_several(&self.groups).into_iter().filter(|pair| !self.is_one_id(*pair)) {
            note(&mut report.same_group, || self.told(pair));
        }
        let mut told = vec![false; self.texts.len()];
        for (witnesses, told) in self.texts.iter().zip(&mut told) {
            if let Some(pair) = first_two(witnesses) {
                // One ID in two splits was told already, with whatever text.
                *told = true;
                if !self.is_one_id(pair) {
                    note(&mut report.same_text, || self.told(pair));
                }
            }
        }
        self.compare(&self.shingles, self.thresholds.near_duplicate, &mut told, &mut report.near_duplicate);
        if let Some(threshold) = self.thresholds.template {
            self.compare(&self.skeletons, threshold, &mut told, &mut report.template);
        }
        report
    }

    /// Notes each text that was not told yet and is alike one in an earlier split.
    fn compare(&self, sets: &[Compared], threshold: f64, told: &mut [bool], leaks: &mut Leaks) {
        let frequencies = frequencies(sets);
        for later in [Split::Validation, Split::Test] {
            let is_probe = |at: &usize| self.split_of(*at) == later && !told[*at];
            let probes: Vec<(usize, Vec<u64>)> = (0..sets.len())
                .filter(is_probe)
                .filter_map(|at| Some((at, rarest(sets[at].as_ref()?, threshold, &frequencies))))
                .collect();
            let mut holders: HashMap<u64, Vec<u32>> =
                probes.iter().flat_map(|(_, rare)| rare).map(|member| (*member, Vec::new())).collect();
            let earlier = |at: &usize| self.split_of(*at) < later;
            for at in (0..sets.len()).filter(earlier) {
                for member in sets[at].iter().flatten() {
                    if let Some(list) = holders.get_mut(member) {
                        list.push(at as u32);
                    }
                }
            }
            let find =
                |(at, rare): &(usize, Vec<u64>)| Some((*at, self.first_alike(*at, rare, sets, threshold, &holders)?));
            let found: Vec<(usize, usize)> = probes.par_iter().filter_map(find).collect();
            for (at, other) in found {
                told[at] = true;
                note(leaks, || self.told([self.witness(other), self.witness(at)]));
            }
        }
    }

    /// The first text of an earlier split that text number `at` is alike.
    fn first_alike(
        &self,
        at: usize,
        rare: &[u64],
        sets: &[Compared],
        threshold: f64,
        holders: &HashMap<u64, Vec<u32>>,
    ) -> Option<usize> {
        let own = sets[at].as_ref()?;
        let mut candidates: Vec<u32> = rare.iter().flat_map(|member| &holders[member]).copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let is_leak = |other: &usize| {
            let other_set = sets[*other].as_deref().unwrap_or_default();
            !self.is_one_id([self.witness(*other), self.witness(at)])
                && similarity(own, other_set, threshold) >= threshold
        };
        candidates.into_iter().map(|other| other as usize).find(is_leak)
    }

    /// The earliest split of a text.
    fn split_of(&self, text: usize) -> Split {
        self.witness(text).0
    }

    fn witness(&self, text: usize) -> (Split, u32) {
        let seen = Split::ALL.into_iter().zip(self.texts[text]).find(|(_, member)| *member != NOWHERE);
        seen.expect("a text is kept with the member that has it")
    }

    /// Whether a pair's IDs are one, which is told already.
    fn is_one_id(&self, pair: [(Split, u32); 2]) -> bool {
        let [left, right] = pair.map(|(_, member)| self.members[member as usize].key);
        left == right
    }

    fn told(&self, pair: [(Split, u32); 2]) -> (LeakMember, LeakMember) {
        let tell = |(split, member): (Split, u32)| {
            let Member { id, task, .. } = &self.members[member as usize];
            LeakMember { id: id.to_string(), task: self.tasks[*task as usize].clone(), split: Some(split) }
        };
        (tell(pair[0]), tell(pair[1]))
    }
}

/// Counts a leak and names it where it is among the first.
fn note(leaks: &mut Leaks, pair: impl FnOnce() -> (LeakMember, LeakMember)) {
    leaks.count += 1;
    if leaks.first.len() < FIRST_LEAKS {
        leaks.first.push(pair());
    }
}

/// Where everything was seen that was seen in two splits, in order.
fn in_several(seen: &HashMap<u64, Witnesses>) -> Vec<[(Split, u32); 2]> {
    let mut pairs: Vec<_> = seen.values().filter_map(first_two).collect();
    pairs.sort_unstable();
    pairs
}

/// The first two splits in which something was seen, where it was seen in two.
fn first_two(witnesses: &Witnesses) -> Option<[(Split, u32); 2]> {
    let mut seen = Split::ALL.into_iter().zip(*witnesses).filter(|(_, member)| *member != NOWHERE);
    Some([seen.next()?, seen.next()?])
}

/// How the IDs of entries of catalogues begin.
const ENTRY_IDS: &[&str] = &["CWE-", "CAPEC-", "T0", "T1"];

/// What is compared of an example whose task asks about `input`; the file's head tells.
pub(crate) fn asked_about<'e>(example: &'e Example, input: &'e str) -> Cow<'e, str> {
    let is_aspect = example.id.contains('/') && ENTRY_IDS.iter().any(|head| example.id.starts_with(head));
    if !is_aspect {
        return Cow::Borrowed(input);
    }
    let questions = example.conversation.messages.iter().filter(|one| one.role != Role::Assistant);
    Cow::Owned(questions.map(|one| one.content.as_str()).collect::<Vec<_>>().join("\n\n"))
}

/// The part of an example's ID that counts, with its source unless it means the same everywhere.
fn id_key(example: &Example) -> u64 {
    let root = example.id.split('#').next().unwrap_or_default();
    let is_global = GLOBAL_IDS.iter().any(|head| root.starts_with(head));
    let source = example.sources.first().map_or("", String::as_str);
    hash_parts([if is_global { "" } else { source }, root].map(str::as_bytes))
}

fn hash_words(words: &[String]) -> u64 {
    hash_parts(words.iter().map(String::as_bytes))
}

/// A hash of the plain words of `text`; `None` where it has none.
fn hash_text(text: &str) -> Option<u64> {
    let mut hash = HASH_START;
    each_plain_word(text, &mut |word| hash = add_part(hash, word.as_bytes()));
    (hash != HASH_START).then(|| finish(hash))
}

const HASH_START: u64 = 0x27d4_eb2f_1656_67c5;

/// A multiply-and-rotate hash with the finaliser of MurmurHash3: another one than the grouping's.
fn hash_parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> u64 {
    finish(parts.into_iter().fold(HASH_START, add_part))
}

fn add_part(mut hash: u64, part: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9ddf_ea08_eb38_2d69;
    for chunk in part.chunks(8) {
        let value = chunk.iter().fold(1u64, |value, byte| value << 8 | u64::from(*byte));
        hash = (hash ^ value.wrapping_mul(FACTOR)).rotate_left(29).wrapping_mul(FACTOR);
    }
    (hash ^ part.len() as u64).rotate_left(31).wrapping_mul(FACTOR)
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The set of runs of `len` words, where there are enough of them.
fn compared(words: &[String], len: usize) -> Compared {
    let mut set: Vec<u64> = words.windows(len).map(hash_words).collect();
    set.sort_unstable();
    set.dedup();
    (set.len() >= MIN_COMPARED).then(|| set.into_boxed_slice())
}

fn frequencies(sets: &[Compared]) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        *counts.entry(*member).or_insert(0) += 1;
    }
    counts
}

/// So many of the rarest members of `set` that no alike set can lack all of them: to be alike, it must share at least
/// `threshold · n` of `n`, so it lacks at most the rest.
fn rarest(set: &[u64], threshold: f64, frequencies: &HashMap<u64, u32>) -> Vec<u64> {
    let may_lack = (set.len() as f64 * (1.0 - threshold) + 1e-9).floor() as usize;
    let mut members = set.to_vec();
    members.sort_unstable_by_key(|member| (frequencies[member], *member));
    members.truncate(may_lack + 1);
    members
}

/// The Jaccard similarity of two sorted sets; 0 where their sizes alone show that it is below `least`.
fn similarity(left: &[u64], right: &[u64], least: f64) -> f64 {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    if (short.len() as f64 / long.len().max(1) as f64) < least {
        return 0.0;
    }
    let mut rest = long;
    let mut common = 0usize;
    for member in short {
        let at = rest.partition_point(|other| other < member);
        common += usize::from(rest.get(at) == Some(member));
        rest = &rest[at..];
    }
    common as f64 / (short.len() + long.len() - common).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_to_their_first_hash_and_within_their_source() {
        let example = |id: &str, source: &str| Example {
            id: id.into(),
            task: "document".into(),
            published: String::new(),
            group: 0,
            sources: vec![source.into()],
            weight: 1.0,
            private: false,
            conversation: crate::conversation::Conversation::document(""),
            gold: None,
        };
        assert_eq!(id_key(&example("CVE-2024-0001#2", "nvd")), id_key(&example("CVE-2024-0001", "cvelist")));
        assert_eq!(id_key(&example("a.md#1", "wstg")), id_key(&example("a.md", "wstg")));
        assert_ne!(id_key(&example("a.md", "wstg")), id_key(&example("a.md", "asvs")));
    }

    #[test]
    fn of_an_aspect_the_whole_question_is_compared() {
        let example = |id: &str| Example {
            id: id.into(),
            task: "explain".into(),
            published: String::new(),
            group: 0,
            sources: vec!["cwe".into()],
            weight: 1.0,
            private: false,
            conversation: crate::conversation::Conversation::question("What is this?\n\nA hole (CWE-79)", "A gap."),
            gold: None,
        };
        assert_eq!(asked_about(&example("CWE-79/meaning"), "A hole"), "What is this?\n\nA hole (CWE-79)");
        assert_eq!(asked_about(&example("CWE-79"), "A hole"), "A hole");
        assert_eq!(asked_about(&example("docs/a.md"), "A hole"), "A hole");
    }

    #[test]
    fn hashes_tell_where_words_end() {
        let words = |words: &[&str]| hash_words(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_ne!(words(&["tea", "pot"]), words(&["teapot"]));
        assert_ne!(words(&["tea", "pot"]), words(&["pot", "tea"]));
        assert_ne!(words(&["\0"]), words(&["\0\0"]));
    }

    #[test]
    fn the_rarest_members_are_as_many_as_may_be_lacked_and_one() {
        let set: Vec<u64> = (0..10).collect();
        let frequencies = set.iter().map(|member| (*member, 10 - *member as u32)).collect();
        assert_eq!(rarest(&set, 0.8, &frequencies), [9, 8, 7]);
        assert_eq!(rarest(&set, 1.0, &frequencies), [9]);
    }

    #[test]
    fn similarity_is_jaccards() {
        assert_eq!(similarity(&[1, 2, 3, 4], &[2, 3, 4, 5], 0.1), 3.0 / 5.0);
        assert_eq!(similarity(&[1], &[1, 2, 3], 0.5), 0.0, "the sizes are enough to know");
    }
}
