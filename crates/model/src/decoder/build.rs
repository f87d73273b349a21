//! Builds a decoder's layers from its spec and a source of tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Block;
use crate::checkpoint::Storage;
use crate::error::Result;
use crate::layers::attention::{Attention, FusedRows, Projections, QkNorms};
use crate::layers::linear::Linear;
use crate::layers::mlp::Mlp;
use crate::layers::norm::Norm;
use crate::layers::sandwich::Sandwich;
use crate::ops::attention::{AttentionShape, alibi_slopes};
use crate::ops::rotary::RotaryTable;
use crate::params::{ParamId, Params, transpose};
use crate::spec::{BlockKind, DecoderSpec, NameMap, NormKind, Positions, QkNorm, QkvLayout};
use crate::weights::{Init, TensorSource};

/// Adds tensors to the parameters and makes layers of them.
pub(super) struct Builder<'a> {
    params: &'a mut Params,
    source: &'a mut dyn TensorSource,
    spec: &'a DecoderSpec,
    names: NameMap,
    storage: Storage,
    /// The tables of angles, by the number of their turning.
    tables: BTreeMap<usize, Arc<RotaryTable>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        spec: &'a DecoderSpec,
        names: NameMap,
        params: &'a mut Params,
        (source, storage): (&'a mut dyn TensorSource, Storage),
    ) -> Self {
        Self { params, source, spec, names, storage, tables: BTreeMap::new() }
    }

    fn tensor(&mut self, name: String, shape: &[usize], init: Init) -> Result<ParamId> {
        let value = self.source.tensor(&name, shape, init)?;
        Ok(self.params.add(name, shape.to_vec(), value))
    }

    /// A table of `rows` vectors: of tokens or of positions.
    pub(super) fn table(&mut self, name: &str, rows: usize) -> Result<ParamId> {
        let init = Init::Normal(self.spec.initializer_range);
        let table = self.tensor(format!("{name}.weight"), &[rows, self.spec.hidden], init)?;
        self.params.freeze(table, self.storage.rest);
        Ok(table)
    }

    fn linear(&mut self, name: &str, (inputs, outputs): (usize, usize), bias: bool, std: f32) -> Result<Linear> {
        let init = Init::Normal(std);
        let weight = if self.spec.transposed {
            let value = self.source.tensor(&format!("{name}.weight"), &[inputs, outputs], init)?;
            let value = transpose(&value, outputs);
            let id = self.params.add(format!("{name}.weight"), vec![outputs, inputs], value);
            self.params[id].transposed = true;
            id
        } else {
            self.tensor(format!("{name}.weight"), &[outputs, inputs], init)?
        };
        self.params.freeze(weight, self.storage.linears);
        let bias = if bias { Some(self.tensor(format!("{name}.bias"), &[outputs], Init::Zeros)?) } else { None };
        Ok(Linear::new(weight, bias, inputs, outputs))
    }

    /// A norm over `width` elements.
    pub(super) fn norm(&mut self, name: &str, width: usize) -> Result<Norm> {
        let (init, offset) = match self.spec.norm {
            NormKind::RmsPlusOne => (Init::Zeros, 1.0),
            NormKind::Rms | NormKind::Layer => (Init::Ones, 0.0),
        };
        let weight = self.tensor(format!("{name}.weight"), &[width], init)?;
        let bias = match self.spec.norm {
            NormKind::Layer => Some(self.tensor(format!("{name}.bias"), &[width], Init::Zeros)?),
            NormKind::Rms | NormKind::RmsPlusOne => None,
        };
        Ok(Norm { weight, offset, bias, eps: self.spec.norm_eps })
    }

    /// Output projections start smaller, by 1/√(2 · layers), as GPT-2 does it (Radford et al. 2019).
    fn residual_std(&self) -> f32 {
        self.spec.initializer_range / (2.0 * self.spec.layers() as f32).sqrt()
    }

    fn projections(&mut self, layer: usize) -> Result<Projections> {
        let (spec, names) = (self.spec, self.names);
        let (d, std, bias) = (spec.hidden, spec.initializer_range, spec.biases.qkv);
        let (q_width, kv_width) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let rows = match spec.qkv {
            QkvLayout::Separate => {
                return Ok(Projections::Separate {
                    q: self.linear(&names.in_block(layer, names.q), (d, q_width), bias, std)?,
                    k: self.linear(&names.in_block(layer, names.k), (d, kv_width), bias, std)?,
                    v: self.linear(&names.in_block(layer, names.v), (d, kv_width), bias, std)?,
                });
            }
            QkvLayout::FusedByHead => FusedRows::ByHead,
            QkvLayout::FusedByPart => FusedRows::ByPart,
        };
        let fused = self.linear(&names.in_block(layer, names.q), (d, q_width + 2 * kv_width), bias, std)?;
        Ok(Projections::Fused(fused, rows))
    }

    fn qk_norms(&mut self, layer: usize) -> Result<Option<QkNorms>> {
        let (spec, names) = (self.spec, self.names);
        let (q_width, k_width) = match spec.qk_norm {
            QkNorm::None => return Ok(None),
            QkNorm::PerHead => (spec.head_dim, spec.head_dim),
            QkNorm::FullWidth => (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim),
        };
        let q = self.norm(&names.in_block(layer, names.q_norm), q_width)?;
        let k = self.norm(&names.in_block(layer, names.k_norm), k_width)?;
        Ok(Some(QkNorms { q, k }))
    }

    /// The angles of a layer. They are made once the layer's weights have shown that heads are as large as `config.json` says.
    fn rotary(&mut self, layer: usize) -> Option<Arc<RotaryTable>> {
        let Positions::Rotary { turns, of_layer, length } = &self.spec.positions else { return None };
        let turn = of_layer[layer]?;
        let table = self.tables.entry(turn).or_insert_with(|| Arc::new(RotaryTable::new(&turns[turn], *length)));
        Some(table.clone())
    }

    fn attention(&mut self, layer: usize) -> Result<Attention> {
        let (spec, names) = (self.spec, self.names);
        let projections = self.projections(layer)?;
        let qk_norms = self.qk_norms(layer)?;
        let (widths, small) = ((spec.heads * spec.head_dim, spec.hidden), self.residual_std());
        let output = self.linear(&names.in_block(layer, names.output), widths, spec.biases.output, small)?;
        let rotary = self.rotary(layer);
        let slopes = if spec.positions == Positions::Alibi { alibi_slopes(spec.heads) } else { Vec::new() };
        let shape = AttentionShape {
            group: spec.heads / spec.kv_heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: spec.score_scale,
            softcap: spec.score_softcap,
            window: spec.windows[layer],
            slopes,
        };
        Ok(Attention { projections, qk_norms, rotary, output, shape })
    }

    fn mlp(&mut self, layer: usize) -> Result<Mlp> {
        let (spec, names) = (self.spec, self.names);
        let (d, inner, bias, std) = (spec.hidden, spec.inner, spec.biases.mlp, spec.initializer_range);
        let gate = match spec.gated && !spec.fused_gate {
            true => Some(self.linear(&names.in_block(layer, names.gate), (d, inner), bias, std)?),
            false => None,
        };
        let width = if spec.fused_gate { 2 * inner } else { inner };
        let up = self.linear(&names.in_block(layer, names.up), (d, width), bias, std)?;
        let small = self.residual_std();
        let down = self.linear(&names.in_block(layer, names.down), (inner, d), bias, small)?;
        Ok(Mlp { gate, up, fused_gate: spec.fused_gate, down, activation: spec.activation })
    }

    /// The norms around a half, of those names.
    fn sandwich(&mut self, layer: usize, before: &str, after: &str) -> Result<Sandwich> {
        let (d, names, kind) = (self.spec.hidden, self.names, self.spec.block);
        let before = match kind {
            BlockKind::PostNorm => None,
            _ => Some(self.norm(&names.in_block(layer, before), d)?),
        };
        let after = match kind {
            BlockKind::PostNorm | BlockKind::Sandwich => Some(self.norm(&names.in_block(layer, after), d)?),
            BlockKind::PreNorm | BlockKind::Parallel => None,
        };
        Ok(Sandwich { before, after })
    }

    pub(super) fn block(&mut self, layer: usize) -> Result<Block> {
        let names = self.names;
        let attention_norms = self.sandwich(layer, names.attention_norm, names.attention_post_norm)?;
        let attention = self.attention(layer)?;
        let mlp_norms = self.sandwich(layer, names.mlp_norm, names.mlp_post_norm)?;
        let mlp = self.mlp(layer)?;
        let parallel = self.spec.block == BlockKind::Parallel;
        Ok(Block { attention_norms, attention, mlp_norms, mlp, parallel })
    }
}
