//! How much of one text stands in another: the bag-of-words F1 of SQuAD (Rajpurkar et al. 2016).
//!
//! Words are runs of letters and digits in lower case; articles do not count.

use std::collections::HashMap;

/// What two texts share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overlap {
    /// Share of the answer's words that stand in the reference, 0..=1.
    pub precision: f64,
    /// Share of the reference's words that stand in the answer, 0..=1.
    pub recall: f64,
}

impl Overlap {
    /// Harmonic mean of the two, 0..=1.
    #[must_use]
    pub fn f1(self) -> f64 {
        let sum = self.precision + self.recall;
        if sum == 0.0 { 0.0 } else { 2.0 * self.precision * self.recall / sum }
    }
}

/// What `answer` shares with `reference`, each word as often as it stands in both.
#[must_use]
pub fn overlap(answer: &str, reference: &str) -> Overlap {
    let (answer, reference) = (words(answer), words(reference));
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &reference {
        *left.entry(word).or_default() += 1;
    }
    let mut shared = 0;
    for word in &answer {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    let share = |of: usize| if of == 0 { 0.0 } else { shared as f64 / of as f64 };
    Overlap { precision: share(answer.len()), recall: share(reference.len()) }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).filter(|word| !matches!(word.as_str(), "a" | "an" | "the")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_count_as_often_as_they_stand_in_both() {
        let found = overlap("Encode the output, encode it", "encode output");
        assert_eq!((found.precision, found.recall), (0.5, 1.0));
        assert!((found.f1() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(overlap("", "x").f1(), 0.0);
        assert_eq!(overlap("x", "").f1(), 0.0);
        assert_eq!(overlap("A Kettle-boils!", "kettle boils").f1(), 1.0);
    }
}
