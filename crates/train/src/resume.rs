//! Checkpoints: all that is needed to go on as if nothing had happened, and the best weights so far.
//!
//! `checkpoints/state-N.safetensors` holds the trainable tensors with both moments (in 8 bits: codes and factors, as they are); `checkpoints/state.json` names it
//! and is renamed into place last, so a crash leaves either the old checkpoint or the new one.
//!
//! With a key, all files with tensors are sealed by the age format and end in `.age`; `state.json` holds counters, losses
//! and digests, and stays readable.
//!
//! Of several ranks the first writes and reads; the others get from it what it read, and need no disk in common.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wardsmith_model::Model;
use wardsmith_model::params::Param;
use wardsmith_model::weights::{
    Precision, Weights, Written, write_atomically, write_atomically_with, write_file, write_tensors,
};
use wardsmith_tokens::Cursor;
use wardsmith_vault::{EXTENSION, Key};

use crate::adamw::{AdamW, Kept};
use crate::blockwise::{BLOCK, pack, packed_len, unpack};
use crate::error::{Error, Result};
use crate::step::Trainer;
use crate::world::{World, any, from_first};

/// Version of the layout.
const FORMAT: u32 = 1;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the layout.
    pub format: u32,
    /// Optimiser steps made.
    pub step: u64,
    /// Epochs finished by the data.
    pub epoch: u64,
    /// Documents of the epoch given out.
    pub position: u64,
    /// Tokens read so far.
    pub tokens: u64,
    /// Seconds of training so far.
    pub elapsed_s: f64,
    /// Lowest validation loss and its step.
    pub best: Option<(f64, u64)>,
    /// Evaluations since then.
    pub stale_evaluations: u32,
    /// Fingerprint of the resolved recipe and inputs.
    pub fingerprint: String,
}

impl State {
    /// The beginning.
    pub fn start(fingerprint: String) -> Self {
        Self {
            format: FORMAT,
            step: 0,
            epoch: 0,
            position: 0,
            tokens: 0,
            elapsed_s: 0.0,
            best: None,
            stale_evaluations: 0,
            fingerprint,
        }
    }

    /// The data's cursor.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.position }
    }
}

/// A tensor of a checkpoint.
struct Tensor<'a> {
    name: &'a str,
    shape: Vec<usize>,
    content: Content<'a>,
}

/// What is in it.
enum Content<'a> {
    Values(&'a [f32]),
    /// Codes of 8 bits, three of them in one whole number.
    Codes(&'a [u8]),
}

impl<'a> Tensor<'a> {
    fn new(name: &'a str, shape: &[usize], content: Content<'a>) -> Self {
        Self { name, shape: shape.to_vec(), content }
    }
}

impl Written for Tensor<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn values(&self) -> Cow<'_, [f32]> {
        match self.content {
            Content::Values(values) => values.into(),
            Content::Codes(codes) => pack(codes).into(),
        }
    }
}

/// What a tensor's moments are called.
struct Names {
    /// First and second.
    moments: [String; 2],
    /// Their blocks' factors, of moments in 8 bits.
    scales: [String; 2],
    /// How many these are.
    blocks: usize,
}

impl Names {
    fn of(param: &Param) -> Self {
        let of = |prefix: &str| format!("{prefix}.{}", param.name);
        Self {
            moments: [of("first"), of("second")],
            scales: [of("first.scales"), of("second.scales")],
            blocks: param.value.len().div_ceil(BLOCK),
        }
    }
}

/// The checkpoints of one run folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    key: Option<Key>,
}

impl Checkpoints {
    /// Those of `run`, sealed if there is a key.
    pub fn new(run: &Path, key: Option<Key>) -> Self {
        Self { folder: run.join("checkpoints"), key }
    }

    /// Makes the folder when it is missing.
    pub fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::io("create", &self.folder, e))
    }

    fn tensors(&self, step: u64) -> PathBuf {
        self.file(&format!("state-{step}.safetensors"))
    }

    fn best(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    fn file(&self, name: &str) -> PathBuf {
        let suffix = self.key.as_ref().map_or(String::new(), |_| format!(".{EXTENSION}"));
        self.folder.join(format!("{name}{suffix}"))
    }

    fn write(&self, path: &Path, tensors: &[Tensor<'_>]) -> Result<()> {
        let Some(key) = &self.key else { return Ok(write_file(path, tensors, Precision::F32)?) };
        let sealed = write_atomically_with(path, |out| {
            let mut sealing = key.seal(out).map_err(std::io::Error::other)?;
            write_tensors(&mut sealing, tensors, Precision::F32)?;
            sealing.finish().map(|_| ())
        });
        Ok(sealed?)
    }

    fn read(&self, path: &Path, world: &dyn World) -> Result<Weights> {
        Ok(Weights::from_bytes(path, from_first(world, || self.plain(path))?)?)
    }

    fn plain(&self, path: &Path) -> Result<Vec<u8>> {
        let Some(key) = &self.key else { return std::fs::read(path).map_err(|e| Error::io("read", path, e)) };
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        let mut plain = Vec::new();
        key.open(file)?.read_to_end(&mut plain).map_err(|e| Error::io("decrypt", path, e))?;
        Ok(plain)
    }

    /// Saves everything; the previous checkpoint is removed only when the new one is complete.
    pub fn save(&self, state: &State, model: &Model, optimiser: &AdamW) -> Result<()> {
        let names: Vec<Names> = optimiser.moments.iter().map(|m| Names::of(&model.params[m.id])).collect();
        let mut tensors = Vec::new();
        for (moments, names) in optimiser.moments.iter().zip(&names) {
            let param = &model.params[moments.id];
            tensors.push(Tensor::new(&param.name, &param.shape, Content::Values(&param.value)));
            match &moments.kept {
                Kept::Whole(first, second) => {
                    let both = names.moments.iter().zip([first, second]);
                    tensors.extend(both.map(|(name, v)| Tensor::new(name, &param.shape, Content::Values(v))));
                }
                Kept::Codes(first, second) => {
                    for ((name, scales), kept) in names.moments.iter().zip(&names.scales).zip([first, second]) {
                        tensors.push(Tensor::new(name, &[packed_len(kept.codes.len())], Content::Codes(&kept.codes)));
                        tensors.push(Tensor::new(scales, &[names.blocks], Content::Values(&kept.scales)));
                    }
                }
            }
        }
        self.write(&self.tensors(state.step), &tensors)?;
        let text = serde_json::to_string_pretty(state).expect("a state is plain data");
        write_atomically(&self.folder.join("state.json"), text.as_bytes())?;
        self.remove_others(state.step);
        Ok(())
    }

    fn remove_others(&self, step: u64) {
        let keep = self.tensors(step);
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("state-") && path != keep {
                // An old checkpoint that cannot be removed costs space, not correctness.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// The last saved state, if any.
    pub fn state(&self, world: &dyn World) -> Result<Option<State>> {
        let path = self.folder.join("state.json");
        let read = || match path.exists() {
            true => std::fs::read(&path).map_err(|e| Error::io("read", &path, e)),
            false => Ok(Vec::new()),
        };
        let text = from_first(world, read)?;
        if text.is_empty() {
            return Ok(None);
        }
        let bad = |reason: String| Error::Checkpoint { path: path.clone(), reason };
        let state: State = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if state.format != FORMAT {
            return Err(bad(format!("its format is {}, this program reads {FORMAT}", state.format)));
        }
        Ok(Some(state))
    }

    /// Puts a saved state's tensors back.
    pub fn restore(&self, state: &State, trainer: &mut Trainer) -> Result<()> {
        let weights = self.read(&self.tensors(state.step), &*trainer.world)?;
        let Trainer { model, optimiser, .. } = trainer;
        for moments in &mut optimiser.moments {
            let param = &mut model.params[moments.id];
            param.value = weights.values(&param.name, &param.shape)?;
            let names = Names::of(param);
            match &mut moments.kept {
                Kept::Whole(first, second) => {
                    for (name, values) in names.moments.iter().zip([first, second]) {
                        *values = weights.values(name, &param.shape)?;
                    }
                }
                Kept::Codes(first, second) => {
                    for ((name, scales), kept) in names.moments.iter().zip(&names.scales).zip([first, second]) {
                        let packed = weights.values(name, &[packed_len(kept.codes.len())])?;
                        unpack(&mut kept.codes, &packed);
                        kept.scales = weights.values(scales, &[names.blocks])?;
                    }
                }
            }
        }
        optimiser.steps = state.step;
        Ok(())
    }

    /// Keeps the trainable tensors as the best so far.
    pub fn save_best(&self, model: &Model) -> Result<()> {
        let trained = model.params.iter().filter(|(_, p)| p.trainable);
        let tensors: Vec<_> = trained.map(|(_, p)| Tensor::new(&p.name, &p.shape, Content::Values(&p.value))).collect();
        self.write(&self.best(), &tensors)
    }

    /// Puts the best tensors back, if some were kept; says whether.
    pub fn restore_best(&self, trainer: &mut Trainer) -> Result<bool> {
        if !any(&*trainer.world, trainer.world.leads() && self.best().exists())? {
            return Ok(false);
        }
        let weights = self.read(&self.best(), &*trainer.world)?;
        for (_, param) in trainer.model.params.iter_mut().filter(|(_, p)| p.trainable) {
            param.value = weights.values(&param.name, &param.shape)?;
        }
        Ok(true)
    }
}
