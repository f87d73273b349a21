//! A model as a GGUF file for llama.cpp, and back: names of keys and tensors, the order of rows, and what each of llama.cpp's
//! graphs takes for granted.
//!
//! Names: `gguf-py/gguf/constants.py` of ggml-org/llama.cpp; what a graph assumes: its file under `src/models`. What llama.cpp
//! turns differently is reordered: Llama's rotary pairs lie side by side there, and a fused projection holds all queries, then
//! all keys, then all values. Norms that Gemma stores as distances from 1 are whole there.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value as Json;

use super::gguf::{Encoding, Entry, Metadata, Value, write_file};
use super::gguf_read::Gguf;
use super::gguf_tokenizer;
use crate::checkpoint::Storage;
use crate::error::{Error, Result};
use crate::families::Family;
use crate::head::HeadKind;
use crate::model::{Model, Purpose};
use crate::ops::activation::Activation;
use crate::ops::quant::BLOCK;
use crate::ops::rotary::{Rotary, Scaling};
use crate::params::{Param, transpose};
use crate::spec::{BlockKind, DecoderSpec, NormKind, Positions, QkvLayout};
use crate::weights::{Init, TensorSource};

/// How rows of a tensor are reordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// As they are.
    Kept,
    /// (head, half, i) → (head, i, half): rotary pairs side by side.
    Pairs,
    /// (head, part, i) → (part, head, i): queries, keys, values.
    Parts,
}

/// Whether a graph has a place for biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bias {
    Never,
    Optional,
    Always,
}

/// A family's place in llama.cpp, and what its graph there takes for granted.
#[derive(Clone, Copy, Debug)]
struct Architecture {
    model_type: &'static str,
    name: &'static str,
    /// Of the projections into queries and keys, or of the fused one.
    order: Order,
    /// Those that it computes, or comes near to.
    activations: &'static [Activation],
    /// Of queries, keys and values; of the attention's output; of the feed-forward block.
    biases: [Bias; 3],
    /// Whether layers may see a window only.
    windows: bool,
    /// Whether a tensor of its own says how Llama 3 stretches each frequency.
    stretched: bool,
    /// Whether the head must be in the file even where it is the embedding.
    own_head: bool,
    /// Whether the heads together must be as wide as the model.
    square: bool,
}

const LLAMA: Architecture = Architecture {
    model_type: "llama",
    name: "llama",
    order: Order::Pairs,
    activations: &[Activation::Silu],
    biases: [Bias::Optional; 3],
    windows: false,
    stretched: true,
    own_head: false,
    square: false,
};
const QWEN2: Architecture = Architecture {
    model_type: "qwen2",
    name: "qwen2",
    order: Order::Kept,
    biases: [Bias::Optional, Bias::Never, Bias::Never],
    stretched: false,
    ..LLAMA
};
const GPT2: Architecture = Architecture {
    model_type: "gpt2",
    name: "gpt2",
    activations: &[Activation::GeluTanh],
    biases: [Bias::Always; 3],
    square: true,
    ..QWEN2
};
const GEMMA: Architecture =
    Architecture { activations: &[Activation::GeluTanh], biases: [Bias::Never; 3], windows: true, ..QWEN2 };

/// The families that llama.cpp has a graph for. GPT-Neo is not among them: its unscaled scores are unknown there.
const ALL: &[Architecture] = &[
    LLAMA,
    Architecture { model_type: "mistral", biases: [Bias::Never; 3], ..LLAMA },
    QWEN2,
    Architecture { model_type: "qwen3", name: "qwen3", ..QWEN2 },
    GPT2,
    // llama.cpp knows GELU by its tanh form only, which lies within 5e-4 of the exact one.
    Architecture {
        model_type: "gpt_neox",
        name: "gptneox",
        order: Order::Parts,
        activations: &[Activation::GeluTanh, Activation::Gelu],
        own_head: true,
        ..GPT2
    },
    Architecture { model_type: "bloom", name: "bloom", order: Order::Parts, ..GPT2 },
    Architecture { model_type: "gemma2", name: "gemma2", ..GEMMA },
    Architecture { model_type: "gemma3_text", name: "gemma3", ..GEMMA },
    Architecture { model_type: "phi3", name: "phi3", biases: [Bias::Never; 3], square: true, ..QWEN2 },
    Architecture {
        model_type: "olmo2",
        name: "olmo2",
        biases: [Bias::Never; 3],
        own_head: true,
        square: true,
        ..QWEN2
    },
    Architecture {
        model_type: "smollm3",
        name: "smollm3",
        order: Order::Pairs,
        biases: [Bias::Optional, Bias::Never, Bias::Never],
        ..QWEN2
    },
];

fn refuse(reason: impl Into<String>) -> Error {
    Error::Export { reason: reason.into(), hint: "export it with --format hf, which holds everything" }
}

/// A model as it stands in a GGUF file: everything but the values.
pub struct Layout {
    family: &'static dyn Family,
    spec: DecoderSpec,
    config: Json,
    architecture: Architecture,
    places: Vec<Place>,
}

/// Where a tensor of ours stands there.
#[derive(Clone, Debug)]
struct Place {
    ours: String,
    theirs: String,
    order: Order,
    /// What is added to every value.
    shift: f32,
}

/// Writes a model as a GGUF file; the tokenizer comes from `tokenizer.json` and its neighbours in `folder`. Returns the bytes
/// written.
///
/// # Errors
/// llama.cpp has no such architecture or computes it differently, the model is a classifier, or the tokenizer is of another
/// kind. An adapter that is not merged is left out.
pub fn write(model: &Model, folder: &Path, encoding: Encoding, out: &Path) -> Result<u64> {
    let layout = Layout::of(model)?;
    let mut metadata = layout.describe(encoding);
    metadata.extend(gguf_tokenizer::metadata(folder, &model.config, model.spec.vocab)?);
    write_file(out, &metadata, &layout.entries(model, encoding)?)
}

impl Layout {
    /// Where everything of a model has its place.
    ///
    /// # Errors
    /// llama.cpp has no graph for it, or one that computes something else.
    pub fn of(model: &Model) -> Result<Self> {
        if model.head.kind != HeadKind::LanguageModel {
            let hint = "llama.cpp runs language models; export it with --format hf";
            return Err(Error::Export { reason: "it is a classifier".into(), hint });
        }
        let found = model.family.model_type();
        let architecture = ALL.iter().copied().find(|a| a.model_type == found).ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|a| a.model_type).collect();
            refuse(format!("llama.cpp has no architecture for `{found}`; GGUF is written for {}", known.join(", ")))
        })?;
        architecture.check(&model.spec)?;
        let (family, spec, config) = (model.family, model.spec.clone(), model.config.clone());
        let places = places(family, &spec, architecture);
        Ok(Self { family, spec, config, architecture, places })
    }

    /// The longest text that is computed alike.
    fn context(&self) -> usize {
        let stored = || self.config.get("seq_length").and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        self.spec.positions.limit().unwrap_or_else(|| stored().unwrap_or(2048))
    }

    /// The metadata without the tokenizer's.
    fn describe(&self, encoding: Encoding) -> Metadata {
        let (spec, name) = (&self.spec, self.architecture.name);
        let mut all: Metadata = vec![
            ("general.architecture".into(), Value::Text(name.into())),
            ("general.file_type".into(), Value::U32(encoding.file_type())),
            ("general.quantization_version".into(), Value::U32(2)),
        ];
        let mut add = |key: &str, value: Value| all.push((format!("{name}.{key}"), value));
        let count = |n: usize| Value::U32(n as u32);
        add("context_length", count(self.context()));
        add("embedding_length", count(spec.hidden));
        add("block_count", count(spec.layers()));
        add("feed_forward_length", count(spec.inner));
        add("attention.head_count", count(spec.heads));
        add("attention.head_count_kv", count(spec.kv_heads));
        add("attention.key_length", count(spec.head_dim));
        add("attention.value_length", count(spec.head_dim));
        add("vocab_size", count(spec.vocab));
        let eps = match spec.norm {
            NormKind::Rms | NormKind::RmsPlusOne => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        };
        add(eps, Value::F32(spec.norm_eps));
        if name == "gptneox" {
            add("use_parallel_residual", Value::Bool(spec.block == BlockKind::Parallel));
        }
        let caps = [("attn_logit_softcapping", spec.score_softcap), ("final_logit_softcapping", spec.logit_softcap)];
        caps.into_iter().filter_map(|(key, cap)| Some((key, cap?))).for_each(|(key, cap)| add(key, Value::F32(cap)));
        if let Some(window) = spec.windows.iter().flatten().next().filter(|_| self.architecture.windows) {
            add("attention.sliding_window", count(*window));
            let slides = spec.windows.iter().map(Option::is_some).collect();
            add("attention.sliding_window_pattern", Value::Bools(slides));
        }
        rotary(spec).into_iter().for_each(|(key, value)| add(key, value));
        all
    }

    /// Every tensor that is written, in the model's order.
    fn entries<'a>(&'a self, model: &'a Model, encoding: Encoding) -> Result<Vec<Entry<'a>>> {
        let mut entries = Vec::new();
        // An adapter's tensors stay behind: they are in the weights once it is merged.
        for (_, param) in model.params.iter().filter(|(_, param)| !param.name.contains(".lora_")) {
            let place = self.place(&param.name)?;
            entries.push(self.entry(param, place.theirs.clone(), place, encoding)?);
            if model.spec.tied && self.architecture.own_head && place.theirs == "token_embd.weight" {
                entries.push(self.entry(param, "output.weight".into(), place, encoding)?);
            }
        }
        if let Some(factors) = self.stretches() {
            let shape = vec![factors.len()];
            let row = Box::new(move |i: usize| Cow::Owned(vec![factors[i]]));
            entries.push(Entry { name: STRETCHES.into(), shape, encoding: Encoding::F32, row });
        }
        Ok(entries)
    }

    fn place(&self, name: &str) -> Result<&Place> {
        let found = self.places.iter().find(|place| place.ours == name);
        found.ok_or_else(|| refuse(format!("`{name}` has no place in a GGUF file")))
    }

    fn entry<'a>(&'a self, param: &'a Param, name: String, place: &'a Place, encoding: Encoding) -> Result<Entry<'a>> {
        if param.quantised.is_some() {
            let hint = "export the model as it was saved";
            return Err(Error::Export { reason: "its weights are already rounded".into(), hint });
        }
        let encoding = match param.shape.as_slice() {
            _ if name.starts_with("position_embd") => Encoding::F32,
            [_, columns] if columns.is_multiple_of(BLOCK) || encoding == Encoding::F32 => encoding,
            [_, _] if encoding == Encoding::Bf16 => encoding,
            [_, _] => Encoding::F16,
            _ => Encoding::F32,
        };
        let columns = param.shape.iter().skip(1).product::<usize>();
        let row = move |row: usize| {
            let values = param.row(self.source(place.order, row), columns);
            match place.shift {
                0.0 => values,
                shift => values.iter().map(|x| x + shift).collect(),
            }
        };
        Ok(Entry { name, shape: param.shape.clone(), encoding, row: Box::new(row) })
    }

    /// The row of ours that stands in row `row` of the file.
    fn source(&self, order: Order, row: usize) -> usize {
        let d = self.spec.head_dim;
        match order {
            Order::Kept => row,
            Order::Pairs => row / d * d + row % d / 2 + row % 2 * (d / 2),
            Order::Parts => {
                let (part, head) = (row / (self.spec.heads * d), row / d % self.spec.heads);
                (head * 3 + part) * d + row % d
            }
        }
    }

    /// By what each frequency is divided, where a tensor says so.
    fn stretches(&self) -> Option<Vec<f32>> {
        let Positions::Rotary { turns, .. } = &self.spec.positions else { return None };
        let turn = turns.first().filter(|turn| matches!(turn.scaling, Scaling::Llama3 { .. }))?;
        let plain = Rotary::plain(turn.theta, turn.dims).frequencies();
        Some(plain.iter().zip(turn.frequencies()).map(|(plain, stretched)| plain / stretched).collect())
    }

    /// The model in the file at `path`, which [`write()`] made of a model of this layout.
    ///
    /// # Errors
    /// The file is damaged, or says or holds anything but what that model is.
    pub fn read(self, path: &Path, encoding: Encoding) -> Result<Model> {
        let mut file = Gguf::open(path)?;
        let bad = |reason: String| Error::Gguf { path: path.to_path_buf(), reason };
        if let Some((key, value)) = self.describe(encoding).iter().find(|(key, value)| file.value(key) != Some(value)) {
            return Err(bad(format!("`{key}` is {:?} and should be {value:?}", file.value(key))));
        }
        if let Some(factors) = self.stretches()
            && file.values(STRETCHES, &[factors.len()])? != factors
        {
            return Err(bad(format!("`{STRETCHES}` has other factors than the model")));
        }
        let known = |name: &str| name == STRETCHES || self.places.iter().any(|place| place.theirs == name);
        if let Some(name) = file.names().find(|name| !known(name)) {
            return Err(bad(format!("the tensor `{name}` has no place in the model")));
        }
        let mut source = Source { layout: &self, file: &mut file };
        let source = (&mut source as &mut dyn TensorSource, Storage::F32);
        Model::build(self.family, (self.spec.clone(), self.config.clone()), None, source, Purpose::Inference)
    }
}

/// The factors of [`Layout::stretches`].
const STRETCHES: &str = "rope_freqs.weight";

/// A model's tensors in a GGUF file.
struct Source<'a> {
    layout: &'a Layout,
    file: &'a mut Gguf,
}

impl TensorSource for Source<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        let place = self.layout.place(name)?;
        // Weights that Hugging Face stores transposed stand in the file as they are used.
        let names = self.layout.family.names();
        let table = [names.embedding, names.positions, names.head].iter().any(|table| name.starts_with(table));
        let turned = self.layout.spec.transposed && shape.len() == 2 && !table;
        let lies = if turned { vec![shape[1], shape[0]] } else { shape.to_vec() };
        let there = self.file.values(&place.theirs, &lies)?;
        let columns = lies.iter().skip(1).product::<usize>();
        let mut values = vec![0.0; there.len()];
        for (row, there) in there.chunks_exact(columns.max(1)).enumerate() {
            let ours = &mut values[self.layout.source(place.order, row) * columns..][..columns];
            ours.iter_mut().zip(there).for_each(|(x, y)| *x = y - place.shift);
        }
        Ok(if turned { transpose(&values, columns) } else { values })
    }
}

/// What the file says of rotary positions.
fn rotary(spec: &DecoderSpec) -> Vec<(&'static str, Value)> {
    let Positions::Rotary { turns, .. } = &spec.positions else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(turn) = turns.first() {
        all.push(("rope.freq_base", Value::F32(turn.theta)));
        all.push(("rope.dimension_count", Value::U32(turn.dims as u32)));
        if let Scaling::Linear { factor } = turn.scaling {
            all.push(("rope.scaling.type", Value::Text("linear".into())));
            all.push(("rope.scaling.factor", Value::F32(factor)));
        }
    }
    all.extend(turns.get(1).map(|turn| ("rope.freq_base_swa", Value::F32(turn.theta))));
    all
}

/// Where every tensor of a model stands.
fn places(family: &dyn Family, spec: &DecoderSpec, architecture: Architecture) -> Vec<Place> {
    let (names, kept) = (family.names(), Order::Kept);
    let mut stems: Vec<(String, String, Order)> = [
        (names.embedding, "token_embd"),
        (names.embedding_norm, "token_embd_norm"),
        (names.positions, "position_embd"),
        (names.final_norm, "output_norm"),
        (names.head, "output"),
    ]
    .into_iter()
    .filter(|(ours, _)| !ours.is_empty())
    .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned(), kept))
    .collect();
    let q = if spec.qkv != QkvLayout::Separate { "attn_qkv" } else { "attn_q" };
    let parts = [
        (names.attention_norm, "attn_norm", kept),
        (names.attention_post_norm, "post_attention_norm", kept),
        (names.q, q, architecture.order),
        (names.k, "attn_k", architecture.order),
        (names.v, "attn_v", kept),
        (names.q_norm, "attn_q_norm", kept),
        (names.k_norm, "attn_k_norm", kept),
        (names.output, "attn_output", kept),
        (names.mlp_norm, "ffn_norm", kept),
        (names.mlp_post_norm, "post_ffw_norm", kept),
        (names.gate, "ffn_gate", kept),
        (names.up, "ffn_up", kept),
        (names.down, "ffn_down", kept),
    ];
    // A family without norms before its halves has the names of Llama's all the same; those after them come first.
    let mut parts = parts.to_vec();
    if spec.block == BlockKind::PostNorm {
        parts.retain(|(_, theirs, _)| !["attn_norm", "ffn_norm"].contains(theirs));
    }
    for layer in 0..spec.layers() {
        let there = parts.iter().filter(|(ours, ..)| !ours.is_empty());
        stems.extend(there.map(|(ours, theirs, o)| (names.in_block(layer, ours), format!("blk.{layer}.{theirs}"), *o)));
    }
    let shift = |theirs: &str| if spec.norm == NormKind::RmsPlusOne && theirs.ends_with("norm") { 1.0 } else { 0.0 };
    let place = |(ours, theirs, order): &(String, String, Order)| {
        ["weight", "bias"].map(|end| Place {
            ours: format!("{ours}.{end}"),
            theirs: format!("{theirs}.{end}"),
            order: *order,
            shift: shift(theirs),
        })
    };
    stems.iter().flat_map(place).collect()
}

impl Architecture {
    /// Refuses what llama.cpp's graph computes otherwise.
    fn check(&self, spec: &DecoderSpec) -> Result<()> {
        let no = |what: &str| Err(refuse(format!("llama.cpp's `{}` {what}", self.name)));
        let usual = 1.0 / (spec.head_dim as f32).sqrt();
        if (spec.score_scale - usual).abs() > 1e-6 * usual {
            return no("scales its scores by 1/√head_dim, this model otherwise");
        }
        if !self.activations.contains(&spec.activation) {
            return no("has another activation");
        }
        let biases = [spec.biases.qkv, spec.biases.output, spec.biases.mlp];
        let fits = |(has, bias): (bool, &Bias)| match bias {
            Bias::Never => !has,
            Bias::Optional => true,
            Bias::Always => has,
        };
        if !biases.into_iter().zip(&self.biases).all(fits) {
            return no("has its biases elsewhere");
        }
        if self.square && spec.heads * spec.head_dim != spec.hidden {
            return no("has heads that are together as wide as the model");
        }
        if self.name == "gemma2" && (spec.score_softcap.is_none() || spec.logit_softcap.is_none() || !spec.tied) {
            return no("caps scores and logits, and its head is the embedding");
        }
        let limit = spec.positions.limit().unwrap_or(usize::MAX);
        if !self.windows && spec.windows.iter().flatten().any(|window| *window < limit) {
            return no("knows no windows of attention");
        }
        self.check_positions(spec)
    }

    fn check_positions(&self, spec: &DecoderSpec) -> Result<()> {
        let no = |what: &str| Err(refuse(format!("llama.cpp's `{}` {what}", self.name)));
        let Positions::Rotary { turns, of_layer, .. } = &spec.positions else { return Ok(()) };
        let expected = |layer: usize| match self.name {
            "smollm3" => (!(layer + 1).is_multiple_of(4)).then_some(0),
            "gemma3" => Some(usize::from(spec.windows[layer].is_some())),
            _ => Some(0),
        };
        if of_layer.iter().enumerate().any(|(layer, turn)| *turn != expected(layer)) {
            return no("turns other layers to their positions");
        }
        for (i, turn) in turns.iter().enumerate() {
            match turn.scaling {
                Scaling::Default => {}
                Scaling::Linear { .. } if i == 0 => {}
                Scaling::Llama3 { .. } if self.stretched => {}
                _ => return no("stretches positions otherwise"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;
    use crate::memory::spec_of;
    use serde_json::json;

    fn refused(config: &Json) -> String {
        let (spec, _) = spec_of(config.clone()).unwrap();
        let found = ALL.iter().find(|a| config["model_type"] == a.model_type).unwrap();
        found.check(&spec).unwrap_err().to_string()
    }

    #[test]
    fn what_llama_cpp_computes_otherwise_is_refused() {
        let mut mistral = json!({
            "model_type": "mistral", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "sliding_window": 16
        });
        assert!(refused(&mistral).contains("knows no windows"));
        mistral["model_type"] = json!("smollm3");
        mistral["no_rope_layers"] = json!([1, 0]);
        assert!(refused(&mistral).contains("turns other layers"));
        mistral["model_type"] = json!("qwen3");
        mistral["hidden_act"] = json!("gelu");
        assert!(refused(&mistral).contains("another activation"));
        let gpt2 = json!({
            "model_type": "gpt2", "vocab_size": 100, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64,
            "scale_attn_weights": false
        });
        assert!(refused(&gpt2).contains("scales its scores"));
    }

    #[test]
    fn every_family_but_gpt_neo_has_a_place() {
        let without: Vec<_> = families::ALL.iter().map(|f| f.model_type()).collect();
        let without: Vec<_> = without.iter().filter(|f| ALL.iter().all(|a| a.model_type != **f)).collect();
        assert_eq!(without, [&"gpt_neo"]);
    }
}
