//! Tensors from and to safetensors in Hugging Face layout: one file, or shards with an index.
//!
//! Files are read and written a piece of a tensor at a time (`read`, `write`), so that nothing lies in memory twice. Only
//! safetensors are read: formats that can carry code never are.

mod read;
mod write;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;

pub use read::Weights;
pub use write::{Stored, Written, write_atomically, write_atomically_with, write_file, write_model, write_tensors};

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
                write_model(&path, vec![stored("p.a", &values), stored("p.b", &values[..2])], precision, max).unwrap();
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
