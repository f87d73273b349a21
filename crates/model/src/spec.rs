//! What distinguishes one decoder from another: plain data that [`crate::decoder`] reads.

use crate::ops::activation::Activation;

/// How tokens learn where they stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// A learned vector for each of `length` positions.
    Learned {
        /// Positions there are.
        length: usize,
    },
    /// Rotary embedding.
    Rotary {
        /// Base of the frequencies.
        theta: f32,
        /// Longest sequence.
        length: usize,
    },
    /// Linear biases on the scores; no limit.
    Alibi,
}

impl Positions {
    /// The longest sequence the positions allow.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Learned { length } | Self::Rotary { length, .. } => Some(*length),
            Self::Alibi => None,
        }
    }
}

/// The kind of norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Scale only.
    Rms,
    /// Centred, scale and shift.
    Layer,
}

/// Which linear layers carry a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys, values.
    pub qkv: bool,
    /// The attention's output projection.
    pub output: bool,
    /// The feed-forward block.
    pub mlp: bool,
}

/// A decoder, described.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderSpec {
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Width of the model.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub inner: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// One entry a block: the attention window, if any.
    pub windows: Vec<Option<usize>>,
    /// Factor of the attention scores.
    pub score_scale: f32,
    /// Positions.
    pub positions: Positions,
    /// Kind of norm.
    pub norm: NormKind,
    /// Added to the variance.
    pub norm_eps: f32,
    /// A norm after the embedding.
    pub embedding_norm: bool,
    /// Queries, keys and values come from one layer.
    pub fused_qkv: bool,
    /// Biases.
    pub biases: Biases,
    /// The non-linearity.
    pub activation: Activation,
    /// Gated feed-forward.
    pub gated: bool,
    /// The head shares the embedding's weights.
    pub tied: bool,
    /// Standard deviation of random weights.
    pub initializer_range: f32,
}

impl DecoderSpec {
    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.windows.len()
    }
}

/// Hugging Face's names of the tensors of a family; `{}` stands for the block's number.
#[derive(Clone, Copy, Debug)]
pub struct NameMap {
    /// The prefix that a base model's checkpoint may lack.
    pub prefix: &'static str,
    /// Token embedding.
    pub embedding: &'static str,
    /// Learned positions.
    pub positions: &'static str,
    /// Norm after the embedding.
    pub embedding_norm: &'static str,
    /// Prefix of a block.
    pub block: &'static str,
    /// Norm before attention.
    pub attention_norm: &'static str,
    /// Queries, or the fused projection.
    pub q: &'static str,
    /// Keys.
    pub k: &'static str,
    /// Values.
    pub v: &'static str,
    /// Attention output.
    pub output: &'static str,
    /// Norm before the feed-forward block.
    pub mlp_norm: &'static str,
    /// Gate.
    pub gate: &'static str,
    /// Into the inner width.
    pub up: &'static str,
    /// Back.
    pub down: &'static str,
    /// The last norm.
    pub final_norm: &'static str,
}

impl NameMap {
    /// The full name of a part of block `layer`, without `.weight`.
    pub fn in_block(&self, layer: usize, part: &str) -> String {
        format!("{}.{part}", self.block.replace("{}", &layer.to_string()))
    }
}
