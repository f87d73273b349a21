//! GGUF files, as llama.cpp reads them: metadata, tensor table, aligned data.
//!
//! Specification: `docs/gguf.md` of ggml-org/ggml (version 3); names of keys and tensors: `gguf-py/gguf/constants.py` of
//! ggml-org/llama.cpp. What llama.cpp turns differently is reordered here: Llama's rotary pairs lie side by side there, and a
//! fused projection holds all queries, then all keys, then all values.

use std::io::{BufWriter, Write};
use std::path::Path;

use half::f16;

use super::gguf_tokenizer;
use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::model::Model;
use crate::ops::quant::{BLOCK, quantise_q4_0, quantise_q8_0};
use crate::ops::rotary::Scaling;
use crate::params::Param;
use crate::spec::{NormKind, Positions, QkvLayout};

/// Data of every tensor begins at a multiple of this.
const ALIGNMENT: usize = 32;

/// How matrices are written. Vectors stay f32; rows that are no multiple of 32 long become f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value.
    F16,
    /// 8 bits and a scale for each 32 values.
    Q8_0,
    /// 4 bits and a scale for each 32 values.
    Q4_0,
}

impl Encoding {
    /// Every encoding there is.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// Its name: `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// `ggml_type`.
    fn tensor_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
        }
    }

    /// `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
        }
    }

    fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => 4 * values,
            Self::F16 => 2 * values,
            Self::Q8_0 => values / BLOCK * 34,
            Self::Q4_0 => values / BLOCK * 18,
        }
    }

    fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => values.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F16 => values.iter().for_each(|x| out.extend(f16::from_f32(*x).to_le_bytes())),
            Self::Q8_0 => values.as_chunks::<BLOCK>().0.iter().for_each(|x| {
                let (d, q) = quantise_q8_0(x);
                out.extend(d.to_le_bytes());
                out.extend(q.map(|q| q as u8));
            }),
            Self::Q4_0 => values.as_chunks::<BLOCK>().0.iter().for_each(|x| {
                let (d, q) = quantise_q4_0(x);
                out.extend(d.to_le_bytes());
                out.extend((0..BLOCK / 2).map(|i| q[i + BLOCK / 2] << 4 | q[i]));
            }),
        }
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count or an id.
    U32(u32),
    /// A number.
    F32(f32),
    /// A flag.
    Bool(bool),
    /// A text.
    Text(String),
    /// Texts, such as the tokens.
    Texts(Vec<String>),
    /// Numbers, such as the tokens' scores.
    Floats(Vec<f32>),
    /// Whole numbers, such as the tokens' kinds.
    Ints(Vec<i32>),
}

impl Value {
    /// The type's number in the specification, and of an array that of its elements.
    fn kind(&self) -> (u32, Option<u32>) {
        match self {
            Self::U32(_) => (4, None),
            Self::F32(_) => (6, None),
            Self::Bool(_) => (7, None),
            Self::Text(_) => (8, None),
            Self::Texts(_) => (9, Some(8)),
            Self::Floats(_) => (9, Some(6)),
            Self::Ints(_) => (9, Some(5)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, element) = self.kind();
        out.extend(kind.to_le_bytes());
        out.extend(element.into_iter().flat_map(u32::to_le_bytes));
        match self {
            Self::U32(x) => out.extend(x.to_le_bytes()),
            Self::F32(x) => out.extend(x.to_le_bytes()),
            Self::Bool(x) => out.push(u8::from(*x)),
            Self::Text(x) => text(x, out),
            Self::Texts(all) => {
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| text(x, out));
            }
            Self::Floats(all) => {
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::Ints(all) => {
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
        }
    }
}

fn text(x: &str, out: &mut Vec<u8>) {
    out.extend((x.len() as u64).to_le_bytes());
    out.extend(x.as_bytes());
}

/// Metadata in the order in which it is written.
pub type Metadata = Vec<(String, Value)>;

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

/// A family's place in llama.cpp.
#[derive(Clone, Copy, Debug)]
struct Architecture {
    model_type: &'static str,
    name: &'static str,
    /// Of the projections into queries and keys, or of the fused one.
    order: Order,
}

/// The families that llama.cpp computes alike. GPT-Neo is not among them: its unscaled scores are unknown there.
const ALL: &[Architecture] = &[
    Architecture { model_type: "llama", name: "llama", order: Order::Pairs },
    Architecture { model_type: "mistral", name: "llama", order: Order::Pairs },
    Architecture { model_type: "qwen2", name: "qwen2", order: Order::Kept },
    Architecture { model_type: "bloom", name: "bloom", order: Order::Parts },
];

/// One tensor to write.
struct Entry<'a> {
    name: String,
    param: &'a Param,
    order: Order,
    encoding: Encoding,
}

fn refuse(reason: String, hint: &'static str) -> Error {
    Error::Export { reason, hint }
}

/// Writes a model as a GGUF file; the tokenizer comes from `tokenizer.json` and its neighbours in `folder`. Returns the bytes
/// written.
///
/// # Errors
/// llama.cpp has no such architecture, the model is a classifier or carries an adapter, or the tokenizer is of another kind.
pub fn write(model: &Model, folder: &Path, encoding: Encoding, out: &Path) -> Result<u64> {
    let architecture = architecture(model)?;
    let mut metadata = describe(model, architecture, encoding)?;
    metadata.extend(gguf_tokenizer::metadata(folder, &model.config, model.spec.vocab)?);
    let entries = entries(model, architecture, encoding)?;
    write_file(out, &metadata, &entries, model)
}

fn architecture(model: &Model) -> Result<Architecture> {
    let found = model.family.model_type();
    if model.head.kind != HeadKind::LanguageModel {
        return Err(refuse("it is a classifier".into(), "llama.cpp runs language models; export it with --format hf"));
    }
    ALL.iter().copied().find(|a| a.model_type == found).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|a| a.model_type).collect();
        refuse(format!("GGUF is written for {}, not for `{found}`", known.join(", ")), "export it with --format hf")
    })
}

fn describe(model: &Model, architecture: Architecture, encoding: Encoding) -> Result<Metadata> {
    let spec = &model.spec;
    if spec.windows.iter().any(Option::is_some) {
        return Err(refuse("it has windows of attention".into(), "export it with --format hf"));
    }
    let rotary = match &spec.positions {
        Positions::Rotary { turns, of_layer, .. } => match turns.as_slice() {
            [turn] if turn.scaling == Scaling::Default && of_layer.iter().all(Option::is_some) => Some(turn),
            _ => {
                return Err(refuse(
                    "its rotary positions are scaled or differ by layer".into(),
                    "export it with --format hf",
                ));
            }
        },
        _ => None,
    };
    let context = spec.positions.limit().unwrap_or_else(|| {
        let stored = model.config.get("seq_length").and_then(serde_json::Value::as_u64);
        stored.and_then(|n| usize::try_from(n).ok()).unwrap_or(2048)
    });
    let mut all: Metadata = vec![
        ("general.architecture".into(), Value::Text(architecture.name.into())),
        ("general.file_type".into(), Value::U32(encoding.file_type())),
        ("general.quantization_version".into(), Value::U32(2)),
    ];
    let mut add = |key: &str, value: Value| all.push((format!("{}.{key}", architecture.name), value));
    let count = |n: usize| Value::U32(n as u32);
    add("context_length", count(context));
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
    if let Some(turn) = rotary {
        add("rope.freq_base", Value::F32(turn.theta));
        add("rope.dimension_count", count(turn.dims));
    }
    Ok(all)
}

/// Every tensor with its name there, in the model's order.
fn entries(model: &Model, architecture: Architecture, encoding: Encoding) -> Result<Vec<Entry<'_>>> {
    let names = model.family.names();
    let mut places: Vec<(String, String, Order)> = [
        (names.embedding, "token_embd"),
        (names.embedding_norm, "token_embd_norm"),
        (names.positions, "position_embd"),
        (names.final_norm, "output_norm"),
        ("lm_head", "output"),
    ]
    .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned(), Order::Kept))
    .to_vec();
    for layer in 0..model.spec.layers() {
        let q = if model.spec.qkv != QkvLayout::Separate { "attn_qkv" } else { "attn_q" };
        let parts = [
            (names.attention_norm, "attn_norm", Order::Kept),
            (names.q, q, architecture.order),
            (names.k, "attn_k", architecture.order),
            (names.v, "attn_v", Order::Kept),
            (names.output, "attn_output", Order::Kept),
            (names.mlp_norm, "ffn_norm", Order::Kept),
            (names.gate, "ffn_gate", Order::Kept),
            (names.up, "ffn_up", Order::Kept),
            (names.down, "ffn_down", Order::Kept),
        ];
        let there = parts.into_iter().filter(|(ours, ..)| !ours.is_empty());
        places.extend(there.map(|(ours, theirs, o)| (names.in_block(layer, ours), format!("blk.{layer}.{theirs}"), o)));
    }
    let entry = |param| entry(param, &places, encoding);
    model.params.iter().map(|(_, param)| entry(param)).collect()
}

fn entry<'a>(param: &'a Param, places: &[(String, String, Order)], encoding: Encoding) -> Result<Entry<'a>> {
    if param.quantised.is_some() {
        return Err(refuse("its weights are already rounded".into(), "export the model as it was saved"));
    }
    let (stem, suffix) = param.name.rsplit_once('.').unwrap_or((&param.name, ""));
    let Some((_, theirs, order)) = places.iter().find(|(ours, ..)| ours == stem) else {
        return Err(refuse(format!("`{}` has no place in a GGUF file", param.name), "merge adapters first"));
    };
    let encoding = match param.shape.as_slice() {
        [_, columns] if columns.is_multiple_of(BLOCK) || encoding == Encoding::F32 => encoding,
        [_, _] => Encoding::F16,
        _ => Encoding::F32,
    };
    Ok(Entry { name: format!("{theirs}.{suffix}"), param, order: *order, encoding })
}

impl Entry<'_> {
    /// The row of ours that stands in row `row` of the file.
    fn source(&self, row: usize, model: &Model) -> usize {
        let d = model.spec.head_dim;
        match self.order {
            Order::Kept => row,
            Order::Pairs => row / d * d + row % d / 2 + row % 2 * (d / 2),
            Order::Parts => {
                let (part, head) = (row / (model.spec.heads * d), row / d % model.spec.heads);
                (head * 3 + part) * d + row % d
            }
        }
    }

    fn write(&self, model: &Model, file: &mut impl Write) -> std::io::Result<()> {
        let rows = self.param.shape[0];
        let columns = self.param.value.len().checked_div(rows).unwrap_or(0);
        let mut bytes = Vec::new();
        for row in 0..rows {
            bytes.clear();
            self.encoding.encode(&self.param.value[self.source(row, model) * columns..][..columns], &mut bytes);
            file.write_all(&bytes)?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, metadata: &Metadata, entries: &[Entry<'_>], model: &Model) -> Result<u64> {
    let mut head: Vec<u8> = b"GGUF".to_vec();
    head.extend(3_u32.to_le_bytes());
    head.extend((entries.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(key, &mut head);
        value.encode(&mut head);
    }
    let mut offset = 0;
    for entry in entries {
        text(&entry.name, &mut head);
        head.extend((entry.param.shape.len() as u32).to_le_bytes());
        // The fastest dimension comes first.
        entry.param.shape.iter().rev().for_each(|n| head.extend((*n as u64).to_le_bytes()));
        head.extend(entry.encoding.tensor_type().to_le_bytes());
        head.extend((offset as u64).to_le_bytes());
        offset += entry.encoding.bytes(entry.param.value.len()).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let sibling = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(&sibling)?);
        file.write_all(&head)?;
        for entry in entries {
            entry.write(model, &mut file)?;
            let bytes = entry.encoding.bytes(entry.param.value.len());
            file.write_all(&[0; ALIGNMENT][..bytes.next_multiple_of(ALIGNMENT) - bytes])?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    if let Err(error) = write() {
        // The half-written sibling is of no use; the error that matters is the first one.
        let _ = std::fs::remove_file(&sibling);
        return Err(Error::io("write", path, error));
    }
    std::fs::rename(&sibling, path).map_err(|e| Error::io("write", path, e))?;
    Ok((head.len() + offset) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_as_long_as_it_says() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) / 7.0).collect();
        for encoding in Encoding::ALL {
            let mut out = Vec::new();
            encoding.encode(&values, &mut out);
            assert_eq!(out.len(), encoding.bytes(64), "{}", encoding.name());
        }
    }

    #[test]
    fn values_are_written_with_their_types() {
        let mut out = Vec::new();
        Value::Texts(vec!["ab".into()]).encode(&mut out);
        assert_eq!(out, [9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
    }
}
