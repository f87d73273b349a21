//! Invented identifiers: the share of the CVE, CWE, CAPEC and ATT&CK IDs in answers that do not exist.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Over all IDs that were said, so that an answer with many weighs more.
    Invented, "invented_identifiers", "share of IDs", LOWER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::share(answers, |answer| answer.identifiers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, Share, answers};

    #[test]
    fn answers_without_an_id_neither_help_nor_harm() {
        let mut given = answers(&[("a", "a"), ("a", "a"), ("a", "a")]);
        given[0].identifiers = Some(Share { of: 1, all: 4 });
        given[1].identifiers = Some(Share::default());
        assert_eq!(Invented.compute(&given, &[1; 3]), Some(0.25));
        assert_eq!(Invented.compute(&given, &[0, 1, 1]), None);
    }
}
