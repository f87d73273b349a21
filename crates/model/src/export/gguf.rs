//! The format GGUF: metadata, tensor table, aligned data. Written here, read in `gguf_read.rs`; what a model becomes in it
//! stands in `gguf_model.rs`.
//!
//! Specification: `docs/gguf.md` of ggml-org/ggml (version 3).

use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::ops::quant::{BLOCK, quantise_q4_0, quantise_q8_0};

/// Data of every tensor begins at a multiple of this.
pub(super) const ALIGNMENT: usize = 32;
/// What a file begins with.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// The version that is written and read.
pub(super) const VERSION: u32 = 3;

/// How matrices are written. Vectors stay f32; rows that are no multiple of 32 long become f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value, IEEE half.
    F16,
    /// 2 bytes a value, the upper half of an f32.
    Bf16,
    /// 8 bits and a scale for each 32 values.
    Q8_0,
    /// 4 bits and a scale for each 32 values.
    Q4_0,
}

impl Encoding {
    /// Every encoding there is.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// Its name: `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// `ggml_type`.
    pub(super) fn tensor_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 30,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
        }
    }

    /// `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
        }
    }

    /// Bytes that so many values take.
    pub(super) fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => 4 * values,
            Self::F16 | Self::Bf16 => 2 * values,
            Self::Q8_0 => values / BLOCK * 34,
            Self::Q4_0 => values / BLOCK * 18,
        }
    }

    fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => values.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F16 => values.iter().for_each(|x| out.extend(f16::from_f32(*x).to_le_bytes())),
            Self::Bf16 => values.iter().for_each(|x| out.extend(bf16::from_f32(*x).to_le_bytes())),
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

    /// The values of `bytes`, which are as many as [`Self::bytes`] says.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
        match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => bytes.chunks_exact(2).map(|b| f16::from_bits(half(b)).to_f32()).collect(),
            Self::Bf16 => bytes.chunks_exact(2).map(|b| bf16::from_bits(half(b)).to_f32()).collect(),
            Self::Q8_0 => {
                let block = |b: &[u8]| {
                    let d = f16::from_bits(half(b)).to_f32();
                    b[2..].iter().map(|q| d * f32::from(*q as i8)).collect::<Vec<f32>>()
                };
                bytes.chunks_exact(34).flat_map(block).collect()
            }
            Self::Q4_0 => {
                let block = |b: &[u8]| {
                    let d = f16::from_bits(half(b)).to_f32();
                    let (low, high) = (b[2..].iter().map(|q| q & 15), b[2..].iter().map(|q| q >> 4));
                    low.chain(high).map(|q| d * (f32::from(q) - 8.0)).collect::<Vec<f32>>()
                };
                bytes.chunks_exact(18).flat_map(block).collect()
            }
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
    /// Flags, such as which layers see a window only.
    Bools(Vec<bool>),
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
            Self::Bools(_) => (9, Some(7)),
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
            Self::Bools(all) => {
                out.extend((all.len() as u64).to_le_bytes());
                out.extend(all.iter().map(|x| u8::from(*x)));
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

/// One tensor to write.
pub(super) struct Entry<'a> {
    /// Its name.
    pub(super) name: String,
    /// Its shape, the slowest dimension first.
    pub(super) shape: Vec<usize>,
    /// How it is stored.
    pub(super) encoding: Encoding,
    /// Gives row `i` of it.
    pub(super) row: Box<dyn Fn(usize) -> Cow<'a, [f32]> + 'a>,
}

impl Entry<'_> {
    fn bytes(&self) -> usize {
        self.encoding.bytes(self.shape.iter().product())
    }

    fn write(&self, file: &mut impl Write) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for row in 0..self.shape[0] {
            bytes.clear();
            self.encoding.encode(&(self.row)(row), &mut bytes);
            file.write_all(&bytes)?;
        }
        file.write_all(&[0; ALIGNMENT][..self.bytes().next_multiple_of(ALIGNMENT) - self.bytes()])
    }
}

fn head(metadata: &Metadata, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut head: Vec<u8> = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((entries.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(key, &mut head);
        value.encode(&mut head);
    }
    let mut offset = 0;
    for entry in entries {
        text(&entry.name, &mut head);
        head.extend((entry.shape.len() as u32).to_le_bytes());
        // The fastest dimension comes first.
        entry.shape.iter().rev().for_each(|n| head.extend((*n as u64).to_le_bytes()));
        head.extend(entry.encoding.tensor_type().to_le_bytes());
        head.extend((offset as u64).to_le_bytes());
        offset += entry.bytes().next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    head
}

/// Writes a file by way of a sibling that is renamed; returns its bytes.
pub(super) fn write_file(path: &Path, metadata: &Metadata, entries: &[Entry<'_>]) -> Result<u64> {
    let head = head(metadata, entries);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let sibling = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(&sibling)?);
        file.write_all(&head)?;
        entries.iter().try_for_each(|entry| entry.write(&mut file))?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    if let Err(error) = write() {
        // The half-written sibling is of no use; the error that matters is the first one.
        let _ = std::fs::remove_file(&sibling);
        return Err(Error::io("write", path, error));
    }
    std::fs::rename(&sibling, path).map_err(|e| Error::io("write", path, e))?;
    let data: usize = entries.iter().map(|entry| entry.bytes().next_multiple_of(ALIGNMENT)).sum();
    Ok((head.len() + data) as u64)
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
    fn what_was_encoded_comes_back_as_near_as_its_bits_allow() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) / 7.0).collect();
        for (encoding, near) in Encoding::ALL.into_iter().zip([0.0, 0.004, 0.02, 0.03, 0.5]) {
            let mut out = Vec::new();
            encoding.encode(&values, &mut out);
            let back = encoding.decode(&out);
            assert_eq!(back.len(), values.len());
            assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() <= near), "{}", encoding.name());
        }
    }

    #[test]
    fn values_are_written_with_their_types() {
        let mut out = Vec::new();
        Value::Texts(vec!["ab".into()]).encode(&mut out);
        assert_eq!(out, [9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
    }
}
