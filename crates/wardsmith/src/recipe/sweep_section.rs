//! `[sweep]`: which keys of the recipe are searched, over what, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::check;
use super::mistake::{Wrong, suggest};
use super::reader::{Checked, Read, Reader};
use super::tree::Value;

/// `[sweep]`: a search for good hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SweepRecipe {
    /// How points are chosen.
    pub method: SweepMethod,
    /// Trials in all; absent: the whole grid, or 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<usize>,
    /// Fixes every draw of the search; the trials have the recipe's own seed.
    pub seed: u64,
    /// What is to be small.
    pub metric: SweepMetric,
    /// A running trial whose process was silent for so long is given to another.
    pub stale_after_s: usize,
    /// Successive halving; absent: every trial is a whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halving: Option<HalvingRecipe>,
    /// What is searched, by the key of the recipe, such as `train.learning_rate`.
    pub parameters: BTreeMap<String, ParameterRecipe>,
}

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SweepMethod {
    /// The tree-structured Parzen estimator (Bergstra et al. 2011).
    Tpe,
    /// Evenly.
    Random,
    /// Every combination.
    Grid,
}

/// What is to be small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SweepMetric {
    /// The lowest validation loss of the run so far.
    ValidationLoss,
}

/// `[sweep.halving]`: asynchronous successive halving (Li et al. 2020).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct HalvingRecipe {
    /// Optimiser steps of the first rung.
    pub min_steps: usize,
    /// One of so many goes on from a rung, with so many times the steps.
    pub factor: usize,
}

/// The range of one parameter. `points` stand for it in a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ParameterRecipe {
    /// Any number, even in the logarithm.
    LogUniform {
        /// The least, above 0.
        low: f64,
        /// The most.
        high: f64,
        /// Values in a grid.
        #[serde(default = "points")]
        points: usize,
    },
    /// Any number.
    Uniform {
        /// The least.
        low: f64,
        /// The most.
        high: f64,
        /// Values in a grid.
        #[serde(default = "points")]
        points: usize,
    },
    /// A whole number.
    Int {
        /// The least.
        low: i64,
        /// The most.
        high: i64,
        /// Even in the logarithm.
        #[serde(default)]
        log: bool,
        /// Values in a grid.
        #[serde(default = "points")]
        points: usize,
    },
    /// One of these.
    Choice {
        /// Numbers, texts, truths or lists of texts.
        values: Vec<Json>,
    },
}

fn points() -> usize {
    5
}

impl Read for ParameterRecipe {
    const EXPECTED: &'static str = "a range under a key in quotes, such as \
        \"train.learning_rate\" = { kind = \"log_uniform\", low = 1e-5, high = 1e-2 } (or uniform, int, or choice with values = […])";

    fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.to_json()?).ok()
    }
}

impl ParameterRecipe {
    /// Values that stand for the range when a recipe is checked: its ends, or all choices.
    pub(crate) fn extremes(&self) -> Vec<Json> {
        match self {
            Self::LogUniform { low, high, .. } | Self::Uniform { low, high, .. } => vec![(*low).into(), (*high).into()],
            Self::Int { low, high, .. } => vec![(*low).into(), (*high).into()],
            Self::Choice { values } => values.clone(),
        }
    }

    fn check(&self) -> Checked {
        let range = |fits: bool, hint: &str| match fits {
            true => Ok(()),
            false => Err(Wrong::new("is no range", hint)),
        };
        match self {
            Self::LogUniform { low, high, points } => {
                range(*low > 0.0 && low < high && high.is_finite(), "0 < low < high")?;
                range((2..=1000).contains(points), "from 2 to 1000 points")
            }
            Self::Uniform { low, high, points } => {
                range(low < high && low.is_finite() && high.is_finite(), "low < high")?;
                range((2..=1000).contains(points), "from 2 to 1000 points")
            }
            Self::Int { low, high, log, points } => {
                range(low <= high && (!log || *low > 0), "low ≤ high, and 0 < low with log")?;
                range(high.checked_sub(*low).is_some_and(|n| n < 1 << 40), "at most 2^40 numbers")?;
                range((2..=1000).contains(points), "from 2 to 1000 points")
            }
            Self::Choice { values } => {
                let distinct = |(at, value): (usize, &Json)| !values[..at].contains(value);
                let plain = |value: &Json| !value.is_object() && !value.is_null();
                let fits = (1..=1000).contains(&values.len())
                    && values.iter().enumerate().all(distinct)
                    && values.iter().all(plain);
                range(fits, "from 1 to 1000 distinct values")
            }
        }
    }
}

/// Tables of a recipe that a search may change.
const TABLES: [&str; 3] = ["train", "lora", "model"];
/// Keys that are no matter of a search.
const FIXED: [&str; 3] = ["train.dataset", "train.eval_every_steps", "train.eval_max_examples"];

/// The table.
pub(super) fn sweep(mut reader: Reader<'_>) -> SweepRecipe {
    let methods = [("tpe", SweepMethod::Tpe), ("random", SweepMethod::Random), ("grid", SweepMethod::Grid)];
    if !reader.has("parameters") {
        reader.note("parameters", Wrong::new("is missing", "name what is searched in [sweep.parameters]"));
    }
    let sweep = SweepRecipe {
        method: reader.choice("method", &methods),
        trials: reader.optional("trials", check::within(1, 1_000_000)),
        seed: reader.or("seed", 0, check::any),
        metric: reader.choice("metric", &[("validation_loss", SweepMetric::ValidationLoss)]),
        stale_after_s: reader.or("stale_after_s", 60, check::within(1, 86_400)),
        halving: reader.section("halving").map(halving),
        parameters: reader.section("parameters").map(parameters).unwrap_or_default(),
    };
    reader.finish();
    sweep
}

fn halving(mut reader: Reader<'_>) -> HalvingRecipe {
    let halving = HalvingRecipe {
        min_steps: reader.required("min_steps", "the optimiser steps of the first rung", check::at_least(1)),
        factor: reader.or("factor", 3, check::within(2, 100)),
    };
    reader.finish();
    halving
}

fn parameters(reader: Reader<'_>) -> BTreeMap<String, ParameterRecipe> {
    reader.entries(|key, parameter: &ParameterRecipe| {
        let table = key.split('.').next().unwrap_or_default();
        if !TABLES.contains(&table) || !key.contains('.') {
            return Err(Wrong::new("cannot be searched", suggest(key, &["train.learning_rate", "lora.rank"])));
        }
        if FIXED.contains(&key) {
            return Err(Wrong::new("cannot be searched", "trials are held against one another on the same examples"));
        }
        parameter.check()
    })
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    const START: &str = "name='x'\n[model]\nbase='m'\n[train]\nepochs=1\n";

    #[test]
    fn a_sweep_reads_back_and_its_mistakes_are_told_at_once() {
        let good = "[sweep]\ntrials=4\nhalving={min_steps=10}\n[sweep.parameters]\n\
                    \"train.learning_rate\"={kind='log_uniform',low=1e-5,high=1e-2}\n\
                    'lora.rank'={kind='choice',values=[4,8]}\n";
        let recipe = Recipe::parse(&format!("{START}{good}"), "r", &[]).unwrap();
        assert_eq!(recipe.sweep.as_ref().unwrap().halving.unwrap().factor, 3);
        assert_eq!(Recipe::parse(&recipe.to_toml(), "resolved", &[]).unwrap(), recipe);
        let bad = "[sweep]\nmethod='annealing'\n[sweep.parameters]\n\
                   'train.learning_rate'={kind='log_uniform',low=0,high=1}\nseed={kind='int',low=1,high=2}\n\
                   train.beta1={kind='uniform',low=0.1,high=0.2}\n";
        let told = Recipe::parse(&format!("{START}{bad}"), "r", &[]).unwrap_err().to_string();
        for said in ["4 mistakes", "`annealing`", "0 < low < high", "`sweep.parameters.seed`", "key in quotes"] {
            assert!(told.contains(said), "{said} in {told}");
        }
    }
}
