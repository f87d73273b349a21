//! Activations of the feed-forward block: SiLU and GELU (Hendrycks & Gimpel 2016), plain or gated as SwiGLU and GeGLU (Shazeer 2020).

use super::exp::{exp, sigmoid, tanh, vectorised};
use super::pool;

/// Which non-linearity a feed-forward block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`; Hugging Face's `gelu_new` and BLOOM's GELU.
    GeluTanh,
    /// `x · Φ(x)` with the normal distribution's Φ, exact.
    Gelu,
}

impl Activation {
    /// The activation that Hugging Face calls by this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Self::GeluTanh),
            "gelu" => Some(Self::Gelu),
            _ => None,
        }
    }
}

const CHUNK: usize = 1 << 13;
const ROOT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// (value, derivative) at `x`.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// (value, derivative) at `x`.
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let t = tanh(ROOT_2_OVER_PI * x * (1.0 + CUBIC * x * x));
    let inner = ROOT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
    (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
}

/// `erfc(z) = e^(-z²) · t · q(t)` for z ≥ 0 with `t = 1 / (1 + 0.3 z)`, the shape of Abramowitz & Stegun 7.1.26. The
/// coefficients are a least-maximum fit over 0 ≤ z ≤ 10 with a relative error of 2e-8.
const ERFC: [f32; 9] = [
    0.169_188_01,
    0.170_715_21,
    0.148_339_27,
    0.214_925_65,
    -0.094_649_74,
    0.547_718_6,
    -0.512_276_8,
    0.485_562_57,
    -0.129_522_77,
];
const ONE_OVER_ROOT_2PI: f32 = 0.398_942_3;

/// (value, derivative) at `x`.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.3 * z);
    let mut q = ERFC[8];
    for c in ERFC[..8].iter().rev() {
        q = q * t + c;
    }
    let bell = exp(-0.5 * x * x);
    let tail = 0.5 * bell * t * q;
    let phi = if x < 0.0 { tail } else { 1.0 - tail };
    (x * phi, phi + x * bell * ONE_OVER_ROOT_2PI)
}

vectorised! {
    fn forward_chunk(kind: Activation, y: &mut [f32], x: &[f32]) {
        match kind {
            Activation::Silu => y.iter_mut().zip(x).for_each(|(y, x)| *y = silu(*x).0),
            Activation::GeluTanh => y.iter_mut().zip(x).for_each(|(y, x)| *y = gelu_tanh(*x).0),
            Activation::Gelu => y.iter_mut().zip(x).for_each(|(y, x)| *y = gelu(*x).0),
        }
    }
}

vectorised! {
    /// Multiplies the upstream gradient in `d` by the derivative at `x`.
    fn backward_chunk(kind: Activation, d: &mut [f32], x: &[f32]) {
        match kind {
            Activation::Silu => d.iter_mut().zip(x).for_each(|(d, x)| *d *= silu(*x).1),
            Activation::GeluTanh => d.iter_mut().zip(x).for_each(|(d, x)| *d *= gelu_tanh(*x).1),
            Activation::Gelu => d.iter_mut().zip(x).for_each(|(d, x)| *d *= gelu(*x).1),
        }
    }
}

/// Both gradients of a gated activation from one evaluation of it.
macro_rules! gated {
    ($name:ident, $activation:ident) => {
        vectorised! {
            fn $name(d_gate: &mut [f32], d_up: &mut [f32], d_y: &[f32], gate: &[f32], up: &[f32]) {
                let read = d_y.iter().zip(gate.iter().zip(up));
                for ((d_gate, d_up), (d_y, (gate, up))) in d_gate.iter_mut().zip(d_up).zip(read) {
                    let (value, derivative) = $activation(*gate);
                    *d_up = d_y * value;
                    *d_gate = d_y * up * derivative;
                }
            }
        }
    };
}
gated!(gated_silu, silu);
gated!(gated_gelu_tanh, gelu_tanh);
gated!(gated_gelu, gelu);

/// The part of `x` that belongs to the `i`th chunk.
fn chunk(x: &[f32], i: usize) -> &[f32] {
    &x[i * CHUNK..x.len().min((i + 1) * CHUNK)]
}

/// `y = act(x)`, elementwise.
pub fn activation_forward(kind: Activation, y: &mut [f32], x: &[f32]) {
    pool::chunks_mut(y, CHUNK, |i, y| forward_chunk(kind, y, chunk(x, i)));
}

/// `d *= act'(x)`, elementwise: turns the gradient of the output into that of the input.
pub fn activation_backward(kind: Activation, d: &mut [f32], x: &[f32]) {
    pool::chunks_mut(d, CHUNK, |i, d| backward_chunk(kind, d, chunk(x, i)));
}

/// `y = act(gate) · up`, elementwise.
pub fn gated_forward(kind: Activation, y: &mut [f32], gate: &[f32], up: &[f32]) {
    pool::chunks_mut(y, CHUNK, |i, y| {
        forward_chunk(kind, y, chunk(gate, i));
        y.iter_mut().zip(chunk(up, i)).for_each(|(y, up)| *y *= up);
    });
}

/// Gradients of [`gated_forward`]: `d_gate = d_y · up · act'(gate)` and `d_up = d_y · act(gate)`.
pub fn gated_backward(
    kind: Activation,
    (d_gate, d_up): (&mut [f32], &mut [f32]),
    d_y: &[f32],
    gate: &[f32],
    up: &[f32],
) {
    pool::chunks_mut_2(d_gate, d_up, CHUNK, |i, d_gate, d_up| {
        let (d_y, gate, up) = (chunk(d_y, i), chunk(gate, i), chunk(up, i));
        match kind {
            Activation::Silu => gated_silu(d_gate, d_up, d_y, gate, up),
            Activation::GeluTanh => gated_gelu_tanh(d_gate, d_up, d_y, gate, up),
            Activation::Gelu => gated_gelu(d_gate, d_up, d_y, gate, up),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, dot, noise};

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (x, up, weights) = (noise(20, 1), noise(20, 2), noise(20, 3));
        for kind in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            let mut d = weights.clone();
            activation_backward(kind, &mut d, &x);
            let loss = |x: &[f32]| {
                let mut y = vec![0.0; 20];
                activation_forward(kind, &mut y, x);
                dot(&y, &weights)
            };
            check_gradient(&x, &d, loss);
            let (mut d_gate, mut d_up) = (vec![0.0; 20], vec![0.0; 20]);
            gated_backward(kind, (&mut d_gate, &mut d_up), &weights, &x, &up);
            let gated = |gate: &[f32], up: &[f32]| {
                let mut y = vec![0.0; 20];
                gated_forward(kind, &mut y, gate, up);
                dot(&y, &weights)
            };
            check_gradient(&x, &d_gate, |g| gated(g, &up));
            check_gradient(&up, &d_up, |u| gated(&x, u));
        }
    }

    #[test]
    fn known_values_come_out() {
        let mut y = [0.0; 3];
        activation_forward(Activation::GeluTanh, &mut y, &[0.0, 1.0, -1.0]);
        assert!((y[1] - 0.841_192).abs() < 1e-5 && (y[2] + 0.158_808).abs() < 1e-5 && y[0] == 0.0);
        activation_forward(Activation::Gelu, &mut y, &[0.0, 1.0, -3.0]);
        assert!((y[1] - 0.841_344_8).abs() < 1e-7 && (y[2] + 0.004_049_694).abs() < 1e-8 && y[0] == 0.0);
        activation_forward(Activation::Silu, &mut y, &[0.0, 1.0, -1.0]);
        assert!((y[1] - 0.731_058_6).abs() < 1e-6);
    }
}
