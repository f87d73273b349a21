//! Softmax cross-entropy of one block of rows, with its gradient in place of the logits.
//!
//! The head calls it block by block ([`crate::head`]), so (tokens × vocabulary) never exists at once.

use super::exp;
use super::pool;

/// Returns Σ -ln p(target) over the rows in nats and replaces `logits` (rows, n) by `scale · (p - onehot(target))`.
pub fn cross_entropy_backward(logits: &mut [f32], targets: &[u32], n: usize, scale: f32) -> f64 {
    let losses = pool::map(logits.chunks_exact_mut(n).zip(targets).collect(), |_, (row, target)| {
        let chosen = row[*target as usize];
        let max = exp::max(row);
        let sum = exp::exp_sum(row, max);
        let factor = scale / sum;
        row.iter_mut().for_each(|x| *x *= factor);
        row[*target as usize] -= scale;
        f64::from(max - chosen) + f64::from(sum).ln()
    });
    losses.iter().sum()
}

/// -ln p(target) of each row, in nats; the logits are used up.
pub fn cross_entropy_forward(logits: &mut [f32], targets: &[u32], n: usize) -> Vec<f64> {
    pool::map(logits.chunks_exact_mut(n).zip(targets).collect(), |_, (row, target)| {
        let chosen = row[*target as usize];
        let max = exp::max(row);
        f64::from(max - chosen) + f64::from(exp::exp_sum(row, max)).ln()
    })
}

/// Turns one row of logits into log-probabilities (nats), in place.
pub fn log_softmax(row: &mut [f32]) {
    let max = exp::max(row);
    let sum: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
    let shift = max + sum.ln() as f32;
    row.iter_mut().for_each(|x| *x -= shift);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, noise};

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (n, targets) = (7, [2, 6, 0]);
        let logits = noise(21, 1);
        let mut d = logits.clone();
        let loss = cross_entropy_backward(&mut d, &targets, n, 0.5);
        let forward = |x: &[f32]| 0.5 * cross_entropy_forward(&mut x.to_vec(), &targets, n).iter().sum::<f64>();
        assert!((loss * 0.5 - forward(&logits)).abs() < 1e-6);
        check_gradient(&logits, &d, forward);
    }

    #[test]
    fn a_uniform_row_costs_the_logarithm_of_its_width() {
        let nats = cross_entropy_forward(&mut [1000.0; 8], &[3], 8);
        assert!((nats[0] - 8_f64.ln()).abs() < 1e-6);
        let mut row = [0.0_f32, 1.0, 2.0];
        log_softmax(&mut row);
        assert!((row.iter().map(|x| x.exp()).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
