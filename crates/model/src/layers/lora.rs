//! The adapter of one linear layer: LoRA (Hu et al. 2021), rank-stabilised (Kalajdzievski 2023) by its scale, and DoRA (Liu et
//! al. 2024).
//!
//! `y = W·x + s·B·A·dropout(x)`. With DoRA every output has a magnitude m, and each row of `W + s·B·A` is brought to that length:
//! `y = g ⊙ (W·x + s·B·A·dropout(x))` with `g = m / ‖W + s·B·A‖`. The norm counts as a constant in the gradient, as in the
//! paper's section 4.3 and in PEFT. The sum before g, which the gradient of m needs, is computed again in the backward pass
//! instead of being kept. Dropout meets the pair's input alone; PEFT's DoRA sends a dropped input through `(g - 1)·W` too, which
//! has the same mean and needs one more product.
//!
//! This file reads the weight beside the pair through `Linear::weigh` and `Params::copy_row`, and to merge expanded, so that
//! it may lie in few bits.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::linear::{Backward, Linear};
use super::workspace::Workspace;
use crate::ops::draw::{Mask, draw};
use crate::ops::matmul::{Right, Term, View, Write, matmul, matmul_sum};
use crate::ops::pool;
use crate::params::{ParamId, Params};

/// Rows that one task sums or scales.
const ROWS_PER_TASK: usize = 64;
/// Outputs whose gradients of magnitudes one task sums.
const COLUMNS_PER_TASK: usize = 128;

/// Whether a tensor of this name belongs to an adapter.
pub fn is_adapter(name: &str) -> bool {
    [".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"].iter().any(|end| name.ends_with(end))
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
    /// Factor of the pair's product.
    pub scale: f32,
    /// Share of the pair's input that is dropped where the workspace has noise.
    pub dropout: f32,
    /// Lengths of the rows, for DoRA.
    pub dora: Option<Box<Dora>>,
}

/// What DoRA adds to a pair.
#[derive(Clone, Debug)]
pub struct Dora {
    /// (out): m.
    pub magnitude: ParamId,
    /// (out): ‖W‖² of every row, summed at the first use: the weight beside a pair is frozen.
    squares: OnceLock<Vec<f32>>,
    /// (out): g, where neither the pair nor m will change.
    settled: OnceLock<Vec<f32>>,
}

impl Dora {
    /// With the lengths `magnitude`.
    pub fn new(magnitude: ParamId) -> Self {
        Self { magnitude, squares: OnceLock::new(), settled: OnceLock::new() }
    }
}

impl Lora {
    /// The mask of this layer's input in the pass that the workspace is in.
    fn mask(&self, workspace: &Workspace) -> Option<Mask> {
        let seed = workspace.noise.filter(|_| self.dropout > 0.0)?;
        Some(Mask::new(self.dropout, draw(seed, self.a.number())))
    }

    /// u = s·x·Aᵀ, (rows, rank), of an input that is as it shall be.
    fn project(&self, params: &Params, x: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let inputs = params[self.a].shape[1];
        let rows = x.len() / inputs;
        let mut u = workspace.take(rows * self.rank);
        let a = Right::turned(&params[self.a].value, inputs);
        matmul(&mut u, View::rows(x, inputs), rows, a, Write::SET.scaled(self.scale));
        u
    }

    /// u = s·dropout(x)·Aᵀ, (rows, rank).
    pub(super) fn low_rank(&self, params: &Params, x: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let Some(mask) = self.mask(workspace) else { return self.project(params, x, workspace) };
        let mut dropped = workspace.take(x.len());
        mask.set(&mut dropped, x);
        let u = self.project(params, &dropped, workspace);
        workspace.give(dropped);
        u
    }

    /// u·Bᵀ, (rows, out).
    pub(super) fn term<'a>(&self, params: &'a Params, u: &'a [f32]) -> Term<'a> {
        Term { a: View::rows(u, self.rank), b: Right::turned(&params[self.b].value, self.rank) }
    }

    /// Writes (or adds) the gradient of the input, of which `weight` is the base's part, and adds those of A and B.
    pub(super) fn backward(&self, params: &Params, pass: &mut Backward<'_>, weight: Term<'_>, write: Write) {
        let [inputs, outputs] = [params[self.a].shape[1], params[self.b].shape[0]];
        let rows = pass.x.len() / inputs;
        let mut d_u = pass.workspace.take(rows * self.rank);
        let b = Right::rows(&params[self.b].value, self.rank);
        matmul(&mut d_u, View::rows(pass.d_y, outputs), rows, b, Write::SET.scaled(self.scale));
        let pair = Term { a: View::rows(&d_u, self.rank), b: Right::rows(&params[self.a].value, inputs) };
        if let Some(mask) = self.mask(pass.workspace) {
            matmul_sum(pass.d_x, rows, &[weight], write);
            let mut dropped = pass.workspace.take(pass.x.len());
            mask.set(&mut dropped, pass.x);
            self.gradients(params, pass, &dropped, &d_u);
            matmul_sum(&mut dropped, rows, &[pair], Write::SET);
            mask.add(pass.d_x, &dropped);
            pass.workspace.give(dropped);
        } else {
            matmul_sum(pass.d_x, rows, &[weight, pair], write);
            self.gradients(params, pass, pass.x, &d_u);
        }
        pass.workspace.give(d_u);
    }

    /// With u = s·x·Aᵀ and d_u = s·d_y·B: d_B += d_yᵀ·u and d_A += d_uᵀ·x.
    fn gradients(&self, params: &Params, pass: &mut Backward<'_>, x: &[f32], d_u: &[f32]) {
        let [inputs, outputs] = [params[self.a].shape[1], params[self.b].shape[0]];
        if let Some(d_b) = pass.gradients.get_mut(self.b) {
            let u = self.project(params, x, pass.workspace);
            matmul(d_b, View::transposed(pass.d_y, outputs), outputs, Right::rows(&u, self.rank), Write::ADD);
            pass.workspace.give(u);
        }
        if let Some(d_a) = pass.gradients.get_mut(self.a) {
            // (in, rank): so the narrow side is the one that is copied.
            let mut turned = pass.workspace.take(inputs * self.rank);
            let x = View::transposed(x, inputs);
            matmul(&mut turned, x, inputs, Right::rows(d_u, self.rank), Write::SET);
            for (r, row) in d_a.chunks_exact_mut(inputs).enumerate() {
                row.iter_mut().zip(turned[r..].iter().step_by(self.rank)).for_each(|(a, d)| *a += d);
            }
            pass.workspace.give(turned);
        }
    }
}

/// Σ x², in lanes.
fn square_sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    chunks.iter().for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x * x));
    lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// What DoRA does to a layer.
impl Linear {
    /// ‖W‖² of every row, (out).
    fn base_squares(&self, params: &Params) -> Vec<f32> {
        let mut squares = vec![0.0; self.outputs];
        pool::chunks_mut(&mut squares, ROWS_PER_TASK, |task, squares| {
            let mut row = vec![0.0; self.inputs];
            for (i, square) in squares.iter_mut().enumerate() {
                params.copy_row(self.weight, task * ROWS_PER_TASK + i, &mut row);
                *square = square_sum(&row);
            }
        });
        squares
    }

    /// ‖W‖ of every row, (out): the magnitudes that change nothing while B is zero.
    pub(crate) fn row_lengths(&self, params: &Params) -> Vec<f32> {
        self.base_squares(params).into_iter().map(f32::sqrt).collect()
    }

    /// ‖W + s·B·A‖ of every row, (out), without making that matrix: ‖W‖² + B·(2s·A·Wᵀ + s²·A·Aᵀ·Bᵀ), row by row.
    fn adapted_lengths(&self, params: &Params, (lora, dora): (&Lora, &Dora), workspace: &mut Workspace) -> Vec<f32> {
        let (rank, outputs) = (lora.rank, self.outputs);
        let (a, b) = (&params[lora.a].value, &params[lora.b].value);
        // (rank, out), (rank, rank), (out, rank).
        let [mut aw, mut gram, mut bg] = [rank * outputs, rank * rank, outputs * rank].map(|n| workspace.take(n));
        self.weigh(params, &mut aw, a);
        matmul(&mut gram, View::rows(a, self.inputs), rank, Right::turned(a, self.inputs), Write::SET);
        matmul(&mut bg, View::rows(b, rank), outputs, Right::rows(&gram, rank), Write::SET);
        let squares = dora.squares.get_or_init(|| self.base_squares(params));
        let s = f64::from(lora.scale);
        let length = |o: usize| {
            let products = (0..rank).map(|r| {
                let inner = 2.0 * f64::from(aw[r * outputs + o]) + s * f64::from(bg[o * rank + r]);
                f64::from(b[o * rank + r]) * inner
            });
            // Rounding must not make a row shorter than nothing, nor of no length.
            (f64::from(squares[o]) + s * products.sum::<f64>()).max(f64::from(f32::MIN_POSITIVE)).sqrt() as f32
        };
        let lengths = (0..outputs).map(length).collect();
        [aw, gram, bg].into_iter().for_each(|b| workspace.give(b));
        lengths
    }

    /// g, (out); `None` without DoRA.
    pub(super) fn factors<'a>(&'a self, params: &Params, workspace: &mut Workspace) -> Option<Cow<'a, [f32]>> {
        let lora = self.lora.as_ref()?;
        let dora = lora.dora.as_deref()?;
        if let Some(settled) = dora.settled.get() {
            return Some(settled.into());
        }
        let lengths = self.adapted_lengths(params, (lora, dora), workspace);
        let magnitude = &params[dora.magnitude].value;
        Some(magnitude.iter().zip(lengths).map(|(m, length)| m / length).collect())
    }

    /// Computes g once and for all: pair and magnitudes will not change.
    pub(crate) fn settle(&self, params: &Params) {
        let factors = self.factors(params, &mut Workspace::default()).map(Cow::into_owned);
        if let (Some(dora), Some(factors)) = (self.lora.as_ref().and_then(|lora| lora.dora.as_deref()), factors) {
            dora.settled.get_or_init(|| factors);
        }
    }

    /// g ⊙ d_y, (rows, out), the gradient before the factors; adds that of m: Σ d_y·z / ‖W + s·B·A‖ over the rows, with z
    /// what the forward pass multiplied by g. `None` without DoRA.
    pub(super) fn through_factors(&self, params: &Params, pass: &mut Backward<'_>) -> Option<Vec<f32>> {
        let lora = self.lora.as_ref()?;
        let dora = lora.dora.as_deref()?;
        let lengths = self.adapted_lengths(params, (lora, dora), pass.workspace);
        let (outputs, d_y) = (self.outputs, pass.d_y);
        let mut z = pass.workspace.take(d_y.len());
        if let Some(d_m) = pass.gradients.get_mut(dora.magnitude) {
            self.combined(params, &mut z, pass.x, pass.workspace);
            pool::chunks_mut(d_m, COLUMNS_PER_TASK, |task, d_m| {
                let (from, width) = (task * COLUMNS_PER_TASK, d_m.len());
                let mut sums = [0.0_f32; COLUMNS_PER_TASK];
                for (z, d_y) in z.chunks_exact(outputs).zip(d_y.chunks_exact(outputs)) {
                    let pairs = z[from..][..width].iter().zip(&d_y[from..][..width]);
                    sums.iter_mut().zip(pairs).for_each(|(sum, (z, d_y))| *sum += z * d_y);
                }
                let sums = sums.iter().zip(&lengths[from..]);
                d_m.iter_mut().zip(sums).for_each(|(d_m, (sum, length))| *d_m += sum / length);
            });
        }
        let magnitude = &params[dora.magnitude].value;
        let factors: Vec<f32> = magnitude.iter().zip(lengths).map(|(m, length)| m / length).collect();
        pool::chunks_mut(&mut z, ROWS_PER_TASK * outputs, |task, z| {
            let d_y = d_y[task * ROWS_PER_TASK * outputs..].chunks_exact(outputs);
            for (z, d_y) in z.chunks_exact_mut(outputs).zip(d_y) {
                z.iter_mut().zip(d_y).zip(&factors).for_each(|((z, d_y), g)| *z = d_y * g);
            }
        });
        Some(z)
    }

    /// The weight with the adapter in it, (out, in), in f32.
    pub fn merged<'a>(&self, params: &'a Params) -> Cow<'a, [f32]> {
        let weight = params[self.weight].values();
        let Some(lora) = &self.lora else { return weight };
        let mut merged = weight.into_owned();
        let (left, a) = (View::rows(&params[lora.b].value, lora.rank), &params[lora.a].value);
        matmul(&mut merged, left, self.outputs, Right::rows(a, self.inputs), Write::ADD.scaled(lora.scale));
        if let Some(dora) = &lora.dora {
            for (row, m) in merged.chunks_exact_mut(self.inputs).zip(&params[dora.magnitude].value) {
                let factor = m / square_sum(row).max(f32::MIN_POSITIVE).sqrt();
                row.iter_mut().for_each(|w| *w *= factor);
            }
        }
        merged.into()
    }

    /// Puts the adapter into the weight, which is held in f32 from then on, and removes it.
    pub fn merge(&mut self, params: &mut Params) {
        if self.lora.is_some() {
            let merged = self.merged(params).into_owned();
            params[self.weight].set(merged);
            self.lora = None;
        }
    }
}
