//! One optimiser step: gradients of all packs, the clip, the update.

use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::draw::draw;
use wardsmith_model::params::Gradients;
use wardsmith_model::{Batch, Model};

use crate::adamw::AdamW;
use crate::error::{Error, Result};

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Mean loss over the supervised tokens of all packs, nats.
    pub loss_nats: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens read.
    pub tokens: usize,
    /// Tokens supervised.
    pub targets: usize,
}

/// A model with what a step needs beside it.
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// The optimiser.
    pub optimiser: AdamW,
    /// Longest gradient that is not shortened; 0 for no limit.
    pub max_grad_norm: f64,
    /// Fixes what is dropped, together with the number of a step and the place of a pack in it.
    pub seed: u64,
    gradients: Gradients,
    workspace: Workspace,
    /// Tokens of the largest pack so far.
    largest_pack: usize,
}

impl Trainer {
    /// Gets ready to train what is trainable.
    pub fn new(model: Model, optimiser: AdamW, max_grad_norm: f64) -> Result<Self> {
        if model.params.count(true) == 0 {
            return Err(Error::Nothing("no tensor is marked as trainable"));
        }
        let gradients = Gradients::zeros(&model.params);
        let workspace = Workspace::default();
        Ok(Self { model, optimiser, max_grad_norm, seed: 0, gradients, workspace, largest_pack: 0 })
    }

    /// Learns from one step's packs. The loss is a mean over supervised tokens, so that packs weigh by what they teach.
    pub fn step(&mut self, packs: &[Batch], rate: f64, number: u64) -> Result<StepReport> {
        let targets: usize = packs.iter().map(|p| p.targets.len()).sum();
        let tokens = packs.iter().map(|p| p.ids.len()).sum();
        let scale = 1.0 / targets.max(1) as f32;
        self.gradients.clear();
        let mut loss = 0.0;
        for (i, pack) in packs.iter().enumerate() {
            self.make_room(pack);
            self.workspace.noise = Some(draw(draw(self.seed, number), i as u64));
            loss += self.model.accumulate(pack, scale, &mut self.gradients, &mut self.workspace)?;
        }
        self.workspace.noise = None;
        let loss_nats = loss / targets.max(1) as f64;
        let grad_norm = self.gradients.squared_norm().sqrt();
        for (what, value) in [("loss", loss_nats), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NonFinite { what, step: number, value });
            }
        }
        if number == 1 {
            self.check_gradients()?;
        }
        let clip = if self.max_grad_norm > 0.0 && grad_norm > self.max_grad_norm {
            self.max_grad_norm / grad_norm
        } else {
            1.0
        };
        self.optimiser.update(&mut self.model.params, &self.gradients, rate, clip as f32);
        Ok(StepReport { loss_nats, grad_norm, tokens, targets })
    }

    /// Buffers of a smaller pack cannot take a larger one's values: they go, instead of lying beside the new ones.
    fn make_room(&mut self, pack: &Batch) {
        if pack.ids.len() > self.largest_pack {
            self.largest_pack = pack.ids.len();
            self.workspace = Workspace::default();
        }
    }

    /// Every tensor that is to learn must be reached. `lora_A` starts behind a zero `lora_B` and is exempt.
    fn check_gradients(&self) -> Result<()> {
        for (id, param) in self.model.params.iter().filter(|(_, p)| p.trainable && !p.name.ends_with("lora_A.weight")) {
            let gradient = self.gradients.get(id).unwrap_or_default();
            if gradient.iter().all(|g| *g == 0.0) {
                return Err(Error::Gradient { tensor: param.name.clone(), what: "no gradient" });
            }
        }
        Ok(())
    }

    /// Mean loss over the supervised tokens of these packs, nats.
    pub fn evaluate(&mut self, packs: &[Batch]) -> Result<f64> {
        let (mut sum, mut count) = (0.0, 0);
        self.workspace.noise = None;
        for pack in packs {
            self.make_room(pack);
            let losses = self.model.losses(pack, &mut self.workspace)?;
            sum += losses.iter().sum::<f64>();
            count += losses.len();
        }
        Ok(sum / count.max(1) as f64)
    }
}
