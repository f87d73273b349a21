//! The one decoder: embedding → blocks → hidden states, forward and backward, driven by a [`DecoderSpec`].
//!
//! Batches hold packed documents without padding: T tokens in one row, positions starting again at each document.

mod build;

use crate::checkpoint::Storage;
use crate::error::Result;
use crate::layers::attention::{Attention, AttentionSaved, Layout};
use crate::layers::linear::Linear;
use crate::layers::mlp::{Mlp, MlpSaved};
use crate::layers::norm::Norm;
use crate::layers::sandwich::Sandwich;
use crate::layers::workspace::Workspace;
use crate::ops::attention::Document;
use crate::ops::draw::{add_uniform, draw};
use crate::ops::pool;
use crate::params::{Gradients, ParamId, Params};
use crate::spec::{DecoderSpec, NameMap, Positions};
use crate::weights::TensorSource;
use build::Builder;

/// A transformer block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The norms around attention.
    pub attention_norms: Sandwich,
    /// Attention.
    pub attention: Attention,
    /// The norms around the feed-forward block.
    pub mlp_norms: Sandwich,
    /// Feed-forward.
    pub mlp: Mlp,
    /// Whether both halves read the block's input.
    pub parallel: bool,
}

/// The decoder without its head.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// (vocab, hidden).
    pub embedding: ParamId,
    positions: Option<ParamId>,
    embedding_norm: Option<Norm>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Applied by the head to the rows it needs.
    pub final_norm: Norm,
    embedding_scale: f32,
    pub(crate) hidden: usize,
    /// NEFTune (Jain et al. 2024): token vectors of a document of L tokens get uniform noise in ± this / √(L · hidden), drawn
    /// from the workspace's seed; 0 for none.
    pub neftune_alpha: f32,
}

/// What a forward pass keeps for the backward pass.
#[derive(Debug, Default)]
pub struct Trace {
    /// The embedding's output before its norm, if the family has one.
    embedded: Option<Vec<f32>>,
    blocks: Vec<BlockTrace>,
}

#[derive(Debug)]
struct BlockTrace {
    /// (T, d): the block's input.
    x: Vec<f32>,
    /// (W, d): what the feed-forward block read, unless that is all of `x`.
    middle: Option<Vec<f32>>,
    attention: AttentionSaved,
    /// Attention's output before the norm that follows it.
    attention_inner: Option<Vec<f32>>,
    mlp: MlpSaved,
    /// The same of the feed-forward block.
    mlp_inner: Option<Vec<f32>>,
}

/// Token ids with their layout.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// (T).
    pub ids: &'a [u32],
    /// Where the documents lie.
    pub documents: &'a [Document],
    /// (T): position in the document.
    pub positions: &'a [u32],
    /// (W): the tokens whose hidden states are asked for; all when `None`. What only other tokens would need of the last block
    /// is not computed.
    pub wanted: Option<&'a [u32]>,
}

impl Decoder {
    /// Builds the decoder, adding its tensors to `params`.
    pub fn build(
        spec: &DecoderSpec,
        names: NameMap,
        params: &mut Params,
        (source, storage): (&mut dyn TensorSource, Storage),
    ) -> Result<Self> {
        let mut builder = Builder::new(spec, names, params, (source, storage));
        let embedding = builder.table(names.embedding, spec.vocab)?;
        let positions = match spec.positions {
            Positions::Learned { length } => Some(builder.table(names.positions, length)?),
            _ => None,
        };
        let embedding_norm = match spec.embedding_norm {
            true => Some(builder.norm(names.embedding_norm, spec.hidden)?),
            false => None,
        };
        let blocks = (0..spec.layers()).map(|i| builder.block(i)).collect::<Result<_>>()?;
        let final_norm = builder.norm(names.final_norm, spec.hidden)?;
        let (embedding_scale, hidden) = (spec.embedding_scale, spec.hidden);
        let neftune_alpha = 0.0;
        Ok(Self { embedding, positions, embedding_norm, blocks, final_norm, embedding_scale, hidden, neftune_alpha })
    }

    /// Every linear layer in the blocks.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.blocks.iter().flat_map(|block| {
            let mut all = block.attention.linears();
            all.extend(block.mlp.gate.as_ref());
            all.extend([&block.mlp.up, &block.mlp.down]);
            all
        })
    }

    /// Every linear layer in the blocks.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(|block| {
            let mut all = block.attention.linears_mut();
            all.extend(block.mlp.gate.as_mut());
            all.push(&mut block.mlp.up);
            all.push(&mut block.mlp.down);
            all
        })
    }

    fn layout(tokens: Tokens<'_>) -> Layout<'_> {
        Layout { documents: tokens.documents, positions: tokens.positions }
    }

    /// Token (and position) vectors, (T, d), with the norm of families that have one; returns the values before it too.
    pub(crate) fn embed(
        &self,
        params: &Params,
        ids: &[u32],
        positions: &[u32],
        workspace: &mut Workspace,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let x = self.look_up(params, ids, workspace);
        self.place(params, x, positions, workspace)
    }

    /// Token vectors, (T, d).
    fn look_up(&self, params: &Params, ids: &[u32], workspace: &mut Workspace) -> Vec<f32> {
        let d = self.hidden;
        let mut x = workspace.take(ids.len() * d);
        for (row, id) in x.chunks_exact_mut(d).zip(ids) {
            params.copy_row(self.embedding, *id as usize, row);
            if self.embedding_scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= self.embedding_scale);
            }
        }
        x
    }

    /// Adds what the family has of positions and a norm; returns the values before the norm too.
    fn place(
        &self,
        params: &Params,
        mut x: Vec<f32>,
        positions: &[u32],
        workspace: &mut Workspace,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let d = self.hidden;
        if let Some(learned) = self.positions {
            let mut vector = vec![0.0; d];
            for (row, p) in x.chunks_exact_mut(d).zip(positions) {
                params.copy_row(learned, *p as usize, &mut vector);
                row.iter_mut().zip(&vector).for_each(|(x, p)| *x += p);
            }
        }
        let Some(norm) = self.embedding_norm else { return (x, None) };
        let mut normed = workspace.take(x.len());
        norm.forward(params, &mut normed, &x);
        (normed, Some(x))
    }

    /// NEFTune's noise on the token vectors `x` (T, d); a document's length counts the beginning that it shares.
    fn disturb(&self, x: &mut [f32], documents: &[Document], workspace: &Workspace) {
        let Some(seed) = workspace.noise.filter(|_| self.neftune_alpha > 0.0) else { return };
        // No tensor has this number, so that no layer draws the same.
        let stream = draw(seed, u64::MAX);
        for (i, document) in documents.iter().enumerate() {
            let values = ((document.before.len() + document.own.len()) * self.hidden) as f32;
            let own = document.own.start * self.hidden..document.own.end * self.hidden;
            add_uniform(&mut x[own], self.neftune_alpha / values.sqrt(), draw(stream, i as u64));
        }
    }

    /// Hidden states (W, d) before the final norm of the tokens that are asked for, and what the backward pass needs.
    pub fn forward(&self, params: &Params, tokens: Tokens<'_>, workspace: &mut Workspace) -> (Vec<f32>, Trace) {
        let mut x = self.look_up(params, tokens.ids, workspace);
        self.disturb(&mut x, tokens.documents, workspace);
        let (mut x, embedded) = self.place(params, x, tokens.positions, workspace);
        let mut trace = Trace { embedded, blocks: Vec::with_capacity(self.blocks.len()) };
        for (i, block) in self.blocks.iter().enumerate() {
            let wanted = tokens.wanted.filter(|_| i + 1 == self.blocks.len());
            let (y, saved) = block.forward(params, x, (Self::layout(tokens), wanted), workspace);
            trace.blocks.push(saved);
            x = y;
        }
        (x, trace)
    }

    /// Takes `d_x` (W, d), the gradient of the hidden states, down to the embedding; uses the trace up.
    pub fn backward(
        &self,
        params: &Params,
        mut d_x: Vec<f32>,
        trace: Trace,
        tokens: Tokens<'_>,
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) {
        for (i, (block, saved)) in self.blocks.iter().zip(trace.blocks).enumerate().rev() {
            let wanted = tokens.wanted.filter(|_| i + 1 == self.blocks.len());
            let layout = (Self::layout(tokens), wanted);
            block.backward(params, &mut d_x, saved, layout, (&mut *gradients, &mut *workspace));
        }
        if let (Some(norm), Some(before)) = (self.embedding_norm, trace.embedded) {
            let mut d_before = workspace.zeros(d_x.len());
            norm.backward(params, &mut d_before, &before, &d_x, gradients);
            workspace.give(before);
            workspace.give(std::mem::replace(&mut d_x, d_before));
        }
        if let Some(positions) = self.positions {
            add_rows(gradients.get_mut(positions), tokens.positions, &d_x, self.hidden);
        }
        d_x.iter_mut().for_each(|d| *d *= self.embedding_scale);
        add_rows(gradients.get_mut(self.embedding), tokens.ids, &d_x, self.hidden);
        workspace.give(d_x);
    }
}

/// Some rows of `x` (T, d).
fn gather(x: &[f32], rows: &[u32], d: usize, workspace: &mut Workspace) -> Vec<f32> {
    let mut out = workspace.take(rows.len() * d);
    out.chunks_exact_mut(d).zip(rows).for_each(|(out, row)| out.copy_from_slice(&x[*row as usize * d..][..d]));
    out
}

fn add_rows(table: Option<&mut [f32]>, rows: &[u32], d_x: &[f32], d: usize) {
    let Some(table) = table else { return };
    for (row, d_x) in rows.iter().zip(d_x.chunks_exact(d)) {
        table[*row as usize * d..][..d].iter_mut().zip(d_x).for_each(|(t, x)| *t += x);
    }
}

impl Trace {
    /// Gives all buffers back without a backward pass.
    pub fn release(self, workspace: &mut Workspace) {
        self.embedded.into_iter().for_each(|b| workspace.give(b));
        for block in self.blocks {
            block.attention.release(workspace);
            block.mlp.release(workspace);
            let rest = [Some(block.x), block.middle, block.attention_inner, block.mlp_inner];
            rest.into_iter().flatten().for_each(|b| workspace.give(b));
        }
    }
}

impl Block {
    fn forward(
        &self,
        params: &Params,
        x: Vec<f32>,
        (layout, wanted): (Layout<'_>, Option<&[u32]>),
        workspace: &mut Workspace,
    ) -> (Vec<f32>, BlockTrace) {
        let mut middle = workspace.take(x.len());
        let (attention, attention_inner) =
            self.attention_norms.forward(params, &mut middle, &x, workspace, |y, x, workspace| {
                self.attention.forward(params, y, x, layout, workspace)
            });
        add(&mut middle, &x);
        let mut narrow_x = None;
        if let Some(wanted) = wanted {
            let width = x.len() / layout.positions.len();
            narrow_x = self.parallel.then(|| gather(&x, wanted, width, workspace));
            let narrow = gather(&middle, wanted, width, workspace);
            workspace.give(std::mem::replace(&mut middle, narrow));
        }
        let mut y = workspace.take(middle.len());
        let input = if self.parallel { narrow_x.as_ref().unwrap_or(&x) } else { &middle };
        let (mlp, mlp_inner) = self
            .mlp_norms
            .forward(params, &mut y, input, workspace, |y, x, workspace| self.mlp.forward(params, y, x, workspace));
        add(&mut y, &middle);
        let middle = if self.parallel {
            workspace.give(middle);
            narrow_x
        } else {
            Some(middle)
        };
        (y, BlockTrace { x, middle, attention, attention_inner, mlp, mlp_inner })
    }

    /// Turns `d_x` from the gradient of the output (W, d) into that of the input (T, d).
    fn backward(
        &self,
        params: &Params,
        d_x: &mut Vec<f32>,
        saved: BlockTrace,
        (layout, wanted): (Layout<'_>, Option<&[u32]>),
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) {
        let BlockTrace { x, middle, attention, attention_inner, mlp, mlp_inner } = saved;
        // Parallel halves have the same gradient; one after the other, attention's holds the feed-forward block's too.
        let mut d_y = self.parallel.then(|| {
            let mut d_y = workspace.take(d_x.len());
            d_y.copy_from_slice(d_x);
            d_y
        });
        let read = (middle.as_deref().unwrap_or(&x), mlp_inner.as_deref());
        let write = (d_x.as_mut_slice(), d_y.as_deref());
        self.mlp_norms
            .backward(params, write, read, (gradients, workspace), |pass| self.mlp.backward(params, pass, &mlp));
        if let Some(wanted) = wanted {
            let width = x.len() / layout.positions.len();
            for narrow in std::iter::once(&mut *d_x).chain(d_y.as_mut()) {
                let mut wide = workspace.zeros(x.len());
                add_rows(Some(&mut wide), wanted, narrow, width);
                workspace.give(std::mem::replace(narrow, wide));
            }
        }
        let (write, read) = ((d_x.as_mut_slice(), d_y.as_deref()), (x.as_slice(), attention_inner.as_deref()));
        self.attention_norms.backward(params, write, read, (gradients, workspace), |pass| {
            self.attention.backward(params, pass, &attention, layout);
        });
        attention.release(workspace);
        mlp.release(workspace);
        [Some(x), middle, attention_inner, mlp_inner, d_y].into_iter().flatten().for_each(|b| workspace.give(b));
    }

    /// One block over new tokens whose attention is computed by `attend` (from the cache).
    pub(crate) fn forward_with(
        &self,
        params: &Params,
        x: &mut [f32],
        workspace: &mut Workspace,
        attend: impl FnOnce(&Attention, &mut [f32], &[f32], &mut Workspace),
    ) {
        let (mut attended, mut y) = (workspace.take(x.len()), workspace.take(x.len()));
        let half = |y: &mut [f32], x: &[f32], workspace: &mut Workspace| attend(&self.attention, y, x, workspace);
        let ((), inner) = self.attention_norms.forward(params, &mut attended, x, workspace, half);
        if !self.parallel {
            add(x, &attended);
        }
        let half = |y: &mut [f32], x: &[f32], workspace: &mut Workspace| {
            self.mlp.forward(params, y, x, workspace).release(workspace);
        };
        let ((), mlp_inner) = self.mlp_norms.forward(params, &mut y, x, workspace, half);
        add(x, &y);
        if self.parallel {
            add(x, &attended);
        }
        [Some(attended), Some(y), inner, mlp_inner].into_iter().flatten().for_each(|b| workspace.give(b));
    }
}

fn add(y: &mut [f32], x: &[f32]) {
    const CHUNK: usize = 1 << 14;
    pool::chunks_mut(y, CHUNK, |i, y| y.iter_mut().zip(&x[i * CHUNK..]).for_each(|(y, x)| *y += x));
}
