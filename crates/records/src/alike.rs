//! Sets that share most of their members, found exactly and without comparing everything with everything.
//!
//! A text becomes the set of hashes of its runs of words ([`runs`]). Two sets of Jaccard similarity `t` and more must
//! share one of the rarest members of each: of a set of `n` members, the rarest `n − ⌈t·n⌉ + 1` cannot all be missing
//! in the other. Only sets that share such a member are compared (prefix filtering: Chaudhuri, Ganti and Kaushik, "A
//! primitive operator for similarity joins in data cleaning", ICDE 2006). Nothing is missed, as sampling signatures
//! would miss something: a pair that is overlooked here would be a leak.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::dedup::each_plain_word;

/// Sorted hashes, each once.
pub(crate) type Set = Box<[u64]>;
/// A map from values that are hashes already.
pub(crate) type Hashes<V> = HashMap<u64, V, BuildHasherDefault<Plain>>;

/// Takes a value that is a hash already for its own hash.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mix(hash ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// FNV-1a with a finaliser, as maps look at some bits only.
pub(crate) fn hash_word(word: &str) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(word.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// A hash of words in their order.
pub(crate) fn hash_run(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| mix(hash.rotate_left(23) ^ word))
}

/// The finaliser of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The hashes of the plain words of `text`.
pub(crate) fn plain_hashes(text: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    each_plain_word(text, &mut |word| hashes.push(hash_word(word)));
    hashes
}

/// The set of all runs of `len` words; of fewer words, all of them are the one run.
pub(crate) fn runs(words: &[String], len: usize) -> Set {
    let words: Vec<u64> = words.iter().map(|word| hash_word(word)).collect();
    runs_of_hashes(&words, len)
}

/// As [`runs`], of words that are hashed already.
pub(crate) fn runs_of_hashes(words: &[u64], len: usize) -> Set {
    let mut set: Vec<u64> =
        if words.len() < len { vec![hash_run(words)] } else { words.windows(len).map(hash_run).collect() };
    set.sort_unstable();
    set.dedup();
    set.into_boxed_slice()
}

/// Whether |A ∩ B| / |A ∪ B| ≥ `threshold`.
pub(crate) fn is_alike(left: &[u64], right: &[u64], threshold: f64) -> bool {
    let (short, long) = (left.len().min(right.len()), left.len().max(right.len()));
    if (short as f64 / long.max(1) as f64) < threshold {
        return false;
    }
    let (mut at_left, mut at_right, mut common) = (0, 0, 0usize);
    while let (Some(a), Some(b)) = (left.get(at_left), right.get(at_right)) {
        common += usize::from(a == b);
        at_left += usize::from(a <= b);
        at_right += usize::from(b <= a);
    }
    common as f64 / (left.len() + right.len() - common).max(1) as f64 >= threshold
}

/// How many sets have each member: what is rare.
#[derive(Debug, Default)]
pub(crate) struct Frequencies {
    counts: Hashes<u32>,
}

impl Frequencies {
    /// Counts the members of `sets`. Any sample will do: it makes searches fast, never wrong.
    pub(crate) fn of<'a>(sets: impl Iterator<Item = &'a Set>) -> Self {
        let mut counts = Hashes::default();
        for set in sets {
            for member in set {
                *counts.entry(*member).or_insert(0) += 1;
            }
        }
        counts.retain(|_, count| *count > 1);
        Self { counts }
    }

    /// The members of `set` of which any set that is alike must have one.
    pub(crate) fn rarest(&self, set: &[u64], threshold: f64) -> Vec<u64> {
        // Rounding must not make it shorter.
        let must_share = (threshold * set.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        let len = (set.len() + 1).saturating_sub(must_share);
        let mut ranked: Vec<(u32, u64)> =
            set.iter().map(|member| (self.counts.get(member).copied().unwrap_or(0), *member)).collect();
        if len < ranked.len() {
            ranked.select_nth_unstable(len);
            ranked.truncate(len);
        }
        ranked.into_iter().map(|(_, member)| member).collect()
    }
}

/// Sets by their rarest members.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    lists: Hashes<Vec<u32>>,
}

impl Postings {
    /// Adds set number `at`.
    pub(crate) fn insert(&mut self, rarest: &[u64], at: u32) {
        for member in rarest {
            self.lists.entry(*member).or_default().push(at);
        }
    }

    /// The numbers of the sets that share a member with `rarest` and are wanted, ascending, each once.
    pub(crate) fn candidates(&self, rarest: &[u64], mut wanted: impl FnMut(u32) -> bool) -> Vec<u32> {
        let lists = rarest.iter().filter_map(|member| self.lists.get(member));
        let mut found: Vec<u32> = lists.flatten().copied().filter(|at| wanted(*at)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(members: &BTreeSet<u64>) -> Set {
        members.iter().copied().collect()
    }

    #[test]
    fn a_text_of_few_words_is_one_run() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(runs(&words("tea pot"), 3).len(), 1);
        assert_eq!(runs(&words("tea pot tea pot tea"), 2).len(), 2);
        assert_ne!(runs(&words("tea pot"), 3), runs(&words("pot tea"), 3));
        assert_eq!(runs(&[], 3).len(), 1);
    }

    #[test]
    fn a_ratio_exactly_at_the_threshold_is_alike() {
        // 0.55 · 20 is above 11 in floating point, 11 / 20 is not below 0.55.
        let left: Vec<u64> = (0..20).collect();
        assert!(is_alike(&left, &left[..11], 0.55));
        assert!(!is_alike(&left, &left[..11], 0.56));
        assert!(is_alike(&[], &[], 0.0));
    }

    fn some_sets() -> impl Strategy<Value = Vec<BTreeSet<u64>>> {
        proptest::collection::vec(proptest::collection::btree_set(0u64..24, 1..14), 2..24)
    }

    proptest! {
        #[test]
        fn no_pair_is_missed(sets in some_sets(), threshold in 0.3f64..=1.0, sampled in 0usize..24) {
            let sets: Vec<Set> = sets.iter().map(set).collect();
            let frequencies = Frequencies::of(sets.iter().take(sampled));
            let mut postings = Postings::default();
            for (at, one) in (0u32..).zip(&sets) {
                let rarest = frequencies.rarest(one, threshold);
                let found = postings.candidates(&rarest, |_| true);
                for (before, other) in (0u32..at).zip(&sets) {
                    let alike = is_alike(one, other, threshold);
                    prop_assert!(!alike || found.contains(&before), "{one:?} {other:?}");
                }
                postings.insert(&rarest, at);
            }
        }

        #[test]
        fn jaccard_is_what_sets_say(left in proptest::collection::btree_set(0u64..30, 1..20), right in proptest::collection::btree_set(0u64..30, 1..20), threshold in 0.0f64..=1.0) {
            let ratio = left.intersection(&right).count() as f64 / left.union(&right).count() as f64;
            prop_assert_eq!(is_alike(&set(&left), &set(&right), threshold), ratio >= threshold);
        }
    }
}
