//! AdamW (Loshchilov & Hutter 2019): Adam's moments, in 32 bits or in 8 (`blockwise`), with decay applied to the weights themselves.

use wardsmith_model::ops::pool;
use wardsmith_model::params::{Gradients, Param, ParamId, Params};

use crate::blockwise::{BLOCK, Blockwise, Part, Sign};

/// Values that one task updates.
const CHUNK: usize = 1 << 14;
/// Tensors of fewer values keep their moments in 32 bits.
pub const LEAST_IN_8_BITS: usize = 4096;

/// Which tensors decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// All of them, as PyTorch's optimiser does when given one group.
    All,
    /// All but biases and norms, as Transformers' `Trainer` has it: matrices, and DoRA's magnitudes.
    Matrices,
}

impl Decay {
    /// Whether this tensor decays.
    pub fn takes(self, param: &Param) -> bool {
        self == Self::All || param.shape.len() > 1 || param.name.ends_with("lora_magnitude_vector")
    }
}

/// The optimiser's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of the weights, multiplied by the rate.
    pub weight_decay: f64,
    /// What decays.
    pub decay: Decay,
    /// Keep the moments of large tensors in 8 bits.
    pub eight_bits: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, decay: Decay::Matrices, eight_bits: false }
    }
}

/// First and second moments of one tensor.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The tensor.
    pub id: ParamId,
    /// Running means of the gradient and of its square.
    pub kept: Kept,
}

/// How moments are kept.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In 32 bits: first and second.
    Whole(Vec<f32>, Vec<f32>),
    /// In 8 bits: first and second.
    Codes(Blockwise, Blockwise),
}

impl Kept {
    fn zeros(values: usize, eight_bits: bool) -> Self {
        match eight_bits && values >= LEAST_IN_8_BITS {
            true => Self::Codes(Blockwise::zeros(values, Sign::Both), Blockwise::zeros(values, Sign::Positive)),
            false => Self::Whole(vec![0.0; values], vec![0.0; values]),
        }
    }
}

/// The optimiser's state.
#[derive(Clone, Debug)]
pub struct AdamW {
    options: AdamWOptions,
    /// Updates made.
    pub steps: u64,
    /// One entry a trainable tensor.
    pub moments: Vec<Moments>,
}

impl AdamW {
    /// Zero moments for every trainable tensor.
    pub fn new(params: &Params, options: AdamWOptions) -> Self {
        let zeros = |(id, p): (ParamId, &Param)| Moments { id, kept: Kept::zeros(p.value.len(), options.eight_bits) };
        Self { options, steps: 0, moments: params.iter().filter(|(_, p)| p.trainable).map(zeros).collect() }
    }

    /// One update at `rate`; every gradient is first multiplied by `clip`.
    pub fn update(&mut self, params: &mut Params, gradients: &Gradients, rate: f64, clip: f32) {
        self.steps += 1;
        let o = self.options;
        let power = self.steps.min(i32::MAX as u64) as i32;
        let correction2 = (1.0 - o.beta2.powi(power)).sqrt();
        let step_size = (rate / (1.0 - o.beta1.powi(power))) as f32;
        for moments in &mut self.moments {
            let param = &mut params[moments.id];
            let keep = if o.decay.takes(param) { 1.0 - (rate * o.weight_decay) as f32 } else { 1.0 };
            let constants = Constants {
                beta1: o.beta1 as f32,
                beta2: o.beta2 as f32,
                root: correction2 as f32,
                epsilon: o.epsilon as f32,
                step_size,
                keep,
                clip,
            };
            let gradient = gradients.get(moments.id).expect("a trainable tensor has a gradient");
            constants.apply(&mut param.value, gradient, &mut moments.kept);
        }
    }
}

struct Constants {
    beta1: f32,
    beta2: f32,
    root: f32,
    epsilon: f32,
    step_size: f32,
    keep: f32,
    clip: f32,
}

impl Constants {
    fn apply(&self, value: &mut [f32], gradient: &[f32], kept: &mut Kept) {
        let parts = value.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK));
        match kept {
            Kept::Whole(first, second) => {
                let parts = parts.zip(first.chunks_mut(CHUNK).zip(second.chunks_mut(CHUNK)));
                pool::map(parts.collect(), |_, ((value, gradient), (first, second))| {
                    self.update(value, gradient, first, second);
                });
            }
            Kept::Codes(first, second) => {
                let parts = parts.zip(first.parts(CHUNK / BLOCK).zip(second.parts(CHUNK / BLOCK)));
                pool::map(parts.collect(), |_, ((value, gradient), moments)| {
                    self.update_blocks(value, gradient, moments);
                });
            }
        }
    }

    fn update(&self, value: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((w, g), m), v) in value.iter_mut().zip(gradient).zip(first).zip(second) {
            let g = g * self.clip;
            *m += (g - *m) * (1.0 - self.beta1);
            *v = *v * self.beta2 + g * g * (1.0 - self.beta2);
            *w = *w * self.keep - self.step_size * *m / (v.sqrt() / self.root + self.epsilon);
        }
    }

    /// The same through blocks of 32 bits: the weights see the moments before they are rounded.
    fn update_blocks(&self, value: &mut [f32], gradient: &[f32], (first, second): (Part<'_>, Part<'_>)) {
        let parts = value.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK)).zip(first.blocks().zip(second.blocks()));
        let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
        for ((value, gradient), (mut first, mut second)) in parts {
            let (m, v) = (&mut m[..value.len()], &mut v[..value.len()]);
            first.read(m);
            second.read(v);
            self.update(value, gradient, m, v);
            first.write(m);
            second.write(v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_by_the_rate_against_the_sign() {
        let mut params = Params::default();
        let id = params.add("w".into(), vec![2], vec![1.0, 1.0]);
        params[id].trainable = true;
        let mut gradients = Gradients::zeros(&params);
        gradients.get_mut(id).unwrap().copy_from_slice(&[3.0, -0.01]);
        let mut adamw = AdamW::new(&params, AdamWOptions::default());
        adamw.update(&mut params, &gradients, 0.1, 1.0);
        assert!((params[id].value[0] - 0.9).abs() < 1e-5);
        assert!((params[id].value[1] - 1.1).abs() < 1e-5);
    }
}
