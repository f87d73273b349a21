//! Exact match and token F1 of the Stanford Question Answering Dataset (Rajpurkar et al. 2016): both texts in lower case,
//! without ASCII punctuation and English articles, blanks evened out.

use super::texts::{counts, f_measure, shared, texts};
use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// The normalised texts are equal.
    ExactMatch, "exact_match", "share", HIGHER, prepare_exact
}

metric! {
    /// The F1 of the words that the two share; the mean over answers.
    TokenF1, "token_f1", "share", HIGHER, prepare_f1
}

fn prepare_exact(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let (said, expected) = texts(answer)?;
        Some(f64::from(u8::from(words(said) == words(expected))))
    })
}

fn prepare_f1(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| {
        let (said, expected) = texts(answer)?;
        Some(token_f1(&words(said), &words(expected)))
    })
}

fn token_f1(said: &[String], expected: &[String]) -> f64 {
    if said.is_empty() || expected.is_empty() {
        return f64::from(u8::from(said.is_empty() && expected.is_empty()));
    }
    let common = f64::from(shared(&counts(said), &counts(expected)));
    f_measure(common / said.len() as f64, common / expected.len() as f64, 1.0)
}

/// The words that are compared.
fn words(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let kept = plain.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the"));
    kept.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, written};

    #[test]
    fn case_punctuation_and_articles_do_not_count() {
        let given = written(&[("The server, quickly.", "a server quickly"), ("", "x"), ("one two", "two three four")]);
        assert_eq!(ExactMatch.compute(&given, &[1, 0, 0]), Some(1.0));
        assert_eq!(TokenF1.compute(&given, &[0, 1, 0]), Some(0.0));
        // Precision 1/2, recall 1/3.
        assert!((TokenF1.compute(&given, &[0, 0, 1]).unwrap() - 0.4).abs() < 1e-12);
    }
}
