//! Greedy generation with a key/value cache: ids in, ids out.

use crate::cache::{Cache, Sight};
use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::layers::workspace::Workspace;
use crate::model::{Batch, Model};

/// When generation ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// At most this many new tokens.
    pub max_new_tokens: usize,
    /// Any of these tokens ends the answer; it is not part of it.
    pub stop: Vec<u32>,
}

impl Model {
    /// Runs a prompt into a fresh cache; returns the cache and the logits after the last token.
    pub fn prefill(&self, prompt: &[u32], workspace: &mut Workspace) -> Result<(Cache, Vec<f32>)> {
        if self.head.kind != HeadKind::LanguageModel {
            return Err(Error::Batch { reason: "a classifier cannot generate text".into() });
        }
        if prompt.is_empty() {
            return Err(Error::Batch { reason: "the prompt is empty".into() });
        }
        self.check(&Batch { ids: prompt.to_vec(), lengths: vec![prompt.len()], ..Batch::default() })?;
        let mut cache = Cache::new(self);
        let positions: Vec<u32> = (0..prompt.len() as u32).collect();
        let x = self.forward_cached(&mut cache, prompt, &positions, Sight::Causal, workspace);
        let logits = self.head.logits(&self.params, &x[x.len() - self.spec.hidden..], workspace);
        workspace.give(x);
        Ok((cache, logits))
    }

    /// The most likely continuation, token by token. Stops early at the model's last position.
    pub fn generate(&self, prompt: &[u32], limits: &Limits, workspace: &mut Workspace) -> Result<Vec<u32>> {
        let (mut cache, mut logits) = self.prefill(prompt, workspace)?;
        let mut answer = Vec::new();
        while answer.len() < limits.max_new_tokens {
            let token = argmax(&logits);
            if limits.stop.contains(&token) {
                break;
            }
            answer.push(token);
            let position = cache.len() as u32;
            if answer.len() == limits.max_new_tokens
                || self.spec.positions.limit().is_some_and(|l| position as usize >= l)
            {
                break;
            }
            let x = self.forward_cached(&mut cache, &[token], &[position], Sight::Causal, workspace);
            logits = self.head.logits(&self.params, &x, workspace);
            workspace.give(x);
        }
        Ok(answer)
    }
}

/// The first of the largest values.
pub fn argmax(values: &[f32]) -> u32 {
    let best =
        values.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, v)| if *v > best.1 { (i, *v) } else { best });
    best.0 as u32
}
