//! `y = x · Wᵀ + b`, with an optional LoRA pair (Hu et al. 2021): `y += (alpha / r) · (x · Aᵀ) · Bᵀ`.
//!
//! Weights have Hugging Face's shape (out, in) and are read as they lie, in both directions: the product packs a panel at a
//! time, which took 6 % of a step in LOG.md. Nothing else in the crate knows of LoRA.

use super::workspace::Workspace;
use crate::ops::gemv::gemv;
use crate::ops::matmul::{Right, Term, View, Write, matmul, matmul_sum};
use crate::ops::pool;
use crate::ops::quant::multiply;
use crate::params::{Gradients, ParamId, Params};

/// Rows that get their bias in one task.
const ROWS_PER_TASK: usize = 32;

/// A linear layer.
#[derive(Clone, Debug)]
pub struct Linear {
    /// (out, in).
    pub weight: ParamId,
    /// (out).
    pub bias: Option<ParamId>,
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// The low-rank pair beside the weight.
    pub lora: Option<Lora>,
}

/// The low-rank pair.
#[derive(Clone, Debug)]
pub struct Lora {
    /// (rank, in).
    pub a: ParamId,
    /// (out, rank).
    pub b: ParamId,
    /// Rank.
    pub rank: usize,
    /// `alpha / rank`.
    pub scale: f32,
}

impl Linear {
    /// A layer over parameters that already exist.
    pub fn new(weight: ParamId, bias: Option<ParamId>, inputs: usize, outputs: usize) -> Self {
        Self { weight, bias, inputs, outputs, lora: None }
    }

    /// `y` (rows, out) from `x` (rows, in); overwrites `y`.
    pub fn forward(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        let (rows, weight) = (x.len() / self.inputs, &params[self.weight]);
        match (&weight.quantised, &self.lora) {
            (Some(weight), _) => multiply(&mut [(weight, y)], x),
            (None, _) if rows == 1 => gemv(y, x, &weight.value),
            (None, Some(lora)) => {
                let u = self.low_rank(params, lora, x, workspace);
                let weight = Term { a: View::rows(x, self.inputs), b: Right::turned(&weight.value, self.inputs) };
                let pair = Term { a: View::rows(&u, lora.rank), b: Right::turned(&params[lora.b].value, lora.rank) };
                matmul_sum(y, rows, &[weight, pair], Write::SET);
                workspace.give(u);
                return self.add_bias(params, y);
            }
            (None, None) => {
                let b = Right::turned(&weight.value, self.inputs);
                matmul(y, View::rows(x, self.inputs), rows, b, Write::SET);
            }
        }
        self.finish(params, y, x, workspace);
    }

    /// Adds what is not the weight's: the low-rank pair and the bias.
    pub(super) fn finish(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        let rows = x.len() / self.inputs;
        if let Some(lora) = &self.lora {
            let u = self.low_rank(params, lora, x, workspace);
            let b = Right::turned(&params[lora.b].value, lora.rank);
            matmul(y, View::rows(&u, lora.rank), rows, b, Write::ADD);
            workspace.give(u);
        }
        self.add_bias(params, y);
    }

    fn add_bias(&self, params: &Params, y: &mut [f32]) {
        if let Some(bias) = self.bias {
            let bias = &params[bias].value;
            pool::chunks_mut(y, ROWS_PER_TASK * self.outputs, |_, y| {
                y.chunks_exact_mut(self.outputs).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
            });
        }
    }

    /// u = (alpha / r) · x · Aᵀ, (rows, rank).
    fn low_rank(&self, params: &Params, lora: &Lora, x: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut u = workspace.take(rows * lora.rank);
        let a = Right::turned(&params[lora.a].value, self.inputs);
        matmul(&mut u, View::rows(x, self.inputs), rows, a, Write::SET.scaled(lora.scale));
        u
    }

    /// Writes (or adds, as `write` says) the gradient of the input into `d_x` and adds those of the weights.
    pub fn backward(&self, params: &Params, mut pass: Backward<'_>, write: Write) {
        let rows = pass.x.len() / self.inputs;
        let d_y = View::rows(pass.d_y, self.outputs);
        let weight = Term { a: d_y, b: Right::rows(&params[self.weight].value, self.inputs) };
        if let Some(lora) = &self.lora {
            let mut d_u = pass.workspace.take(rows * lora.rank);
            let b = Right::rows(&params[lora.b].value, lora.rank);
            matmul(&mut d_u, d_y, rows, b, Write::SET.scaled(lora.scale));
            let a = Right::rows(&params[lora.a].value, self.inputs);
            matmul_sum(pass.d_x, rows, &[weight, Term { a: View::rows(&d_u, lora.rank), b: a }], write);
            self.pair_gradients(params, lora, &mut pass, &d_u);
            pass.workspace.give(d_u);
        } else {
            matmul_sum(pass.d_x, rows, &[weight], write);
        }
        if let Some(d_w) = pass.gradients.get_mut(self.weight) {
            let x = Right::rows(pass.x, self.inputs);
            matmul(d_w, View::transposed(pass.d_y, self.outputs), self.outputs, x, Write::ADD);
        }
        if let Some(d_b) = self.bias.and_then(|b| pass.gradients.get_mut(b)) {
            for d_y in pass.d_y.chunks_exact(self.outputs) {
                d_b.iter_mut().zip(d_y).for_each(|(b, d)| *b += d);
            }
        }
    }

    /// With u = s·x·Aᵀ and d_u = s·d_y·B: d_B += d_yᵀ·u and d_A += d_uᵀ·x.
    fn pair_gradients(&self, params: &Params, lora: &Lora, pass: &mut Backward<'_>, d_u: &[f32]) {
        if let Some(d_b) = pass.gradients.get_mut(lora.b) {
            let u = self.low_rank(params, lora, pass.x, pass.workspace);
            let d_y = View::transposed(pass.d_y, self.outputs);
            matmul(d_b, d_y, self.outputs, Right::rows(&u, lora.rank), Write::ADD);
            pass.workspace.give(u);
        }
        if let Some(d_a) = pass.gradients.get_mut(lora.a) {
            // (in, rank): so the narrow side is the one that is copied.
            let mut turned = pass.workspace.take(self.inputs * lora.rank);
            let x = View::transposed(pass.x, self.inputs);
            matmul(&mut turned, x, self.inputs, Right::rows(d_u, lora.rank), Write::SET);
            for (r, row) in d_a.chunks_exact_mut(self.inputs).enumerate() {
                row.iter_mut().zip(turned[r..].iter().step_by(lora.rank)).for_each(|(a, d)| *a += d);
            }
            pass.workspace.give(turned);
        }
    }

    /// Adds the pair into the weight and removes it.
    pub fn merge(&mut self, params: &mut Params) {
        if let Some(lora) = self.lora.take() {
            let (a, b) = (std::mem::take(&mut params[lora.a].value), std::mem::take(&mut params[lora.b].value));
            let (write, left) = (Write::ADD.scaled(lora.scale), View::rows(&b, lora.rank));
            matmul(&mut params[self.weight].value, left, self.outputs, Right::rows(&a, self.inputs), write);
            (params[lora.a].value, params[lora.b].value) = (a, b);
        }
    }
}

/// What a backward pass reads and writes.
pub struct Backward<'a> {
    /// (rows, in): gradient of the input.
    pub d_x: &'a mut [f32],
    /// (rows, in): the input of the forward pass.
    pub x: &'a [f32],
    /// (rows, out): gradient of the output.
    pub d_y: &'a [f32],
    /// Gradients of the weights, added to.
    pub gradients: &'a mut Gradients,
    /// Buffers.
    pub workspace: &'a mut Workspace,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, dot, noise};

    fn layer() -> (Linear, Params) {
        let mut params = Params::default();
        let weight = params.add("w".into(), vec![5, 4], noise(20, 1));
        let bias = params.add("b".into(), vec![5], noise(5, 2));
        let a = params.add("a".into(), vec![2, 4], noise(8, 3));
        let b = params.add("bb".into(), vec![5, 2], noise(10, 4));
        params.iter_mut().for_each(|(_, p)| p.trainable = true);
        let mut linear = Linear::new(weight, Some(bias), 4, 5);
        linear.lora = Some(Lora { a, b, rank: 2, scale: 2.0 });
        (linear, params)
    }

    fn run(linear: &Linear, params: &Params, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; 15];
        linear.forward(params, &mut y, x, &mut Workspace::default());
        y
    }

    #[test]
    fn every_gradient_agrees_with_finite_differences() {
        let (linear, mut params) = layer();
        let (x, up) = (noise(12, 5), noise(15, 6));
        let mut gradients = Gradients::zeros(&params);
        let mut d_x = vec![0.0; 12];
        let pass = Backward {
            d_x: &mut d_x,
            x: &x,
            d_y: &up,
            gradients: &mut gradients,
            workspace: &mut Workspace::default(),
        };
        linear.backward(&params, pass, Write::SET);
        check_gradient(&x, &d_x, |x| dot(&run(&linear, &params, x), &up));
        let ids: Vec<_> = params.iter().map(|(id, _)| id).collect();
        for id in ids {
            let original = params[id].value.clone();
            let analytic = gradients.get(id).unwrap().to_vec();
            check_gradient(&original, &analytic, |v| {
                params[id].value = v.to_vec();
                dot(&run(&linear, &params, &x), &up)
            });
            params[id].value = original;
        }
    }

    #[test]
    fn a_merged_pair_gives_the_same_output() {
        let (mut linear, mut params) = layer();
        let x = noise(12, 7);
        let before = run(&linear, &params, &x);
        linear.merge(&mut params);
        let after = run(&linear, &params, &x);
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
