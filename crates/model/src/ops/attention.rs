//! Causal attention over packed documents: block-diagonal, with grouped heads, ALiBi slopes, soft capping and sliding windows.
//!
//! Queries, keys and values are head-major: q (kv_heads, group, T, head_dim), k and v (kv_heads, T, head_dim). A document
//! attends to itself, and to a beginning that it shares with others and that lies in the batch once; its gradients add up
//! there. Probabilities are recomputed in the backward pass instead of being kept.
//! ALiBi: Press et al. 2021.

use std::cell::RefCell;
use std::ops::Range;

use super::exp;
use super::kernel::NR;
use super::matmul::{Packed, Right, View, Write, grow, matmul_here};
use super::pool;
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

/// Where a document's tokens lie in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its own.
    pub own: Range<usize>,
    /// Those of the shared beginning before it; empty for none.
    pub before: Range<usize>,
}

impl Document {
    /// Documents behind one another, none of which shares anything.
    pub fn alone(lengths: &[usize]) -> Vec<Self> {
        let next = |start: &mut usize, n: &usize| {
            let own = *start..*start + n;
            *start = own.end;
            Some(Self { own, before: 0..0 })
        };
        lengths.iter().scan(0, next).collect()
    }

    /// All that a document sees of a head's (T, d) block, in one piece: a slice of it, or a copy in `scratch`.
    fn seen<'a>(&self, head: &'a [f32], d: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let own = &head[self.own.start * d..self.own.end * d];
        if self.before.is_empty() {
            return own;
        }
        scratch.clear();
        scratch.extend_from_slice(&head[self.before.start * d..self.before.end * d]);
        scratch.extend_from_slice(own);
        scratch
    }
}

#[derive(Default)]
struct Scratch {
    keys: Packed,
    values: Packed,
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    d_k: Vec<f32>,
    d_v: Vec<f32>,
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

/// `out` (kv_heads, group, T, head_dim) = softmax(scale · q kᵀ + bias) v, document by document; documents lie one behind the
/// other.
pub fn attention_forward(out: &mut [f32], qkv: Qkv<'_>, documents: &[Document], shape: &AttentionShape) {
    let d = shape.head_dim;
    let head = tokens(documents) * d;
    pool::map(pieces(out, documents, d), |_, (h, document, out)| {
        let kv = h / shape.group * head;
        let q = &qkv.q[h * head..][document.own.start * d..document.own.end * d];
        SCRATCH.with_borrow_mut(|Scratch { keys: packed, probabilities: p, capped, k, v, .. }| {
            let k = document.seen(&qkv.k[kv..][..head], d, k);
            let v = document.seen(&qkv.v[kv..][..head], d, v);
            let (n, before) = (k.len() / d, document.before.len());
            packed.fill_here(View::transposed(k, d), d, n);
            for rows in blocks(n - before) {
                let queries = before + rows.start..before + rows.end;
                let keys = shape.keys(&queries);
                let p =
                    probabilities((p, capped), &q[rows.start * d..rows.end * d], packed, (&queries, &keys), shape, h);
                let v = Right::rows(&v[keys.start * d..keys.end * d], d);
                let out = &mut out[rows.start * d..rows.end * d];
                matmul_here(out, View::rows(p, keys.len()), rows.len(), v, Write::SET);
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
pub fn attention_backward(
    gradient: QkvGradient<'_>,
    d_out: &[f32],
    qkv: Qkv<'_>,
    documents: &[Document],
    shape: &AttentionShape,
) {
    let d = shape.head_dim;
    let head = tokens(documents) * d;
    let QkvGradient { d_q, d_k, d_v } = gradient;
    let keys = pieces(d_k, documents, d).into_iter().zip(pieces(d_v, documents, d));
    let tasks: Vec<_> = keys.zip(grouped(d_q, documents, shape)).collect();
    let beginnings = pool::map(tasks, |_, (((kv, document, d_k), (_, _, d_v)), d_q)| {
        let one = Group {
            kv,
            document,
            q: &qkv.q[kv * shape.group * head..][..shape.group * head],
            k: &qkv.k[kv * head..][..head],
            v: &qkv.v[kv * head..][..head],
            d_out: &d_out[kv * shape.group * head..][..shape.group * head],
        };
        SCRATCH.with_borrow_mut(|scratch| one.backward(scratch, d_q, (d_k, d_v), shape))
    });
    for (i, beginning) in beginnings.iter().enumerate() {
        let Some((part_k, part_v)) = beginning else { continue };
        let (kv, before) = (i / documents.len(), &documents[i % documents.len()].before);
        let span = kv * head + before.start * d..kv * head + before.end * d;
        d_k[span.clone()].iter_mut().zip(part_k).for_each(|(sum, x)| *sum += x);
        d_v[span].iter_mut().zip(part_v).for_each(|(sum, x)| *sum += x);
    }
}

/// What a document adds to the gradients of keys and values of its shared beginning.
type Beginning = (Vec<f32>, Vec<f32>);
type Piece<'a, 'd> = (usize, &'d Document, &'a mut [f32]);

fn tokens(documents: &[Document]) -> usize {
    documents.last().map_or(0, |document| document.own.end)
}

/// The parts of a head-major (heads, T, d) buffer, a head and a document at a time.
fn pieces<'a, 'd>(x: &'a mut [f32], documents: &'d [Document], d: usize) -> Vec<Piece<'a, 'd>> {
    let mut all = Vec::new();
    for (h, mut rest) in x.chunks_exact_mut((tokens(documents) * d).max(1)).enumerate() {
        for document in documents {
            let (piece, tail) = rest.split_at_mut(document.own.len() * d);
            all.push((h, document, piece));
            rest = tail;
        }
    }
    all
}

/// For each key/value head and document the pieces of its query heads.
fn grouped<'a>(d_q: &'a mut [f32], documents: &[Document], shape: &AttentionShape) -> Vec<Vec<&'a mut [f32]>> {
    let mut groups: Vec<Vec<&mut [f32]>> = (0..shape.kv_heads * documents.len()).map(|_| Vec::new()).collect();
    for (i, (h, _, piece)) in pieces(d_q, documents, shape.head_dim).into_iter().enumerate() {
        groups[h / shape.group * documents.len() + i % documents.len()].push(piece);
    }
    groups
}

/// The query heads of one key/value head, in the backward pass over one document; whole heads of all tokens.
struct Group<'a> {
    kv: usize,
    document: &'a Document,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    d_out: &'a [f32],
}

impl Group<'_> {
    fn backward(
        &self,
        scratch: &mut Scratch,
        d_q: Vec<&mut [f32]>,
        (own_k, own_v): (&mut [f32], &mut [f32]),
        shape: &AttentionShape,
    ) -> Option<Beginning> {
        let (d, document) = (shape.head_dim, self.document);
        let Scratch { keys, values, probabilities: p, d_scores, capped, k, v, d_k, d_v } = scratch;
        let (k, v) = (document.seen(self.k, d, k), document.seen(self.v, d, v));
        let (n, before) = (k.len() / d, document.before.len());
        keys.fill_here(View::transposed(k, d), d, n);
        values.fill_here(View::transposed(v, d), d, n);
        let (d_k, d_v) = (grow(d_k, n * d), grow(d_v, n * d));
        d_k.fill(0.0);
        d_v.fill(0.0);
        for (g, d_q) in d_q.into_iter().enumerate() {
            let head = |x: &'_ [f32]| -> Range<usize> {
                let start = g * self.k.len();
                debug_assert!(start < x.len());
                start + document.own.start * d..start + document.own.end * d
            };
            let one = Head {
                h: self.kv * shape.group + g,
                before,
                q: &self.q[head(self.q)],
                k,
                d_out: &self.d_out[head(self.d_out)],
            };
            one.backward(
                (keys, values),
                (p, d_scores, capped),
                QkvGradient { d_q, d_k: &mut *d_k, d_v: &mut *d_v },
                shape,
            );
        }
        own_k.copy_from_slice(&d_k[before * d..]);
        own_v.copy_from_slice(&d_v[before * d..]);
        (before > 0).then(|| (d_k[..before * d].to_vec(), d_v[..before * d].to_vec()))
    }
}

/// One query head of the backward pass over one document.
struct Head<'a> {
    h: usize,
    before: usize,
    q: &'a [f32],
    k: &'a [f32],
    d_out: &'a [f32],
}

impl Head<'_> {
    /// Overwrites `d_q` (own tokens); adds to `d_k` and `d_v` (all that the document sees).
    #[expect(clippy::needless_pass_by_value, reason = "it holds the only way to write into the gradients")]
    fn backward(
        &self,
        (keys, values): (&Packed, &Packed),
        (p, d_scores, capped): (&mut Vec<f32>, &mut Vec<f32>, &mut Vec<f32>),
        out: QkvGradient<'_>,
        shape: &AttentionShape,
    ) {
        let d = shape.head_dim;
        for own in blocks(self.q.len() / d) {
            let queries = self.before + own.start..self.before + own.end;
            let seen = shape.keys(&queries);
            let (rows, columns) = (own.start * d..own.end * d, seen.start * d..seen.end * d);
            let (q, d_out) = (&self.q[rows.clone()], &self.d_out[rows.clone()]);
            let p = probabilities((p, capped), q, keys, (&queries, &seen), shape, self.h);
            // d_v += pᵀ · d_out
            let turned = View::transposed(p, seen.len());
            matmul_here(&mut out.d_v[columns.clone()], turned, seen.len(), Right::rows(d_out, d), Write::ADD);
            // d_p = d_out · vᵀ, then through the softmax
            let d_scores = grow(d_scores, own.len() * seen.len());
            let values = Right::Columns { panels: values, from: seen.start, n: seen.len() };
            matmul_here(d_scores, View::rows(d_out, d), own.len(), values, Write::SET);
            softmax_backward(d_scores, p, seen.len(), shape.scale);
            if let Some(cap) = shape.softcap {
                softcap_backward(d_scores, &capped[..own.len() * seen.len()], cap);
            }
            // d_q = d_s · k, d_k += d_sᵀ · q
            let k = Right::rows(&self.k[columns.clone()], d);
            matmul_here(&mut out.d_q[rows], View::rows(d_scores, seen.len()), own.len(), k, Write::SET);
            let d_s = View::transposed(d_scores, seen.len());
            matmul_here(&mut out.d_k[columns], d_s, seen.len(), Right::rows(q, d), Write::ADD);
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

/// Probabilities (queries, keys) for some queries of one document and head; zero where one must not look.
fn probabilities<'a>(
    (scratch, capped): (&'a mut Vec<f32>, &mut Vec<f32>),
    q: &[f32],
    packed: &Packed,
    (queries, keys): (&Range<usize>, &Range<usize>),
    shape: &AttentionShape,
    head: usize,
) -> &'a [f32] {
    let n = keys.len();
    let scores = grow(scratch, queries.len() * n);
    let right = Right::Columns { panels: packed, from: keys.start, n };
    matmul_here(scores, View::rows(q, shape.head_dim), queries.len(), right, Write::SET.scaled(shape.scale));
    if let Some(cap) = shape.softcap {
        softcap_forward(scores, cap);
        grow(capped, scores.len()).copy_from_slice(scores);
    }
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
    scores
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
        attention_forward(&mut out, Qkv { q, k, v }, &Document::alone(lengths), s);
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
            attention_backward(gradient, &up, Qkv { q: &q, k: &k, v: &v }, &Document::alone(&lengths), &s);
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
