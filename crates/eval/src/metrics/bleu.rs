//! BLEU (Papineni et al. 2002) as sacreBLEU computes it (Post, "A call for clarity in reporting BLEU scores", 2018), so that
//! scores can be compared with published ones: [`SIGNATURE`] is what to state beside a score.

use std::sync::LazyLock;

use regex::Regex;

use super::texts::{counts, shared, texts};
use crate::metric::{Answer, Tally};

/// sacreBLEU's signature of what is computed here; it names their version, whose scores the tests hold.
pub const SIGNATURE: &str = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0";
/// The longest runs of words that are compared.
const ORDER: usize = 4;

metric! {
    /// Of the corpus, one reference an answer; 0 to 100.
    Bleu, "bleu", "points of 100", HIGHER, prepare
}

/// What is summed over the corpus.
#[derive(Clone, Copy, Default)]
struct Counts {
    shared: [u64; ORDER],
    said: [u64; ORDER],
    said_words: u64,
    expected_words: u64,
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    Box::new(BleuTally(answers.iter().map(|answer| texts(answer).map(|pair| Counts::of(pair.0, pair.1))).collect()))
}

impl Counts {
    fn of(said: &str, expected: &str) -> Self {
        let (said, expected) = (tokenize_13a(said), tokenize_13a(expected));
        let mut all = Self { said_words: said.len() as u64, expected_words: expected.len() as u64, ..Self::default() };
        for order in 1..=ORDER {
            let (runs, others) = (counts(said.windows(order)), counts(expected.windows(order)));
            all.shared[order - 1] = u64::from(shared(&runs, &others));
            all.said[order - 1] = (said.len() + 1).saturating_sub(order) as u64;
        }
        all
    }

    fn add(&mut self, other: &Self, times: u64) {
        for order in 0..ORDER {
            self.shared[order] += times * other.shared[order];
            self.said[order] += times * other.said[order];
        }
        self.said_words += times * other.said_words;
        self.expected_words += times * other.expected_words;
    }

    /// The geometric mean of the precisions, with the brevity penalty; orders without a match are smoothed as in NIST's
    /// mteval (`exp`).
    fn score(&self) -> f64 {
        if self.shared.iter().all(|&n| n == 0) {
            return 0.0;
        }
        let (mut logs, mut smooth) = (0.0, 1.0);
        for (&shared, &said) in self.shared.iter().zip(&self.said) {
            if said == 0 {
                return 0.0;
            }
            let precision = if shared == 0 {
                smooth *= 2.0;
                1.0 / (smooth * said as f64)
            } else {
                shared as f64 / said as f64
            };
            logs += precision.ln();
        }
        let brevity = (1.0 - self.expected_words as f64 / self.said_words as f64).min(0.0).exp();
        100.0 * brevity * (logs / ORDER as f64).exp()
    }
}

struct BleuTally(Vec<Option<Counts>>);

impl Tally for BleuTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let (mut sum, mut any) = (Counts::default(), false);
        for (case, &count) in self.0.iter().zip(counts) {
            if let (Some(case), true) = (case, count > 0) {
                sum.add(case, u64::from(count));
                any = true;
            }
        }
        any.then(|| sum.score())
    }

    fn denominator(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// The words of NIST's mteval-v13a: signs stand alone, but not those inside numbers.
fn tokenize_13a(text: &str) -> Vec<String> {
    static SIGNS: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        let rule = |pattern, with| (Regex::new(pattern).expect("a constant pattern"), with);
        [
            rule(r"([{-~\[-` -&(-+:-@/])", " $1 "),
            rule(r"([^0-9])([.,])", "$1 $2 "),
            rule(r"([.,])([^0-9])", " $1 $2"),
            rule(r"([0-9])(-)", "$1 $2 "),
        ]
    });
    let mut text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, sign);
    }
    let mut text = format!(" {text} ");
    for (pattern, with) in SIGNS.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, written};

    #[test]
    fn numbers_keep_their_points_and_words_lose_theirs() {
        let words = tokenize_13a("CVSS 9.8, run-time (v2.0) &amp; 10-20.");
        assert_eq!(words, ["CVSS", "9.8", ",", "run-time", "(", "v2.0", ")", "&", "10", "-", "20", "."]);
    }

    #[test]
    fn the_same_text_has_all_points_and_a_short_one_is_penalised() {
        let same = "update the library to the fixed release";
        assert!((Bleu.compute(&written(&[(same, same)]), &[1]).unwrap() - 100.0).abs() < 1e-9);
        let half = written(&[("update the library to", same)]);
        assert!((Bleu.compute(&half, &[1]).unwrap() - 100.0 * (1.0 - 7.0 / 4.0_f64).exp()).abs() < 1e-9);
        assert_eq!(Bleu.compute(&written(&[("", same)]), &[1]), Some(0.0));
    }
}
