//! Groups of texts that are one text to a model: near-duplicates and texts by one template.
//!
//! Near-duplicates are texts whose sets of three-word shingles have a Jaccard similarity of at least a threshold. Versions,
//! numbers and IDs are one and the same word, so that two releases' advisories match. Product names stay: what differs
//! in names alone, [`crate::template`] finds. Texts by one template are those whose skeletons, as sets of word pairs,
//! are so alike. Groups are the connected parts of both relations together. Every pair that is alike is found
//! (`crate::alike`): [`crate::leak`], which looks at the outcome, would tell of one that was missed.
//!
//! The result depends on the texts and the thresholds alone: hashes are fixed, and threads only share out the work.

use rayon::prelude::*;

use crate::alike::{Frequencies, Hashes, Postings, Set, hash_run, hash_word, is_alike, runs};
use crate::manifest::GroupCounts;
use crate::template::{MIN_PARTS, parts};

/// The share of common shingles from which on two texts count as one, unless a recipe says otherwise.
pub const DEFAULT_THRESHOLD: f64 = 0.8;
/// Words in a shingle.
pub const SHINGLE_WORDS: usize = 3;

/// From which Jaccard similarity on texts are alike, above 0 and up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of their shingles.
    pub near_duplicate: f64,
    /// Of the word pairs of their skeletons; `None` where templates do not count.
    pub template: Option<f64>,
}

/// Which texts belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// The group of each text: the place of the group's first text.
    pub groups: Vec<u32>,
    /// What was found.
    pub counts: GroupCounts,
}

/// Groups `texts` that are near-duplicates or of one template.
///
/// # Panics
/// Where there are more than `u32::MAX` texts.
#[must_use]
pub fn group(texts: &[&str], thresholds: &Thresholds) -> Grouping {
    assert!(u32::try_from(texts.len()).is_ok(), "a group is named by a 32-bit place");
    let near = || joined_by(texts, thresholds.near_duplicate, &|text| Some(shingles(text)));
    let template = || thresholds.template.map(|least| joined_by(texts, least, &|text| parts(text, MIN_PARTS)));
    let ((mut joined, mut counts), template) = rayon::join(near, template);
    if let Some((mut others, more)) = template {
        (0..texts.len() as u32).for_each(|at| joined.join(at, others.first_of(at)));
        counts.candidate_pairs += more.candidate_pairs;
        counts.confirmed_pairs += more.confirmed_pairs;
    }
    let groups: Vec<u32> = (0..texts.len()).map(|at| joined.first_of(at as u32)).collect();
    count_groups(&groups, &mut counts);
    Grouping { groups, counts }
}

/// Joins the texts whose sets are alike; without a set, a text is alone.
fn joined_by(texts: &[&str], threshold: f64, set_of: &(dyn Fn(&str) -> Option<Set> + Sync)) -> (Joined, GroupCounts) {
    let sets: Vec<Option<Set>> = texts.par_iter().map(|text| set_of(text)).collect();
    let mut joined = Joined::new(texts.len());
    let mut counts = GroupCounts::default();
    join_alike(&sets, threshold, &mut joined, &mut counts);
    (joined, counts)
}

/// Joins the groups of those whose sets are alike.
fn join_alike(sets: &[Option<Set>], threshold: f64, joined: &mut Joined, counts: &mut GroupCounts) {
    let distinct = join_equal(sets, joined);
    let frequencies = Frequencies::of(distinct.iter().map(|&(_, set)| set));
    let rarest: Vec<Vec<u64>> = distinct.par_iter().map(|(_, set)| frequencies.rarest(set, threshold)).collect();
    let mut postings = Postings::default();
    for (here, (&(at, set), rarest)) in (0u32..).zip(distinct.iter().zip(&rarest)) {
        // Members of one group need no comparing; that is what keeps large families fast.
        let group = joined.first_of(at);
        let elsewhere = |other: u32| joined.first_of(distinct[other as usize].0) != group;
        for other in postings.candidates(rarest, elsewhere) {
            let (other_at, other_set) = distinct[other as usize];
            if joined.first_of(other_at) == joined.first_of(at) {
                continue;
            }
            counts.candidate_pairs += 1;
            if is_alike(set, other_set, threshold) {
                counts.confirmed_pairs += 1;
                joined.join(at, other_at);
            }
        }
        postings.insert(rarest, here);
    }
}

/// Joins those with equal sets, and returns the first of each set with its place, small sets first.
fn join_equal<'a>(sets: &'a [Option<Set>], joined: &mut Joined) -> Vec<(u32, &'a Set)> {
    let mut first: Hashes<Vec<u32>> = Hashes::default();
    let mut distinct = Vec::new();
    for (at, set) in (0u32..).zip(sets).filter_map(|(at, set)| Some((at, set.as_ref()?))) {
        let same_hash = first.entry(hash_run(set)).or_default();
        match same_hash.iter().find(|&&other| sets[other as usize].as_ref() == Some(set)) {
            Some(&other) => joined.join(other, at),
            None => {
                same_hash.push(at);
                distinct.push((at, set));
            }
        }
    }
    distinct.sort_by_key(|(at, set)| (set.len(), *at));
    distinct
}

/// Counts the sizes of groups.
pub(crate) fn count_groups(groups: &[u32], counts: &mut GroupCounts) {
    let mut sizes = vec![0u64; groups.len()];
    for &group in groups {
        sizes[group as usize] += 1;
    }
    for size in sizes.into_iter().filter(|size| *size > 0) {
        counts.groups += 1;
        counts.largest = counts.largest.max(size);
        if size > 1 {
            counts.groups_of_several += 1;
            counts.members_of_several += size;
        }
    }
}

/// `text` as the words that are compared: lower case, letters only; whatever contains a digit is the word `0`, and
/// several of those in a row are one.
#[must_use]
pub fn normalised(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    // Dots, hyphens and the like hold a version or an ID together.
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    for chunk in text.split(|c| !is_part(c)) {
        if chunk.contains(|c: char| c.is_ascii_digit()) {
            if words.last().is_none_or(|last| last != "0") {
                words.push("0".into());
            }
            continue;
        }
        let parts = chunk.split(|c: char| !c.is_alphanumeric());
        words.extend(parts.filter(|part| !part.is_empty()).map(str::to_lowercase));
    }
    words
}

/// Hands the words of `text` in lower case, numbers among them, to `visit`: what two texts must share to be one text.
pub fn each_plain_word(text: &str, visit: &mut dyn FnMut(&str)) {
    let mut word = String::new();
    for piece in text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()) {
        word.clear();
        if piece.is_ascii() {
            word.push_str(piece);
            word.make_ascii_lowercase();
        } else {
            word.extend(piece.chars().flat_map(char::to_lowercase));
        }
        visit(&word);
    }
}

/// A hash of all of `text`, normalised: equal for texts that differ in versions and numbers alone.
#[must_use]
pub fn fingerprint(text: &str) -> u64 {
    let words: Vec<u64> = normalised(text).iter().map(|word| hash_word(word)).collect();
    hash_run(&words)
}

/// The shingles of `text`; never empty.
pub(crate) fn shingles(text: &str) -> Set {
    runs(&normalised(text), SHINGLE_WORDS)
}

/// Disjoint groups; each is named by its first member.
#[derive(Debug)]
pub(crate) struct Joined(Vec<u32>);

impl Joined {
    /// Each of `len` alone.
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len as u32).collect())
    }

    /// The first member of the group of `at`.
    pub(crate) fn first_of(&mut self, at: u32) -> u32 {
        let mut at = at;
        while self.0[at as usize] != at {
            let up = self.0[self.0[at as usize] as usize];
            self.0[at as usize] = up;
            at = up;
        }
        at
    }

    /// Makes the groups of both one.
    pub(crate) fn join(&mut self, left: u32, right: u32) {
        let (left, right) = (self.first_of(left), self.first_of(right));
        self.0[left.max(right) as usize] = left.min(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLUGIN: &str = "The Acme Teapot plugin for WordPress is vulnerable to Stored Cross-Site Scripting via the plugin's \
        shortcode in all versions up to, and including, 1.2.3 due to insufficient input sanitization";

    fn near_duplicates(texts: &[&str], near_duplicate: f64) -> Grouping {
        group(texts, &Thresholds { near_duplicate, template: None })
    }

    #[test]
    fn versions_and_numbers_do_not_tell_texts_apart() {
        let newer = PLUGIN.replace("1.2.3", "4.0-rc1");
        assert_eq!(normalised(&newer), normalised(PLUGIN));
        assert_eq!(normalised("CVE-2024-0001, 3 of 4 (v1.2/3)"), ["0", "of", "0"]);
        assert_eq!(normalised("Cross-Site a_b"), ["cross", "site", "a", "b"]);
        assert_eq!(fingerprint(&newer), fingerprint(PLUGIN));
        assert_ne!(fingerprint("a b"), fingerprint("b a"));
    }

    #[test]
    fn plain_words_keep_numbers_and_know_no_case() {
        let mut words = Vec::new();
        each_plain_word("Grüße an Ä-1.2 (TEE)", &mut |word| words.push(word.to_owned()));
        assert_eq!(words, ["grüße", "an", "ä", "1", "2", "tee"]);
    }

    #[test]
    fn near_duplicates_share_a_group_named_by_its_first_text() {
        let other =
            "A heap overflow in the saucer parser of Acme Kettle lets a guest crash the host with one long spoon";
        let texts =
            [other, PLUGIN, &PLUGIN.replace("1.2.3", "9.9"), "", &PLUGIN.replace("all versions", "versions"), ""];
        let found = near_duplicates(&texts, 0.8);
        assert_eq!(found.groups, [0, 1, 1, 3, 1, 3]);
        let counts = &found.counts;
        assert_eq!((counts.groups, counts.groups_of_several, counts.members_of_several, counts.largest), (3, 2, 5, 3));
    }

    #[test]
    fn another_name_in_one_template_makes_a_group_where_templates_count() {
        let sql = "SQL injection in Larkmoor Desk 2.3 allows remote attackers to run SQL via the sort parameter";
        let copy = "SQL injection in Tarn Viewer 1.8 lets a remote attacker run SQL via the id parameter";
        let other = "Directory traversal in Larkmoor Desk 2.3 allows remote attackers to read files via the sort link";
        let texts = [sql, copy, other];
        assert_eq!(near_duplicates(&texts, 0.8).groups, [0, 1, 2]);
        let thresholds = Thresholds { near_duplicate: 0.8, template: Some(0.8) };
        assert_eq!(group(&texts, &thresholds).groups, [0, 0, 2]);
    }

    #[test]
    fn groups_are_transitive() {
        let words: Vec<String> =
            (0..60u8).map(|n| format!("w{}", char::from(b'a' + n % 26)).repeat(1 + usize::from(n / 26))).collect();
        let text = |from: usize| words[from..from + 50].join(" ");
        let texts = [text(0), text(4), text(8)];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ends = near_duplicates(&[texts[0], texts[2]], 0.8).groups;
        assert_eq!(ends, [0, 1], "the ends alone are too unlike");
        assert_eq!(near_duplicates(&texts, 0.8).groups, [0, 0, 0]);
    }

    #[test]
    fn no_texts_give_no_groups() {
        assert_eq!(near_duplicates(&[], 0.8).groups, [0u32; 0]);
    }

    /// Texts over a small vocabulary, so that some are alike.
    fn some_texts() -> impl Strategy<Value = Vec<String>> {
        let base = proptest::collection::vec(0u8..40, 20..40);
        let edits = proptest::collection::vec((0usize..3, 0usize..40, 0u8..40), 0..30);
        (proptest::collection::vec(base, 3), edits).prop_map(|(bases, edits)| {
            let word = |n: &u8| format!("x{}", char::from(b'a' + n % 26)).repeat(1 + usize::from(n / 26));
            let text = |base: &[u8]| base.iter().map(word).collect::<Vec<_>>().join(" ");
            let edited = edits.iter().map(|&(base, at, to)| {
                let mut words = bases[base].clone();
                let at = at % words.len();
                words[at] = to;
                text(&words)
            });
            bases.iter().map(|base| text(base)).chain(edited).collect()
        })
    }

    proptest! {
        #[test]
        fn groups_are_those_that_brute_force_finds(texts in some_texts(), threshold in 0.5f64..=1.0) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = near_duplicates(&texts, threshold);
            let sets: Vec<_> = texts.iter().map(|text| shingles(text)).collect();
            let mut all = Joined::new(texts.len());
            for left in 0..texts.len() {
                for right in left + 1..texts.len() {
                    if is_alike(&sets[left], &sets[right], threshold) {
                        all.join(left as u32, right as u32);
                    }
                }
            }
            let want: Vec<u32> = (0..texts.len()).map(|at| all.first_of(at as u32)).collect();
            prop_assert_eq!(found.groups, want);
        }
    }
}
