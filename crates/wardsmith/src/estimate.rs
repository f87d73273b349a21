//! What a run will take, said before it takes it: memory by the model crate's arithmetic, time by a short calibration.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use wardsmith_model::Batch;
use wardsmith_model::adapter::{LoraConfig, Modules};
use wardsmith_model::memory::{Setting, Trained};
use wardsmith_model::ops::matmul::{Right, View, Write, matmul};
use wardsmith_model::weights::write_atomically;
use wardsmith_tokens::Survey;

use crate::machine;

/// The file in a run folder.
const FILE: &str = "estimate.json";
/// What the program takes beside the table: code, threads' stacks, the allocator's gaps.
const OVERHEAD_BYTES: u64 = 2 << 20;
/// A run reaches about this share of the calibration's speed: its products are larger and faster, what lies between them
/// is slower. Runs from 0.1 to 135 million weights took 0.7 to 1.5 times what this says, and more where others compute.
const EFFICIENCY: f64 = 1.0;
/// Linear layers that a suggested adapter sits on, by families' names.
const ADAPTED: [&str; 3] = ["q_proj", "v_proj", "query_key_value"];

/// `estimate.json`: what was expected, and in the end what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// Bytes that the run needs at its peak.
    pub needed_bytes: u64,
    /// What was free, where that is known.
    pub available_bytes: Option<u64>,
    /// Seconds that it takes.
    pub seconds: f64,
    /// The lines of the table: what, and bytes.
    pub parts: Vec<(String, u64)>,
    /// The most that the process held up to the end of the run; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

/// What the time depends on beside the memory's setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    /// What is given out.
    pub survey: &'a Survey,
    /// What is evaluated each time.
    pub validation: &'a [Batch],
    /// How often.
    pub evaluations: u64,
}

impl Estimate {
    /// Of a run that has not begun. What the process holds already is a part of what it needs.
    pub(crate) fn of(setting: &Setting, work: Work<'_>) -> Self {
        let held = machine::held().map_or(0, |(now, _)| now);
        let parts = setting.parts().into_iter().map(|part| (part.name.to_owned(), part.bytes)).collect();
        Self {
            needed_bytes: held + OVERHEAD_BYTES + setting.peak_bytes(),
            // What it holds already is not free any more, and counts on both sides.
            available_bytes: machine::memory().map(|memory| memory.available + held),
            seconds: seconds(setting, work),
            parts,
            peak_bytes: None,
        }
    }

    /// `needs 3.1 GiB of 24 GiB, about 14 minutes`.
    pub(crate) fn sentence(&self) -> String {
        let of = self.available_bytes.map_or(String::new(), |bytes| format!(" of {}", machine::bytes(bytes)));
        format!("needs {}{of}, about {}", machine::bytes(self.needed_bytes), machine::duration(self.seconds))
    }

    /// The same run by so many ranks, some of which take their memory from this machine.
    pub(crate) fn shared(self, ranks: usize, here: usize) -> Self {
        let here = here.max(1) as u64;
        let available_bytes = self.available_bytes.map(|bytes| bytes / here);
        Self { seconds: self.seconds / ranks.max(1) as f64, available_bytes, ..self }
    }

    /// Refuses a run that does not fit, and says which would.
    ///
    /// # Errors
    /// Where it needs more than is free.
    pub(crate) fn check(&self, setting: &Setting) -> Result<()> {
        let Some(available) = self.available_bytes.filter(|available| self.needed_bytes > *available) else {
            return Ok(());
        };
        let beside = self.needed_bytes - setting.peak_bytes();
        let fits: Vec<String> = smaller(setting)
            .into_iter()
            .filter(|(_, setting)| beside + setting.peak_bytes() <= available)
            .map(|(how, setting)| format!("{how} needs {}", machine::bytes(beside + setting.peak_bytes())))
            .collect();
        let hint = match fits.is_empty() {
            true => "take a smaller model, or a machine with more memory".to_owned(),
            false => fits.join("; "),
        };
        let (needed, available) = (machine::bytes(self.needed_bytes), machine::bytes(available));
        bail!("the run needs {needed} of memory, and {available} are free\nhint: {hint}; --force begins all the same")
    }

    /// Writes it into a run folder.
    pub(crate) fn write(&self, run: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_atomically(&run.join(FILE), text.as_bytes())?)
    }

    /// Adds what it came to.
    pub(crate) fn measured(mut self) -> Self {
        self.peak_bytes = machine::held().map(|(_, peak)| peak);
        self
    }
}

/// Runs that need less: smaller packs, an adapter instead of all weights, both.
fn smaller(setting: &Setting) -> Vec<(String, Setting)> {
    let halved = |setting: &Setting| {
        let mut found = Vec::new();
        let mut tokens = setting.pack_tokens / 2;
        while tokens >= setting.document_tokens.max(2) {
            let share = tokens as f64 / setting.pack_tokens as f64;
            let targets = (setting.pack_targets as f64 * share).ceil() as usize;
            let scaled = |(t, n): &(usize, usize)| (tokens.min(*t), (*n as f64 * share).ceil() as usize);
            let validation = setting.validation.iter().map(scaled).collect();
            let pack_targets = targets;
            found.push((tokens, Setting { pack_tokens: tokens, pack_targets, validation, ..setting.clone() }));
            tokens /= 2;
        }
        found
    };
    let pack = |(tokens, setting)| (format!("train.tokens_per_pack = {tokens}"), setting);
    let mut found: Vec<(String, Setting)> = halved(setting).into_iter().map(pack).collect();
    if !matches!(setting.trained, Trained::Lora(_)) {
        let config = LoraConfig::plain(16, 32.0, Modules::from_iter(ADAPTED));
        let adapter = Setting { trained: Trained::Lora(config), ..setting.clone() };
        let both = |(tokens, setting)| (format!("[lora] with train.tokens_per_pack = {tokens}"), setting);
        let smaller: Vec<_> = halved(&adapter).into_iter().map(both).collect();
        found.push(("an adapter ([lora], rank 16) instead of all weights".to_owned(), adapter));
        found.extend(smaller);
    }
    found
}

fn seconds(setting: &Setting, work: Work<'_>) -> f64 {
    let survey = work.survey;
    let first = survey.first_epoch_steps.max(1);
    let of = |tokens: u64, targets: u64| {
        // Attention is quadratic in a document, and documents are shorter than the longest.
        setting.operations(tokens, targets, setting.document_tokens as u64 / 2)
    };
    let step = of(survey.first_epoch_tokens / first, survey.first_epoch_targets / first);
    let (tokens, targets) = work
        .validation
        .iter()
        .fold((0, 0), |sum, batch| (sum.0 + batch.ids.len() as u64, sum.1 + batch.targets.len() as u64));
    // Forward only.
    let evaluation = of(tokens, targets) / 3.0;
    (step * survey.steps as f64 + evaluation * work.evaluations as f64) / (operations_per_s() * EFFICIENCY)
}

/// Multiplications and additions a second of this machine's products, on all threads.
fn operations_per_s() -> f64 {
    const ROWS: usize = 512;
    const WIDTH: usize = 512;
    let x = vec![0.5_f32; ROWS * WIDTH];
    let weight = Right::turned(&x, WIDTH);
    let mut y = vec![0.0_f32; ROWS * WIDTH];
    let mut product = || matmul(black_box(&mut y), View::rows(&x, WIDTH), ROWS, weight, Write::SET);
    // The first one starts the threads.
    product();
    let begun = Instant::now();
    let mut products = 0_u32;
    while begun.elapsed() < Duration::from_millis(60) {
        product();
        products += 1;
    }
    2.0 * (ROWS * WIDTH * WIDTH) as f64 * f64::from(products) / begun.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardsmith_model::checkpoint::Storage;
    use wardsmith_model::memory::spec_of;

    fn setting() -> Setting {
        let config = serde_json::json!({
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 2048, "tie_word_embeddings": true
        });
        let (spec, names) = spec_of(config).unwrap();
        Setting {
            spec,
            names,
            classes: None,
            trained: Trained::All,
            pack_tokens: 4096,
            pack_targets: 300,
            validation: vec![(4096, 300)],
            document_tokens: 256,
            threads: 2,
            storage: Storage::F32,
            eight_bits_from: None,
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let setting = setting();
        let (beside, needed) = (50 << 20, setting.peak_bytes() + (50 << 20));
        let estimate = |available: Option<u64>| Estimate {
            needed_bytes: needed,
            available_bytes: available,
            seconds: 840.0,
            parts: Vec::new(),
            peak_bytes: None,
        };
        assert!(estimate(None).check(&setting).is_ok(), "nothing is known, so nothing is refused");
        assert!(estimate(Some(needed)).check(&setting).is_ok());
        let told = estimate(Some(needed - 1)).check(&setting).unwrap_err().to_string();
        assert!(told.contains("instead of all weights") && told.contains("--force"), "{told}");
        let told = estimate(Some(beside)).check(&setting).unwrap_err().to_string();
        assert!(told.contains("take a smaller model"), "{told}");
        assert!(estimate(Some(24 << 30)).sentence().ends_with(" of 24.0 GiB, about 14 minutes"));
    }

    #[test]
    fn smaller_packs_need_less_and_hold_the_longest_document() {
        let setting = setting();
        for (how, smaller) in smaller(&setting) {
            assert!(smaller.peak_bytes() < setting.peak_bytes(), "{how}");
            assert!(smaller.pack_tokens >= smaller.document_tokens, "{how}");
        }
    }
}
