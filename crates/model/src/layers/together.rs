//! Several linear layers over one input: in few bits they share the rounding of the input and one job of the threads.

use super::linear::Linear;
use super::workspace::Workspace;
use crate::ops::quant::{Output, multiply};
use crate::params::Params;

/// A layer with its output (rows, out), which is overwritten.
pub type Part<'a> = (&'a Linear, &'a mut [f32]);

/// What [`Linear::forward`] gives for each layer.
pub fn forward_together(params: &Params, parts: &mut [Part<'_>], x: &[f32], workspace: &mut Workspace) {
    if parts.iter().any(|(linear, _)| params[linear.weight].quantised.is_none()) {
        return parts.iter_mut().for_each(|(linear, y)| linear.forward(params, y, x, workspace));
    }
    let mut outputs: Vec<Output<'_>> = parts
        .iter_mut()
        .filter_map(|(linear, y)| Some((params[linear.weight].quantised.as_deref()?, &mut **y)))
        .collect();
    multiply(&mut outputs, x);
    parts.iter_mut().for_each(|(linear, y)| linear.finish(params, y, x, workspace));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quant::Format;
    use crate::ops::testing::noise;

    #[test]
    fn layers_give_together_what_they_give_alone() {
        let mut params = Params::default();
        let a = params.add("a".into(), vec![40, 64], noise(40 * 64, 1));
        let b = params.add("b".into(), vec![24, 64], noise(24 * 64, 2));
        let bias = params.add("bias".into(), vec![24], noise(24, 3));
        let (a, b) = (Linear::new(a, None, 64, 40), Linear::new(b, Some(bias), 64, 24));
        [a.weight, b.weight].into_iter().for_each(|w| params.quantise(w, Format::Q8_0));
        let (x, workspace) = (noise(2 * 64, 4), &mut Workspace::default());
        let (mut y, mut z, mut y1, mut z1) = (vec![0.0; 80], vec![0.0; 48], vec![0.0; 80], vec![0.0; 48]);
        forward_together(&params, &mut [(&a, &mut y), (&b, &mut z)], &x, workspace);
        a.forward(&params, &mut y1, &x, workspace);
        b.forward(&params, &mut z1, &x, workspace);
        assert_eq!((y, z), (y1, z1));
    }
}
