//! Safetensors files, written whole or not at all, and a piece of a tensor at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::Precision;
use crate::error::{Error, Result};

/// Values that are encoded at a time.
const PIECE: usize = 1 << 15;

/// A tensor to be written. Its values are asked for when it is its turn.
pub trait Written {
    /// Its name.
    fn name(&self) -> &str;
    /// Its shape.
    fn shape(&self) -> &[usize];
    /// Its values, as many as the shape says.
    fn values(&self) -> Cow<'_, [f32]>;
}

/// A tensor that lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its values.
    pub values: &'a [f32],
}

impl Written for Stored<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn values(&self) -> Cow<'_, [f32]> {
        self.values.into()
    }
}

impl Precision {
    /// Bytes of a value.
    pub fn width(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        bytes.clear();
        match self {
            Self::F32 => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
            Self::F16 => bytes.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
            Self::Bf16 => bytes.extend(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
        }
    }
}

fn bytes_of(tensor: &impl Written, precision: Precision) -> usize {
    tensor.shape().iter().product::<usize>() * precision.width()
}

/// Writes the content of one safetensors file, tensors in the order of their names.
///
/// # Errors
/// The output's; two tensors of one name; values that are fewer or more than their shape says.
pub fn write_tensors<T: Written>(out: &mut dyn Write, tensors: &[T], precision: Precision) -> io::Result<()> {
    let mut sorted: Vec<&T> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name().cmp(b.name()));
    let bad = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
    if let Some(two) = sorted.windows(2).find(|two| two[0].name() == two[1].name()) {
        return Err(bad(format!("two tensors are called `{}`", two[0].name())));
    }
    let mut end = 0;
    let place = |tensor: &&T| {
        let begin = end;
        end += bytes_of(*tensor, precision);
        let shape = tensor.shape().to_vec();
        (tensor.name().to_owned(), TensorInfo { dtype: precision.dtype(), shape, data_offsets: (begin, end) })
    };
    let infos = sorted.iter().map(place).collect();
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(about), infos).map_err(|e| bad(e.to_string()))?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = Vec::new();
    for tensor in sorted {
        let values = tensor.values();
        if values.len() * precision.width() != bytes_of(tensor, precision) {
            return Err(bad(format!("`{}` holds another number of values than its shape", tensor.name())));
        }
        for piece in values.chunks(PIECE) {
            precision.encode(piece, &mut bytes);
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Writes tensors into one safetensors file, by way of a sibling that is renamed.
pub fn write_file<T: Written>(path: &Path, tensors: &[T], precision: Precision) -> Result<()> {
    write_atomically_with(path, |out| write_tensors(out, tensors, precision))
}

/// Writes a file whole or not at all.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    write_atomically_with(path, |out| out.write_all(content))
}

/// Writes a file whole or not at all, a piece at a time.
pub fn write_atomically_with(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let sibling = path.with_file_name(name);
    let write = || {
        let mut out = BufWriter::with_capacity(4 * PIECE, std::fs::File::create(&sibling)?);
        content(&mut out)?;
        out.into_inner()?.sync_all()
    };
    if let Err(error) = write() {
        // The half-written sibling is of no use; the error that matters is the first one.
        let _ = std::fs::remove_file(&sibling);
        return Err(Error::io("write", path, error));
    }
    std::fs::rename(&sibling, path).map_err(|e| Error::io("write", path, e))
}

/// Writes `model.safetensors`, or shards of at most `max_shard_bytes` with their index.
pub fn write_model<T: Written>(
    folder: &Path,
    tensors: Vec<T>,
    precision: Precision,
    max_shard_bytes: u64,
) -> Result<()> {
    let mut shards: Vec<Vec<T>> = vec![Vec::new()];
    let (mut filled, mut total) = (0, 0);
    for tensor in tensors {
        let size = bytes_of(&tensor, precision) as u64;
        if filled > 0 && filled + size > max_shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size;
        total += size;
        shards.last_mut().expect("there is always a shard").push(tensor);
    }
    if let [only] = shards.as_slice() {
        return write_file(&folder.join("model.safetensors"), only, precision);
    }
    let count = shards.len();
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", i + 1);
        write_file(&folder.join(&name), shard, precision)?;
        map.extend(shard.iter().map(|t| (t.name(), name.clone())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    write_atomically(&folder.join("model.safetensors.index.json"), format!("{index:#}\n").as_bytes())
}
