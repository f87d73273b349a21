//! Generation with a key/value cache: ids in, ids out; one sequence or several.

use crate::cache::{Cache, Sight};
use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::layers::workspace::Workspace;
use crate::model::{Batch, Model};
use crate::ops::exp;
use crate::sample::{Draws, Sampling};

/// When generation ends.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// At most this many new tokens.
    pub max_new_tokens: usize,
    /// Any of these tokens ends the answer; it is not part of it.
    pub stop: Vec<u32>,
}

/// Hears every new token of every sequence, may forbid tokens, and may end a sequence. All calls have a default.
pub trait Watch {
    /// Which tokens may come next in `sequence`, whose answer so far is `answer`; `None` for all.
    fn allowed(&mut self, _sequence: usize, _answer: &[u32]) -> Option<Vec<bool>> {
        None
    }

    /// The answer of `sequence` has grown by a token; `false` ends it. A caller that knows text looks for stop strings here.
    fn goes_on(&mut self, _sequence: usize, _answer: &[u32]) -> bool {
        true
    }
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {}

/// Ends a sequence whose answer ends in one of these; the ending stays part of it.
pub struct StopSequences<'a>(pub &'a [Vec<u32>]);

impl Watch for StopSequences<'_> {
    fn goes_on(&mut self, _sequence: usize, answer: &[u32]) -> bool {
        !self.0.iter().any(|stop| !stop.is_empty() && answer.ends_with(stop))
    }
}

/// A sequence being written.
struct Sequence {
    number: usize,
    /// Prompt and answer.
    ids: Vec<u32>,
    prompt: usize,
    /// Slots beyond the shared beginning.
    slots: Vec<usize>,
    draws: Draws,
}

impl Model {
    /// Runs a prompt into a fresh cache; returns the cache and the logits after the last token.
    pub fn prefill(&self, prompt: &[u32], workspace: &mut Workspace) -> Result<(Cache, Vec<f32>)> {
        let mut cache = Cache::new(self);
        let logits = self.prefill_from(&mut cache, prompt, workspace)?;
        Ok((cache, logits))
    }

    /// Runs a prompt over what the cache already holds of it: the longest common beginning is kept, the rest of the cache is
    /// forgotten. Returns the logits after the last token.
    pub fn prefill_from(&self, cache: &mut Cache, prompt: &[u32], workspace: &mut Workspace) -> Result<Vec<f32>> {
        let x = self.prefill_rows(cache, prompt, 1, workspace)?;
        let logits = self.head.logits(&self.params, &x, workspace);
        workspace.give(x);
        Ok(logits)
    }

    /// The same; returns the hidden states (rows, d) of the last tokens.
    pub(crate) fn prefill_rows(
        &self,
        cache: &mut Cache,
        prompt: &[u32],
        rows: usize,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        if self.head.kind != HeadKind::LanguageModel {
            return Err(Error::Batch { reason: "a classifier cannot generate text".into() });
        }
        if prompt.is_empty() {
            return Err(Error::Batch { reason: "the prompt is empty".into() });
        }
        self.check(&Batch { ids: prompt.to_vec(), lengths: vec![prompt.len()], ..Batch::default() })?;
        cache.truncate(cache.common(prompt).min(prompt.len() - rows.min(prompt.len())));
        let positions: Vec<u32> = (cache.len() as u32..prompt.len() as u32).collect();
        let mut x = self.forward_cached(cache, &prompt[cache.len()..], &positions, Sight::Causal, workspace);
        x.drain(..x.len() - rows.min(prompt.len()) * self.spec.hidden);
        Ok(x)
    }

    /// The most likely continuation, token by token. Stops early at the model's last position.
    pub fn generate(&self, prompt: &[u32], limits: &Limits, workspace: &mut Workspace) -> Result<Vec<u32>> {
        self.sample(&mut Cache::new(self), prompt, (limits, &Sampling::default()), &mut Unwatched, workspace)
    }

    /// A continuation drawn as `sampling` says. Reuses what `cache` holds of the prompt and leaves prompt and answer there.
    pub fn sample(
        &self,
        cache: &mut Cache,
        prompt: &[u32],
        (limits, sampling): (&Limits, &Sampling),
        watch: &mut dyn Watch,
        workspace: &mut Workspace,
    ) -> Result<Vec<u32>> {
        sampling.check()?;
        let mut logits = self.prefill_from(cache, prompt, workspace)?;
        let mut sequence = Sequence::new(0, prompt, Vec::new(), sampling);
        while let Some(token) = sequence.step(&mut logits, (limits, sampling), watch, self.spec.positions.limit()) {
            let position = cache.len() as u32;
            let x = self.forward_cached(cache, &[token], &[position], Sight::Causal, workspace);
            workspace.give(logits);
            logits = self.head.logits(&self.params, &x, workspace);
            workspace.give(x);
        }
        Ok(sequence.into_answer())
    }

    /// Continuations of several prompts at once: what they all begin with is run once, and every step runs all as one batch.
    /// Each sequence's draws are its own, so that an answer does not depend on what stands beside it.
    pub fn sample_batch(
        &self,
        prompts: &[Vec<u32>],
        (limits, sampling): (&Limits, &Sampling),
        watch: &mut dyn Watch,
        workspace: &mut Workspace,
    ) -> Result<Vec<Vec<u32>>> {
        sampling.check()?;
        let Some(first) = prompts.first() else { return Ok(Vec::new()) };
        let lengths = prompts.iter().map(Vec::len).collect();
        self.check(&Batch { ids: prompts.concat(), lengths, ..Batch::default() })?;
        if prompts.iter().any(Vec::is_empty) {
            return Err(Error::Batch { reason: "a prompt is empty".into() });
        }
        // Every prompt keeps a token of its own, whose hidden state predicts.
        let common =
            |other: &Vec<u32>| first.iter().zip(other).take_while(|(a, b)| a == b).count().min(other.len() - 1);
        let shared = prompts.iter().map(common).min().unwrap_or(0);
        let mut cache = Cache::new(self);
        if shared > 0 {
            self.prefill_from(&mut cache, &first[..shared], workspace)?;
        }
        let mut open: Vec<Sequence> =
            prompts.iter().enumerate().map(|(i, prompt)| Sequence::new(i, prompt, Vec::new(), sampling)).collect();
        let mut answers = vec![Vec::new(); prompts.len()];
        let mut new: Vec<Vec<u32>> = prompts.iter().map(|p| p[shared..].to_vec()).collect();
        while !open.is_empty() {
            let logits = self.step(&mut cache, &mut open, &new, shared, workspace);
            let mut rows = logits.chunks_exact(self.spec.vocab);
            new.clear();
            let mut going = Vec::with_capacity(open.len());
            for mut sequence in open {
                let mut row = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
                match sequence.step(&mut row, (limits, sampling), watch, self.spec.positions.limit()) {
                    Some(token) => {
                        new.push(vec![token]);
                        going.push(sequence);
                    }
                    None => {
                        let number = sequence.number;
                        answers[number] = sequence.into_answer();
                    }
                }
            }
            open = going;
        }
        Ok(answers)
    }

    /// Runs the new tokens of all open sequences as one batch; returns the logits after each sequence's last.
    fn step(
        &self,
        cache: &mut Cache,
        open: &mut [Sequence],
        new: &[Vec<u32>],
        shared: usize,
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        let (mut ids, mut positions, mut seen, mut last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (sequence, new) in open.iter_mut().zip(new) {
            for id in new {
                positions.push((shared + sequence.slots.len()) as u32);
                sequence.slots.push(cache.len() + ids.len());
                seen.push(sequence.slots.clone());
                ids.push(*id);
            }
            last.push(ids.len() - 1);
        }
        let sight = Sight::Tree { prefix: shared, slots: &seen };
        let x = self.forward_cached(cache, &ids, &positions, sight, workspace);
        let d = self.spec.hidden;
        let rows: Vec<f32> = last.iter().flat_map(|row| &x[row * d..][..d]).copied().collect();
        workspace.give(x);
        self.head.logits(&self.params, &rows, workspace)
    }
}

impl Sequence {
    fn new(number: usize, prompt: &[u32], slots: Vec<usize>, sampling: &Sampling) -> Self {
        let draws = Draws::new(sampling.seed, number);
        Self { number, ids: prompt.to_vec(), prompt: prompt.len(), slots, draws }
    }

    fn into_answer(mut self) -> Vec<u32> {
        self.ids.split_off(self.prompt)
    }

    /// Chooses the next token; `None` ends the sequence.
    fn step(
        &mut self,
        logits: &mut [f32],
        (limits, sampling): (&Limits, &Sampling),
        watch: &mut dyn Watch,
        positions: Option<usize>,
    ) -> Option<u32> {
        if self.ids.len() - self.prompt >= limits.max_new_tokens {
            return None;
        }
        let allowed = watch.allowed(self.number, &self.ids[self.prompt..]);
        let token = sampling.choose(logits, &self.ids, allowed.as_deref(), &mut self.draws);
        if limits.stop.contains(&token) {
            return None;
        }
        self.ids.push(token);
        let full = self.ids.len() - self.prompt >= limits.max_new_tokens
            || positions.is_some_and(|limit| self.ids.len() > limit);
        (watch.goes_on(self.number, &self.ids[self.prompt..]) && !full).then_some(token)
    }
}

/// The first of the largest values.
pub fn argmax(values: &[f32]) -> u32 {
    let largest = exp::max(values);
    values.iter().position(|v| *v == largest).unwrap_or(0) as u32
}
