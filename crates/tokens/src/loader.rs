//! The order in which a shard is learned: endless, reproducible from a seed, and resumable to the document.
//!
//! The order of an epoch is a function of (seed, epoch) alone, so a [`Cursor`] of two numbers says everything.

use std::sync::Arc;

use rand::RngCore;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pack::{Pack, Packer};
use crate::shard::Shard;

/// Where a loader stands: the next document to come. Kept in checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Epochs finished.
    pub epoch: u64,
    /// Documents of this epoch already given out; below the number of documents.
    pub position: u64,
}

/// What makes one optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepSize {
    /// This many full packs.
    Packs(usize),
    /// This many documents, in as many packs as they need.
    Documents(usize),
}

/// What one optimiser step learns from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// At least one; their gradients add up.
    pub packs: Vec<Pack>,
}

impl Step {
    /// Documents in all packs.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.packs.iter().map(|pack| pack.lengths.len()).sum()
    }

    /// Tokens in all packs.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.packs.iter().map(|pack| pack.ids.len()).sum()
    }

    /// Predictions in all packs: what the loss is averaged over.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.packs.iter().map(|pack| pack.targets.len()).sum()
    }
}

/// What a run will give out, by walking through it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Steps up to the end, or to the limit.
    pub steps: u64,
    /// Tokens of the largest pack of the first epoch.
    pub pack_tokens: usize,
    /// Most predictions in a pack of the first epoch.
    pub pack_targets: usize,
    /// Tokens of the longest document of the first epoch.
    pub document_tokens: usize,
    /// Steps that began in the first epoch.
    pub first_epoch_steps: u64,
    /// Their tokens.
    pub first_epoch_tokens: u64,
    /// Their predictions.
    pub first_epoch_targets: u64,
}

/// Endless steps over a shard. A step may reach over the end of an epoch, so that all steps are of one size; only the last
/// one before a set end is as small as it has to be.
#[derive(Debug, Clone)]
pub struct Loader {
    shard: Arc<Shard>,
    max_tokens_per_pack: usize,
    step: StepSize,
    seed: u64,
    cursor: Cursor,
    end: Option<Cursor>,
    /// The order of `cursor.epoch`.
    order: Vec<u32>,
}

impl Loader {
    /// Starts at the beginning of epoch 0.
    ///
    /// # Errors
    /// The shard is empty or has a document longer than a pack, or a size is zero.
    pub fn new(shard: Arc<Shard>, max_tokens_per_pack: usize, step: StepSize, seed: u64) -> Result<Self> {
        check_fits(&shard, max_tokens_per_pack)?;
        let (StepSize::Packs(size) | StepSize::Documents(size)) = step;
        if size == 0 {
            return Err(zero("step size", "a step needs at least one pack or document"));
        }
        if shard.targets() == 0 {
            return Err(zero(
                "targets",
                "no token of the training documents is supervised, so there is nothing to learn",
            ));
        }
        if u32::try_from(shard.len()).is_err() {
            return Err(Error::Setting {
                name: "documents",
                value: shard.len().to_string(),
                reason: "a shard holds fewer than 2^32 documents",
                hint: "split the dataset",
            });
        }
        let order = order(shard.len(), seed, 0);
        let max_tokens_per_pack = max_tokens_per_pack.min(u32::MAX as usize);
        Ok(Self { shard, max_tokens_per_pack, step, seed, cursor: Cursor::default(), end: None, order })
    }

    /// Where the next step begins.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Goes to where another loader with the same shard and settings stood; the steps after it are the same.
    ///
    /// # Errors
    /// The cursor points behind the end of the shard, so it belongs to another one.
    pub fn seek(&mut self, cursor: Cursor) -> Result<()> {
        if cursor.position >= self.shard.len() as u64 {
            return Err(Error::Setting {
                name: "position",
                value: cursor.position.to_string(),
                reason: "the shard has fewer documents",
                hint: "resume with the dataset the run was started with",
            });
        }
        if cursor.epoch != self.cursor.epoch {
            self.order = order(self.shard.len(), self.seed, cursor.epoch);
        }
        self.cursor = cursor;
        Ok(())
    }

    /// How often the whole shard has been given out, with fraction.
    #[must_use]
    pub fn epochs_done(&self) -> f64 {
        self.cursor.epoch as f64 + self.cursor.position as f64 / self.shard.len() as f64
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// Sets the end: the step that reaches it is closed there, so that so many epochs are exactly so many passes. At
    /// least one document is given out. Steps behind the end go on as if there were none.
    pub fn end_after(&mut self, epochs: f64) {
        let documents = self.shard.len() as u64;
        let part = (epochs.fract() * documents as f64).round() as u64;
        let all = (epochs.trunc() as u64).saturating_mul(documents).saturating_add(part).max(1);
        self.end = Some(Cursor { epoch: all / documents, position: all % documents });
    }

    /// Walks from here to the end, or through `most_steps` steps, without giving anything out. Where no end is set, steps
    /// behind the first epoch are not walked, but counted.
    #[must_use]
    pub fn survey(&self, most_steps: u64) -> Survey {
        let mut walker = self.clone();
        let mut survey = Survey::default();
        while survey.steps < most_steps && Some(walker.cursor) != walker.end {
            let first = walker.cursor.epoch == self.cursor.epoch;
            if !first && walker.end.is_none() {
                return Survey { steps: most_steps, ..survey };
            }
            let packs = walker.next_documents();
            survey.steps += 1;
            if first {
                survey.first_epoch_steps += 1;
                packs.iter().for_each(|pack| survey.add(&self.shard, pack));
            }
        }
        survey
    }

    /// The next step.
    pub fn next_step(&mut self) -> Step {
        let shard = Arc::clone(&self.shard);
        let packed = |documents: Vec<u32>| {
            let mut pack = Pack::default();
            documents.into_iter().for_each(|index| pack.push(shard.document(index as usize)));
            pack
        };
        Step { packs: self.next_documents().into_iter().map(packed).collect() }
    }

    /// The documents of the next step, pack by pack. A new pack begins when the next document does not fit.
    fn next_documents(&mut self) -> Vec<Vec<u32>> {
        let mut packs = Vec::new();
        let (mut open, mut tokens, mut documents) = (Vec::new(), 0_usize, 0);
        loop {
            let index = self.order[self.cursor.position as usize];
            let length = self.shard.document(index as usize).ids.len();
            if !open.is_empty() && tokens.saturating_add(length) > self.max_tokens_per_pack {
                packs.push(std::mem::take(&mut open));
                tokens = 0;
                if matches!(self.step, StepSize::Packs(size) if packs.len() == size) {
                    return packs;
                }
            }
            open.push(index);
            tokens += length;
            documents += 1;
            self.advance();
            if matches!(self.step, StepSize::Documents(size) if documents == size) || Some(self.cursor) == self.end {
                packs.push(open);
                return packs;
            }
        }
    }

    fn advance(&mut self) {
        self.cursor.position += 1;
        if self.cursor.position == self.shard.len() as u64 {
            self.cursor = Cursor { epoch: self.cursor.epoch + 1, position: 0 };
            self.order = order(self.shard.len(), self.seed, self.cursor.epoch);
        }
    }
}

impl Survey {
    fn add(&mut self, shard: &Shard, pack: &[u32]) {
        let (mut tokens, mut targets) = (0, 0);
        for document in pack.iter().map(|index| shard.document(*index as usize)) {
            tokens += document.ids.len();
            targets += document.targets();
            self.document_tokens = self.document_tokens.max(document.ids.len());
        }
        self.pack_tokens = self.pack_tokens.max(tokens);
        self.pack_targets = self.pack_targets.max(targets);
        self.first_epoch_tokens += tokens as u64;
        self.first_epoch_targets += targets as u64;
    }
}

/// Every document once, in the shard's order: for evaluation.
///
/// # Errors
/// A document is longer than a pack.
pub fn ordered_packs(shard: &Shard, max_tokens_per_pack: usize) -> Result<impl Iterator<Item = Pack> + '_> {
    check_fits(shard, max_tokens_per_pack)?;
    let mut next = 0;
    Ok(std::iter::from_fn(move || {
        let mut packer = Packer::new(max_tokens_per_pack);
        while next < shard.len() {
            let document = shard.document(next);
            if !packer.fits(document.ids.len()) {
                break;
            }
            packer.push(document);
            next += 1;
        }
        packer.close()
    }))
}

fn check_fits(shard: &Shard, max_tokens_per_pack: usize) -> Result<()> {
    if shard.is_empty() {
        return Err(zero("documents", "the dataset's part is empty"));
    }
    let too_long = |&index: &usize| shard.document(index).ids.len() > max_tokens_per_pack;
    match (0..shard.len()).find(too_long) {
        None => Ok(()),
        Some(index) => {
            Err(Error::DocumentTooLong { index, tokens: shard.document(index).ids.len(), max_tokens_per_pack })
        }
    }
}

fn zero(name: &'static str, reason: &'static str) -> Error {
    Error::Setting { name, value: "0".to_owned(), reason, hint: "look at the dataset's counts and the recipe" }
}

/// A permutation of the documents by Fisher and Yates. The arithmetic is written out, because a run must be resumable
/// with a later version of the random crates, which promise the stream of ChaCha but not their shuffles.
fn order(documents: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    let mut order: Vec<u32> = (0..documents).map(|index| index as u32).collect();
    for last in (1..documents).rev() {
        order.swap(last, below(&mut random, last as u64 + 1) as usize);
    }
    order
}

/// A uniform number below `bound` (Lemire 2019), bound > 0.
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(random.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::tests::small;
    use proptest::prelude::*;

    fn loader(step: StepSize, seed: u64) -> Loader {
        Loader::new(Arc::new(small(23)), 100, step, seed).unwrap()
    }

    #[test]
    fn an_epoch_gives_every_document_once() {
        let mut loader = loader(StepSize::Documents(1), 3);
        let shard = Arc::clone(loader.shard());
        let mut given: Vec<Vec<u32>> = (0..shard.len()).map(|_| loader.next_step().packs[0].ids.clone()).collect();
        assert_eq!(loader.cursor(), Cursor { epoch: 1, position: 0 });
        let mut all: Vec<Vec<u32>> = (0..shard.len()).map(|index| shard.document(index).ids.to_vec()).collect();
        assert_ne!(given, all, "shuffled");
        given.sort_unstable();
        all.sort_unstable();
        assert_eq!(given, all);
    }

    #[test]
    fn epochs_and_seeds_differ_and_a_seed_repeats_itself() {
        let orders = [order(50, 1, 0), order(50, 1, 1), order(50, 2, 0)];
        assert!(orders[0] != orders[1] && orders[0] != orders[2] && orders[1] != orders[2]);
        assert_eq!(order(50, 1, 1), orders[1]);
    }

    #[test]
    fn the_order_of_a_seed_never_changes() {
        assert_eq!(order(10, 42, 0), [9, 7, 2, 5, 0, 1, 4, 3, 8, 6]);
    }

    #[test]
    fn a_step_has_the_size_asked_for() {
        let mut packs = loader(StepSize::Packs(3), 0);
        let mut documents = loader(StepSize::Documents(8), 0);
        for _ in 0..20 {
            let step = packs.next_step();
            assert_eq!(step.packs.len(), 3);
            assert!(step.packs.iter().all(|pack| pack.ids.len() <= 100));
            let step = documents.next_step();
            assert_eq!(step.documents(), 8);
            assert!(step.targets() > 0 && step.tokens() > step.targets());
        }
    }

    #[test]
    fn evaluation_sees_every_document_once_and_in_order() {
        let shard = small(11);
        let packs: Vec<Pack> = ordered_packs(&shard, 100).unwrap().collect();
        let seen: Vec<&[u32]> = packs.iter().flat_map(Pack::documents).collect();
        let all: Vec<&[u32]> = (0..shard.len()).map(|index| shard.document(index).ids).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn what_cannot_be_loaded_is_refused() {
        let shard = Arc::new(small(3));
        let message = Loader::new(Arc::clone(&shard), 63, StepSize::Packs(1), 0).unwrap_err().to_string();
        assert!(message.contains("64 tokens but a pack holds 63"), "{message}");
        assert!(Loader::new(Arc::clone(&shard), 64, StepSize::Documents(0), 0).is_err());
        let mut loader = Loader::new(Arc::clone(&shard), 64, StepSize::Packs(1), 0).unwrap();
        let behind = Cursor { epoch: 0, position: shard.len() as u64 };
        assert!(loader.seek(behind).is_err());
    }

    #[test]
    fn two_epochs_are_exactly_two_passes_and_the_survey_knows_their_steps() {
        for epochs in [1.0, 2.0, 0.5, 1.3] {
            for step in [StepSize::Packs(2), StepSize::Documents(7)] {
                let mut loader = loader(step, 5);
                let all = loader.shard().len() as f64;
                loader.end_after(epochs);
                let survey = loader.survey(u64::MAX);
                let steps: Vec<Step> = (0..survey.steps).map(|_| loader.next_step()).collect();
                let documents = (epochs * all).round();
                assert_eq!(steps.iter().map(Step::documents).sum::<usize>() as f64, documents);
                assert!((loader.epochs_done() - documents / all).abs() < 1e-12);
                let packs = || steps.iter().flat_map(|step| &step.packs);
                if epochs <= 1.0 {
                    assert_eq!(survey.pack_tokens, packs().map(|pack| pack.ids.len()).max().unwrap());
                    assert_eq!(survey.pack_targets, packs().map(|pack| pack.targets.len()).max().unwrap());
                    assert_eq!(survey.first_epoch_tokens as usize, packs().map(|pack| pack.ids.len()).sum::<usize>());
                }
                loader.next_step();
                assert!(loader.epochs_done() > epochs, "behind the end it goes on");
            }
        }
        let endless = loader(StepSize::Packs(1), 5);
        assert_eq!(endless.survey(1000).steps, 1000);
        assert_eq!(endless.survey(3).first_epoch_steps, 3);
        let mut least = loader(StepSize::Packs(1), 5);
        least.end_after(1e-9);
        assert_eq!((least.survey(9).steps, least.next_step().documents()), (1, 1));
    }

    proptest! {
        #[test]
        fn a_resumed_loader_goes_on_as_the_uninterrupted_one(before in 0_usize..40, size in 1_usize..9, packs: bool, seed: u64) {
            let step = if packs { StepSize::Packs(size) } else { StepSize::Documents(size) };
            let mut uninterrupted = loader(step, seed);
            (0..before).for_each(|_| drop(uninterrupted.next_step()));
            let mut resumed = loader(step, seed);
            resumed.seek(uninterrupted.cursor()).unwrap();
            for _ in 0..12 {
                prop_assert_eq!(resumed.next_step(), uninterrupted.next_step());
                prop_assert_eq!(resumed.cursor(), uninterrupted.cursor());
            }
        }
    }
}
