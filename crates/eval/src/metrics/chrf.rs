//! chrF2 (Popović 2015) as sacreBLEU computes it: F-scores of runs of 1 to 6 letters without blanks, recall weighted twice.
//! Signature: `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0`.

use super::texts::{counts, f_measure, shared, texts};
use crate::metric::{Answer, Tally};

/// The longest runs of letters.
const ORDER: usize = 6;
/// How much more recall weighs than precision.
const BETA: f64 = 2.0;

metric! {
    /// Of the corpus, one reference an answer; 0 to 100.
    Chrf, "chrf", "points of 100", HIGHER, prepare
}

/// Runs said, expected and shared, of each length.
type Counts = [[u64; 3]; ORDER];

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    Box::new(ChrfTally(answers.iter().map(|answer| texts(answer).map(|pair| of(pair.0, pair.1))).collect()))
}

fn of(said: &str, expected: &str) -> Counts {
    let letters = |text: &str| -> Vec<char> { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let (said, expected) = (letters(said), letters(expected));
    let mut all = Counts::default();
    for (order, counted) in (1..).zip(&mut all) {
        let (runs, others) = (counts(said.windows(order)), counts(expected.windows(order)));
        let number = |letters: &[char]| (letters.len() + 1).saturating_sub(order) as u64;
        *counted = [number(&said), number(&expected), u64::from(shared(&runs, &others))];
    }
    all
}

/// The F-score of the mean precision and the mean recall of the orders that both texts have.
fn score(all: &Counts) -> f64 {
    let both: Vec<&[u64; 3]> = all.iter().filter(|[said, expected, _]| *said > 0 && *expected > 0).collect();
    let mean =
        |of: usize| both.iter().map(|one| one[2] as f64 / one[of] as f64).sum::<f64>() / both.len().max(1) as f64;
    100.0 * f_measure(mean(0), mean(1), BETA)
}

struct ChrfTally(Vec<Option<Counts>>);

impl Tally for ChrfTally {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        let (mut sum, mut any) = (Counts::default(), false);
        for (case, &count) in self.0.iter().zip(counts) {
            if let (Some(case), true) = (case, count > 0) {
                let cells = sum.iter_mut().flatten().zip(case.iter().flatten());
                cells.for_each(|(sum, one)| *sum += one * u64::from(count));
                any = true;
            }
        }
        any.then(|| score(&sum))
    }

    fn denominator(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, written};

    #[test]
    fn blanks_do_not_count_and_nothing_is_worth_nothing() {
        assert!((Chrf.compute(&written(&[("a bc def", "abc de f")]), &[1]).unwrap() - 100.0).abs() < 1e-9);
        assert_eq!(Chrf.compute(&written(&[("", "abc")]), &[1]), Some(0.0));
        assert_eq!(Chrf.compute(&written(&[("xyz", "abc")]), &[1]), Some(0.0));
    }
}
