//! How much memory a run needs, before any of it is taken: arithmetic from a [`DecoderSpec`] and the shape of a batch.
//!
//! [`Setting::parts`] is the one table: a line for each thing that lies in memory, and in which of the phases (loading,
//! stepping, saving) it does. Whoever changes what the engine keeps changes a line there. Nothing here knows of the
//! allocator or of what the program already holds; the caller adds that.

mod replay;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::adapter::LoraConfig;
use crate::checkpoint::Storage;
use crate::error::Result;
use crate::families::config::Config;
use crate::families::family_of;
use crate::freeze::Freezing;
use crate::ops::kernel::NR;
use crate::ops::matmul::{ALIASING, DEPTH, ROWS_PER_BLOCK};
use crate::spec::{BlockKind, DecoderSpec, NameMap, NormKind, Positions, QkNorm, QkvLayout};
use replay::{Layer, Replay};

/// Bytes of a value.
const WIDTH: u64 = 4;

/// The spec and the names of a `config.json`, without its weights.
///
/// # Errors
/// An unknown family, or options that are refused.
pub fn spec_of(config: Value) -> Result<(DecoderSpec, NameMap)> {
    let config = Config::new(config);
    let family = family_of(&config)?;
    Ok((family.spec(&config)?, family.names()))
}

/// The spec and the names of a model folder.
///
/// # Errors
/// As [`spec_of`], and a `config.json` that cannot be read.
pub fn spec_of_folder(folder: &std::path::Path) -> Result<(DecoderSpec, NameMap)> {
    spec_of(Config::read(folder)?.json)
}

/// What is trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Trained {
    /// Every tensor.
    All,
    /// Some of them.
    Part(Freezing),
    /// An adapter, and a classifier's head.
    Lora(LoraConfig),
}

/// A run, as far as memory is concerned.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The decoder.
    pub spec: DecoderSpec,
    /// What its layers are called.
    pub names: NameMap,
    /// Labels, for a classifier.
    pub classes: Option<usize>,
    /// What is trained.
    pub trained: Trained,
    /// Tokens of the largest pack.
    pub pack_tokens: usize,
    /// Supervised positions of that pack.
    pub pack_targets: usize,
    /// Tokens and supervised positions of each pack that is validated on.
    pub validation: Vec<(usize, usize)>,
    /// Tokens of the longest document.
    pub document_tokens: usize,
    /// Threads.
    pub threads: usize,
    /// How weights that are not trained are held.
    pub storage: Storage,
    /// Whether the optimiser keeps the moments of tensors of at least so many values in 8 bits.
    pub eight_bits_from: Option<u64>,
}

/// When something lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// While the weights are read and packed.
    Loading,
    /// While a step is made.
    Stepping,
    /// While a checkpoint is written.
    Saving,
    /// While the finished model is written.
    Finishing,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Loading, Self::Stepping, Self::Saving, Self::Finishing];
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// When it is there.
    pub phases: &'static [Phase],
}

/// A linear layer's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LinearShape {
    name: String,
    inputs: u64,
    outputs: u64,
    bias: bool,
}

impl LinearShape {
    /// A pair of this rank, with a magnitude for each output or without.
    fn adapter(&self, config: &LoraConfig) -> u64 {
        let magnitudes = if config.use_dora { self.outputs } else { 0 };
        config.r as u64 * (self.inputs + self.outputs) + magnitudes
    }
}

/// Values of a packed (k, n) matrix.
fn packed(k: u64, n: u64) -> u64 {
    n.div_ceil(NR as u64) * NR as u64 * k
}

/// Values, by what they are.
struct Values {
    weights: u64,
    /// Of the largest matrix.
    largest: u64,
    trained: u64,
    rotary: u64,
    workspace: u64,
    scratch: u64,
}

impl Setting {
    /// What lies in memory, and when.
    pub fn parts(&self) -> Vec<Part> {
        use Phase::{Finishing, Loading, Saving, Stepping};
        const ALWAYS: &[Phase] = &Phase::ALL;
        const TRAINING: &[Phase] = &[Stepping, Saving];
        let v = self.values();
        let part = |name, values: u64, phases| Part { name, bytes: values * WIDTH, phases };
        vec![
            Part { name: "weights", bytes: self.weight_bytes(), phases: ALWAYS },
            part("rotary angles", v.rotary, ALWAYS),
            // A tensor is read, or merged and turned for a file, while all the others lie in memory.
            part("a tensor on its way in", v.largest, &[Loading]),
            part("a tensor on its way out", 2 * v.largest, &[Finishing]),
            part("gradients", v.trained, TRAINING),
            Part { name: "optimiser moments", bytes: self.moment_bytes(), phases: TRAINING },
            part("activations and working buffers", v.workspace, TRAINING),
            part("scratch of all threads", v.scratch, ALWAYS),
        ]
    }

    /// The most bytes of any phase.
    pub fn peak_bytes(&self) -> u64 {
        let parts = self.parts();
        let of = |phase: &Phase| parts.iter().filter(|p| p.phases.contains(phase)).map(|p| p.bytes).sum();
        Phase::ALL.iter().map(of).max().unwrap_or(0)
    }

    /// Both moments: 4 bytes a value, or 1 and 4 more a block of 256.
    fn moment_bytes(&self) -> u64 {
        let bytes = |values: u64| match self.eight_bits_from {
            Some(least) if values >= least => values + values.div_ceil(256) * 4,
            _ => values * WIDTH,
        };
        2 * self.trained_tensors().into_iter().map(bytes).sum::<u64>()
    }

    /// The numbers of values of all tensors that are trained.
    fn trained_tensors(&self) -> Vec<u64> {
        let base = self.tensors();
        match &self.trained {
            Trained::All => base.into_iter().map(|(_, values)| values).collect(),
            Trained::Part(freezing) => {
                let Ok(mut chooser) = freezing.chooser() else { return Vec::new() };
                base.into_iter().filter(|(name, _)| chooser.trains(name)).map(|(_, values)| values).collect()
            }
            Trained::Lora(config) => {
                let rank = config.r as u64;
                let pair =
                    |l: LinearShape| [rank * l.inputs, rank * l.outputs, if config.use_dora { l.outputs } else { 0 }];
                let head = self.classes.map(|classes| (classes * self.spec.hidden) as u64);
                self.adapters().flat_map(|(linear, _)| pair(linear)).chain(head).collect()
            }
        }
    }

    /// Trainable values.
    pub fn trained_values(&self) -> u64 {
        self.values().trained
    }

    /// Multiplications and additions of one step's forward and backward pass over `tokens` tokens in documents of
    /// `document_tokens`: two a weight forward, two for the gradient of what flows, two for that of a trained weight.
    pub fn operations(&self, tokens: u64, targets: u64, document_tokens: u64) -> f64 {
        let spec = &self.spec;
        let blocks: u64 = self.linears().iter().map(|l| l.inputs * l.outputs).sum();
        let head = (self.classes.unwrap_or(spec.vocab) * spec.hidden) as u64;
        // A gradient for each weight that is trained; a part is taken to be spread over the matrices evenly.
        let passes = match self.trained {
            Trained::All => 3.0,
            Trained::Part(_) => {
                2.0 + self.trained_values() as f64 / self.tensors().iter().map(|t| t.1).sum::<u64>() as f64
            }
            Trained::Lora(_) => 2.0,
        };
        // Scores and their product with the values are made twice, and four products more go backward; all of (n, n).
        let attention = 16.0 * (spec.layers() * spec.heads * spec.head_dim) as f64 * (tokens * document_tokens) as f64;
        let adapters = 6.0 * self.adapters().map(|(l, config)| l.adapter(config)).sum::<u64>() as f64 * tokens as f64;
        // What DoRA's factors multiplied is computed again.
        let adapted = self.adapters().filter(|(_, config)| config.use_dora).map(|(l, _)| l.inputs * l.outputs);
        let again = 2.0 * adapted.sum::<u64>() as f64 * tokens as f64;
        2.0 * passes * (blocks as f64 * tokens as f64 + head as f64 * targets as f64) + attention + adapters + again
    }

    fn values(&self) -> Values {
        let (spec, tensors) = (&self.spec, self.tensors());
        let base: u64 = tensors.iter().map(|(_, values)| values).sum();
        let adapter: u64 = self.adapters().map(|(linear, config)| linear.adapter(config)).sum();
        let trained = self.trained_tensors().iter().sum();
        let rotary = match &spec.positions {
            Positions::Rotary { turns, length, .. } => turns.iter().map(|turn| (length * turn.dims) as u64).sum(),
            _ => 0,
        };
        let largest = tensors.iter().map(|(_, values)| *values).max();
        Values {
            weights: base + adapter,
            largest: largest.unwrap_or(0),
            trained,
            rotary,
            workspace: self.replay().most((self.pack_tokens, self.pack_targets), &self.validation),
            scratch: self.scratch(),
        }
    }

    /// Bytes of all weights: matrices as the storage says, everything else in f32.
    fn weight_bytes(&self) -> u64 {
        let (spec, storage, v) = (&self.spec, self.storage, self.values());
        let d = spec.hidden as u64;
        let mut rest = vec![spec.vocab as u64 * d];
        if let Positions::Learned { length } = spec.positions {
            rest.push(length as u64 * d);
        }
        if self.classes.is_none() && !spec.tied {
            rest.push(spec.vocab as u64 * d);
        }
        let linears = self.linears().into_iter().map(|l| (storage.linears, l.inputs * l.outputs));
        let stored = || linears.clone().chain(rest.iter().map(|n| (storage.rest, *n)));
        let values: u64 = stored().map(|(_, n)| n).sum();
        WIDTH * (v.weights - values) + stored().map(|(form, n)| form.bytes(n)).sum::<u64>()
    }

    /// Every tensor of the base and its head, with its number of values.
    fn tensors(&self) -> Vec<(String, u64)> {
        let (spec, names, d) = (&self.spec, &self.names, self.spec.hidden as u64);
        let weight = |name: &str, values: u64| (format!("{name}.weight"), values);
        let mut all = vec![weight(names.embedding, spec.vocab as u64 * d)];
        if let Positions::Learned { length } = spec.positions {
            all.push(weight(names.positions, length as u64 * d));
        }
        for linear in self.linears() {
            all.push(weight(&linear.name, linear.inputs * linear.outputs));
            all.extend(linear.bias.then(|| (format!("{}.bias", linear.name), linear.outputs)));
        }
        for (name, width) in self.norms() {
            all.push(weight(&name, width));
            all.extend((spec.norm == NormKind::Layer).then(|| (format!("{name}.bias"), width)));
        }
        match self.classes {
            Some(classes) => all.push(weight("score", classes as u64 * d)),
            None if !spec.tied => all.push(weight(names.head, spec.vocab as u64 * d)),
            None => {}
        }
        all
    }

    /// Every norm, with its width.
    fn norms(&self) -> Vec<(String, u64)> {
        let (spec, names, d) = (&self.spec, &self.names, self.spec.hidden);
        let mut in_block = match spec.block {
            BlockKind::PostNorm => vec![(names.attention_post_norm, d), (names.mlp_post_norm, d)],
            BlockKind::PreNorm => vec![(names.attention_norm, d), (names.mlp_norm, d)],
            BlockKind::Sandwich => {
                let all = [names.attention_norm, names.attention_post_norm, names.mlp_norm, names.mlp_post_norm];
                all.map(|name| (name, d)).to_vec()
            }
            BlockKind::Parallel if names.mlp_norm.is_empty() => vec![(names.attention_norm, d)],
            BlockKind::Parallel => vec![(names.attention_norm, d), (names.mlp_norm, d)],
        };
        match spec.qk_norm {
            QkNorm::None => {}
            QkNorm::PerHead => in_block.extend([(names.q_norm, spec.head_dim), (names.k_norm, spec.head_dim)]),
            QkNorm::FullWidth => {
                let widths = [(names.q_norm, spec.heads), (names.k_norm, spec.kv_heads)];
                in_block.extend(widths.map(|(name, heads)| (name, heads * spec.head_dim)));
            }
        }
        let outside = [spec.embedding_norm.then_some(names.embedding_norm), Some(names.final_norm)];
        let outside = outside.into_iter().flatten().map(|name| (name.to_owned(), d as u64));
        let blocks = (0..spec.layers())
            .flat_map(|layer| in_block.iter().map(move |(name, width)| (names.in_block(layer, name), *width as u64)));
        blocks.chain(outside).collect()
    }

    /// The model as a workspace sees it.
    fn replay(&self) -> Replay<'_> {
        let adapted: BTreeMap<String, &LoraConfig> = self.adapters().map(|(l, config)| (l.name, config)).collect();
        let adapter = |config: &LoraConfig| replay::Adapter {
            rank: config.r,
            dropout: config.lora_dropout > 0.0,
            dora: config.use_dora,
        };
        let layer = |linear: &LinearShape| Layer {
            inputs: linear.inputs as usize,
            outputs: linear.outputs as usize,
            adapter: adapted.get(&linear.name).map(|config| adapter(config)),
        };
        let linears = self.linears();
        let in_block = linears.len() / self.spec.layers().max(1);
        let blocks = linears.chunks(in_block.max(1)).map(|block| block.iter().map(layer).collect()).collect();
        let capped = self.spec.logit_softcap.is_some() && self.classes.is_none();
        Replay { spec: &self.spec, blocks, classes: self.classes.unwrap_or(self.spec.vocab), capped }
    }

    /// Of each thread: a panel of B, and an attention's keys, values and probabilities with their gradients. Of the one that
    /// asks for a product: rows of A that would crowd the cache where they lie.
    fn scratch(&self) -> u64 {
        let n = self.document_tokens as u64;
        let head = self.spec.head_dim as u64;
        let of_each = (DEPTH * NR) as u64 + 2 * 48 * n + 6 * packed(n, head).max(packed(head, n));
        let linears = self.linears();
        let outputs = self.classes.unwrap_or(self.spec.vocab) as u64;
        let mut widths = linears.iter().flat_map(|l| [l.inputs, l.outputs]).chain([outputs]);
        let is_crowded = widths.any(|width| width.is_multiple_of(ALIASING as u64));
        let crowded = if is_crowded { ROWS_PER_BLOCK.min(self.pack_tokens) * (DEPTH + 16) } else { 0 };
        self.threads as u64 * of_each + crowded as u64
    }

    /// Every linear layer of the blocks.
    fn linears(&self) -> Vec<LinearShape> {
        let (spec, names) = (&self.spec, &self.names);
        let (d, inner) = (spec.hidden as u64, spec.inner as u64);
        let (query, key) = ((spec.heads * spec.head_dim) as u64, (spec.kv_heads * spec.head_dim) as u64);
        let (qkv, mlp) = (spec.biases.qkv, spec.biases.mlp);
        let mut block: Vec<(&str, u64, u64, bool)> = match spec.qkv {
            QkvLayout::FusedByHead | QkvLayout::FusedByPart => vec![(names.q, d, query + 2 * key, qkv)],
            QkvLayout::Separate => vec![(names.q, d, query, qkv), (names.k, d, key, qkv), (names.v, d, key, qkv)],
        };
        block.push((names.output, query, d, spec.biases.output));
        if spec.gated && !spec.fused_gate {
            block.push((names.gate, d, inner, mlp));
        }
        let up = if spec.fused_gate { 2 * inner } else { inner };
        block.extend([(names.up, d, up, mlp), (names.down, inner, d, mlp)]);
        let shape = |layer: usize, (name, inputs, outputs, bias): &(&str, u64, u64, bool)| LinearShape {
            name: names.in_block(layer, name),
            inputs: *inputs,
            outputs: *outputs,
            bias: *bias,
        };
        (0..spec.layers()).flat_map(|layer| block.iter().map(move |one| shape(layer, one))).collect()
    }

    /// The layers that get an adapter, with what it is.
    fn adapters(&self) -> impl Iterator<Item = (LinearShape, &LoraConfig)> {
        let chosen = match &self.trained {
            Trained::All | Trained::Part(_) => None,
            Trained::Lora(config) => config.matchers().ok().map(|matchers| (config, matchers)),
        };
        chosen.into_iter().flat_map(|(config, (mut targets, mut excluded))| {
            let is_out = move |name: &str| excluded.as_mut().is_some_and(|excluded| excluded.hits(name));
            let (mut is_out, all) = (is_out, self.linears().into_iter());
            all.filter(move |linear| targets.hits(&linear.name) && !is_out(&linear.name))
                .map(move |linear| (linear, config))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{self, Modules};
    use crate::checkpoint::{Wanted, initialise, load, load_as};
    use crate::layers::workspace::Workspace;
    use crate::ops::frozen::Form;
    use crate::params::Gradients;
    use crate::{Batch, Model, Purpose, Target};
    use std::path::{Path, PathBuf};

    fn folder(family: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity").join(family)
    }

    fn setting(family: &str, classes: Option<usize>, trained: Trained) -> Setting {
        let (spec, names) = spec_of_folder(&folder(family)).unwrap();
        let (pack_tokens, pack_targets, document_tokens, threads) = (512, 100, 64, 2);
        Setting {
            spec,
            names,
            classes,
            trained,
            pack_tokens,
            pack_targets,
            validation: Vec::new(),
            document_tokens,
            threads,
            storage: Storage::F32,
            eight_bits_from: None,
        }
    }

    fn agrees(setting: &Setting, model: &Model, what: &str) {
        let values = setting.values();
        assert_eq!(values.weights, model.params.count(false) as u64, "{what}: weights");
        assert_eq!(values.trained, model.params.count(true) as u64, "{what}: trained");
        assert_eq!(setting.weight_bytes(), model.weight_bytes() as u64, "{what}: bytes");
    }

    #[test]
    fn counts_of_every_family_are_those_of_the_model() {
        for family in crate::families::ALL.iter().map(|family| family.model_type()) {
            let (_, names) = spec_of_folder(&folder(family)).unwrap();
            let targets = [names.q, names.down].map(|name| name.rsplit('.').next().unwrap());
            let mut model = load(&folder(family), &Wanted::AsStored, Purpose::Training).unwrap();
            model.train_all();
            agrees(&setting(family, None, Trained::All), &model, family);
            let plain = LoraConfig::plain(4, 8.0, Modules::from_iter(targets));
            let all = Modules::Pattern("all-linear".into());
            let dora = LoraConfig { target_modules: all, use_dora: true, ..plain.clone() };
            let fewer = LoraConfig { exclude_modules: Some(Modules::from_iter([targets[1]])), ..dora.clone() };
            for config in [plain, dora, fewer] {
                let mut model = load(&folder(family), &Wanted::AsStored, Purpose::Training).unwrap();
                adapter::attach(&mut model, &config, 0).unwrap();
                agrees(&setting(family, None, Trained::Lora(config)), &model, family);
            }
            let storage = Storage { linears: Form::Nf4, rest: Form::Bf16 };
            let mut model = load_as(&folder(family), &Wanted::AsStored, Purpose::Training, storage).unwrap();
            let config = LoraConfig::plain(4, 8.0, Modules::from_iter(targets));
            adapter::attach(&mut model, &config, 0).unwrap();
            agrees(&Setting { storage, ..setting(family, None, Trained::Lora(config)) }, &model, family);
            let ends = [names.embedding, names.final_norm];
            let small = Modules::Pattern(".*(bias|norm.*)".into());
            for names in [Modules::from_iter(ends), Modules::from_iter([names.down, names.q]), small] {
                for part in [Freezing::Frozen(names.clone()), Freezing::Unfrozen(names)] {
                    let mut model = load(&folder(family), &Wanted::AsStored, Purpose::Training).unwrap();
                    part.apply(&mut model).unwrap();
                    agrees(&setting(family, None, Trained::Part(part)), &model, family);
                }
            }
            let json = Config::read(&folder(family)).unwrap().json;
            let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
            let mut model = initialise(json, Some(labels), 1, Purpose::Training).unwrap();
            model.train_all();
            agrees(&setting(family, Some(3), Trained::All), &model, family);
        }
    }

    fn noisy() -> Workspace {
        let mut workspace = Workspace::default();
        workspace.noise = Some(1);
        workspace
    }

    fn batch(tokens: usize, targets: usize, vocab: usize) -> Batch {
        let target = |i| Target { position: (i * tokens / targets) as u32, token: (i % vocab) as u32 };
        let ids = (0..tokens).map(|i| (i * 7 % vocab) as u32).collect();
        Batch { ids, lengths: vec![8; tokens / 8], targets: (0..targets).map(target).collect(), ..Batch::default() }
    }

    #[test]
    fn a_step_takes_what_its_replay_says_and_gives_all_of_it_back() {
        for family in crate::families::ALL.iter().map(|family| family.model_type()) {
            let all = Modules::Pattern("all-linear".into());
            let plain = LoraConfig::plain(4, 8.0, all);
            let dora = LoraConfig { use_dora: true, ..plain.clone() };
            let dropout = LoraConfig { lora_dropout: 0.1, ..plain.clone() };
            for config in [None, Some(plain), Some(dora), Some(dropout)] {
                for (pack, validation) in [((64, 9), (40, 40)), ((64, 64), (64, 30)), ((48, 5), (96, 20))] {
                    let mut model = load(&folder(family), &Wanted::AsStored, Purpose::Training).unwrap();
                    let mut workspace = noisy();
                    let trained = match &config {
                        Some(config) => {
                            adapter::attach(&mut model, config, 0).unwrap();
                            Trained::Lora(config.clone())
                        }
                        None => {
                            model.train_all();
                            Trained::All
                        }
                    };
                    let setting = setting(family, None, trained);
                    let mut gradients = Gradients::zeros(&model.params);
                    let [train, validate] = [pack, validation].map(|(t, n)| batch(t, n, model.spec.vocab));
                    let mut most = 0;
                    model.accumulate(&train, 1.0, &mut gradients, &mut workspace).unwrap();
                    if validation.0 > pack.0 {
                        most = workspace.held();
                        workspace = noisy();
                    }
                    model.losses(&validate, &mut workspace).unwrap();
                    model.accumulate(&train, 1.0, &mut gradients, &mut workspace).unwrap();
                    let said = setting.replay().most(pack, &[validation]);
                    assert_eq!(said, most.max(workspace.held()) as u64, "{family} {config:?} {pack:?} {validation:?}");
                    assert!(workspace.is_whole(), "{family} {config:?}: a buffer was not given back");
                }
            }
        }
    }

    #[test]
    fn a_larger_pack_needs_more_and_an_adapter_less() {
        let all = setting("llama", None, Trained::All);
        let larger = Setting { pack_tokens: 1024, ..all.clone() };
        assert!(larger.peak_bytes() > all.peak_bytes());
        let config = LoraConfig::plain(2, 4.0, Modules::from_iter(["q_proj"]));
        let dora = LoraConfig { use_dora: true, lora_dropout: 0.1, ..config.clone() };
        let [adapter, dora] = [config, dora].map(|config| Setting { trained: Trained::Lora(config), ..all.clone() });
        assert!(adapter.peak_bytes() < dora.peak_bytes() && dora.peak_bytes() < all.peak_bytes());
        assert!(adapter.operations(100, 10, 20) < dora.operations(100, 10, 20));
        assert!(adapter.operations(100, 10, 20) < all.operations(100, 10, 20));
        let eight = Setting { eight_bits_from: Some(1000), ..all.clone() };
        assert!(eight.moment_bytes() < all.moment_bytes() && eight.moment_bytes() > all.moment_bytes() / 4);
        assert!(all.parts().iter().all(|part| !part.phases.is_empty()));
    }
}
