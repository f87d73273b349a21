//! `y = W · x` for one row at a time, over weights as they lie.
//!
//! One token reads every weight once, so memory sets the pace. What this saves is the rest: nothing is packed, and threads wait
//! awake ([`super::pool`]).

use super::exp::vectorised;
use super::frozen::FrozenMatrix;
use super::pool::{self, Parts};

/// Products with fewer multiply-adds than this run on the calling thread.
const ALONE_BELOW: usize = 1 << 14;

vectorised! {
    /// Σ a · b, in sixty-four lanes, so that additions wait less.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        const LANES: usize = 64;
        let mut sums = [0.0_f32; LANES];
        let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in left.zip(right) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// `y` (n) from `x` (k) and the row-major `w` (n, k); overwrites `y`.
///
/// # Panics
/// When the sizes do not fit.
pub fn gemv(y: &mut [f32], x: &[f32], w: &[f32]) {
    let (n, k) = (y.len(), x.len());
    assert!(w.len() == n * k, "a product of {n}×{k} got a matrix of {} values", w.len());
    rows(y, k, |y, first| y.iter_mut().zip(w[first * k..].chunks_exact(k)).for_each(|(y, row)| *y = dot(row, x)));
}

/// The same with a matrix in few bits: bit for bit what its expanded values give.
///
/// # Panics
/// When the sizes do not fit.
pub fn gemv_stored(y: &mut [f32], x: &[f32], w: &FrozenMatrix) {
    let (n, k) = (y.len(), x.len());
    assert!((w.rows, w.columns) == (n, k), "a product of {n}×{k} got a matrix of {}×{}", w.rows, w.columns);
    rows(y, k, |y, first| {
        let mut row = vec![0.0; k];
        for (i, y) in y.iter_mut().enumerate() {
            w.row(first + i, &mut row);
            *y = dot(&row, x);
        }
    });
}

/// Gives `some(part of y, its first row)` to all threads, for rows of `k` values.
fn rows(y: &mut [f32], k: usize, some: impl Fn(&mut [f32], usize) + Sync) {
    let n = y.len();
    let tasks = if n * k < ALONE_BELOW { 1 } else { n.min(4 * pool::threads()) };
    let y = Parts::new(y);
    pool::run(tasks, &|task| {
        let (first, end) = (task * n / tasks, (task + 1) * n / tasks);
        // SAFETY: each task has its own outputs.
        some(unsafe { y.part(first, end - first) }, first);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::frozen::Form;
    use crate::ops::matmul::{View, matmul_reference};
    use crate::ops::testing::noise;

    #[test]
    fn agrees_with_plain_loops_for_awkward_sizes() {
        for (k, n) in [(1, 1), (7, 33), (576, 100), (64, 1000)] {
            let (x, w) = (noise(k, 1), noise(k * n, 2));
            let mut y = vec![3.0; n];
            gemv(&mut y, &x, &w);
            let expected = matmul_reference(View::rows(&x, k), View::transposed(&w, k), (1, k, n));
            assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
            let stored = FrozenMatrix::new(&w, k, Form::Nf4).unwrap();
            let mut expanded = y.clone();
            gemv(&mut expanded, &x, &stored.values());
            gemv_stored(&mut y, &x, &stored);
            assert_eq!(y, expanded);
        }
    }
}
