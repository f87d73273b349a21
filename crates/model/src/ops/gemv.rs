//! `y = W · x` for one row at a time, over the same panels that [`super::matmul`] uses.
//!
//! One token reads every weight once, so memory sets the pace. What this saves is the rest: no packing of the input, and threads
//! that wait awake ([`super::pool`]).

use super::exp::vectorised;
use super::kernel::NR;
use super::matmul::Packed;
use super::pool::{self, Parts};

/// Products with fewer multiply-adds than this run on the calling thread.
const ALONE_BELOW: usize = 1 << 14;

vectorised! {
    /// The sums of one panel: `out[j] = Σ x[p] · panel[p][j]`, over even and odd p apart, so that additions wait less.
    fn panel_sums(panel: &[f32], x: &[f32]) -> [f32; NR] {
        let (mut even, mut odd) = ([0.0_f32; NR], [0.0_f32; NR]);
        for (rows, x) in panel.chunks_exact(2 * NR).zip(x.chunks_exact(2)) {
            for (sum, w) in even.iter_mut().zip(&rows[..NR]) {
                *sum += x[0] * w;
            }
            for (sum, w) in odd.iter_mut().zip(&rows[NR..]) {
                *sum += x[1] * w;
            }
        }
        if x.len() % 2 == 1 {
            let p = x.len() - 1;
            for (sum, w) in even.iter_mut().zip(&panel[p * NR..]) {
                *sum += x[p] * w;
            }
        }
        for (sum, other) in even.iter_mut().zip(&odd) {
            *sum += other;
        }
        even
    }
}

/// `y` (b.n) from `x` (b.k) and the packed `b` (k, n); overwrites `y`.
///
/// # Panics
/// When the sizes do not fit.
pub fn gemv(y: &mut [f32], x: &[f32], b: &Packed) {
    assert!(x.len() == b.k && y.len() == b.n, "a product of {}×{} got {} and {}", b.k, b.n, x.len(), y.len());
    let panels = b.n.div_ceil(NR);
    let tasks = if b.k * b.n < ALONE_BELOW { 1 } else { panels.min(4 * pool::threads()) };
    let (n, y) = (b.n, Parts::new(y));
    pool::run(tasks, &|task| {
        for panel in task * panels / tasks..(task + 1) * panels / tasks {
            let width = NR.min(n - panel * NR);
            // SAFETY: each panel has its own outputs.
            let y = unsafe { y.part(panel * NR, width) };
            y.copy_from_slice(&panel_sums(b.panel(panel), x)[..width]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::{View, matmul_reference};
    use crate::ops::testing::noise;

    #[test]
    fn agrees_with_plain_loops_for_awkward_sizes() {
        for (k, n) in [(1, 1), (7, 33), (576, 100), (64, 1000)] {
            let (x, w) = (noise(k, 1), noise(k * n, 2));
            let view = View::rows(&w, n);
            let mut y = vec![3.0; n];
            gemv(&mut y, &x, &Packed::new(view, k, n));
            let expected = matmul_reference(View::rows(&x, k), view, (1, k, n));
            assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }
}
