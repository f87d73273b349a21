//! `y = x · Wᵀ + b`, with an optional LoRA pair (Hu et al. 2021): `y += (alpha / r) · (x · Aᵀ) · Bᵀ`.
//!
//! Weights have Hugging Face's shape (out, in). They are packed for both directions: once when frozen, once a step when
//! trained. Nothing else in the crate knows of LoRA.

use rayon::prelude::*;

use super::workspace::Workspace;
use crate::ops::gemv::gemv;
use crate::ops::matmul::{Packed, View, Write, matmul};
use crate::ops::quant::multiply;
use crate::params::{Gradients, ParamId, Params};

/// Fewer rows than this get their bias on the calling thread.
const ROWS_FOR_THREADS: usize = 16;

/// Whether backward passes will be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only: half the packed memory.
    Inference,
    /// Forward and backward.
    Training,
}

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
    forward: Packed,
    backward: Packed,
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
    packed: [Packed; 4],
}

impl Lora {
    /// A pair of parameters that already exist.
    pub fn new(a: ParamId, b: ParamId, rank: usize, scale: f32) -> Self {
        Self { a, b, rank, scale, packed: Default::default() }
    }
}

impl Linear {
    /// A layer over parameters that already exist; [`Self::pack`] before use.
    pub fn new(weight: ParamId, bias: Option<ParamId>, inputs: usize, outputs: usize) -> Self {
        Self { weight, bias, inputs, outputs, lora: None, forward: Packed::default(), backward: Packed::default() }
    }

    /// Packs the weight (and the pair) from their current values.
    pub fn pack(&mut self, params: &Params, purpose: Purpose) {
        if params[self.weight].quantised.is_some() {
            self.forward = Packed::default();
            return self.pack_lora(params);
        }
        let (w, inputs, outputs) = (&params[self.weight].value, self.inputs, self.outputs);
        self.forward.fill(View::transposed(w, inputs), inputs, outputs);
        if purpose == Purpose::Training {
            self.backward.fill(View::rows(w, inputs), outputs, inputs);
        }
        self.pack_lora(params);
    }

    /// Packs again what training has changed.
    pub fn repack(&mut self, params: &Params, purpose: Purpose) {
        if params[self.weight].trainable {
            self.pack(params, purpose);
        } else {
            self.pack_lora(params);
        }
    }

    fn pack_lora(&mut self, params: &Params) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        if let Some(lora) = &mut self.lora {
            let (a, b, r) = (&params[lora.a].value, &params[lora.b].value, lora.rank);
            lora.packed[0].fill(View::transposed(a, inputs), inputs, r);
            lora.packed[1].fill(View::transposed(b, r), r, outputs);
            lora.packed[2].fill(View::rows(b, r), outputs, r);
            lora.packed[3].fill(View::rows(a, inputs), r, inputs);
        }
    }

    /// Bytes of packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.forward.bytes() + self.backward.bytes()
    }

    /// `y` (rows, out) from `x` (rows, in); overwrites `y`.
    pub fn forward(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        match &params[self.weight].quantised {
            Some(weight) => multiply(&mut [(weight, y)], x),
            None if x.len() == self.inputs => gemv(y, x, &self.forward),
            None => matmul(y, View::rows(x, self.inputs), x.len() / self.inputs, &self.forward, Write::SET),
        }
        self.finish(params, y, x, workspace);
    }

    /// Adds what is not the weight's: the low-rank pair and the bias.
    pub(super) fn finish(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) {
        let rows = x.len() / self.inputs;
        if let Some(lora) = &self.lora {
            let mut u = workspace.take(rows * lora.rank);
            matmul(&mut u, View::rows(x, self.inputs), rows, &lora.packed[0], Write::SET);
            matmul(y, View::rows(&u, lora.rank), rows, &lora.packed[1], Write::ADD.scaled(lora.scale));
            workspace.give(u);
        }
        if let Some(bias) = self.bias {
            let bias = &params[bias].value;
            if rows < ROWS_FOR_THREADS {
                return y.chunks_mut(self.outputs).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
            }
            y.par_chunks_mut(self.outputs).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
    }

    /// Writes (or adds, as `write` says) the gradient of the input into `d_x` and adds those of the weights.
    pub fn backward(&self, mut pass: Backward<'_>, write: Write) {
        let rows = pass.x.len() / self.inputs;
        let d_y = View::rows(pass.d_y, self.outputs);
        matmul(pass.d_x, d_y, rows, &self.backward, write);
        if let Some(d_w) = pass.gradients.get_mut(self.weight) {
            let packed = Packed::new(View::rows(pass.x, self.inputs), rows, self.inputs);
            matmul(d_w, View::transposed(pass.d_y, self.outputs), self.outputs, &packed, Write::ADD);
        }
        if let Some(d_b) = self.bias.and_then(|b| pass.gradients.get_mut(b)) {
            for d_y in pass.d_y.chunks_exact(self.outputs) {
                d_b.iter_mut().zip(d_y).for_each(|(b, d)| *b += d);
            }
        }
        if let Some(lora) = &self.lora {
            self.lora_backward(lora, &mut pass, rows);
        }
    }

    /// With u = x·Aᵀ and d_u = s·d_y·B: d_B += s·d_yᵀ·u, d_A += d_uᵀ·x, d_x += d_u·A.
    fn lora_backward(&self, lora: &Lora, pass: &mut Backward<'_>, rows: usize) {
        let (mut u, mut d_u) = (pass.workspace.take(rows * lora.rank), pass.workspace.take(rows * lora.rank));
        let x = View::rows(pass.x, self.inputs);
        matmul(&mut d_u, View::rows(pass.d_y, self.outputs), rows, &lora.packed[2], Write::SET.scaled(lora.scale));
        matmul(pass.d_x, View::rows(&d_u, lora.rank), rows, &lora.packed[3], Write::ADD);
        if let Some(d_b) = pass.gradients.get_mut(lora.b) {
            matmul(&mut u, x, rows, &lora.packed[0], Write::SET);
            let packed = Packed::new(View::rows(&u, lora.rank), rows, lora.rank);
            let d_y = View::transposed(pass.d_y, self.outputs);
            matmul(d_b, d_y, self.outputs, &packed, Write::ADD.scaled(lora.scale));
        }
        if let Some(d_a) = pass.gradients.get_mut(lora.a) {
            let packed = Packed::new(x, rows, self.inputs);
            matmul(d_a, View::transposed(&d_u, lora.rank), lora.rank, &packed, Write::ADD);
        }
        pass.workspace.give(u);
        pass.workspace.give(d_u);
    }

    /// Adds the pair into the weight and removes it.
    pub fn merge(&mut self, params: &mut Params) {
        if let Some(lora) = self.lora.take() {
            let packed = Packed::new(View::rows(&params[lora.a].value, self.inputs), lora.rank, self.inputs);
            let b = std::mem::take(&mut params[lora.b].value);
            let write = Write::ADD.scaled(lora.scale);
            matmul(&mut params[self.weight].value, View::rows(&b, lora.rank), self.outputs, &packed, write);
            params[lora.b].value = b;
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
        linear.lora = Some(Lora::new(a, b, 2, 2.0));
        linear.pack(&params, Purpose::Training);
        (linear, params)
    }

    fn run(linear: &Linear, params: &Params, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; 15];
        linear.forward(params, &mut y, x, &mut Workspace::default());
        y
    }

    #[test]
    fn every_gradient_agrees_with_finite_differences() {
        let (mut linear, mut params) = layer();
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
        linear.backward(pass, Write::SET);
        check_gradient(&x, &d_x, |x| dot(&run(&linear, &params, x), &up));
        let ids: Vec<_> = params.iter().map(|(id, _)| id).collect();
        for id in ids {
            let original = params[id].value.clone();
            let analytic = gradients.get(id).unwrap().to_vec();
            check_gradient(&original, &analytic, |v| {
                params[id].value = v.to_vec();
                linear.pack(&params, Purpose::Training);
                dot(&run(&linear, &params, &x), &up)
            });
            params[id].value = original;
            linear.pack(&params, Purpose::Training);
        }
    }

    #[test]
    fn a_merged_pair_gives_the_same_output() {
        let (mut linear, mut params) = layer();
        let x = noise(12, 7);
        let before = run(&linear, &params, &x);
        linear.merge(&mut params);
        linear.pack(&params, Purpose::Inference);
        let after = run(&linear, &params, &x);
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
