//! One optimiser step: gradients of all packs, on all ranks, the clip, the update.

use std::rc::Rc;

use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::draw::draw;
use wardsmith_model::params::Gradients;
use wardsmith_model::{Batch, Model};

use crate::adamw::AdamW;
use crate::error::{Error, Result};
use crate::world::{self, Alone, World};

/// What one step did, on all ranks together.
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
    /// The processes that train the same model.
    pub world: Rc<dyn World>,
    /// Whether this session has seen a gradient of every tensor.
    checked: bool,
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
        let (world, workspace) = (Rc::new(Alone), Workspace::default());
        let (seed, checked, largest_pack) = (0, false, 0);
        Ok(Self { model, optimiser, max_grad_norm, seed, world, checked, gradients, workspace, largest_pack })
    }

    /// Learns from one step's packs, of which this rank gets its share. The loss is a mean over the supervised tokens of all
    /// ranks, so that packs weigh by what they teach, wherever they are computed.
    pub fn step(&mut self, packs: &[Batch], rate: f64, number: u64) -> Result<StepReport> {
        let world = Rc::clone(&self.world);
        let count = |of: fn(&Batch) -> usize| packs.iter().map(of).sum::<usize>() as f64;
        let mut counts = [count(|pack| pack.targets.len()), count(|pack| pack.ids.len())];
        world.sum_f64(&mut counts)?;
        let [targets, tokens] = counts.map(|count| count as usize);
        let mut loss = [world::agree(&*world, self.accumulate(packs, 1.0 / targets.max(1) as f32, number))?];
        world.sum_f64(&mut loss)?;
        world::sum_tensors(&*world, self.gradients.iter_mut())?;
        let loss_nats = loss[0] / targets.max(1) as f64;
        if !self.checked && targets > 0 && loss_nats.is_finite() {
            self.check_gradients()?;
            self.checked = true;
        }
        let grad_norm = self.gradients.squared_norm().sqrt();
        for (what, value) in [("loss", loss_nats), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NonFinite { what, step: number, value });
            }
        }
        let clip = if self.max_grad_norm > 0.0 && grad_norm > self.max_grad_norm {
            self.max_grad_norm / grad_norm
        } else {
            1.0
        };
        self.optimiser.update(&mut self.model.params, &self.gradients, rate, clip as f32);
        Ok(StepReport { loss_nats, grad_norm, tokens, targets })
    }

    /// This rank's gradients, times `scale`; the sum of its losses.
    fn accumulate(&mut self, packs: &[Batch], scale: f32, number: u64) -> Result<f64> {
        self.gradients.clear();
        let mut loss = 0.0;
        for (i, pack) in packs.iter().enumerate() {
            self.make_room(pack);
            // Its place among the packs of all ranks.
            let place = self.world.rank() + i * self.world.size();
            self.workspace.noise = Some(draw(draw(self.seed, number), place as u64));
            loss += self.model.accumulate(pack, scale, &mut self.gradients, &mut self.workspace)?;
        }
        self.workspace.noise = None;
        Ok(loss)
    }

    /// Buffers of a smaller pack cannot take a larger one's values: they go, instead of lying beside the new ones.
    fn make_room(&mut self, pack: &Batch) {
        if pack.ids.len() > self.largest_pack {
            self.largest_pack = pack.ids.len();
            self.workspace = Workspace::default();
        }
    }

    /// Every tensor that is to learn must be reached by numbers. `lora_A` is not while its `lora_B` is zero: then B's own
    /// gradient shows that the pair is in use.
    fn check_gradients(&self) -> Result<()> {
        for (id, param) in self.model.params.iter().filter(|(_, p)| p.trainable) {
            let gradient = self.gradients.get(id).unwrap_or_default();
            let wrong = |what| Err(Error::Gradient { tensor: param.name.clone(), what });
            if !gradient.iter().all(|g| g.is_finite()) {
                return wrong("a gradient that is not finite");
            }
            if gradient.iter().all(|g| *g == 0.0) && !self.waits_for_its_pair(&param.name) {
                return wrong("no gradient");
            }
        }
        Ok(())
    }

    /// Whether this is a `lora_A` behind a `lora_B` of zeros.
    fn waits_for_its_pair(&self, name: &str) -> bool {
        let Some(layer) = name.strip_suffix("lora_A.weight") else { return false };
        let mut params = self.model.params.iter();
        params.any(|(_, p)| p.name.strip_suffix("lora_B.weight") == Some(layer) && p.value.iter().all(|b| *b == 0.0))
    }

    /// Mean loss over the supervised tokens of these packs, nats: each rank computes its share of them.
    pub fn evaluate(&mut self, packs: &[Batch]) -> Result<f64> {
        let world = Rc::clone(&self.world);
        let mut sums = world::agree(&*world, self.losses(world::share(packs, world.rank(), world.size())))?;
        world.sum_f64(&mut sums)?;
        Ok(sums[0] / sums[1].max(1.0))
    }

    /// The sum of the losses, and their number.
    fn losses<'a>(&mut self, packs: impl Iterator<Item = &'a Batch>) -> Result<[f64; 2]> {
        let mut sums = [0.0; 2];
        self.workspace.noise = None;
        for pack in packs {
            self.make_room(pack);
            let losses = self.model.losses(pack, &mut self.workspace)?;
            sums[0] += losses.iter().sum::<f64>();
            sums[1] += losses.len() as f64;
        }
        Ok(sums)
    }

    /// Fails unless every rank holds the same bits of what is trained.
    pub fn check_alike(&self) -> Result<()> {
        let trained = self.model.params.iter().filter(|(_, param)| param.trainable);
        let bits = trained.flat_map(|(_, param)| &param.value).map(|value| u64::from(value.to_bits()));
        // The factor makes it depend on their order.
        let digest = bits.fold(0_u64, |digest, bits| digest.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(bits));
        world::same(&*self.world, "weights", &digest.to_le_bytes())
    }
}
