//! Soft capping (Gemma Team 2024): `y = cap · tanh(x / cap)` keeps scores and logits within ±cap.

use super::exp::{tanh, vectorised};

/// Caps are many times larger than most scores, so that the result's relative error counts where `x` is small: there a
/// series stands in for `(1 - e) / (1 + e)`, which only keeps its absolute error small.
#[inline(always)]
fn tanh_relative(x: f32) -> f32 {
    let s = x * x;
    let mut p = -1382.0 / 155_925.0_f32;
    p = p * s + 62.0 / 2835.0;
    p = p * s - 17.0 / 315.0;
    p = p * s + 2.0 / 15.0;
    p = p * s - 1.0 / 3.0;
    if x.abs() < 0.35 { x + x * s * p } else { tanh(x) }
}

vectorised! {
    /// `x ← cap · tanh(x / cap)`, in place.
    pub fn softcap_forward(x: &mut [f32], cap: f32) {
        x.iter_mut().for_each(|x| *x = cap * tanh_relative(*x / cap));
    }
}

vectorised! {
    /// Multiplies the gradient `d` of the capped values `y` by the derivative, `1 - (y / cap)²`.
    pub fn softcap_backward(d: &mut [f32], y: &[f32], cap: f32) {
        for (d, y) in d.iter_mut().zip(y) {
            let t = *y / cap;
            *d *= 1.0 - t * t;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, dot, noise};

    fn capped(x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        softcap_forward(&mut y, 0.8);
        y
    }

    #[test]
    fn small_values_keep_their_digits() {
        let mut x = 1e-4_f32;
        while x < 6.0 {
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh_relative(x)) / exact - 1.0).abs() < 4e-7, "{x}");
            assert_eq!(tanh_relative(-x), -tanh_relative(x));
            x *= 1.01;
        }
    }

    #[test]
    fn values_stay_within_the_cap_and_gradients_agree_with_differences() {
        let (x, up) = (noise(20, 1), noise(20, 2));
        let y = capped(&x);
        assert!(y.iter().zip(&x).all(|(y, x)| y.abs() < 0.8 && (y - 0.8 * (x / 0.8).tanh()).abs() < 1e-6));
        let mut d = up.clone();
        softcap_backward(&mut d, &y, 0.8);
        check_gradient(&x, &d, |x| dot(&capped(x), &up));
    }
}
