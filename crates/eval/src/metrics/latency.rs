//! What an answer costs: seconds and written tokens, the means over the answers that tell.

use crate::metric::{Answer, RatioTally, Tally};

metric! {
    /// The mean time of an answer on the machine that the report names.
    Latency, "seconds", "seconds an answer", LOWER, prepare_seconds
}

metric! {
    /// The mean number of written tokens.
    Written, "written_tokens", "tokens an answer", LOWER, prepare_written
}

fn prepare_seconds(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| answer.seconds)
}

fn prepare_written(answers: &[Answer]) -> Box<dyn Tally> {
    RatioTally::mean_of_some(answers, |answer| Some(answer.written? as f64))
}
