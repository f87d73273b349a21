//! What distinguishes one decoder from another: plain data that [`crate::decoder`] reads.

use crate::ops::activation::Activation;
use crate::ops::rotary::Rotary;

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
        /// Each kind of turning there is in the model.
        turns: Vec<Rotary>,
        /// One entry a block: which of `turns` it uses; none for a block without positions.
        of_layer: Vec<Option<usize>>,
        /// Longest sequence.
        length: usize,
    },
    /// Linear biases on the scores; no limit.
    Alibi,
}

impl Positions {
    /// The same turning in every block.
    pub fn rotary(turn: Rotary, layers: usize, length: usize) -> Self {
        Self::Rotary { turns: vec![turn], of_layer: vec![Some(0); layers], length }
    }

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
    /// Scale only, stored as its distance from 1 (Gemma).
    RmsPlusOne,
    /// Centred, scale and shift.
    Layer,
}

/// How queries, keys and values come out of the input projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvLayout {
    /// One layer each.
    Separate,
    /// One layer with rows (head, query|key|value, element); needs as many key/value heads as query heads.
    FusedByHead,
    /// One layer with rows (query heads, key heads, value heads).
    FusedByPart,
}

/// A norm of queries and keys before they are turned to their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    None,
    /// Over the elements of each head.
    PerHead,
    /// Over all heads together.
    FullWidth,
}

/// Where the two halves of a block and their norms stand; `a` is attention, `m` the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// `y = x + a(norm(x))`, then `y + m(norm(y))`.
    PreNorm,
    /// `y = x + norm(a(x))`, then `y + norm(m(y))`.
    PostNorm,
    /// `y = x + norm(a(norm(x)))`, then `y + norm(m(norm(y)))`.
    Sandwich,
    /// `x + a(norm(x)) + m(norm(x))`.
    Parallel,
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
    /// Attention scores become `cap · tanh(score / cap)`.
    pub score_softcap: Option<f32>,
    /// So do the language model's logits.
    pub logit_softcap: Option<f32>,
    /// Positions.
    pub positions: Positions,
    /// Kind of norm.
    pub norm: NormKind,
    /// Added to the variance.
    pub norm_eps: f32,
    /// The order of norms and halves.
    pub block: BlockKind,
    /// Factor of the token vectors; the head's are not multiplied when tied.
    pub embedding_scale: f32,
    /// A norm after the embedding.
    pub embedding_norm: bool,
    /// The input projections.
    pub qkv: QkvLayout,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Biases.
    pub biases: Biases,
    /// The non-linearity.
    pub activation: Activation,
    /// Gated feed-forward.
    pub gated: bool,
    /// Gate and inner values come from one layer, the gate first; needs `gated`.
    pub fused_gate: bool,
    /// Hugging Face stores the blocks' linear weights as (in, out), as GPT-2's `Conv1D` has them.
    pub transposed: bool,
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
    /// Norm after attention.
    pub attention_post_norm: &'static str,
    /// Queries, or the fused projection.
    pub q: &'static str,
    /// Keys.
    pub k: &'static str,
    /// Values.
    pub v: &'static str,
    /// Norm of the queries.
    pub q_norm: &'static str,
    /// Norm of the keys.
    pub k_norm: &'static str,
    /// Attention output.
    pub output: &'static str,
    /// Norm before the feed-forward block.
    pub mlp_norm: &'static str,
    /// Norm after the feed-forward block.
    pub mlp_post_norm: &'static str,
    /// Gate.
    pub gate: &'static str,
    /// Into the inner width, or the fused layer.
    pub up: &'static str,
    /// Back.
    pub down: &'static str,
    /// The last norm.
    pub final_norm: &'static str,
    /// The language model's head, when it has weights of its own.
    pub head: &'static str,
}

impl NameMap {
    /// No names but the usual one of a head: a family states those that it has.
    pub const NONE: Self = Self {
        prefix: "",
        embedding: "",
        positions: "",
        embedding_norm: "",
        block: "",
        attention_norm: "",
        attention_post_norm: "",
        q: "",
        k: "",
        v: "",
        q_norm: "",
        k_norm: "",
        output: "",
        mlp_norm: "",
        mlp_post_norm: "",
        gate: "",
        up: "",
        down: "",
        final_norm: "",
        head: "lm_head",
    };

    /// The full name of a part of block `layer`, without `.weight`.
    pub fn in_block(&self, layer: usize, part: &str) -> String {
        format!("{}.{part}", self.block.replace("{}", &layer.to_string()))
    }
}
