//! The one decoder: embedding → blocks → hidden states, forward and backward, driven by a [`DecoderSpec`].
//!
//! Batches hold packed documents without padding: T tokens in one row, positions starting again at each document.

use rayon::prelude::*;

use crate::error::Result;
use crate::layers::attention::{Attention, AttentionSaved, Layout, Projections};
use crate::layers::linear::{Backward, Linear};
use crate::layers::mlp::{Mlp, MlpSaved};
use crate::layers::norm::Norm;
use crate::layers::workspace::Workspace;
use crate::ops::attention::{AttentionShape, Document, alibi_slopes};
use crate::ops::rotary::RotaryTable;
use crate::params::{Gradients, ParamId, Params};
use crate::spec::{DecoderSpec, NameMap, NormKind, Positions};
use crate::weights::{Init, TensorSource};

/// A pre-norm transformer block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Before attention.
    pub attention_norm: Norm,
    /// Attention.
    pub attention: Attention,
    /// Before the feed-forward block.
    pub mlp_norm: Norm,
    /// Feed-forward.
    pub mlp: Mlp,
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
    pub(crate) rotary: Option<RotaryTable>,
    pub(crate) hidden: usize,
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
    /// (T, d): between the halves.
    middle: Vec<f32>,
    attention: AttentionSaved,
    mlp: MlpSaved,
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
}

/// Builds layers from a source of tensors.
struct Builder<'a> {
    params: &'a mut Params,
    source: &'a mut dyn TensorSource,
    spec: &'a DecoderSpec,
    names: NameMap,
}

impl Builder<'_> {
    fn tensor(&mut self, name: String, shape: &[usize], init: Init) -> Result<ParamId> {
        let value = self.source.tensor(&name, shape, init)?;
        Ok(self.params.add(name, shape.to_vec(), value))
    }

    fn linear(&mut self, name: &str, (inputs, outputs): (usize, usize), bias: bool, std: f32) -> Result<Linear> {
        let weight = self.tensor(format!("{name}.weight"), &[outputs, inputs], Init::Normal(std))?;
        let bias = if bias { Some(self.tensor(format!("{name}.bias"), &[outputs], Init::Zeros)?) } else { None };
        Ok(Linear::new(weight, bias, inputs, outputs))
    }

    fn norm(&mut self, name: &str) -> Result<Norm> {
        let shape = [self.spec.hidden];
        let weight = self.tensor(format!("{name}.weight"), &shape, Init::Ones)?;
        let bias = match self.spec.norm {
            NormKind::Layer => Some(self.tensor(format!("{name}.bias"), &shape, Init::Zeros)?),
            NormKind::Rms => None,
        };
        Ok(Norm { weight, bias, eps: self.spec.norm_eps })
    }

    /// Output projections start smaller, by 1/√(2 · layers), as GPT-2 does it (Radford et al. 2019).
    fn residual_std(&self) -> f32 {
        self.spec.initializer_range / (2.0 * self.spec.layers() as f32).sqrt()
    }

    fn attention(&mut self, layer: usize) -> Result<Attention> {
        let (spec, names) = (self.spec, self.names);
        let (d, std, bias) = (spec.hidden, spec.initializer_range, spec.biases.qkv);
        let (q_width, kv_width) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let projections = if spec.fused_qkv {
            Projections::Fused(self.linear(&names.in_block(layer, names.q), (d, q_width + 2 * kv_width), bias, std)?)
        } else {
            Projections::Separate {
                q: self.linear(&names.in_block(layer, names.q), (d, q_width), bias, std)?,
                k: self.linear(&names.in_block(layer, names.k), (d, kv_width), bias, std)?,
                v: self.linear(&names.in_block(layer, names.v), (d, kv_width), bias, std)?,
            }
        };
        let small = self.residual_std();
        let output = self.linear(&names.in_block(layer, names.output), (q_width, d), spec.biases.output, small)?;
        let slopes = if spec.positions == Positions::Alibi { alibi_slopes(spec.heads) } else { Vec::new() };
        let shape = AttentionShape {
            group: spec.heads / spec.kv_heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: spec.score_scale,
            window: spec.windows[layer],
            slopes,
        };
        Ok(Attention { projections, output, shape })
    }

    fn block(&mut self, layer: usize) -> Result<Block> {
        let (spec, names) = (self.spec, self.names);
        let (d, inner, bias, std) = (spec.hidden, spec.inner, spec.biases.mlp, spec.initializer_range);
        let attention_norm = self.norm(&names.in_block(layer, names.attention_norm))?;
        let attention = self.attention(layer)?;
        let mlp_norm = self.norm(&names.in_block(layer, names.mlp_norm))?;
        let gate = match spec.gated {
            true => Some(self.linear(&names.in_block(layer, names.gate), (d, inner), bias, std)?),
            false => None,
        };
        let up = self.linear(&names.in_block(layer, names.up), (d, inner), bias, std)?;
        let small = self.residual_std();
        let down = self.linear(&names.in_block(layer, names.down), (inner, d), bias, small)?;
        Ok(Block { attention_norm, attention, mlp_norm, mlp: Mlp { gate, up, down, activation: spec.activation } })
    }
}

impl Decoder {
    /// Builds the decoder, adding its tensors to `params`.
    pub fn build(
        spec: &DecoderSpec,
        names: NameMap,
        params: &mut Params,
        source: &mut dyn TensorSource,
    ) -> Result<Self> {
        let mut builder = Builder { params, source, spec, names };
        let normal = Init::Normal(spec.initializer_range);
        let embedding = builder.tensor(format!("{}.weight", names.embedding), &[spec.vocab, spec.hidden], normal)?;
        let positions = match spec.positions {
            Positions::Learned { length } => {
                Some(builder.tensor(format!("{}.weight", names.positions), &[length, spec.hidden], normal)?)
            }
            _ => None,
        };
        let embedding_norm = match spec.embedding_norm {
            true => Some(builder.norm(names.embedding_norm)?),
            false => None,
        };
        let blocks = (0..spec.layers()).map(|i| builder.block(i)).collect::<Result<_>>()?;
        let final_norm = builder.norm(names.final_norm)?;
        let rotary = match spec.positions {
            Positions::Rotary { theta, length } => Some(RotaryTable::new(theta, spec.head_dim, length)),
            _ => None,
        };
        Ok(Self { embedding, positions, embedding_norm, blocks, final_norm, rotary, hidden: spec.hidden })
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

    fn layout<'a>(&'a self, tokens: Tokens<'a>) -> Layout<'a> {
        Layout { documents: tokens.documents, positions: tokens.positions, rotary: self.rotary.as_ref() }
    }

    /// Token (and position) vectors, (T, d), with the norm of families that have one; returns the values before it too.
    pub(crate) fn embed(
        &self,
        params: &Params,
        ids: &[u32],
        positions: &[u32],
        workspace: &mut Workspace,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let d = self.hidden;
        let mut x = workspace.take(ids.len() * d);
        for (row, id) in x.chunks_exact_mut(d).zip(ids) {
            params.copy_row(self.embedding, *id as usize, row);
        }
        if let Some(learned) = self.positions {
            let table = &params[learned].value;
            for (row, p) in x.chunks_exact_mut(d).zip(positions) {
                row.iter_mut().zip(&table[*p as usize * d..][..d]).for_each(|(x, p)| *x += p);
            }
        }
        let Some(norm) = self.embedding_norm else { return (x, None) };
        let mut normed = workspace.take(x.len());
        norm.forward(params, &mut normed, &x);
        (normed, Some(x))
    }

    /// Hidden states (T, d) before the final norm, and what the backward pass needs.
    pub fn forward(&self, params: &Params, tokens: Tokens<'_>, workspace: &mut Workspace) -> (Vec<f32>, Trace) {
        let (mut x, embedded) = self.embed(params, tokens.ids, tokens.positions, workspace);
        let mut trace = Trace { embedded, blocks: Vec::with_capacity(self.blocks.len()) };
        for block in &self.blocks {
            let (y, saved) = block.forward(params, x, self.layout(tokens), workspace);
            trace.blocks.push(saved);
            x = y;
        }
        (x, trace)
    }

    /// Takes `d_x` (T, d), the gradient of the hidden states, down to the embedding; uses the trace up.
    pub fn backward(
        &self,
        params: &Params,
        mut d_x: Vec<f32>,
        trace: Trace,
        tokens: Tokens<'_>,
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) {
        for (block, saved) in self.blocks.iter().zip(trace.blocks).rev() {
            block.backward(params, &mut d_x, saved, self.layout(tokens), (&mut *gradients, &mut *workspace));
        }
        if let (Some(norm), Some(before)) = (self.embedding_norm, trace.embedded) {
            let mut d_before = workspace.zeros(d_x.len());
            norm.backward(params, &mut d_before, &before, &d_x, gradients);
            workspace.give(before);
            workspace.give(std::mem::replace(&mut d_x, d_before));
        }
        add_rows(gradients.get_mut(self.embedding), tokens.ids, &d_x, self.hidden);
        if let Some(positions) = self.positions {
            add_rows(gradients.get_mut(positions), tokens.positions, &d_x, self.hidden);
        }
        workspace.give(d_x);
    }
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
            workspace.give(block.x);
            workspace.give(block.middle);
        }
    }
}

impl Block {
    fn forward(
        &self,
        params: &Params,
        x: Vec<f32>,
        layout: Layout<'_>,
        workspace: &mut Workspace,
    ) -> (Vec<f32>, BlockTrace) {
        let mut normed = workspace.take(x.len());
        self.attention_norm.forward(params, &mut normed, &x);
        let mut middle = workspace.take(x.len());
        let attention = self.attention.forward(params, &mut middle, &normed, layout, workspace);
        add(&mut middle, &x);
        self.mlp_norm.forward(params, &mut normed, &middle);
        let mut y = workspace.take(x.len());
        let mlp = self.mlp.forward(params, &mut y, &normed, workspace);
        add(&mut y, &middle);
        workspace.give(normed);
        (y, BlockTrace { x, middle, attention, mlp })
    }

    /// Turns `d_x` from the gradient of the output into that of the input.
    fn backward(
        &self,
        params: &Params,
        d_x: &mut [f32],
        saved: BlockTrace,
        layout: Layout<'_>,
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) {
        let mut normed = workspace.take(d_x.len());
        let mut d_normed = workspace.take(d_x.len());
        self.mlp_norm.forward(params, &mut normed, &saved.middle);
        let pass = Backward {
            d_x: &mut d_normed,
            x: &normed,
            d_y: d_x,
            gradients: &mut *gradients,
            workspace: &mut *workspace,
        };
        self.mlp.backward(params, pass, &saved.mlp);
        self.mlp_norm.backward(params, d_x, &saved.middle, &d_normed, gradients);
        self.attention_norm.forward(params, &mut normed, &saved.x);
        let pass = Backward {
            d_x: &mut d_normed,
            x: &normed,
            d_y: d_x,
            gradients: &mut *gradients,
            workspace: &mut *workspace,
        };
        self.attention.backward(params, pass, &saved.attention, layout);
        self.attention_norm.backward(params, d_x, &saved.x, &d_normed, gradients);
        saved.attention.release(workspace);
        saved.mlp.release(workspace);
        [saved.x, saved.middle, normed, d_normed].into_iter().for_each(|b| workspace.give(b));
    }

    /// One block over new tokens whose attention is computed by `attend` (from the cache).
    pub(crate) fn forward_with(
        &self,
        params: &Params,
        x: &mut [f32],
        workspace: &mut Workspace,
        attend: impl FnOnce(&Attention, &mut [f32], &[f32], &mut Workspace),
    ) {
        let (mut normed, mut y) = (workspace.take(x.len()), workspace.take(x.len()));
        self.attention_norm.forward(params, &mut normed, x);
        attend(&self.attention, &mut y, &normed, workspace);
        add(x, &y);
        self.mlp_norm.forward(params, &mut normed, x);
        self.mlp.forward(params, &mut y, &normed, workspace).release(workspace);
        add(x, &y);
        workspace.give(normed);
        workspace.give(y);
    }
}

fn add(y: &mut [f32], x: &[f32]) {
    const CHUNK: usize = 1 << 14;
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y += x));
}
