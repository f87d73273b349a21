//! Causal attention over packed documents: block-diagonal, with grouped heads, ALiBi slopes and sliding windows.
//!
//! Queries, keys and values are head-major: q (kv_heads, group, T, head_dim), k and v (kv_heads, T, head_dim). A document
//! attends to itself only. Probabilities are recomputed in the backward pass instead of being kept.
//! ALiBi: Press et al. 2021.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::exp;
use super::kernel::NR;
use super::matmul::{Packed, Right, View, Write, grow, matmul_here};

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
    /// A query sees itself and the `window - 1` tokens before it.
    pub window: Option<usize>,
    /// One ALiBi slope a query head; empty for none.
    pub slopes: Vec<f32>,
}

impl AttentionShape {
    /// The keys that any of these queries sees, from the start of a panel on.
    fn keys(&self, queries: &Range<usize>) -> Range<usize> {
        let first = self.window.map_or(0, |w| (queries.start + 1).saturating_sub(w));
        first / NR * NR..queries.end
    }

    fn slope(&self, head: usize) -> f32 {
        self.slopes.get(head).copied().unwrap_or(0.0)
    }
}

/// Queries that are computed together: what lies after the last of them is not.
const QUERIES: usize = 48;

#[derive(Default)]
struct Scratch {
    keys: Packed,
    values: Packed,
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
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
    let d = shape.head_dim;
    let head = lengths.iter().sum::<usize>() * d;
    pieces(out, lengths, d).into_par_iter().with_max_len(1).for_each(|(h, span, out)| {
        let (q, kv) = (&qkv.q[h * head..][span.clone()], h / shape.group * head);
        let (k, v) = (&qkv.k[kv..][span.clone()], &qkv.v[kv..][span]);
        SCRATCH.with_borrow_mut(|scratch| {
            let n = k.len() / d;
            scratch.keys.fill_here(View::transposed(k, d), d, n);
            for queries in blocks(n) {
                let keys = shape.keys(&queries);
                probabilities(scratch, &q[queries.start * d..queries.end * d], (&queries, &keys), shape, h);
                let p = View::rows(&scratch.probabilities, keys.len());
                let v = Right::rows(&v[keys.start * d..keys.end * d], d);
                matmul_here(&mut out[queries.start * d..queries.end * d], p, queries.len(), v, Write::SET);
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
    let d = shape.head_dim;
    let head = lengths.iter().sum::<usize>() * d;
    let QkvGradient { d_q, d_k, d_v } = gradient;
    let keys = pieces(d_k, lengths, d).into_iter().zip(pieces(d_v, lengths, d));
    let tasks: Vec<_> = keys.zip(grouped(d_q, lengths, shape)).collect();
    tasks.into_par_iter().with_max_len(1).for_each(|(((kv, span, d_k), (_, _, d_v)), d_q)| {
        for (g, d_q) in d_q.into_iter().enumerate() {
            let h = kv * shape.group + g;
            let one = Head {
                h,
                first: g == 0,
                q: &qkv.q[h * head..][span.clone()],
                k: &qkv.k[kv * head..][span.clone()],
                v: &qkv.v[kv * head..][span.clone()],
                d_out: &d_out[h * head..][span.clone()],
            };
            let out = QkvGradient { d_q, d_k: &mut *d_k, d_v: &mut *d_v };
            SCRATCH.with_borrow_mut(|scratch| one.backward(scratch, out, shape));
        }
    });
}

type Piece<'a> = (usize, Range<usize>, &'a mut [f32]);

/// The parts of a head-major (heads, T, d) buffer, a head and a document at a time, with the document's elements in a head.
fn pieces<'a>(x: &'a mut [f32], lengths: &[usize], d: usize) -> Vec<Piece<'a>> {
    let head = lengths.iter().sum::<usize>() * d;
    let mut all = Vec::new();
    for (h, mut rest) in x.chunks_exact_mut(head.max(1)).enumerate() {
        for span in spans(lengths, d) {
            let (piece, tail) = rest.split_at_mut(span.len());
            all.push((h, span, piece));
            rest = tail;
        }
    }
    all
}

/// For each key/value head and document the pieces of its query heads.
fn grouped<'a>(d_q: &'a mut [f32], lengths: &[usize], shape: &AttentionShape) -> Vec<Vec<&'a mut [f32]>> {
    let documents = lengths.len();
    let mut groups: Vec<Vec<&mut [f32]>> = (0..shape.kv_heads * documents).map(|_| Vec::new()).collect();
    for (i, (h, _, piece)) in pieces(d_q, lengths, shape.head_dim).into_iter().enumerate() {
        groups[h / shape.group * documents + i % documents].push(piece);
    }
    groups
}

/// One query head of the backward pass over one document.
struct Head<'a> {
    h: usize,
    /// The first of its group: it overwrites the gradients of keys and values.
    first: bool,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    d_out: &'a [f32],
}

impl Head<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "it holds the only way to write into the gradients")]
    fn backward(&self, scratch: &mut Scratch, out: QkvGradient<'_>, shape: &AttentionShape) {
        let d = shape.head_dim;
        let n = self.k.len() / d;
        if self.first {
            out.d_k.fill(0.0);
            out.d_v.fill(0.0);
            scratch.keys.fill_here(View::transposed(self.k, d), d, n);
            scratch.values.fill_here(View::transposed(self.v, d), d, n);
        }
        for queries in blocks(n) {
            let keys = shape.keys(&queries);
            let (rows, columns) = (queries.start * d..queries.end * d, keys.start * d..keys.end * d);
            let (q, d_out) = (&self.q[rows.clone()], &self.d_out[rows.clone()]);
            probabilities(scratch, q, (&queries, &keys), shape, self.h);
            // d_v += pᵀ · d_out
            let p = View::transposed(&scratch.probabilities, keys.len());
            matmul_here(&mut out.d_v[columns.clone()], p, keys.len(), Right::rows(d_out, d), Write::ADD);
            // d_p = d_out · vᵀ, then through the softmax
            let d_scores = grow(&mut scratch.d_scores, queries.len() * keys.len());
            let values = Right::Columns { panels: &scratch.values, from: keys.start, n: keys.len() };
            matmul_here(d_scores, View::rows(d_out, d), queries.len(), values, Write::SET);
            softmax_backward(d_scores, &scratch.probabilities, keys.len(), shape.scale);
            // d_q = d_s · k, d_k += d_sᵀ · q
            let k = Right::rows(&self.k[columns.clone()], d);
            matmul_here(&mut out.d_q[rows], View::rows(d_scores, keys.len()), queries.len(), k, Write::SET);
            let d_s = View::transposed(d_scores, keys.len());
            matmul_here(&mut out.d_k[columns], d_s, keys.len(), Right::rows(q, d), Write::ADD);
        }
    }
}

/// `d_s = p · (d_p - Σ p d_p) · scale`, row by row, in place.
fn softmax_backward(d_scores: &mut [f32], probabilities: &[f32], n: usize, scale: f32) {
    for (d, p) in d_scores.chunks_exact_mut(n).zip(probabilities.chunks_exact(n)) {
        let sum: f32 = d.iter().zip(p).map(|(d, p)| d * p).sum();
        d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - sum) * scale);
    }
}

/// Fills `scratch.probabilities` (queries, keys) for some queries of one document and head; zero where one must not look.
fn probabilities(
    scratch: &mut Scratch,
    q: &[f32],
    (queries, keys): (&Range<usize>, &Range<usize>),
    shape: &AttentionShape,
    head: usize,
) {
    let n = keys.len();
    let scores = grow(&mut scratch.probabilities, queries.len() * n);
    let right = Right::Columns { panels: &scratch.keys, from: keys.start, n };
    matmul_here(scores, View::rows(q, shape.head_dim), queries.len(), right, Write::SET.scaled(shape.scale));
    let slope = shape.slope(head);
    for (i, row) in queries.clone().zip(scores.chunks_exact_mut(n)) {
        let first = shape.window.map_or(0, |w| (i + 1).saturating_sub(w)) - keys.start;
        let own = i - keys.start;
        row[..first].fill(0.0);
        row[own + 1..].fill(0.0);
        if slope != 0.0 {
            row[first..=own].iter_mut().enumerate().for_each(|(j, s)| *s -= slope * (own - first - j) as f32);
        }
        softmax(&mut row[first..=own]);
    }
}

/// The queries of a document of `n` tokens, some at a time.
fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(QUERIES).map(move |start| start..n.min(start + QUERIES))
}

/// Turns scores into probabilities, in place.
pub fn softmax(row: &mut [f32]) {
    let sum = exp::exp_sum(row, exp::max(row));
    let inverse = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= inverse);
}

/// The element ranges of each document in a head's (T, head_dim) block.
fn spans(lengths: &[usize], head_dim: usize) -> impl Iterator<Item = Range<usize>> + '_ {
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
        AttentionShape { group: 2, kv_heads: 2, head_dim: 3, scale: 0.7, window, slopes }
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
                            f64::from(qk * s.scale - s.slope(h) * (i - j) as f32).exp()
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
        for s in [shape(None, vec![]), shape(Some(2), vec![]), shape(None, alibi_slopes(4))] {
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
