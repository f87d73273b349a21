//! What the tests of several operations share: seeded noise and finite differences.

use rand::{Rng, SeedableRng};

/// `n` values uniform in [-1, 1).
pub(crate) fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Compares an analytic gradient with central differences of `loss` at `x`.
pub(crate) fn check_gradient(x: &[f32], analytic: &[f32], mut loss: impl FnMut(&[f32]) -> f64) {
    let step = 1e-2_f32;
    let mut moved = x.to_vec();
    for i in 0..x.len() {
        moved[i] = x[i] + step;
        let up = loss(&moved);
        moved[i] = x[i] - step;
        let down = loss(&moved);
        moved[i] = x[i];
        let numeric = (up - down) / (2.0 * f64::from(step));
        let error = (numeric - f64::from(analytic[i])).abs();
        assert!(error < 2e-3 + 2e-2 * numeric.abs(), "element {i}: numeric {numeric}, analytic {}", analytic[i]);
    }
}

/// Sum of products, in f64: a scalar loss with gradient `weights`.
pub(crate) fn dot(a: &[f32], weights: &[f32]) -> f64 {
    a.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
}
