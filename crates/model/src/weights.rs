//! Tensors from and to safetensors in Hugging Face layout: one file, or shards with an index.
//!
//! Files are written to a sibling and renamed. Only safetensors are read: formats that can carry code never are.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{Error, Result};

/// Largest shard index that is read.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// How a tensor starts when nothing is loaded.
#[derive(Clone, Copy, Debug)]
pub enum Init {
    /// Normal around 0 with this standard deviation.
    Normal(f32),
    /// Ones.
    Ones,
    /// Zeros.
    Zeros,
}

/// Where a model's tensors come from.
pub trait TensorSource {
    /// The values of a tensor, checked against `shape`.
    fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>>;
}

/// Random weights, fixed by a seed and each tensor's name.
#[derive(Clone, Copy, Debug)]
pub struct RandomInit {
    /// The seed.
    pub seed: u64,
}

impl TensorSource for RandomInit {
    fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>> {
        let n = shape.iter().product();
        Ok(match init {
            Init::Ones => vec![1.0; n],
            Init::Zeros => vec![0.0; n],
            Init::Normal(std) => normal(n, std, self.seed ^ fnv1a(name)),
        })
    }
}

/// FNV-1a (Fowler, Noll, Vo): spreads a name over 64 bits.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Normal variates by Box & Muller (1958).
fn normal(n: usize, std: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
        out.extend([(radius * cos) as f32 * std, (radius * sin) as f32 * std]);
    }
    out.truncate(n);
    out
}

/// Floating-point types of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes.
    F32,
    /// 2 bytes, IEEE half.
    F16,
    /// 2 bytes, the upper half of an f32.
    Bf16,
}

/// The weights of a model folder, in memory.
pub struct Weights {
    path: PathBuf,
    files: Vec<Vec<u8>>,
    /// Name → (file, shape).
    names: BTreeMap<String, usize>,
    prefix: &'static str,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
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
        Self::read(folder, &paths, prefix)
    }

    /// Opens one safetensors file.
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::read(path, &[path.to_path_buf()], "")
    }

    /// Opens the content of one safetensors file; `path` is what errors call it.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let names = parse(path, &bytes)?.names().into_iter().map(|n| (n.to_owned(), 0)).collect();
        Ok(Self { path: path.to_path_buf(), files: vec![bytes], names, prefix: "" })
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

    fn read(path: &Path, paths: &[PathBuf], prefix: &'static str) -> Result<Self> {
        let (mut files, mut names) = (Vec::new(), BTreeMap::new());
        for (i, file) in paths.iter().enumerate() {
            let bytes = std::fs::read(file).map_err(|e| Error::io("read", file, e))?;
            let tensors = parse(file, &bytes)?;
            names.extend(tensors.names().into_iter().map(|n| (n.to_owned(), i)));
            files.push(bytes);
        }
        Ok(Self { path: path.to_path_buf(), files, names, prefix })
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether a tensor is there, with or without the prefix.
    pub fn contains(&self, name: &str) -> bool {
        self.stored_name(name).is_some()
    }

    fn stored_name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.names.contains_key(name) {
            return Some(name);
        }
        name.strip_prefix(self.prefix).filter(|short| self.names.contains_key(*short))
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let stored = self.stored_name(name)?;
        let tensors = SafeTensors::deserialize(&self.files[self.names[stored]]).ok()?;
        tensors.tensor(stored).ok().map(|t| t.shape().to_vec())
    }

    /// The values of a tensor as f32, of exactly this shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let stored = self.stored_name(name).ok_or_else(missing)?;
        let tensors = parse(&self.path, &self.files[self.names[stored]])?;
        let tensor = tensors.tensor(stored).map_err(|_| missing())?;
        if tensor.shape() != shape {
            let (found, expected) = (tensor.shape().to_vec(), shape.to_vec());
            return Err(Error::Shape { tensor: name.to_owned(), found, expected });
        }
        decode(name, &tensor)
    }
}

impl TensorSource for Weights {
    fn tensor(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        self.values(name, shape)
    }
}

/// Weights from a folder, and random values for a head the folder lacks.
pub struct WithNewHead<'a> {
    /// The folder's weights.
    pub weights: &'a mut Weights,
    /// For tensors that are not there and whose name starts with `score.`.
    pub fresh: RandomInit,
    /// Whether a head that is there has the wanted classes; otherwise it is left.
    pub reuse: bool,
}

impl TensorSource for WithNewHead<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>> {
        if name.starts_with("score.") && !(self.reuse && self.weights.contains(name)) {
            self.fresh.tensor(name, shape, init)
        } else {
            self.weights.values(name, shape)
        }
    }
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() })
}

fn decode(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let halves =
        |f: fn(u16) -> f32| tensor.data().chunks_exact(2).map(|b| f(u16::from_le_bytes([b[0], b[1]]))).collect();
    match tensor.dtype() {
        Dtype::F32 => Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::F16 => Ok(halves(|b| f16::from_bits(b).to_f32())),
        Dtype::BF16 => Ok(halves(|b| bf16::from_bits(b).to_f32())),
        other => Err(Error::Dtype { tensor: name.to_owned(), dtype: format!("{other:?}") }),
    }
}

/// A tensor to be written.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its values.
    pub values: &'a [f32],
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Precision::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Precision::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
    }
}

/// Writes tensors into one safetensors file, by way of a sibling that is renamed.
pub fn write_file(path: &Path, tensors: &[Stored<'_>], precision: Precision) -> Result<()> {
    write_atomically(path, &to_bytes(path, tensors, precision)?)
}

/// Tensors as the content of one safetensors file; `path` is what errors call it.
pub fn to_bytes(path: &Path, tensors: &[Stored<'_>], precision: Precision) -> Result<Vec<u8>> {
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
        Precision::Bf16 => Dtype::BF16,
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| encode(t.values, precision)).collect();
    let bad = |e: safetensors::SafeTensorError| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() };
    let views = tensors.iter().zip(&bytes).map(|(t, b)| Ok((t.name, TensorView::new(dtype, t.shape.to_vec(), b)?)));
    let views: Vec<_> = views.collect::<std::result::Result<_, _>>().map_err(bad)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(bad)
}

/// Writes a file whole or not at all.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let sibling = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&sibling)?;
        file.write_all(content)?;
        file.sync_all()
    };
    if let Err(error) = write() {
        // The half-written sibling is of no use; the error that matters is the first one.
        let _ = std::fs::remove_file(&sibling);
        return Err(Error::io("write", path, error));
    }
    std::fs::rename(&sibling, path).map_err(|e| Error::io("write", path, e))
}

/// Writes `model.safetensors`, or shards of at most `max_shard_bytes` with their index.
pub fn write_model(folder: &Path, tensors: &[Stored<'_>], precision: Precision, max_shard_bytes: u64) -> Result<()> {
    let width = if precision == Precision::F32 { 4 } else { 2 };
    let mut shards: Vec<Vec<Stored<'_>>> = vec![Vec::new()];
    let (mut filled, mut total) = (0, 0);
    for tensor in tensors {
        let size = tensor.values.len() as u64 * width;
        if filled > 0 && filled + size > max_shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size;
        total += size;
        shards.last_mut().expect("there is always a shard").push(*tensor);
    }
    if let [only] = shards.as_slice() {
        return write_file(&folder.join("model.safetensors"), only, precision);
    }
    let count = shards.len();
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", i + 1);
        write_file(&folder.join(&name), shard, precision)?;
        map.extend(shard.iter().map(|t| (t.name, name.clone())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    write_atomically(&folder.join("model.safetensors.index.json"), format!("{index:#}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored<'a>(name: &'a str, values: &'a [f32]) -> Stored<'a> {
        Stored { name, shape: if values.len() == 4 { &[2, 2] } else { &[2] }, values }
    }

    #[test]
    fn shards_and_single_files_round_trip_in_every_precision() {
        let folder = tempfile::tempdir().unwrap();
        let values = [1.0, -2.5, 0.0, 0.15625];
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            for max in [10, 1000] {
                let path = folder.path().join(format!("{precision:?}{max}"));
                std::fs::create_dir(&path).unwrap();
                write_model(&path, &[stored("p.a", &values), stored("p.b", &values[..2])], precision, max).unwrap();
                let weights = Weights::open(&path, "p.").unwrap();
                assert_eq!(weights.values("p.a", &[2, 2]).unwrap(), values);
                assert_eq!(weights.values("p.b", &[2]).unwrap(), values[..2]);
            }
        }
    }

    #[test]
    fn a_missing_tensor_a_wrong_shape_and_a_cut_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert!(Weights::open(folder.path(), "").err().unwrap().to_string().contains("holds neither"));
        write_file(&path, &[stored("a", &[1.0, 2.0])], Precision::F32).unwrap();
        let weights = Weights::open(folder.path(), "").unwrap();
        assert!(weights.values("b", &[2]).unwrap_err().to_string().contains("lacks the tensor `b`"));
        assert!(weights.values("a", &[3]).unwrap_err().to_string().contains("has shape [2]"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(Weights::open(folder.path(), "").err().unwrap().to_string().contains("not a valid safetensors"));
    }

    #[test]
    fn an_index_that_leaves_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map": {"a": "../outside.safetensors"}}"#;
        std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        assert!(Weights::open(folder.path(), "").err().unwrap().to_string().contains("leaves the folder"));
    }

    #[test]
    fn random_weights_have_the_asked_spread_and_repeat() {
        let mut init = RandomInit { seed: 3 };
        let a = init.tensor("x", &[10_000], Init::Normal(0.5)).unwrap();
        let variance = a.iter().map(|x| x * x).sum::<f32>() / 10_000.0;
        assert!((variance.sqrt() - 0.5).abs() < 0.02);
        assert_eq!(a, init.tensor("x", &[10_000], Init::Normal(0.5)).unwrap());
        assert_ne!(a, init.tensor("y", &[10_000], Init::Normal(0.5)).unwrap());
    }
}
