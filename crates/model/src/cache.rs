//! Keys and values of tokens already seen, and the forward pass of new tokens over them.
//!
//! A slot holds one token's keys and values in every layer. New tokens say which slots they may see: all before them
//! (prefill, decoding), or a shared beginning and their own ancestors (the branches of a tree of answers).

use crate::layers::attention::{Attention, Layout};
use crate::layers::workspace::Workspace;
use crate::model::Model;
use crate::ops::attention::{Document, Qkv, attention_forward};
pub use crate::ops::cached_attention::Sight;
use crate::ops::cached_attention::{Cached, cached_attention};
use crate::params::Params;

/// Keys and values of one sequence (or tree of sequences).
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// (layer, kv head) → (slots, head_dim) keys and values.
    heads: Vec<(Vec<f32>, Vec<f32>)>,
    /// Each slot's position in its sequence.
    positions: Vec<u32>,
    /// Each slot's token.
    ids: Vec<u32>,
}

impl Cache {
    /// An empty cache for a model.
    pub fn new(model: &Model) -> Self {
        Self {
            heads: vec![Default::default(); model.spec.layers() * model.spec.kv_heads],
            positions: Vec::new(),
            ids: Vec::new(),
        }
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
        self.ids.truncate(len);
    }

    /// How many tokens of `ids` it begins with, in a row and each at its place.
    pub fn common(&self, ids: &[u32]) -> usize {
        let held = self.ids.iter().zip(&self.positions);
        held.zip(ids).enumerate().take_while(|(i, ((held, at), id))| held == id && **at as usize == *i).count()
    }

    /// A second cache that begins with the first `len` slots.
    pub fn fork(&self, len: usize) -> Self {
        let len = len.min(self.len());
        let cut = |x: &Vec<f32>| x[..x.len() / self.len().max(1) * len].to_vec();
        let heads = self.heads.iter().map(|(k, v)| (cut(k), cut(v))).collect();
        Self { heads, positions: self.positions[..len].to_vec(), ids: self.ids[..len].to_vec() }
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.heads.iter().map(|(k, v)| 4 * (k.len() + v.len())).sum()
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
        cache.ids.extend(ids);
        let layout = Layout { documents: &[], positions };
        let kv_heads = self.spec.kv_heads;
        for (block, heads) in self.decoder.blocks.iter().zip(cache.heads.chunks_exact_mut(kv_heads)) {
            let slots = &cache.positions;
            block.forward_with(&self.params, &mut x, workspace, |attention, y, normed, workspace| {
                attend(attention, &self.params, (y, normed), (layout, sight), (heads, slots), workspace);
            });
        }
        x
    }
}

type Slots<'a> = (&'a mut [(Vec<f32>, Vec<f32>)], &'a [u32]);

/// Attention of new tokens in one block; their keys and values join the cache's.
fn attend(
    attention: &Attention,
    params: &Params,
    (y, normed): (&mut [f32], &[f32]),
    (layout, sight): (Layout<'_>, Sight<'_>),
    (heads, positions): Slots<'_>,
    workspace: &mut Workspace,
) {
    let [q, k, v] = attention.project(params, normed, layout, workspace);
    let (n, shape) = (layout.positions.len(), &attention.shape);
    let head = n * shape.head_dim;
    for ((keys, values), (k, v)) in heads.iter_mut().zip(k.chunks_exact(head).zip(v.chunks_exact(head))) {
        keys.extend_from_slice(k);
        values.extend_from_slice(v);
    }
    let mut out = workspace.take(q.len());
    if n == positions.len() && matches!(sight, Sight::Causal) {
        attention_forward(&mut out, Qkv { q: &q, k: &k, v: &v }, &Document::alone(&[layout.positions.len()]), shape);
    } else {
        cached_attention(&mut out, &q, Cached { heads, positions, sight, shape });
    }
    let attended = attention.merge_heads(params, y, &out, workspace);
    [q, k, v, out, attended].into_iter().for_each(|b| workspace.give(b));
}
