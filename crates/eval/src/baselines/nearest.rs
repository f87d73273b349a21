//! The nearest neighbour: the answer of the training text that is most like the question, by BM25 (Robertson and Zaragoza, "The
//! probabilistic relevance framework: BM25 and beyond", 2009, formula 3.15). It can answer any task, since it copies.

use std::collections::HashMap;

use rayon::prelude::*;

/// How fast a repeated word stops counting (`k₁`).
const SATURATION: f64 = 1.2;
/// How much the length of a text counts (`b`).
const LENGTH: f64 = 0.75;
/// A word in more than this share of the texts tells nothing about which one is near.
const MOST_FREQUENT: f64 = 0.1;
/// Fewer texts than this have no word that is too frequent.
const FEW_TEXTS: usize = 100;

/// Training texts by their words.
pub struct Nearest {
    /// Number of each word.
    words: HashMap<String, usize>,
    /// Text and what the word weighs in it, for each word, ascending by text.
    postings: Vec<Vec<(u32, f64)>>,
    texts: usize,
}

impl Nearest {
    /// Reads the training texts.
    #[must_use]
    pub fn fit(texts: &[&str]) -> Self {
        let counted: Vec<(HashMap<String, f64>, f64)> = texts.par_iter().map(|text| count(text)).collect();
        let mean = counted.iter().map(|(_, length)| length).sum::<f64>() / texts.len().max(1) as f64;
        let mut words: HashMap<String, usize> = HashMap::new();
        let mut postings: Vec<Vec<(u32, f64)>> = Vec::new();
        for (text, (counts, length)) in (0..).zip(counted) {
            let norm = SATURATION * (1.0 - LENGTH + LENGTH * length / mean.max(1.0));
            for (word, count) in counts {
                let number = *words.entry(word).or_insert_with(|| {
                    postings.push(Vec::new());
                    postings.len() - 1
                });
                postings[number].push((text, count * (SATURATION + 1.0) / (count + norm)));
            }
        }
        let most = if texts.len() < FEW_TEXTS { texts.len() } else { (texts.len() as f64 * MOST_FREQUENT) as usize };
        for found in &mut postings {
            let with = found.len() as f64;
            // As Lucene has it, so that no word weighs less than nothing.
            let rarity = (1.0 + (texts.len() as f64 - with + 0.5) / (with + 0.5)).ln();
            if found.len() > most {
                found.clear();
            }
            found.iter_mut().for_each(|(_, weight)| *weight *= rarity);
        }
        Self { words, postings, texts: texts.len() }
    }

    /// The training text that is most like `text`, the first of equals; `None` where it shares no word with any.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<usize> {
        let mut scores = vec![0.0; self.texts];
        let mut words: Vec<usize> = count(text).0.keys().filter_map(|word| self.words.get(word).copied()).collect();
        // In an order of their own, so that sums do not depend on a hash.
        words.sort_unstable();
        for word in words {
            for &(text, weight) in &self.postings[word] {
                scores[text as usize] += weight;
            }
        }
        let best = scores.iter().enumerate().fold(
            (0, 0.0),
            |best, (place, &score)| {
                if score > best.1 { (place, score) } else { best }
            },
        );
        (best.1 > 0.0).then_some(best.0)
    }

    /// [`Self::find`] for each text, in parallel.
    #[must_use]
    pub fn find_all(&self, texts: &[&str]) -> Vec<Option<usize>> {
        texts.par_iter().map(|text| self.find(text)).collect()
    }
}

/// How often each word occurs, and how many words there are.
fn count(text: &str) -> (HashMap<String, f64>, f64) {
    let mut counts: HashMap<String, f64> = HashMap::new();
    let mut length = 0.0;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1.0;
        length += 1.0;
    }
    (counts, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_lead_to_the_nearest_text() {
        let texts = [
            "the kettle boils the water in the kitchen",
            "the pump leaks water in the cellar",
            "a buffer overflow in the parser of images",
        ];
        let nearest = Nearest::fit(&texts);
        assert_eq!(nearest.find("an overflow in a parser"), Some(2));
        assert_eq!(nearest.find("Water in the CELLAR"), Some(1));
        assert_eq!(nearest.find("nothing shared"), None);
        assert_eq!(nearest.find_all(&texts), [Some(0), Some(1), Some(2)]);
        assert_eq!(Nearest::fit(&[]).find("x"), None);
    }

    #[test]
    fn the_weight_is_that_of_the_formula() {
        // Two texts of two words: idf = ln(1 + 1.5 / 1.5), tf part = 2.2 / (1 + 1.2).
        let nearest = Nearest::fit(&["kettle boils", "pump leaks"]);
        let posting = nearest.postings[nearest.words["kettle"]][0];
        assert!((posting.1 - 2.0_f64.ln()).abs() < 1e-12, "{posting:?}");
    }

    #[test]
    fn a_word_that_every_tenth_text_has_tells_nothing() {
        let texts: Vec<String> = (0..200).map(|n| format!("common {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(Nearest::fit(&texts).find("common"), None);
        assert_eq!(Nearest::fit(&texts).find("common 17"), Some(17));
    }
}
