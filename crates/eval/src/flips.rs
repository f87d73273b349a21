//! Which answers two systems disagree about, and whether that could be chance: McNemar's exact test (McNemar 1947; exact
//! as the binomial test of the discordant pairs).

use serde::Serialize;

use crate::evaluate::{CompareError, pair};
use crate::metric::Answer;

/// The four kinds of pairs, and the test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flips {
    /// Right in both.
    pub both_right: usize,
    /// Wrong in both.
    pub both_wrong: usize,
    /// Right only in the candidate.
    pub gained: Vec<Flip>,
    /// Right only in the reference.
    pub lost: Vec<Flip>,
    /// How often a fair coin would split the flips at least so unevenly, two-sided; 1 without a flip.
    pub p_value: f64,
}

/// An example whose answer is right in one system only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The example.
    pub id: String,
    /// The right label.
    pub gold: String,
    /// What the candidate said; `None` where it could not be read.
    pub candidate: Option<String>,
    /// What the reference said.
    pub reference: Option<String>,
}

/// Pairs the answers by their examples.
///
/// # Errors
/// If the two did not answer the same examples, each once, with the same gold labels.
pub fn flips(candidate: (&str, &[Answer]), reference: (&str, &[Answer])) -> Result<Flips, CompareError> {
    let places = pair(candidate, reference)?;
    let (mut gained, mut lost, mut both_right, mut both_wrong) = (Vec::new(), Vec::new(), 0, 0);
    for (ours, place) in candidate.1.iter().zip(places) {
        let theirs = &reference.1[place];
        let flip = || Flip {
            id: ours.id.clone(),
            gold: ours.gold.clone(),
            candidate: ours.parsed.clone(),
            reference: theirs.parsed.clone(),
        };
        match (ours.is_correct(), theirs.is_correct()) {
            (true, true) => both_right += 1,
            (false, false) => both_wrong += 1,
            (true, false) => gained.push(flip()),
            (false, true) => lost.push(flip()),
        }
    }
    let p_value = mcnemar(gained.len(), lost.len());
    Ok(Flips { both_right, both_wrong, gained, lost, p_value })
}

/// The two-sided exact p-value of so many flips in one direction and so many in the other.
#[must_use]
pub fn mcnemar(one: usize, other: usize) -> f64 {
    let (n, least) = (one + other, one.min(other));
    // The logarithm of each binomial term, from the one before: C(n, k) = C(n, k - 1) · (n - k + 1) / k.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = term.exp();
    for k in 1..=least {
        term += ((n - k + 1) as f64 / k as f64).ln();
        sum += term.exp();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_binomial_test() {
        // scipy.stats.binomtest(k, n, 0.5).pvalue
        for (one, other, expected) in
            [(0, 0, 1.0), (1, 0, 1.0), (10, 2, 0.038_574_218_75), (5, 5, 1.0), (0, 8, 0.007_812_5)]
        {
            assert!((mcnemar(one, other) - expected).abs() < 1e-12, "{one} {other}: {}", mcnemar(one, other));
            assert_eq!(mcnemar(one, other), mcnemar(other, one));
        }
        let many = mcnemar(50_500, 49_500);
        assert!((many - 0.001_582_36).abs() < 1e-5, "{many}");
    }

    #[test]
    fn pairs_are_found_by_their_examples_and_counted_once() {
        let answer = |id: &str, parsed: Option<&str>| Answer {
            id: id.into(),
            gold: "a".into(),
            parsed: parsed.map(str::to_owned),
            ..Answer::default()
        };
        let ours = [answer("1", Some("a")), answer("2", Some("a")), answer("3", Some("b")), answer("4", None)];
        let theirs = [answer("4", Some("b")), answer("3", Some("a")), answer("2", None), answer("1", Some("a"))];
        let found = flips(("new", &ours), ("old", &theirs)).unwrap();
        assert_eq!((found.both_right, found.both_wrong), (1, 1));
        let gained = Flip { id: "2".into(), gold: "a".into(), candidate: Some("a".into()), reference: None };
        assert_eq!(found.gained, [gained]);
        assert_eq!(found.lost[0].id, "3");
        assert_eq!(found.p_value, 1.0);
        assert!(flips(("new", &ours), ("old", &theirs[1..])).is_err());
    }
}
