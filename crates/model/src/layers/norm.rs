//! A norm with its weights.

use crate::ops::norm::{NormWeights, norm_backward, norm_forward};
use crate::params::{Gradients, ParamId, Params};

/// RMSNorm without a bias, LayerNorm with one.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// (d).
    pub weight: ParamId,
    /// Added to every weight: 1 for norms stored as a distance from 1, else 0.
    pub offset: f32,
    /// (d).
    pub bias: Option<ParamId>,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    fn weights<'a>(&self, params: &'a Params) -> NormWeights<'a> {
        let bias = self.bias.map(|b| params[b].value.as_slice());
        NormWeights { weight: &params[self.weight].value, offset: self.offset, bias, eps: self.eps }
    }

    /// `y` from `x`, both (rows, d).
    pub fn forward(&self, params: &Params, y: &mut [f32], x: &[f32]) {
        norm_forward(y, x, self.weights(params));
    }

    /// Adds the gradient of the input to `d_x` and those of the weights to `gradients`.
    pub fn backward(&self, params: &Params, d_x: &mut [f32], x: &[f32], d_y: &[f32], gradients: &mut Gradients) {
        let weights = self.weights(params);
        let d_weights = match self.bias {
            Some(bias) => {
                let (w, b) = gradients.pair_mut(self.weight, bias);
                w.map(|w| (w, b))
            }
            None => gradients.get_mut(self.weight).map(|w| (w, None)),
        };
        norm_backward(d_x, d_weights, x, d_y, weights);
    }
}
