//! Groundedness: the share of the sentences of advice that the cited catalogue entry supports; [`crate::grounding`] says when
//! one does.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// Over all sentences that were said.
    Grounded, "grounded", "share of sentences", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::share(answers, |answer| answer.grounded)
}
