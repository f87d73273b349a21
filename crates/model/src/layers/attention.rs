//! Self-attention with its projections, separate or fused, over packed documents.

use std::sync::Arc;

use super::linear::{Backward, Linear};
use super::norm::Norm;
use super::together::forward_together;
use super::workspace::Workspace;
use crate::ops::attention::{AttentionShape, Document, Qkv, QkvGradient, attention_backward, attention_forward};
use crate::ops::matmul::Write;
use crate::ops::pool;
use crate::ops::rotary::{RotaryTable, Turn};
use crate::params::{Gradients, Params};

/// The input projections.
#[derive(Clone, Debug)]
pub enum Projections {
    /// One linear layer each.
    Separate {
        /// Queries.
        q: Linear,
        /// Keys.
        k: Linear,
        /// Values.
        v: Linear,
    },
    /// One layer for all three.
    Fused(Linear, FusedRows),
}

/// The rows of a fused projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedRows {
    /// (head, query|key|value, element), as BLOOM and GPT-NeoX have them.
    ByHead,
    /// (query heads, key heads, value heads), as GPT-2 and Phi-3 have them.
    ByPart,
}

/// Norms of queries and keys, over as many elements as they have weights: those of a head, or all heads'.
#[derive(Clone, Copy, Debug)]
pub struct QkNorms {
    /// Of queries.
    pub q: Norm,
    /// Of keys.
    pub k: Norm,
}

/// An attention layer.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Into queries, keys and values.
    pub projections: Projections,
    /// Norms of separately projected queries and keys.
    pub qk_norms: Option<QkNorms>,
    /// Angles, where the layer turns queries and keys to their positions.
    pub rotary: Option<Arc<RotaryTable>>,
    /// From the heads back to the model's width.
    pub output: Linear,
    /// Heads, scale, window, slopes.
    pub shape: AttentionShape,
}

/// Where a batch's tokens stand.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Where the packed documents lie.
    pub documents: &'a [Document],
    /// Each token's position in its document.
    pub positions: &'a [u32],
}

/// What the backward pass needs.
#[derive(Debug)]
pub struct AttentionSaved {
    /// Head-major queries, keys and values.
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Token-major queries and keys before their norms, if there are any.
    unnormed: [Option<Vec<f32>>; 2],
    /// (T, heads · head_dim): the input of the output projection.
    attended: Vec<f32>,
}

impl AttentionSaved {
    /// Gives the buffers back.
    pub fn release(self, workspace: &mut Workspace) {
        [self.q, self.k, self.v, self.attended].into_iter().for_each(|b| workspace.give(b));
        self.unnormed.into_iter().flatten().for_each(|b| workspace.give(b));
    }
}

/// Tokens that a task of [`HeadLayout::scatter`] writes.
const ROWS_PER_TASK: usize = 64;

/// Where a group of heads lies in a token-major projection.
#[derive(Clone, Copy)]
struct HeadLayout {
    heads: usize,
    row_stride: usize,
    offset: usize,
    head_stride: usize,
}

impl HeadLayout {
    fn plain(heads: usize, head_dim: usize) -> Self {
        Self { heads, row_stride: heads * head_dim, offset: 0, head_stride: head_dim }
    }

    fn fused(rows: FusedRows, shape: &AttentionShape, part: usize) -> Self {
        let (d, kv, queries) = (shape.head_dim, shape.kv_heads, shape.kv_heads * shape.group);
        let row_stride = (queries + 2 * kv) * d;
        let heads = if part == 0 { queries } else { kv };
        match rows {
            FusedRows::ByHead => Self { heads, row_stride, offset: part * d, head_stride: 3 * d },
            FusedRows::ByPart => {
                let offset = [0, queries * d, (queries + kv) * d][part];
                Self { heads, row_stride, offset, head_stride: d }
            }
        }
    }

    /// (T, row_stride) → (heads, T, head_dim).
    fn gather(self, out: &mut [f32], tokens: &[f32], head_dim: usize) {
        let rows = tokens.len() / self.row_stride;
        pool::chunks_mut(out, rows * head_dim, |h, out| {
            let from = self.offset + h * self.head_stride;
            for (out, row) in out.chunks_exact_mut(head_dim).zip(tokens.chunks_exact(self.row_stride)) {
                out.copy_from_slice(&row[from..from + head_dim]);
            }
        });
    }

    /// (heads, T, head_dim) → (T, row_stride), the part of these heads only.
    fn scatter(self, tokens: &mut [f32], heads: &[f32], head_dim: usize) {
        let rows = tokens.len() / self.row_stride;
        debug_assert_eq!(heads.len(), self.heads * rows * head_dim);
        pool::chunks_mut(tokens, self.row_stride * ROWS_PER_TASK, |task, tokens| {
            for (h, heads) in heads.chunks_exact(rows * head_dim).enumerate() {
                let to = self.offset + h * self.head_stride;
                let heads = heads[task * ROWS_PER_TASK * head_dim..].chunks_exact(head_dim);
                for (head, row) in heads.zip(tokens.chunks_exact_mut(self.row_stride)) {
                    row[to..to + head_dim].copy_from_slice(head);
                }
            }
        });
    }
}

impl Attention {
    /// Every linear layer.
    pub fn linears(&self) -> Vec<&Linear> {
        let mut all = match &self.projections {
            Projections::Separate { q, k, v } => vec![q, k, v],
            Projections::Fused(linear, _) => vec![linear],
        };
        all.push(&self.output);
        all
    }

    /// Every linear layer, to adapt.
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let mut all = match &mut self.projections {
            Projections::Separate { q, k, v } => vec![q, k, v],
            Projections::Fused(linear, _) => vec![linear],
        };
        all.push(&mut self.output);
        all
    }

    /// Each projection with the heads it feeds: 0 queries, 1 keys, 2 values.
    fn parts(&self) -> Vec<(&Linear, Vec<(usize, HeadLayout)>)> {
        let (d, kv) = (self.shape.head_dim, self.shape.kv_heads);
        let queries = kv * self.shape.group;
        match &self.projections {
            Projections::Separate { q, k, v } => vec![
                (q, vec![(0, HeadLayout::plain(queries, d))]),
                (k, vec![(1, HeadLayout::plain(kv, d))]),
                (v, vec![(2, HeadLayout::plain(kv, d))]),
            ],
            Projections::Fused(linear, rows) => {
                vec![(linear, (0..3).map(|part| (part, HeadLayout::fused(*rows, &self.shape, part))).collect())]
            }
        }
    }

    /// The norm of part 0 (queries) or 1 (keys).
    fn norm_of(&self, part: usize) -> Option<&Norm> {
        let norms = self.qk_norms.as_ref()?;
        [&norms.q, &norms.k].get(part).copied()
    }

    fn turn(&self, x: &mut [f32], positions: &[u32], turn: Turn) {
        if let Some(table) = &self.rotary {
            let d = self.shape.head_dim;
            pool::chunks_mut(x, positions.len() * d, |_, x| table.apply(x, d, positions, turn));
        }
    }

    /// Projects `x` (T, d) into head-major queries, keys and values, normalised and turned to their positions.
    pub fn project(&self, params: &Params, x: &[f32], layout: Layout<'_>, workspace: &mut Workspace) -> [Vec<f32>; 3] {
        let (out, unnormed) = self.project_keeping(params, x, layout, workspace);
        unnormed.into_iter().flatten().for_each(|b| workspace.give(b));
        out
    }

    /// The same, with the token-major queries and keys before their norms.
    fn project_keeping(
        &self,
        params: &Params,
        x: &[f32],
        layout: Layout<'_>,
        workspace: &mut Workspace,
    ) -> ([Vec<f32>; 3], [Option<Vec<f32>>; 2]) {
        let (tokens, d, kv) = (layout.positions.len(), self.shape.head_dim, self.shape.kv_heads);
        let sizes = [kv * self.shape.group, kv, kv].map(|heads| heads * tokens * d);
        let mut out = sizes.map(|n| workspace.take(n));
        let mut unnormed = [None, None];
        let parts = self.parts();
        let mut all: Vec<_> = parts.iter().map(|(linear, _)| workspace.take(tokens * linear.outputs)).collect();
        let mut outputs: Vec<_> =
            parts.iter().zip(&mut all).map(|((linear, _), y)| (*linear, y.as_mut_slice())).collect();
        forward_together(params, &mut outputs, x, workspace);
        for ((_, targets), mut y) in parts.iter().zip(all) {
            for (part, heads) in targets {
                if let Some(norm) = self.norm_of(*part) {
                    let mut normed = workspace.take(y.len());
                    norm.forward(params, &mut normed, &y);
                    unnormed[*part] = Some(std::mem::replace(&mut y, normed));
                }
                heads.gather(&mut out[*part], &y, d);
            }
            workspace.give(y);
        }
        self.turn(&mut out[0], layout.positions, Turn::Forward);
        self.turn(&mut out[1], layout.positions, Turn::Forward);
        (out, unnormed)
    }

    /// Heads (head-major) back to the model's width: `y` (T, d); returns the token-major heads.
    pub fn merge_heads(&self, params: &Params, y: &mut [f32], heads: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let mut attended = workspace.take(heads.len());
        let layout = HeadLayout::plain(self.shape.kv_heads * self.shape.group, self.shape.head_dim);
        layout.scatter(&mut attended, heads, self.shape.head_dim);
        self.output.forward(params, y, &attended, workspace);
        attended
    }

    /// `y` (T, d) from `x` (T, d).
    pub fn forward(
        &self,
        params: &Params,
        y: &mut [f32],
        x: &[f32],
        layout: Layout<'_>,
        workspace: &mut Workspace,
    ) -> AttentionSaved {
        let ([q, k, v], unnormed) = self.project_keeping(params, x, layout, workspace);
        let mut heads = workspace.take(q.len());
        attention_forward(&mut heads, Qkv { q: &q, k: &k, v: &v }, layout.documents, &self.shape);
        let attended = self.merge_heads(params, y, &heads, workspace);
        workspace.give(heads);
        AttentionSaved { q, k, v, unnormed, attended }
    }

    /// Overwrites `d_x` with the gradient of the input `x`.
    pub fn backward(&self, params: &Params, pass: Backward<'_>, saved: &AttentionSaved, layout: Layout<'_>) {
        let Backward { d_x, x, d_y, gradients, workspace } = pass;
        let mut d_heads = self.heads_gradient(params, d_y, saved, (&mut *gradients, &mut *workspace));
        let mut d = [workspace.take(saved.q.len()), workspace.take(saved.k.len()), workspace.take(saved.v.len())];
        let [d_q, d_k, d_v] = &mut d;
        let qkv = Qkv { q: &saved.q, k: &saved.k, v: &saved.v };
        attention_backward(
            QkvGradient { d_q: &mut *d_q, d_k: &mut *d_k, d_v },
            &d_heads,
            qkv,
            layout.documents,
            &self.shape,
        );
        self.turn(d_q, layout.positions, Turn::Backward);
        self.turn(d_k, layout.positions, Turn::Backward);
        for (i, (linear, sources)) in self.parts().into_iter().enumerate() {
            let width = layout.positions.len() * linear.outputs;
            if d_heads.capacity() < width {
                workspace.give(std::mem::take(&mut d_heads));
                d_heads = workspace.take(width);
            }
            d_heads.resize(width, 0.0);
            for (part, heads) in sources {
                heads.scatter(&mut d_heads, &d[part], self.shape.head_dim);
                if let (Some(norm), Some(before)) =
                    (self.norm_of(part), saved.unnormed.get(part).and_then(Option::as_ref))
                {
                    let mut d_before = workspace.zeros(before.len());
                    norm.backward(params, &mut d_before, before, &d_heads, gradients);
                    workspace.give(std::mem::replace(&mut d_heads, d_before));
                }
            }
            let write = if i == 0 { Write::SET } else { Write::ADD };
            let one =
                Backward { d_x: &mut *d_x, x, d_y: &d_heads, gradients: &mut *gradients, workspace: &mut *workspace };
            linear.backward(params, one, write);
        }
        d.into_iter().for_each(|b| workspace.give(b));
        workspace.give(d_heads);
    }

    /// Through the output projection: the gradient of the heads, head-major.
    fn heads_gradient(
        &self,
        params: &Params,
        d_y: &[f32],
        saved: &AttentionSaved,
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) -> Vec<f32> {
        let mut d_attended = workspace.take(saved.attended.len());
        let pass = Backward { d_x: &mut d_attended, x: &saved.attended, d_y, gradients, workspace: &mut *workspace };
        self.output.backward(params, pass, Write::SET);
        let mut d_heads = workspace.take(saved.attended.len());
        let layout = HeadLayout::plain(self.shape.kv_heads * self.shape.group, self.shape.head_dim);
        layout.gather(&mut d_heads, &d_attended, self.shape.head_dim);
        workspace.give(d_attended);
        d_heads
    }
}
