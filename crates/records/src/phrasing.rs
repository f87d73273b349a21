//! How a question is put: an instruction, a blank line, and what is asked about.
//!
//! A task has several phrasings of its instruction, so that a model learns the question and not one wording of it. A
//! training example gets one by the seed and its ID; validation and test always get the first, which is also what is
//! asked in use, so that results can be compared.

use sha2::{Digest, Sha256};

use crate::dataset::Split;

/// What a model is to answer where the text says too little; no task has it as a label.
pub const DECLINE: &str = "Not enough information.";

/// The question about `input`.
#[must_use]
pub fn question(instruction: &str, input: &str) -> String {
    format!("{instruction}\n\n{input}")
}

/// One of `phrasings` (not empty): the first outside training, else one that `seed` and `id` choose.
#[must_use]
pub(crate) fn choose<'a>(phrasings: &[&'a str], split: Split, seed: u64, id: &str) -> &'a str {
    let at = if split == Split::Train { draw(seed, "phrasing", id) * phrasings.len() as f64 } else { 0.0 };
    phrasings[(at as usize).min(phrasings.len() - 1)]
}

/// A number within 0..1 that `seed`, the `purpose` and the `id` fix: for choices that must not depend on what else is
/// in the dataset.
#[must_use]
pub fn draw(seed: u64, purpose: &str, id: &str) -> f64 {
    let mut digest = Sha256::new();
    for part in [&seed.to_be_bytes()[..], purpose.as_bytes(), &[0], id.as_bytes()] {
        digest.update(part);
    }
    let bytes: [u8; 8] = digest.finalize()[..8].try_into().expect("a digest has 32 bytes");
    (u64::from_be_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_gets_every_phrasing_and_the_test_the_first() {
        let phrasings = ["first", "second", "third"];
        let chosen = |split, id: usize| choose(&phrasings, split, 1, &format!("CVE-2024-{id:04}"));
        for phrasing in phrasings {
            let count = (0..300).filter(|id| chosen(Split::Train, *id) == phrasing).count();
            assert!((60..140).contains(&count), "{phrasing}: {count}");
        }
        assert!((0..300).all(|id| chosen(Split::Test, id) == "first" && chosen(Split::Validation, id) == "first"));
    }

    #[test]
    fn a_draw_depends_on_seed_purpose_and_id_and_lies_within_0_and_1() {
        let one = draw(1, "a", "x");
        assert!((0.0..1.0).contains(&one) && one == draw(1, "a", "x"));
        assert!(one != draw(2, "a", "x") && one != draw(1, "b", "x") && one != draw(1, "a", "y"));
    }
}
