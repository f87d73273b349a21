//! `y = x · Wᵀ + b`, with an optional adapter beside the weight (`lora`).
//!
//! Weights have Hugging Face's shape (out, in) and are read as they lie, in both directions: the product packs a panel at a
//! time, which took 6 % of a step in LOG.md. Nothing outside this file and `lora` knows of adapters.

use super::lora::Lora;
use super::workspace::Workspace;
use crate::ops::gemv::{gemv, gemv_stored};
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
    /// The adapter beside the weight.
    pub lora: Option<Lora>,
}

impl Linear {
    /// A layer over parameters that already exist.
    pub fn new(weight: ParamId, bias: Option<ParamId>, inputs: usize, outputs: usize) -> Self {
        Self { weight, bias, inputs, outputs, lora: None }
    }

    /// `y` (rows, out) from `x` (rows, in); overwrites `y`.
    pub fn forward(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        self.combined(params, y, x, workspace);
        self.close(params, y, workspace);
    }

    /// `x · Wᵀ` alone, (rows, out).
    pub(super) fn weigh(&self, params: &Params, y: &mut [f32], x: &[f32]) {
        let (rows, weight) = (x.len() / self.inputs, &params[self.weight]);
        match (&weight.quantised, &weight.frozen) {
            (Some(weight), _) => multiply(&mut [(weight, y)], x),
            (None, Some(weight)) if rows == 1 => gemv_stored(y, x, weight),
            (None, None) if rows == 1 => gemv(y, x, &weight.value),
            _ => matmul(y, View::rows(x, self.inputs), rows, weight.turned(), Write::SET),
        }
    }

    /// The weight's and the pair's products, (rows, out).
    pub(super) fn combined(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        let (rows, weight) = (x.len() / self.inputs, &params[self.weight]);
        match &self.lora {
            Some(lora) if rows > 1 && weight.quantised.is_none() => {
                let u = lora.low_rank(params, x, workspace);
                let weight = Term { a: View::rows(x, self.inputs), b: weight.turned() };
                matmul_sum(y, rows, &[weight, lora.term(params, &u)], Write::SET);
                workspace.give(u);
            }
            _ => {
                self.weigh(params, y, x);
                self.add_pair(params, y, x, workspace);
            }
        }
    }

    /// What is not the weight's, after [`Self::weigh`]: the pair, DoRA's factors and the bias.
    pub(super) fn finish(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        self.add_pair(params, y, x, workspace);
        self.close(params, y, workspace);
    }

    fn add_pair(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        if let Some(lora) = &self.lora {
            let u = lora.low_rank(params, x, workspace);
            matmul_sum(y, x.len() / self.inputs, &[lora.term(params, &u)], Write::ADD);
            workspace.give(u);
        }
    }

    /// `y ← g ⊙ y + b`.
    fn close(&self, params: &Params, y: &mut [f32], workspace: &mut Workspace) {
        if let Some(factors) = self.factors(params, workspace) {
            pool::chunks_mut(y, ROWS_PER_TASK * self.outputs, |_, y| {
                y.chunks_exact_mut(self.outputs).for_each(|y| y.iter_mut().zip(&*factors).for_each(|(y, g)| *y *= g));
            });
        }
        if let Some(bias) = self.bias {
            let bias = &params[bias].value;
            pool::chunks_mut(y, ROWS_PER_TASK * self.outputs, |_, y| {
                y.chunks_exact_mut(self.outputs).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
            });
        }
    }

    /// Writes (or adds, as `write` says) the gradient of the input into `d_x` and adds those of the weights.
    pub fn backward(&self, params: &Params, mut pass: Backward<'_>, write: Write) {
        if let Some(d_b) = self.bias.and_then(|b| pass.gradients.get_mut(b)) {
            for d_y in pass.d_y.chunks_exact(self.outputs) {
                d_b.iter_mut().zip(d_y).for_each(|(b, d)| *b += d);
            }
        }
        let Some(scaled) = self.through_factors(params, &mut pass) else {
            return self.backward_combined(params, pass, write);
        };
        let Backward { d_x, x, gradients, workspace, .. } = pass;
        let inner = Backward { d_x, x, d_y: &scaled, gradients, workspace: &mut *workspace };
        self.backward_combined(params, inner, write);
        workspace.give(scaled);
    }

    /// The way back of [`Self::combined`].
    fn backward_combined(&self, params: &Params, mut pass: Backward<'_>, write: Write) {
        let rows = pass.x.len() / self.inputs;
        let d_y = View::rows(pass.d_y, self.outputs);
        let weight = Term { a: d_y, b: params[self.weight].lying() };
        match &self.lora {
            Some(lora) => lora.backward(params, &mut pass, weight, write),
            None => matmul_sum(pass.d_x, rows, &[weight], write),
        }
        if let Some(d_w) = pass.gradients.get_mut(self.weight) {
            let x = Right::rows(pass.x, self.inputs);
            matmul(d_w, View::transposed(pass.d_y, self.outputs), self.outputs, x, Write::ADD);
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
    use crate::layers::lora::Dora;
    use crate::ops::testing::{check_gradient, dot, noise};

    fn layer(dropout: f32, dora: bool) -> (Linear, Params) {
        let mut params = Params::default();
        let weight = params.add("w".into(), vec![5, 4], noise(20, 1));
        let bias = params.add("b".into(), vec![5], noise(5, 2));
        let a = params.add("a".into(), vec![2, 4], noise(8, 3));
        let b = params.add("bb".into(), vec![5, 2], noise(10, 4));
        let dora = dora.then(|| Box::new(Dora::new(params.add("m".into(), vec![5], noise(5, 5)))));
        params.iter_mut().for_each(|(_, p)| p.trainable = true);
        let mut linear = Linear::new(weight, Some(bias), 4, 5);
        linear.lora = Some(Lora { a, b, rank: 2, scale: 2.0, dropout, dora });
        (linear, params)
    }

    fn noisy() -> Workspace {
        let mut workspace = Workspace::default();
        workspace.noise = Some(3);
        workspace
    }

    fn run(linear: &Linear, params: &Params, x: &[f32], mut workspace: Workspace) -> Vec<f32> {
        let mut y = vec![0.0; 15];
        linear.forward(params, &mut y, x, &mut workspace);
        y
    }

    /// Those of `linear` by its backward pass against those of `moved` by differences.
    fn check(linear: &Linear, moved: &Linear, params: &mut Params, which: impl Fn(&str) -> bool) {
        let (x, up) = (noise(12, 5), noise(15, 6));
        let mut gradients = Gradients::zeros(params);
        let mut d_x = vec![0.0; 12];
        let pass = Backward { d_x: &mut d_x, x: &x, d_y: &up, gradients: &mut gradients, workspace: &mut noisy() };
        linear.backward(params, pass, Write::SET);
        check_gradient(&x, &d_x, |x| dot(&run(moved, params, x, noisy()), &up));
        let ids: Vec<_> = params.iter().filter(|(_, p)| which(&p.name)).map(|(id, _)| id).collect();
        for id in ids {
            let original = params[id].value.clone();
            let analytic = gradients.get(id).unwrap().to_vec();
            check_gradient(&original, &analytic, |v| {
                params[id].value = v.to_vec();
                dot(&run(moved, params, &x, noisy()), &up)
            });
            params[id].value = original;
        }
    }

    #[test]
    fn every_gradient_agrees_with_finite_differences() {
        for dropout in [0.0, 0.4] {
            let (linear, mut params) = layer(dropout, false);
            check(&linear, &linear, &mut params, |_| true);
        }
    }

    #[test]
    fn with_dora_they_do_while_the_norm_stands_still() {
        for dropout in [0.0, 0.4] {
            let (linear, mut params) = layer(dropout, true);
            check(&linear, &linear, &mut params, |name| name == "m");
            let settled = linear.clone();
            settled.settle(&params);
            check(&linear, &settled, &mut params, |name| name != "m");
        }
    }

    #[test]
    fn a_merged_adapter_gives_the_same_output() {
        for dora in [false, true] {
            let (mut linear, mut params) = layer(0.4, dora);
            let x = noise(12, 7);
            let before = run(&linear, &params, &x, Workspace::default());
            let dropped = run(&linear, &params, &x, noisy());
            assert!(before.iter().zip(&dropped).any(|(a, b)| (a - b).abs() > 0.1), "noise drops something");
            linear.merge(&mut params);
            let after = run(&linear, &params, &x, Workspace::default());
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5), "DoRA {dora}");
        }
    }

    #[test]
    fn rows_have_the_length_that_dora_gives_them() {
        let (mut linear, mut params) = layer(0.0, true);
        let magnitude = linear.lora.as_ref().and_then(|lora| lora.dora.as_deref()).unwrap().magnitude;
        linear.merge(&mut params);
        for (row, m) in params[linear.weight].value.chunks_exact(4).zip(&params[magnitude].value) {
            let length = row.iter().map(|w| w * w).sum::<f32>().sqrt();
            assert!((length - m.abs()).abs() < 1e-6, "{length} against {m}");
        }
    }
}
