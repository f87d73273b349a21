//! AdamW (Loshchilov & Hutter 2019): Adam's moments with decay applied to the weights themselves.

use wardsmith_model::ops::pool;
use wardsmith_model::params::{Gradients, ParamId, Params};

/// Which tensors decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// All of them, as PyTorch's optimiser does when given one group.
    All,
    /// Matrices only; biases and norms do not decay, as in Transformers.
    Matrices,
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
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, decay: Decay::Matrices }
    }
}

/// First and second moments of one tensor.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The tensor.
    pub id: ParamId,
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
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
        let zeros = |(id, p): (ParamId, &wardsmith_model::params::Param)| Moments {
            id,
            first: vec![0.0; p.value.len()],
            second: vec![0.0; p.value.len()],
        };
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
            let decays = o.decay == Decay::All || param.shape.len() > 1;
            let keep = if decays { 1.0 - (rate * o.weight_decay) as f32 } else { 1.0 };
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
            constants.apply(&mut param.value, gradient, moments);
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
    fn apply(&self, value: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        const CHUNK: usize = 1 << 14;
        let moments = moments.first.chunks_mut(CHUNK).zip(moments.second.chunks_mut(CHUNK));
        let parts = value.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK)).zip(moments);
        pool::map(parts.collect(), |_, ((value, gradient), (first, second))| {
            for (((w, g), m), v) in value.iter_mut().zip(gradient).zip(first).zip(second) {
                let g = g * self.clip;
                *m += (g - *m) * (1.0 - self.beta1);
                *v = *v * self.beta2 + g * g * (1.0 - self.beta2);
                *w = *w * self.keep - self.step_size * *m / (v.sqrt() / self.root + self.epsilon);
            }
        });
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
