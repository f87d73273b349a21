//! The feed-forward half of a block: `down(act(up(x)))`, or gated `down(act(gate(x)) · up(x))`.

use super::linear::{Backward, Linear};
use super::together::forward_together;
use super::workspace::Workspace;
use crate::ops::activation::{Activation, activation_backward, activation_forward, gated_backward, gated_forward};
use crate::ops::matmul::Write;
use crate::params::{Gradients, Params};

/// A feed-forward block.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// The gate of a gated block.
    pub gate: Option<Linear>,
    /// Into the inner width; into twice of it when it gives the gate too.
    pub up: Linear,
    /// Whether `up`'s first half of rows is the gate (Phi-3).
    pub fused_gate: bool,
    /// Back to the model's width.
    pub down: Linear,
    /// The non-linearity.
    pub activation: Activation,
}

/// What the backward pass needs: the values before the activation, (rows, inner).
#[derive(Debug)]
pub struct MlpSaved {
    gate: Option<Vec<f32>>,
    up: Vec<f32>,
}

impl MlpSaved {
    /// Gives the buffers back.
    pub fn release(self, workspace: &mut Workspace) {
        workspace.give(self.up);
        self.gate.into_iter().for_each(|g| workspace.give(g));
    }
}

impl Mlp {
    /// `y` (rows, d) from `x` (rows, d).
    pub fn forward(&self, params: &Params, y: &mut [f32], x: &[f32], workspace: &mut Workspace) -> MlpSaved {
        let width = x.len() / self.up.inputs * self.up.outputs;
        let mut up = workspace.take(width);
        let mut gate = self.gate.as_ref().map(|_| workspace.take(width));
        match (&self.gate, &mut gate) {
            (Some(layer), Some(gate)) => {
                forward_together(params, &mut [(&self.up, &mut up), (layer, gate)], x, workspace);
            }
            _ => self.up.forward(params, &mut up, x, workspace),
        }
        let saved = if self.fused_gate { self.split(up, workspace) } else { MlpSaved { gate, up } };
        let mut hidden = workspace.take(saved.up.len());
        self.activate(&mut hidden, &saved);
        self.down.forward(params, y, &hidden, workspace);
        workspace.give(hidden);
        saved
    }

    /// Rows (gate, up) of a fused layer, apart.
    fn split(&self, both: Vec<f32>, workspace: &mut Workspace) -> MlpSaved {
        let inner = self.down.inputs;
        let (mut gate, mut up) = (workspace.take(both.len() / 2), workspace.take(both.len() / 2));
        for ((both, gate), up) in
            both.chunks_exact(2 * inner).zip(gate.chunks_exact_mut(inner)).zip(up.chunks_exact_mut(inner))
        {
            gate.copy_from_slice(&both[..inner]);
            up.copy_from_slice(&both[inner..]);
        }
        workspace.give(both);
        MlpSaved { gate: Some(gate), up }
    }

    /// The way back of `split`.
    fn join(&self, gate: &[f32], up: &[f32], workspace: &mut Workspace) -> Vec<f32> {
        let inner = self.down.inputs;
        let mut both = workspace.take(2 * up.len());
        for ((both, gate), up) in
            both.chunks_exact_mut(2 * inner).zip(gate.chunks_exact(inner)).zip(up.chunks_exact(inner))
        {
            both[..inner].copy_from_slice(gate);
            both[inner..].copy_from_slice(up);
        }
        both
    }

    fn activate(&self, hidden: &mut [f32], saved: &MlpSaved) {
        match &saved.gate {
            Some(gate) => gated_forward(self.activation, hidden, gate, &saved.up),
            None => activation_forward(self.activation, hidden, &saved.up),
        }
    }

    /// Overwrites `d_x` with the gradient of the input `x`; the activated values are computed again.
    pub fn backward(&self, params: &Params, pass: Backward<'_>, saved: &MlpSaved) {
        let Backward { d_x, x, d_y, gradients, workspace } = pass;
        let mut hidden = workspace.take(saved.up.len());
        let mut d_hidden = workspace.take(saved.up.len());
        self.activate(&mut hidden, saved);
        let down =
            Backward { d_x: &mut d_hidden, x: &hidden, d_y, gradients: &mut *gradients, workspace: &mut *workspace };
        self.down.backward(params, down, Write::SET);
        match (&self.gate, &saved.gate) {
            (Some(gate), Some(gate_values)) => {
                // `hidden` is free now and takes the gradient of `up`.
                let mut d_gate = workspace.take(saved.up.len());
                gated_backward(self.activation, (&mut d_gate, &mut hidden), &d_hidden, gate_values, &saved.up);
                Self::into((params, &self.up), d_x, x, &hidden, (gradients, workspace), Write::SET);
                Self::into((params, gate), d_x, x, &d_gate, (gradients, workspace), Write::ADD);
                workspace.give(d_gate);
            }
            (None, Some(gate_values)) => {
                let mut d_gate = workspace.take(saved.up.len());
                gated_backward(self.activation, (&mut d_gate, &mut hidden), &d_hidden, gate_values, &saved.up);
                let both = self.join(&d_gate, &hidden, workspace);
                Self::into((params, &self.up), d_x, x, &both, (gradients, workspace), Write::SET);
                [d_gate, both].into_iter().for_each(|b| workspace.give(b));
            }
            _ => {
                activation_backward(self.activation, &mut d_hidden, &saved.up);
                Self::into((params, &self.up), d_x, x, &d_hidden, (gradients, workspace), Write::SET);
            }
        }
        workspace.give(hidden);
        workspace.give(d_hidden);
    }

    fn into(
        (params, linear): (&Params, &Linear),
        d_x: &mut [f32],
        x: &[f32],
        d_y: &[f32],
        (gradients, workspace): (&mut Gradients, &mut Workspace),
        write: Write,
    ) {
        linear.backward(params, Backward { d_x, x, d_y, gradients, workspace }, write);
    }
}
