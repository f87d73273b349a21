//! Near-duplicates by sampling: MinHash with locality-sensitive hashing, every candidate verified.
//!
//! The relation is that of [`crate::dedup`], which finds every pair; here a pair at the threshold is overlooked once in a
//! hundred times. It is for what does not fit into memory: keys of bands can be joined by a database. MinHash signatures
//! (Broder, "On the resemblance and containment of documents", SEQUENCES 1997) cut into bands only propose pairs; the sets
//! themselves decide.
//!
//! The result depends on the texts and the threshold alone: hashes are fixed, and threads only share out the work.

use rayon::prelude::*;

use crate::dedup::{Grouping, Joined, SHINGLE_WORDS, count_groups, normalised};
use crate::manifest::GroupCounts;

/// Values in a signature.
const SIGNATURE: usize = 128;
/// A pair exactly at the threshold is proposed with at least this probability; more alike ones all but surely.
const RECALL_AT_THRESHOLD: f64 = 0.99;
/// How many proposed pairs are verified side by side before their groups are joined.
const PAIRS_AT_ONCE: usize = 1 << 20;

/// Groups `texts` by near-duplication; `threshold` is a Jaccard similarity within 0..=1.
///
/// # Panics
/// Where there are more than `u32::MAX` texts.
#[must_use]
pub fn near_duplicates(texts: &[&str], threshold: f64) -> Grouping {
    assert!(u32::try_from(texts.len()).is_ok(), "a group is named by a 32-bit place");
    let sets: Vec<Box<[u32]>> = texts.par_iter().map(|text| shingles(text)).collect();
    let bands = Bands::for_threshold(threshold);
    let keys: Vec<Box<[u32]>> = sets.par_iter().map(|set| bands.keys(set)).collect();
    let mut joined = Joined::new(texts.len());
    let mut counts = GroupCounts::default();
    for band in 0..bands.count {
        let mut order: Vec<(u32, u32)> = keys.iter().zip(0u32..).map(|(keys, at)| (keys[band], at)).collect();
        order.par_sort_unstable();
        let mut pairs = Vec::new();
        for bucket in order.chunk_by(|left, right| left.0 == right.0) {
            propose(bucket, &mut joined, &mut pairs);
            if pairs.len() >= PAIRS_AT_ONCE {
                verify(&mut pairs, &sets, threshold, &mut joined, &mut counts);
            }
        }
        verify(&mut pairs, &sets, threshold, &mut joined, &mut counts);
    }
    let groups: Vec<u32> = (0..texts.len()).map(|at| joined.first_of(at as u32)).collect();
    count_groups(&groups, &mut counts);
    Grouping { groups, counts }
}

/// Adds the pairs of a bucket that are not in one group yet.
fn propose(bucket: &[(u32, u32)], joined: &mut Joined, pairs: &mut Vec<(u32, u32)>) {
    for (at, &(_, left)) in bucket.iter().enumerate() {
        let group = joined.first_of(left);
        let later = bucket[at + 1..].iter().map(|&(_, right)| right);
        pairs.extend(later.filter(|&right| joined.first_of(right) != group).map(|right| (left, right)));
    }
}

/// Joins the groups of those `pairs` that are near-duplicates indeed.
fn verify(
    pairs: &mut Vec<(u32, u32)>,
    sets: &[Box<[u32]>],
    threshold: f64,
    joined: &mut Joined,
    counts: &mut GroupCounts,
) {
    let alike =
        |&(left, right): &(u32, u32)| jaccard_is_at_least(&sets[left as usize], &sets[right as usize], threshold);
    let confirmed: Vec<bool> = pairs.par_iter().map(alike).collect();
    counts.candidate_pairs += pairs.len() as u64;
    for (&(left, right), confirmed) in pairs.iter().zip(confirmed) {
        if confirmed {
            counts.confirmed_pairs += 1;
            joined.join(left, right);
        }
    }
    pairs.clear();
}

/// The sorted hashes of the shingles of `text`, each once; never empty.
#[must_use]
pub fn shingles(text: &str) -> Box<[u32]> {
    let words: Vec<u64> = normalised(text).iter().map(|word| hash_bytes(word.as_bytes())).collect();
    let mut set: Vec<u32> = if words.len() < SHINGLE_WORDS {
        vec![hash_shingle(&words)]
    } else {
        words.windows(SHINGLE_WORDS).map(hash_shingle).collect()
    };
    set.sort_unstable();
    set.dedup();
    set.into_boxed_slice()
}

/// FNV-1a.
fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn hash_shingle(words: &[u64]) -> u32 {
    let combined = words.iter().fold(0u64, |hash, word| mix(hash.rotate_left(23) ^ word));
    (combined >> 32) as u32
}

/// The finaliser of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The keys of a set of [`shingles`], one a band: two texts are compared where they share the key of any band.
#[must_use]
pub fn band_keys(set: &[u32], threshold: f64) -> Box<[u32]> {
    Bands::for_threshold(threshold).keys(set)
}

/// Whether |A ∩ B| / |A ∪ B| ≥ `threshold`; both are sorted, as [`shingles`] are.
#[must_use]
pub fn jaccard_is_at_least(left: &[u32], right: &[u32], threshold: f64) -> bool {
    let (short, long) = (left.len().min(right.len()), left.len().max(right.len()));
    if (short as f64) < threshold * long as f64 {
        return false;
    }
    let (mut at_left, mut at_right, mut common) = (0, 0, 0usize);
    while let (Some(a), Some(b)) = (left.get(at_left), right.get(at_right)) {
        common += usize::from(a == b);
        at_left += usize::from(a <= b);
        at_right += usize::from(b <= a);
    }
    common as f64 >= threshold * (left.len() + right.len() - common) as f64
}

/// How signatures are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bands {
    count: usize,
    rows: usize,
}

impl Bands {
    /// The longest bands (fewest false candidates) that still propose a pair at the threshold as surely as
    /// [`RECALL_AT_THRESHOLD`] says: with `b` bands of `r` rows that is `1 − (1 − t^r)^b`.
    fn for_threshold(threshold: f64) -> Self {
        let bands = |rows: usize| Self { count: SIGNATURE / rows, rows };
        let recall = |one: &Self| 1.0 - (1.0 - threshold.powi(one.rows as i32)).powi(one.count as i32);
        (1..=16).rev().map(bands).find(|one| recall(one) >= RECALL_AT_THRESHOLD).unwrap_or(bands(1))
    }

    /// One key a band.
    fn keys(self, set: &[u32]) -> Box<[u32]> {
        let mut signature = [u32::MAX; SIGNATURE];
        for &shingle in set {
            for (place, least) in signature.iter_mut().enumerate() {
                *least = (*least).min(permuted(shingle, place as u32));
            }
        }
        let key = |rows: &[u32]| {
            (rows.iter().fold(0u64, |hash, row| mix(hash.rotate_left(17) ^ u64::from(*row))) >> 32) as u32
        };
        signature.chunks_exact(self.rows).take(self.count).map(key).collect()
    }
}

/// The `place`-th fixed permutation of 32-bit values (the finaliser of MurmurHash3, keyed).
#[inline]
fn permuted(value: u32, place: u32) -> u32 {
    let mut value = value ^ place.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
    value = (value ^ (value >> 16)).wrapping_mul(0x85eb_ca6b);
    value = (value ^ (value >> 13)).wrapping_mul(0xc2b2_ae35);
    value ^ (value >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bands_fit_the_threshold() {
        for threshold in [0.5, 0.7, 0.8, 0.9, 1.0] {
            let bands = Bands::for_threshold(threshold);
            let recall = 1.0 - (1.0 - threshold.powi(bands.rows as i32)).powi(bands.count as i32);
            assert!(recall >= RECALL_AT_THRESHOLD && bands.count * bands.rows <= SIGNATURE, "{bands:?}");
        }
        assert_eq!(Bands::for_threshold(0.8), Bands { count: 21, rows: 6 });
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
        fn banding_misses_hardly_any_pair_that_brute_force_finds(texts in some_texts()) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = near_duplicates(&texts, 0.8);
            let sets: Vec<_> = texts.iter().map(|text| shingles(text)).collect();
            let mut all = Joined::new(texts.len());
            for left in 0..texts.len() {
                for right in left + 1..texts.len() {
                    if jaccard_is_at_least(&sets[left], &sets[right], 0.8) {
                        all.join(left as u32, right as u32);
                    }
                }
            }
            let mut missed = 0;
            for (at, &group) in found.groups.iter().enumerate() {
                let want = all.first_of(at as u32);
                prop_assert!(group >= want, "nothing is joined that is not alike");
                missed += usize::from(group != want);
            }
            prop_assert!(missed <= 1, "{missed} of {} texts", texts.len());
        }

        #[test]
        fn jaccard_is_what_sets_say(left in proptest::collection::btree_set(0u32..30, 1..20), right in proptest::collection::btree_set(0u32..30, 1..20), threshold in 0.0f64..=1.0) {
            let common = left.intersection(&right).count() as f64;
            let union = left.union(&right).count() as f64;
            let (a, b): (Vec<u32>, Vec<u32>) = (left.into_iter().collect(), right.into_iter().collect());
            prop_assert_eq!(jaccard_is_at_least(&a, &b, threshold), common >= threshold * union);
        }
    }
}
