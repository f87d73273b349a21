//! RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016), forward and backward, over rows of width `d`.

use super::pool;

/// Rows a task handles; partial weight gradients are summed per task in a fixed order.
const ROWS_PER_TASK: usize = 64;

/// A norm's parameters: the kind follows from the presence of a bias.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// Scale, (d).
    pub weight: &'a [f32],
    /// Added to every scale: 1 where `weight` is stored as a distance from 1, else 0.
    pub offset: f32,
    /// Shift, (d): with it LayerNorm, without it RMSNorm.
    pub bias: Option<&'a [f32]>,
    /// Added to the variance.
    pub eps: f32,
}

impl NormWeights<'_> {
    /// (mean, 1/σ) of one row; the mean is 0 for RMSNorm.
    fn statistics(&self, x: &[f32]) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = if self.bias.is_some() { sum(x) / n } else { 0.0 };
        let variance = centred_squares(x, mean) / n;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }
}

fn sum(x: &[f32]) -> f32 {
    lanes(x, |v| v)
}

fn centred_squares(x: &[f32], mean: f32) -> f32 {
    lanes(x, |v| (v - mean) * (v - mean))
}

/// Sums `f` of each value in eight lanes, so that the compiler may vectorise it.
#[inline(always)]
fn lanes(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 8];
    let chunks = x.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        for (s, v) in sums.iter_mut().zip(chunk) {
            *s += f(*v);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `y = (x - mean) / σ · (weight + offset) + bias` for each row of `x` (rows, d).
pub fn norm_forward(y: &mut [f32], x: &[f32], weights: NormWeights<'_>) {
    let chunk = weights.weight.len() * ROWS_PER_TASK;
    if y.len() <= chunk {
        // A few rows cost less than asking other threads.
        return norm_rows(y, x, weights);
    }
    pool::chunks_mut(y, chunk, |i, y| norm_rows(y, &x[i * chunk..][..y.len()], weights));
}

fn norm_rows(y: &mut [f32], x: &[f32], weights: NormWeights<'_>) {
    let d = weights.weight.len();
    for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
        let (mean, scale) = weights.statistics(x);
        for ((y, x), w) in y.iter_mut().zip(x).zip(weights.weight) {
            *y = (x - mean) * scale * (w + weights.offset);
        }
        if let Some(bias) = weights.bias {
            y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
}

/// Adds the gradient with respect to the input onto `d_x` and, when asked, those of weight and bias.
///
/// `d_weights` is `(d_weight, d_bias)`; the second is ignored for RMSNorm.
pub fn norm_backward(
    d_x: &mut [f32],
    d_weights: Option<(&mut [f32], Option<&mut [f32]>)>,
    x: &[f32],
    d_y: &[f32],
    weights: NormWeights<'_>,
) {
    let d = weights.weight.len();
    let chunk = d * ROWS_PER_TASK;
    pool::chunks_mut(d_x, chunk, |i, d_xs| {
        let (xs, d_ys) = (&x[i * chunk..][..d_xs.len()], &d_y[i * chunk..][..d_xs.len()]);
        for ((d_x, x), d_y) in d_xs.chunks_exact_mut(d).zip(xs.chunks_exact(d)).zip(d_ys.chunks_exact(d)) {
            row_backward(d_x, x, d_y, weights);
        }
    });
    let Some((d_weight, d_bias)) = d_weights else { return };
    let rows = x.chunks(chunk).zip(d_y.chunks(chunk)).collect();
    let partial = pool::map(rows, |_, (xs, d_ys)| weight_gradients(xs, d_ys, weights));
    for (scale, _) in &partial {
        d_weight.iter_mut().zip(scale).for_each(|(a, b)| *a += b);
    }
    if let Some(d_bias) = d_bias {
        for (_, shift) in &partial {
            d_bias.iter_mut().zip(shift).for_each(|(a, b)| *a += b);
        }
    }
}

/// With x̂ the normalised row and g = d_y · (weight + offset): d_x = (g - mean(g) - x̂ · mean(g · x̂)) / σ, where RMSNorm has no mean(g).
fn row_backward(d_x: &mut [f32], x: &[f32], d_y: &[f32], weights: NormWeights<'_>) {
    let n = x.len() as f32;
    let (mean, scale) = weights.statistics(x);
    let (mut g_sum, mut g_x_sum) = (0.0_f32, 0.0_f32);
    for ((x, d_y), w) in x.iter().zip(d_y).zip(weights.weight) {
        let g = d_y * (w + weights.offset);
        g_sum += g;
        g_x_sum += g * (x - mean) * scale;
    }
    let g_mean = if weights.bias.is_some() { g_sum / n } else { 0.0 };
    let g_x_mean = g_x_sum / n;
    for (((d_x, x), d_y), w) in d_x.iter_mut().zip(x).zip(d_y).zip(weights.weight) {
        *d_x += scale * (d_y * (w + weights.offset) - g_mean - (x - mean) * scale * g_x_mean);
    }
}

fn weight_gradients(xs: &[f32], d_ys: &[f32], weights: NormWeights<'_>) -> (Vec<f32>, Vec<f32>) {
    let d = weights.weight.len();
    let (mut d_weight, mut d_bias) = (vec![0.0; d], vec![0.0; d]);
    for (x, d_y) in xs.chunks_exact(d).zip(d_ys.chunks_exact(d)) {
        let (mean, scale) = weights.statistics(x);
        for i in 0..d {
            d_weight[i] += d_y[i] * (x[i] - mean) * scale;
            d_bias[i] += d_y[i];
        }
    }
    (d_weight, d_bias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, dot, noise};

    fn run(x: &[f32], weight: &[f32], offset: f32, bias: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        norm_forward(&mut y, x, NormWeights { weight, offset, bias, eps: 1e-5 });
        y
    }

    #[test]
    fn gradients_agree_with_finite_differences_for_all_kinds() {
        let d = 6;
        let (x, w, b, up) = (noise(3 * d, 1), noise(d, 2), noise(d, 3), noise(3 * d, 4));
        for (offset, bias) in [(0.0, None), (1.0, None), (0.0, Some(b.as_slice()))] {
            let weights = NormWeights { weight: &w, offset, bias, eps: 1e-5 };
            let (mut d_x, mut d_w, mut d_b) = (vec![0.0; x.len()], vec![0.0; d], vec![0.0; d]);
            norm_backward(&mut d_x, Some((&mut d_w, Some(&mut d_b))), &x, &up, weights);
            check_gradient(&x, &d_x, |x| dot(&run(x, &w, offset, bias), &up));
            check_gradient(&w, &d_w, |w| dot(&run(&x, w, offset, bias), &up));
            if bias.is_some() {
                check_gradient(&b, &d_b, |b| dot(&run(&x, &w, offset, Some(b)), &up));
            }
        }
    }

    #[test]
    fn layer_norm_has_zero_mean_and_unit_variance() {
        let y = run(&noise(8, 9), &[1.0; 8], 0.0, Some(&[0.0; 8]));
        assert!(y.iter().sum::<f32>().abs() < 1e-5);
        assert!((y.iter().map(|v| v * v).sum::<f32>() / 8.0 - 1.0).abs() < 1e-3);
    }
}
