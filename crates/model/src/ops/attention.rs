//! Causal attention over packed documents: block-diagonal, with grouped heads, ALiBi slopes, soft capping and sliding windows.
//!
//! Queries, keys and values are head-major: q (kv_heads, group, T, head_dim), k and v (kv_heads, T, head_dim). A document
//! attends to itself only. Probabilities are recomputed in the backward pass instead of being kept.
//! ALiBi: Press et al. 2021.

use std::cell::RefCell;

use rayon::prelude::*;

use super::exp;
use super::matmul::{Packed, View, Write, matmul_here};
use super::softcap::{softcap_backward, softcap_forward};

/// What an attention layer is like.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    /// Query heads per key/value head.
    pub group: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor of the scores: 1/√head_dim, or 1 for GPT-Neo.
    pub scale: f32,
    /// Scaled scores become `cap · tanh(score / cap)` before they are masked.
    pub softcap: Option<f32>,
    /// A query sees itself and the `window - 1` tokens before it.
    pub window: Option<usize>,
    /// One ALiBi slope a query head; empty for none.
    pub slopes: Vec<f32>,
}

impl AttentionShape {
    fn slope(&self, head: usize) -> f32 {
        self.slopes.get(head).copied().unwrap_or(0.0)
    }
}

#[derive(Default)]
struct Scratch {
    packed: Packed,
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
    /// The capped scores, for their derivative.
    capped: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Read-only queries, keys and values of one batch, head-major.
#[derive(Clone, Copy)]
pub struct Qkv<'a> {
    /// (kv_heads, group, T, head_dim).
    pub q: &'a [f32],
    /// (kv_heads, T, head_dim).
    pub k: &'a [f32],
    /// (kv_heads, T, head_dim).
    pub v: &'a [f32],
}

/// `out` (kv_heads, group, T, head_dim) = softmax(scale · q kᵀ + bias) v, document by document.
pub fn attention_forward(out: &mut [f32], qkv: Qkv<'_>, lengths: &[usize], shape: &AttentionShape) {
    let tokens: usize = lengths.iter().sum();
    let head = tokens * shape.head_dim;
    out.par_chunks_mut(head).enumerate().for_each(|(h, out)| {
        let (q, kv) = (&qkv.q[h * head..][..head], h / shape.group * head);
        SCRATCH.with_borrow_mut(|scratch| {
            for span in spans(lengths, shape.head_dim) {
                let n = span.len() / shape.head_dim;
                let (k, v) = (&qkv.k[kv..][span.clone()], &qkv.v[kv..][span.clone()]);
                probabilities(scratch, &q[span.clone()], k, shape, h);
                scratch.packed.fill_here(View::rows(v, shape.head_dim), n, shape.head_dim);
                let p = View::rows(&scratch.probabilities, n);
                matmul_here(&mut out[span], p, n, &scratch.packed, Write::SET);
            }
        });
    });
}

/// Where the gradients of queries, keys and values go, in the layout of [`Qkv`]; overwritten.
pub struct QkvGradient<'a> {
    /// (kv_heads, group, T, head_dim).
    pub d_q: &'a mut [f32],
    /// (kv_heads, T, head_dim).
    pub d_k: &'a mut [f32],
    /// (kv_heads, T, head_dim).
    pub d_v: &'a mut [f32],
}

/// Gradients of [`attention_forward`] from `d_out`.
#[expect(clippy::needless_pass_by_value, reason = "it holds the only way to write into the gradients")]
pub fn attention_backward(
    gradient: QkvGradient<'_>,
    d_out: &[f32],
    qkv: Qkv<'_>,
    lengths: &[usize],
    shape: &AttentionShape,
) {
    let tokens: usize = lengths.iter().sum();
    let head = tokens * shape.head_dim;
    gradient
        .d_q
        .par_chunks_mut(head * shape.group)
        .zip(gradient.d_k.par_chunks_mut(head))
        .zip(gradient.d_v.par_chunks_mut(head))
        .enumerate()
        .for_each(|(kv, ((d_q, d_k), d_v))| {
            for g in 0..shape.group {
                let h = kv * shape.group + g;
                let d_q = &mut d_q[g * head..][..head];
                let write = if g == 0 { Write::SET } else { Write::ADD };
                let one = Head {
                    h,
                    write,
                    q: &qkv.q[h * head..][..head],
                    k: &qkv.k[kv * head..][..head],
                    v: &qkv.v[kv * head..][..head],
                    d_out: &d_out[h * head..][..head],
                };
                SCRATCH.with_borrow_mut(|scratch| {
                    for span in spans(lengths, shape.head_dim) {
                        let out = QkvGradient {
                            d_q: &mut d_q[span.clone()],
                            d_k: &mut d_k[span.clone()],
                            d_v: &mut d_v[span.clone()],
                        };
                        one.document(scratch, out, span, shape);
                    }
                });
            }
        });
}

/// One query head of the backward pass.
struct Head<'a> {
    h: usize,
    write: Write,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    d_out: &'a [f32],
}

impl Head<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "it holds the only way to write into the gradients")]
    fn document(
        &self,
        scratch: &mut Scratch,
        out: QkvGradient<'_>,
        span: std::ops::Range<usize>,
        shape: &AttentionShape,
    ) {
        let d = shape.head_dim;
        let n = span.len() / d;
        let (q, k, v, d_out) = (&self.q[span.clone()], &self.k[span.clone()], &self.v[span.clone()], &self.d_out[span]);
        probabilities(scratch, q, k, shape, self.h);
        // d_v += pᵀ · d_out
        scratch.packed.fill_here(View::rows(d_out, d), n, d);
        matmul_here(out.d_v, View::transposed(&scratch.probabilities, n), n, &scratch.packed, self.write);
        // d_p = d_out · vᵀ, then through the softmax
        scratch.packed.fill_here(View::transposed(v, d), d, n);
        scratch.d_scores.resize(n * n, 0.0);
        matmul_here(&mut scratch.d_scores, View::rows(d_out, d), n, &scratch.packed, Write::SET);
        softmax_backward(&mut scratch.d_scores, &scratch.probabilities, n, shape.scale);
        if let Some(cap) = shape.softcap {
            softcap_backward(&mut scratch.d_scores, &scratch.capped, cap);
        }
        // d_q = d_s · k, d_k += d_sᵀ · q
        scratch.packed.fill_here(View::rows(k, d), n, d);
        matmul_here(out.d_q, View::rows(&scratch.d_scores, n), n, &scratch.packed, Write::SET);
        scratch.packed.fill_here(View::rows(q, d), n, d);
        matmul_here(out.d_k, View::transposed(&scratch.d_scores, n), n, &scratch.packed, self.write);
    }
}

/// `d_s = p · (d_p - Σ p d_p) · scale`, row by row, in place.
fn softmax_backward(d_scores: &mut [f32], probabilities: &[f32], n: usize, scale: f32) {
    for (d, p) in d_scores.chunks_exact_mut(n).zip(probabilities.chunks_exact(n)) {
        let sum: f32 = d.iter().zip(p).map(|(d, p)| d * p).sum();
        d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - sum) * scale);
    }
}

/// Fills `scratch.probabilities` (n, n) for one document of one head; zero where a query must not look.
fn probabilities(scratch: &mut Scratch, q: &[f32], k: &[f32], shape: &AttentionShape, head: usize) {
    let n = q.len() / shape.head_dim;
    scratch.packed.fill_here(View::transposed(k, shape.head_dim), shape.head_dim, n);
    scratch.probabilities.resize(n * n, 0.0);
    let scores = &mut scratch.probabilities;
    matmul_here(scores, View::rows(q, shape.head_dim), n, &scratch.packed, Write::SET.scaled(shape.scale));
    if let Some(cap) = shape.softcap {
        softcap_forward(scores, cap);
        scratch.capped.clone_from(scores);
    }
    let slope = shape.slope(head);
    for (i, row) in scores.chunks_exact_mut(n).enumerate() {
        let first = shape.window.map_or(0, |w| (i + 1).saturating_sub(w));
        row[..first].fill(0.0);
        row[i + 1..].fill(0.0);
        if slope != 0.0 {
            row[first..=i].iter_mut().enumerate().for_each(|(j, s)| *s -= slope * (i - first - j) as f32);
        }
        softmax(&mut row[first..=i]);
    }
}

/// Turns scores into probabilities, in place.
pub fn softmax(row: &mut [f32]) {
    let sum = exp::exp_sum(row, exp::max(row));
    let inverse = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= inverse);
}

/// The element ranges of each document in a head's (T, head_dim) block.
fn spans(lengths: &[usize], head_dim: usize) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    lengths.iter().scan(0, move |start, n| {
        let span = *start..*start + n * head_dim;
        *start = span.end;
        Some(span)
    })
}

/// The slopes of ALiBi for `heads` heads, as Press et al. (2021) and BLOOM define them for any number.
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    let closest = 1_usize << heads.max(1).ilog2();
    let base = 2_f64.powf(-8.0 / closest as f64);
    let mut slopes: Vec<f32> = (1..=closest).map(|i| base.powi(i as i32) as f32).collect();
    let extra = 2_f64.powf(-4.0 / closest as f64);
    slopes.extend((0..heads - closest).map(|i| extra.powi(2 * i as i32 + 1) as f32));
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check_gradient, dot, noise};

    fn shape(window: Option<usize>, slopes: Vec<f32>) -> AttentionShape {
        AttentionShape { group: 2, kv_heads: 2, head_dim: 3, scale: 0.7, softcap: None, window, slopes }
    }

    /// Plain loops over one head and one document at a time.
    fn reference(q: &[f32], k: &[f32], v: &[f32], lengths: &[usize], s: &AttentionShape) -> Vec<f32> {
        let (tokens, d) = (lengths.iter().sum::<usize>(), s.head_dim);
        let mut out = vec![0.0; q.len()];
        for h in 0..s.group * s.kv_heads {
            let (qo, ko) = (h * tokens * d, h / s.group * tokens * d);
            let mut start = 0;
            for n in lengths {
                for i in 0..*n {
                    let first = s.window.map_or(0, |w| (i + 1).saturating_sub(w));
                    let weights: Vec<f64> = (first..=i)
                        .map(|j| {
                            let qk: f32 =
                                (0..d).map(|e| q[qo + (start + i) * d + e] * k[ko + (start + j) * d + e]).sum();
                            let score = s.softcap.map_or(qk * s.scale, |cap| cap * (qk * s.scale / cap).tanh());
                            f64::from(score - s.slope(h) * (i - j) as f32).exp()
                        })
                        .collect();
                    let total: f64 = weights.iter().sum();
                    for e in 0..d {
                        out[qo + (start + i) * d + e] = weights
                            .iter()
                            .enumerate()
                            .map(|(j, w)| w / total * f64::from(v[ko + (start + first + j) * d + e]))
                            .sum::<f64>() as f32;
                    }
                }
                start += n;
            }
        }
        out
    }

    fn forward(q: &[f32], k: &[f32], v: &[f32], lengths: &[usize], s: &AttentionShape) -> Vec<f32> {
        let mut out = vec![0.0; q.len()];
        attention_forward(&mut out, Qkv { q, k, v }, lengths, s);
        out
    }

    #[test]
    fn forward_and_backward_agree_with_loops_and_differences() {
        let lengths = [4, 1, 3];
        let capped = AttentionShape { softcap: Some(0.4), ..shape(Some(3), vec![]) };
        for s in [shape(None, vec![]), shape(Some(2), vec![]), shape(None, alibi_slopes(4)), capped] {
            let (q, k, v, up) = (noise(96, 1), noise(48, 2), noise(48, 3), noise(96, 4));
            let out = forward(&q, &k, &v, &lengths, &s);
            for (a, b) in out.iter().zip(reference(&q, &k, &v, &lengths, &s)) {
                assert!((a - b).abs() < 1e-5);
            }
            let (mut d_q, mut d_k, mut d_v) = (vec![9.0; 96], vec![9.0; 48], vec![9.0; 48]);
            let gradient = QkvGradient { d_q: &mut d_q, d_k: &mut d_k, d_v: &mut d_v };
            attention_backward(gradient, &up, Qkv { q: &q, k: &k, v: &v }, &lengths, &s);
            check_gradient(&q, &d_q, |q| dot(&forward(q, &k, &v, &lengths, &s), &up));
            check_gradient(&k, &d_k, |k| dot(&forward(&q, k, &v, &lengths, &s), &up));
            check_gradient(&v, &d_v, |v| dot(&forward(&q, &k, v, &lengths, &s), &up));
        }
    }

    #[test]
    fn slopes_match_the_paper_for_powers_of_two_and_between() {
        assert_eq!(alibi_slopes(8)[0], 0.5);
        assert_eq!(alibi_slopes(8)[7], 1.0 / 256.0);
        let twelve = alibi_slopes(12);
        assert_eq!(twelve.len(), 12);
        assert!((twelve[8] - 0.707_106_77).abs() < 1e-6);
    }
}
