//! Keys and values of tokens already seen, and the forward pass of new tokens over them.
//!
//! A slot holds one token's keys and values in every layer. New tokens say which slots they may see: all before them
//! (prefill, decoding), or a shared beginning and their own ancestors (the branches of a tree of answers).

use rayon::prelude::*;

use crate::layers::attention::{Attention, Layout};
use crate::layers::workspace::Workspace;
use crate::model::Model;
use crate::ops::attention::{AttentionShape, softmax};
use crate::ops::matmul::{Packed, View, Write, matmul};
use crate::ops::softcap::softcap_forward;
use crate::params::Params;

/// Keys and values of one sequence (or tree of sequences).
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// (layer, kv head) → (slots, head_dim) keys and values.
    heads: Vec<(Vec<f32>, Vec<f32>)>,
    /// Each slot's position in its sequence.
    positions: Vec<u32>,
}

impl Cache {
    /// An empty cache for a model.
    pub fn new(model: &Model) -> Self {
        Self { heads: vec![Default::default(); model.spec.layers() * model.spec.kv_heads], positions: Vec::new() }
    }

    /// Number of tokens held.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Forgets all slots from `len` on.
    pub fn truncate(&mut self, len: usize) {
        let slots = self.positions.len().max(1);
        for (k, v) in &mut self.heads {
            let head_dim = k.len() / slots;
            k.truncate(len * head_dim);
            v.truncate(len * head_dim);
        }
        self.positions.truncate(len);
    }
}

/// What new tokens may see.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// Everything before them, and themselves.
    Causal,
    /// The first `prefix` slots and, for each new token, the slots listed (its own among them).
    Tree {
        /// Slots all see.
        prefix: usize,
        /// Further slots, one list a new token.
        slots: &'a [Vec<usize>],
    },
}

impl Sight<'_> {
    /// Whether new token `i`, in slot `own`, sees `slot`.
    fn sees(&self, i: usize, own: usize, slot: usize) -> bool {
        match self {
            Self::Causal => slot <= own,
            Self::Tree { prefix, slots } => slot < *prefix || slots[i].contains(&slot),
        }
    }
}

impl Model {
    /// Runs new tokens at the given positions; returns their hidden states (n, d) before the final norm.
    pub fn forward_cached(
        &self,
        cache: &mut Cache,
        ids: &[u32],
        positions: &[u32],
        sight: Sight<'_>,
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        let (mut x, before) = self.decoder.embed(&self.params, ids, positions, workspace);
        before.into_iter().for_each(|b| workspace.give(b));
        cache.positions.extend(positions);
        let layout = Layout { lengths: &[ids.len()], positions };
        let kv_heads = self.spec.kv_heads;
        for (block, heads) in self.decoder.blocks.iter().zip(cache.heads.chunks_exact_mut(kv_heads)) {
            let slots = &cache.positions;
            block.forward_with(&self.params, &mut x, workspace, |attention, y, normed, workspace| {
                attend(attention, &self.params, (y, normed), layout, (heads, slots), sight, workspace);
            });
        }
        x
    }
}

type Heads<'a> = (&'a mut [(Vec<f32>, Vec<f32>)], &'a [u32]);

#[expect(
    clippy::too_many_arguments,
    reason = "the pieces of one attention call over a cache; grouping them would only rename them"
)]
fn attend(
    attention: &Attention,
    params: &Params,
    (y, normed): (&mut [f32], &[f32]),
    layout: Layout<'_>,
    (heads, slots): Heads<'_>,
    sight: Sight<'_>,
    workspace: &mut Workspace,
) {
    let [q, k, v] = attention.project(params, normed, layout, workspace);
    let (n, shape) = (layout.positions.len(), &attention.shape);
    let head = n * shape.head_dim;
    let mut out = workspace.take(q.len());
    out.par_chunks_mut(head * shape.group)
        .zip(q.par_chunks(head * shape.group))
        .zip(k.par_chunks(head).zip(v.par_chunks(head)))
        .zip(heads.par_iter_mut())
        .enumerate()
        .for_each(|(kv, (((out, q), (k, v)), (keys, values)))| {
            keys.extend_from_slice(k);
            values.extend_from_slice(v);
            let view = CachedHead { keys, values, slots, new: n, sight, shape };
            for g in 0..shape.group {
                view.attend(&mut out[g * head..][..head], &q[g * head..][..head], kv * shape.group + g);
            }
        });
    let attended = attention.merge_heads(params, y, &out, workspace);
    [q, k, v, out, attended].into_iter().for_each(|b| workspace.give(b));
}

struct CachedHead<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    slots: &'a [u32],
    new: usize,
    sight: Sight<'a>,
    shape: &'a AttentionShape,
}

impl CachedHead<'_> {
    fn attend(&self, out: &mut [f32], q: &[f32], head: usize) {
        let (d, total) = (self.shape.head_dim, self.slots.len());
        let keys = Packed::new(View::transposed(self.keys, d), d, total);
        let mut scores = vec![0.0; self.new * total];
        matmul(&mut scores, View::rows(q, d), self.new, &keys, Write::SET.scaled(self.shape.scale));
        if let Some(cap) = self.shape.softcap {
            softcap_forward(&mut scores, cap);
        }
        for (i, row) in scores.chunks_exact_mut(total).enumerate() {
            self.mask(row, i, head);
            softmax(row);
        }
        let values = Packed::new(View::rows(self.values, d), total, d);
        matmul(out, View::rows(&scores, total), self.new, &values, Write::SET);
    }

    /// Hides what token `i` must not see and adds the ALiBi bias.
    fn mask(&self, row: &mut [f32], i: usize, head: usize) {
        let own = self.slots.len() - self.new + i;
        let slope = self.shape.slopes.get(head).copied().unwrap_or(0.0);
        for (slot, score) in row.iter_mut().enumerate() {
            let distance = self.slots[own].saturating_sub(self.slots[slot]);
            let near = self.shape.window.is_none_or(|w| (distance as usize) < w);
            if near && self.sight.sees(i, own, slot) {
                *score -= slope * distance as f32;
            } else {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
