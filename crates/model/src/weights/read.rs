//! Safetensors files, open: their headers in memory, their tensors read when they are asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use super::{Init, TensorSource};
use crate::error::{Error, Result};

/// Largest shard index that is read.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Largest header of a file that is read, as in the safetensors crate.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes that are read at a time; a multiple of every type's width.
const PIECE: usize = 1 << 18;

/// Bytes that can be read from anywhere.
trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

/// One file.
struct Source {
    path: PathBuf,
    bytes: RefCell<Box<dyn Bytes>>,
    /// Where the tensors begin.
    start: u64,
}

/// The weights of a model folder. Tensors are read when they are asked for.
pub struct Weights {
    path: PathBuf,
    files: Vec<Source>,
    /// Name → (file, what the header says).
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    prefix: &'static str,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Source {
    /// Reads the header; nothing it says is believed before it fits the length of the file.
    fn open(path: &Path, mut bytes: Box<dyn Bytes>) -> Result<(Self, Metadata)> {
        let io = |e: std::io::Error| Error::io("read", path, e);
        let bad = |reason: String| Error::Safetensors { path: path.to_path_buf(), reason };
        let total = bytes.seek(SeekFrom::End(0)).map_err(io)?;
        bytes.rewind().map_err(io)?;
        let mut length = [0; 8];
        if total < 8 {
            return Err(bad("it is too short for a header".into()));
        }
        bytes.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES || length > total - 8 {
            return Err(bad(format!("its header would have {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        bytes.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| bad(format!("its header: {e}")))?;
        let start = 8 + length;
        if metadata.data_len() as u64 != total - start {
            return Err(bad(format!("it holds {} bytes of {}", total - start, metadata.data_len())));
        }
        Ok((Self { path: path.to_path_buf(), bytes: RefCell::new(bytes), start }, metadata))
    }

    /// The values of a tensor, decoded a piece at a time.
    fn values(&self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        let (width, decode): (usize, fn(&[u8]) -> f32) = match info.dtype {
            Dtype::F32 => (4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Dtype::F16 => (2, |b| f16::from_le_bytes([b[0], b[1]]).to_f32()),
            Dtype::BF16 => (2, |b| bf16::from_le_bytes([b[0], b[1]]).to_f32()),
            other => return Err(Error::Dtype { tensor: name.to_owned(), dtype: format!("{other:?}") }),
        };
        let io = |e: std::io::Error| Error::io("read", &self.path, e);
        let (begin, end) = info.data_offsets;
        let mut bytes = self.bytes.borrow_mut();
        bytes.seek(SeekFrom::Start(self.start + begin as u64)).map_err(io)?;
        let (mut values, mut piece) = (Vec::with_capacity((end - begin) / width), vec![0; PIECE.min(end - begin)]);
        for first in (begin..end).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(end - first)];
            bytes.read_exact(piece).map_err(io)?;
            values.extend(piece.chunks_exact(width).map(decode));
        }
        Ok(values)
    }
}

impl Weights {
    /// Opens `model.safetensors`, or the shards of `model.safetensors.index.json`. Names are also found without `prefix`.
    pub fn open(folder: &Path, prefix: &'static str) -> Result<Self> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        let paths = match (single.exists(), index.exists()) {
            (true, _) => vec![single],
            (false, true) => Self::shards(folder, &index)?,
            (false, false) => return Err(Error::NoWeights { path: folder.to_path_buf() }),
        };
        Self::open_files(folder, &paths, prefix)
    }

    /// Opens one safetensors file.
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::open_files(path, &[path.to_path_buf()], "")
    }

    /// Opens the content of one safetensors file; `path` is what errors call it.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut weights = Self::none(path, "");
        weights.add(path, Box::new(Cursor::new(bytes)))?;
        Ok(weights)
    }

    /// The shard files an index names; a name that is not a plain file name is refused.
    fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
        let bad = |reason: String| Error::Index { path: index.to_path_buf(), reason };
        let size = std::fs::metadata(index).map_err(|e| Error::io("read", index, e))?.len();
        if size > MAX_INDEX_BYTES {
            return Err(bad(format!("it is larger than {MAX_INDEX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(index).map_err(|e| Error::io("read", index, e))?;
        let map: Index = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let mut files: Vec<&String> = map.weight_map.values().collect();
        files.sort();
        files.dedup();
        if let Some(name) = files.iter().find(|n| Path::new(n).file_name().is_none_or(|f| f != n.as_str())) {
            return Err(bad(format!("the shard name `{name}` leaves the folder")));
        }
        Ok(files.iter().map(|name| folder.join(name)).collect())
    }

    fn none(path: &Path, prefix: &'static str) -> Self {
        Self { path: path.to_path_buf(), files: Vec::new(), tensors: BTreeMap::new(), prefix }
    }

    fn open_files(path: &Path, paths: &[PathBuf], prefix: &'static str) -> Result<Self> {
        let mut weights = Self::none(path, prefix);
        for path in paths {
            let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
            weights.add(path, Box::new(file))?;
        }
        Ok(weights)
    }

    fn add(&mut self, path: &Path, bytes: Box<dyn Bytes>) -> Result<()> {
        let (file, metadata) = Source::open(path, bytes)?;
        let number = self.files.len();
        self.tensors.extend(metadata.tensors().into_iter().map(|(name, info)| (name, (number, info.clone()))));
        self.files.push(file);
        Ok(())
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether a tensor is there, with or without the prefix.
    pub fn contains(&self, name: &str) -> bool {
        self.stored(name).is_some()
    }

    fn stored(&self, name: &str) -> Option<&(usize, TensorInfo)> {
        let short = || self.tensors.get(name.strip_prefix(self.prefix)?);
        self.tensors.get(name).or_else(short)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.stored(name).map(|(_, info)| info.shape.clone())
    }

    /// The values of a tensor as f32, of exactly this shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let (file, info) = self.stored(name).ok_or_else(missing)?;
        if info.shape != shape {
            let (found, expected) = (info.shape.clone(), shape.to_vec());
            return Err(Error::Shape { tensor: name.to_owned(), found, expected });
        }
        self.files[*file].values(name, info)
    }
}

impl TensorSource for Weights {
    fn tensor(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        self.values(name, shape)
    }
}
