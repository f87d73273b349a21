//! Half of a block between its norms: `y = after(f(before(x)))`, either of which may be missing.

use super::linear::Backward;
use super::norm::Norm;
use super::workspace::Workspace;
use crate::params::{Gradients, Params};

/// The norms around one half.
#[derive(Clone, Copy, Debug)]
pub struct Sandwich {
    /// Of the input.
    pub before: Option<Norm>,
    /// Of the output.
    pub after: Option<Norm>,
}

impl Sandwich {
    /// Writes `y` (T, d) from `x` (T, d); returns what `f` does and its output, if a norm follows it.
    pub fn forward<S>(
        &self,
        params: &Params,
        y: &mut [f32],
        x: &[f32],
        workspace: &mut Workspace,
        f: impl FnOnce(&mut [f32], &[f32], &mut Workspace) -> S,
    ) -> (S, Option<Vec<f32>>) {
        let normed = self.normed(params, x, workspace);
        let saved = f(y, normed.as_deref().unwrap_or(x), workspace);
        normed.into_iter().for_each(|b| workspace.give(b));
        let inner = self.after.map(|norm| {
            let mut inner = workspace.take(y.len());
            inner.copy_from_slice(y);
            norm.forward(params, y, &inner);
            inner
        });
        (saved, inner)
    }

    fn normed(&self, params: &Params, x: &[f32], workspace: &mut Workspace) -> Option<Vec<f32>> {
        self.before.map(|norm| {
            let mut normed = workspace.take(x.len());
            norm.forward(params, &mut normed, x);
            normed
        })
    }

    /// Adds the gradient of the input `x` to `d_x`. `inner` is what the forward pass returned; `d_y` is the gradient of the
    /// output, or none when `d_x` holds it (as it does in a residual block); `f` overwrites its `d_x`.
    pub fn backward(
        &self,
        params: &Params,
        (d_x, d_y): (&mut [f32], Option<&[f32]>),
        (x, inner): (&[f32], Option<&[f32]>),
        (gradients, workspace): (&mut Gradients, &mut Workspace),
        f: impl FnOnce(Backward<'_>),
    ) {
        let normed = self.normed(params, x, workspace);
        let mut d_normed = workspace.take(d_x.len());
        let d_inner = self.after.zip(inner).map(|(norm, inner)| {
            let mut d_inner = workspace.zeros(d_x.len());
            norm.backward(params, &mut d_inner, inner, d_y.unwrap_or(d_x), gradients);
            d_inner
        });
        f(Backward {
            d_x: &mut d_normed,
            x: normed.as_deref().unwrap_or(x),
            d_y: d_inner.as_deref().or(d_y).unwrap_or(d_x),
            gradients: &mut *gradients,
            workspace: &mut *workspace,
        });
        match self.before {
            Some(norm) => norm.backward(params, d_x, x, &d_normed, gradients),
            None => d_x.iter_mut().zip(&d_normed).for_each(|(d_x, d)| *d_x += d),
        }
        [Some(d_normed), d_inner, normed].into_iter().flatten().for_each(|b| workspace.give(b));
    }
}
