//! What stands on the decoder: the language model's vocabulary or a classifier's labels.
//!
//! Only supervised positions reach the head: their hidden states are gathered first. They are then taken in blocks of rows
//! small enough that a block's logits stay within `LOGITS_PER_BLOCK`, so that (tokens × vocabulary) never exists at once
//! and no logit is computed twice.

use crate::layers::linear::{Backward, Linear};
use crate::layers::norm::Norm;
use crate::layers::workspace::Workspace;
use crate::model::Target;
use crate::ops::cross_entropy::{cross_entropy_backward, cross_entropy_forward};
use crate::ops::kernel::MR_MAX;
use crate::ops::matmul::Write;
use crate::ops::pool;
use crate::ops::softcap::{softcap_backward, softcap_forward};
use crate::params::{Gradients, Params};

/// Most logits held at once (128 MiB), unless 32 rows need more.
const LOGITS_PER_BLOCK: usize = 1 << 25;

/// Rows that are taken together: blocks of equal height, as few as the limit allows, as each reads the whole weight.
pub(crate) fn rows_per_block(classes: usize, rows: usize) -> usize {
    let most = (LOGITS_PER_BLOCK / classes).max(32);
    rows.div_ceil(rows.div_ceil(most).max(1)).next_multiple_of(MR_MAX).max(MR_MAX)
}

/// Which head a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// `…ForCausalLM`: predicts the next token.
    LanguageModel,
    /// `…ForSequenceClassification`: predicts a label from the last token of a document.
    Classifier,
}

/// A head: the last norm and a linear layer.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its kind.
    pub kind: HeadKind,
    /// The final norm.
    pub norm: Norm,
    /// (classes, d); the embedding itself when tied.
    pub linear: Linear,
    /// Logits become `cap · tanh(logit / cap)`.
    pub softcap: Option<f32>,
}

impl Head {
    /// Caps the logits of heads that have a cap, and returns it.
    fn cap(&self, logits: &mut [f32]) -> Option<f32> {
        self.softcap.inspect(|cap| pool::chunks_mut(logits, 1 << 13, |_, block| softcap_forward(block, *cap)))
    }

    /// The normalised hidden states at the targets' positions, (targets, d), and the same before the norm.
    fn gather(
        &self,
        params: &Params,
        x: &[f32],
        targets: &[Target],
        workspace: &mut Workspace,
    ) -> (Vec<f32>, Vec<f32>) {
        let d = self.linear.inputs;
        let mut rows = workspace.take(targets.len() * d);
        for (row, target) in rows.chunks_exact_mut(d).zip(targets) {
            row.copy_from_slice(&x[target.position as usize * d..][..d]);
        }
        let mut normed = workspace.take(rows.len());
        self.norm.forward(params, &mut normed, &rows);
        (normed, rows)
    }

    /// Σ of the targets' losses in nats; adds the gradients of `scale · Σ` to the weights and returns that of `x` (T, d).
    pub fn backward(
        &self,
        params: &Params,
        x: &[f32],
        targets: &[Target],
        scale: f32,
        (gradients, workspace): (&mut Gradients, &mut Workspace),
    ) -> (f64, Vec<f32>) {
        let (d, classes) = (self.linear.inputs, self.linear.outputs);
        let (normed, rows) = self.gather(params, x, targets, workspace);
        let mut d_normed = workspace.take(normed.len());
        let mut loss = 0.0;
        let height = rows_per_block(classes, targets.len());
        for (i, block) in targets.chunks(height).enumerate() {
            let span = i * height * d..(i * height + block.len()) * d;
            let mut logits = workspace.take(block.len() * classes);
            self.linear.forward(params, &mut logits, &normed[span.clone()], workspace);
            let capped = self.cap(&mut logits).map(|_| {
                let mut capped = workspace.take(logits.len());
                capped.copy_from_slice(&logits);
                capped
            });
            let tokens: Vec<u32> = block.iter().map(|t| t.token).collect();
            loss += cross_entropy_backward(&mut logits, &tokens, classes, scale);
            if let (Some(cap), Some(capped)) = (self.softcap, capped) {
                softcap_backward(&mut logits, &capped, cap);
                workspace.give(capped);
            }
            let pass = Backward {
                d_x: &mut d_normed[span.clone()],
                x: &normed[span],
                d_y: &logits,
                gradients: &mut *gradients,
                workspace: &mut *workspace,
            };
            self.linear.backward(params, pass, Write::SET);
            workspace.give(logits);
        }
        let mut d_rows = workspace.zeros(rows.len());
        self.norm.backward(params, &mut d_rows, &rows, &d_normed, gradients);
        let mut d_x = workspace.zeros(x.len());
        for (row, target) in d_rows.chunks_exact(d).zip(targets) {
            d_x[target.position as usize * d..][..d].iter_mut().zip(row).for_each(|(x, r)| *x += r);
        }
        [normed, rows, d_normed, d_rows].into_iter().for_each(|b| workspace.give(b));
        (loss, d_x)
    }

    /// Each target's loss in nats.
    pub fn losses(&self, params: &Params, x: &[f32], targets: &[Target], workspace: &mut Workspace) -> Vec<f64> {
        let (d, classes) = (self.linear.inputs, self.linear.outputs);
        let (normed, rows) = self.gather(params, x, targets, workspace);
        let mut losses = Vec::with_capacity(targets.len());
        let height = rows_per_block(classes, targets.len());
        for (block, normed) in targets.chunks(height).zip(normed.chunks(height * d)) {
            let mut logits = workspace.take(block.len() * classes);
            self.linear.forward(params, &mut logits, normed, workspace);
            self.cap(&mut logits);
            let tokens: Vec<u32> = block.iter().map(|t| t.token).collect();
            losses.extend(cross_entropy_forward(&mut logits, &tokens, classes));
            workspace.give(logits);
        }
        workspace.give(normed);
        workspace.give(rows);
        losses
    }

    /// Logits (rows, classes) of hidden states (rows, d) before the final norm.
    pub fn logits(&self, params: &Params, x: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let mut normed = workspace.take(x.len());
        self.norm.forward(params, &mut normed, x);
        let mut logits = workspace.take(x.len() / self.linear.inputs * self.linear.outputs);
        self.linear.forward(params, &mut logits, &normed, workspace);
        self.cap(&mut logits);
        workspace.give(normed);
        logits
    }
}
