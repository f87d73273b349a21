//! ROUGE-L (Lin 2004), the F1 of the longest common subsequence of words, as the package rouge-score computes it without
//! stemming: words are runs of `a`-`z` and `0`-`9` of the text in lower case.

use super::texts::{f_measure, texts};
use crate::metric::{Answer, RatioTally, Tally};

/// Words of a text that are compared, since the work grows with their square.
pub const MOST_WORDS: usize = 10_000;

metric! {
    /// The mean over answers.
    RougeL, "rouge_l", "share", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let (said, expected) = texts(answer)?;
        let (said, expected) = (words(said), words(expected));
        let common = common_subsequence(&said, &expected) as f64;
        Some(f_measure(common / said.len().max(1) as f64, common / expected.len().max(1) as f64, 1.0))
    })
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).filter(|word| !word.is_empty());
    words.take(MOST_WORDS).map(str::to_owned).collect()
}

/// The length of the longest common subsequence, a row at a time.
fn common_subsequence(left: &[String], right: &[String]) -> usize {
    let mut row = vec![0; right.len() + 1];
    for word in left {
        let mut diagonal = 0;
        for (place, other) in right.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, written};

    #[test]
    fn words_may_lie_apart_but_keep_their_order() {
        // Common: police the gunman (3 of 4 words each).
        let given =
            written(&[("police killed the gunman", "Police end the gunman."), ("gunman police", "police gunman")]);
        assert_eq!(RougeL.compute(&given, &[1, 0]), Some(0.75));
        assert_eq!(RougeL.compute(&given, &[0, 1]), Some(0.5));
    }
}
