//! Attention of new tokens over keys and values that are kept: decoding, continued prompts, trees of answers.
//!
//! A new token sees a beginning that all share and, beyond it, slots of its own. Few tokens read the cache as it lies; many
//! share two matrix products a head over the beginning. Nothing else is repacked.

use super::attention::AttentionShape;
use super::exp::{self, vectorised};
use super::matmul::{Packed, View, Write, matmul_here};
use super::pool::{self, Parts};
use super::softcap::softcap_forward;

/// From this many query rows on a head's scores are a matrix product.
const PRODUCT_FROM: usize = 12;
/// Query rows that a task takes.
const ROWS_PER_TASK: usize = 48;
/// Fewer multiply-adds than this run on the calling thread.
const ALONE_BELOW: usize = 1 << 16;

/// What new tokens may see.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// Everything before them, and themselves.
    Causal,
    /// The first `prefix` slots and, for each new token, the slots listed (its own among them).
    Tree {
        /// Slots all see.
        prefix: usize,
        /// Further slots, one list a new token.
        slots: &'a [Vec<usize>],
    },
}

impl<'a> Sight<'a> {
    /// What the `i`-th new token, in slot `own`, sees: how many of the first slots, and which others.
    fn of(&self, i: usize, own: usize) -> (usize, &'a [usize]) {
        match self {
            Self::Causal => (own + 1, &[]),
            Self::Tree { prefix, slots } => (*prefix, &slots[i]),
        }
    }
}

/// Keys and values of all key/value heads, (slots, head_dim) each.
pub type Heads = [(Vec<f32>, Vec<f32>)];

/// One attention call over a cache whose last slots are the new tokens'.
#[derive(Clone, Copy, Debug)]
pub struct Cached<'a> {
    /// (kv_heads).
    pub heads: &'a Heads,
    /// Each slot's position in its sequence; those of the shared beginning rise.
    pub positions: &'a [u32],
    /// What the new tokens see.
    pub sight: Sight<'a>,
    /// Heads, scale, window, slopes.
    pub shape: &'a AttentionShape,
}

/// `out` (kv_heads, group, n, head_dim) for the queries `q` of the same shape.
pub fn cached_attention(out: &mut [f32], q: &[f32], cached: Cached<'_>) {
    let (d, kv_heads) = (cached.shape.head_dim, cached.shape.kv_heads);
    let rows = q.len() / (d * kv_heads);
    if rows < PRODUCT_FROM {
        return each_row(out, q, cached);
    }
    let n = rows / cached.shape.group;
    let dense = (0..n).map(|i| cached.sight.of(i, cached.own(i, n)).0).max().unwrap_or(0);
    // Of each head the keys, then the values.
    let mut packed = vec![Packed::default(); 2 * kv_heads];
    let parts = Parts::new(&mut packed);
    pool::run(2 * kv_heads, &|task| {
        let (keys, values) = &cached.heads[task / 2];
        // SAFETY: each task fills a matrix of its own.
        let [packed] = (unsafe { parts.part(task, 1) }) else { return };
        if task % 2 == 0 {
            packed.fill_here(View::transposed(&keys[..dense * d], d), d, dense);
        } else {
            packed.fill_here(View::rows(&values[..dense * d], d), dense, d);
        }
    });
    let chunks = rows.div_ceil(ROWS_PER_TASK);
    let out = Parts::new(out);
    pool::run(kv_heads * chunks, &|task| {
        let (kv, first) = (task / chunks, task % chunks * ROWS_PER_TASK);
        let (at, count) = ((kv * rows + first) * d, ROWS_PER_TASK.min(rows - first));
        // SAFETY: tasks own disjoint rows.
        let out = unsafe { out.part(at, count * d) };
        cached.product_rows(out, &q[at..at + count * d], (kv, first, n), &packed[2 * kv..][..2]);
    });
}

/// Row by row, straight from the cache.
fn each_row(out: &mut [f32], q: &[f32], cached: Cached<'_>) {
    let (d, rows) = (cached.shape.head_dim, q.len() / cached.shape.head_dim);
    let n = rows / (cached.shape.kv_heads * cached.shape.group);
    let out = Parts::new(out);
    let row = |row: usize| {
        let (head, i) = (row / n, row % n);
        // SAFETY: every row has its own output.
        let out = unsafe { out.part(row * d, d) };
        cached.row(out, &q[row * d..][..d], head, (i, n));
    };
    if rows * cached.positions.len() * d < ALONE_BELOW { (0..rows).for_each(row) } else { pool::run(rows, &row) }
}

impl Cached<'_> {
    fn own(&self, i: usize, n: usize) -> usize {
        self.positions.len() - n + i
    }

    /// The span of the first slots that token `own` sees, its window heeded.
    fn span(&self, own: usize, seen: usize) -> std::ops::Range<usize> {
        let nearest = |w: usize| (self.positions[own] as usize + 1).saturating_sub(w);
        let first =
            self.shape.window.map_or(0, |w| self.positions[..seen].partition_point(|p| (*p as usize) < nearest(w)));
        first..seen
    }

    /// Caps scores of the slots `slots`, in their order, where there is a cap, and adds what depends on the distance.
    fn bias(&self, scores: &mut [f32], slots: impl Iterator<Item = usize>, own: usize, head: usize) {
        if let Some(cap) = self.shape.softcap {
            softcap_forward(scores, cap);
        }
        let Some(slope) = self.shape.slopes.get(head).filter(|s| **s != 0.0) else { return };
        let here = self.positions[own];
        for (score, slot) in scores.iter_mut().zip(slots) {
            *score -= slope * here.saturating_sub(self.positions[slot]) as f32;
        }
    }

    /// Scores of the slots beyond the shared beginning; hidden ones are negative infinity.
    fn far_scores(&self, q: &[f32], slots: &[usize], own: usize, head: usize) -> Vec<f32> {
        let (d, keys) = (self.shape.head_dim, &self.heads[head / self.shape.group].0);
        let mut scores = vec![0.0; slots.len()];
        for (score, slot) in scores.iter_mut().zip(slots) {
            dots(std::slice::from_mut(score), q, &keys[slot * d..][..d], self.shape.scale);
        }
        self.bias(&mut scores, slots.iter().copied(), own, head);
        if let Some(window) = self.shape.window {
            for (score, slot) in scores.iter_mut().zip(slots) {
                if (self.positions[own].saturating_sub(self.positions[*slot]) as usize) >= window {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        scores
    }

    /// One query row of one head.
    fn row(&self, out: &mut [f32], q: &[f32], head: usize, (i, n): (usize, usize)) {
        let (d, own) = (self.shape.head_dim, self.own(i, n));
        let (keys, values) = &self.heads[head / self.shape.group];
        let (seen, others) = self.sight.of(i, own);
        let span = self.span(own, seen);
        let elements = span.start * d..span.end * d;
        let mut near = vec![0.0; span.len()];
        dots(&mut near, q, &keys[elements.clone()], self.shape.scale);
        self.bias(&mut near, span, own, head);
        let mut far = self.far_scores(q, others, own, head);
        softmax_of_both(&mut near, &mut far);
        out.fill(0.0);
        weighted(out, &near, &values[elements]);
        for (p, slot) in far.iter().zip(others) {
            weighted(out, std::slice::from_ref(p), &values[slot * d..][..d]);
        }
    }

    /// Rows `first..` of a key/value head's (group, n) query rows, by two products over the shared beginning.
    fn product_rows(&self, out: &mut [f32], q: &[f32], (kv, first, n): (usize, usize, usize), packed: &[Packed]) {
        let (keys, values) = (&packed[0], &packed[1]);
        let (d, dense, rows) = (self.shape.head_dim, keys.n, q.len() / self.shape.head_dim);
        let mut scores = vec![0.0; rows * dense];
        matmul_here(&mut scores, View::rows(q, d), rows, keys, Write::SET.scaled(self.shape.scale));
        let mut far = Vec::with_capacity(rows);
        for (r, row) in scores.chunks_exact_mut(dense.max(1)).enumerate() {
            let (head, i) = (kv * self.shape.group + (first + r) / n, (first + r) % n);
            let own = self.own(i, n);
            let (seen, others) = self.sight.of(i, own);
            let span = self.span(own, seen);
            let mut others = self.far_scores(&q[r * d..][..d], others, own, head);
            self.bias(&mut row[span.clone()], span.clone(), own, head);
            softmax_of_both(&mut row[span.clone()], &mut others);
            row[..span.start].fill(0.0);
            row[span.end..].fill(0.0);
            far.push(others);
        }
        matmul_here(out, View::rows(&scores, dense), rows, values, Write::SET);
        let values = &self.heads[kv].1;
        for (r, (out, far)) in out.chunks_exact_mut(d).zip(&far).enumerate() {
            let i = (first + r) % n;
            for (p, slot) in far.iter().zip(self.sight.of(i, self.own(i, n)).1) {
                weighted(out, std::slice::from_ref(p), &values[slot * d..][..d]);
            }
        }
    }
}

/// One softmax over two rows of scores, in place.
fn softmax_of_both(near: &mut [f32], far: &mut [f32]) {
    let largest = exp::max(near).max(exp::max(far));
    let inverse = 1.0 / (exp::exp_sum(near, largest) + exp::exp_sum(far, largest));
    near.iter_mut().chain(far).for_each(|x| *x *= inverse);
}

vectorised! {
    /// `out[j] = scale · q · keys[j]`, keys (slots, d).
    fn dots(out: &mut [f32], q: &[f32], keys: &[f32], scale: f32) {
        for (out, key) in out.iter_mut().zip(keys.chunks_exact(q.len())) {
            let mut lanes = [0.0_f32; 16];
            let (a, b) = (q.chunks_exact(16), key.chunks_exact(16));
            let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
            for (a, b) in a.zip(b) {
                for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                    *lane += a * b;
                }
            }
            for width in [8, 4, 2, 1] {
                for i in 0..width {
                    lanes[i] += lanes[i + width];
                }
            }
            *out = scale * (lanes[0] + rest);
        }
    }
}

vectorised! {
    /// `out += Σ p[j] · values[j]`, values (slots, d).
    fn weighted(out: &mut [f32], p: &[f32], values: &[f32]) {
        let d = out.len();
        let fours = p.len() / 4 * 4;
        for (p, v) in p[..fours].chunks_exact(4).zip(values.chunks_exact(4 * d)) {
            let (a, rest) = v.split_at(d);
            let (b, rest) = rest.split_at(d);
            let (c, e) = rest.split_at(d);
            for ((((out, a), b), c), e) in out.iter_mut().zip(a).zip(b).zip(c).zip(e) {
                *out += p[0] * a + p[1] * b + p[2] * c + p[3] * e;
            }
        }
        for (p, v) in p[fours..].iter().zip(values[fours * d..].chunks_exact(d)) {
            out.iter_mut().zip(v).for_each(|(out, v)| *out += p * v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::attention::alibi_slopes;
    use crate::ops::testing::noise;

    /// Plain loops over what each token sees.
    fn reference(q: &[f32], cached: Cached<'_>) -> Vec<f32> {
        let (d, s) = (cached.shape.head_dim, cached.shape);
        let n = q.len() / (d * s.group * s.kv_heads);
        let mut out = Vec::new();
        for (row, q) in q.chunks_exact(d).enumerate() {
            let (head, i) = (row / n, row % n);
            let own = cached.own(i, n);
            let (keys, values) = &cached.heads[head / s.group];
            let (seen, others) = cached.sight.of(i, own);
            let distance = |slot: usize| cached.positions[own].saturating_sub(cached.positions[slot]);
            let slots: Vec<usize> = (0..seen)
                .chain(others.iter().copied())
                .filter(|slot| s.window.is_none_or(|w| (distance(*slot) as usize) < w))
                .collect();
            let weight = |slot: &usize| {
                let dot: f32 = q.iter().zip(&keys[slot * d..]).map(|(a, b)| a * b).sum();
                let slope = s.slopes.get(head).copied().unwrap_or(0.0);
                let score = s.softcap.map_or(dot * s.scale, |cap| cap * (dot * s.scale / cap).tanh());
                (score - slope * distance(*slot) as f32).exp()
            };
            let sum: f32 = slots.iter().map(weight).sum();
            out.extend((0..d).map(|e| slots.iter().map(|t| weight(t) / sum * values[t * d + e]).sum::<f32>()));
        }
        out
    }

    #[test]
    fn few_and_many_tokens_agree_with_plain_loops() {
        for (window, slopes, softcap) in
            [(None, vec![], None), (Some(5), vec![], None), (None, alibi_slopes(6), None), (Some(5), vec![], Some(0.2))]
        {
            for n in [1, 2, 3, 4, 30] {
                let shape = AttentionShape {
                    group: 3,
                    kv_heads: 2,
                    head_dim: 20,
                    scale: 0.3,
                    window,
                    slopes: slopes.clone(),
                    softcap,
                };
                let slots = 11 + n;
                let heads: Vec<_> = (0..2).map(|i| (noise(slots * 20, i), noise(slots * 20, 9 + i))).collect();
                let q = noise(6 * n * 20, 77);
                let ancestors: Vec<Vec<usize>> =
                    (0..n).map(|i| (0..=i).filter(|j| i % (j + 1) == 0 || *j == i).map(|j| 11 + j).collect()).collect();
                let rising: Vec<u32> = (0..slots as u32).collect();
                let tree: Vec<u32> = (0..11).chain(ancestors.iter().map(|a| 10 + a.len() as u32)).collect();
                for (sight, positions) in
                    [(Sight::Causal, &rising), (Sight::Tree { prefix: 11, slots: &ancestors }, &tree)]
                {
                    let cached = Cached { heads: &heads, positions, sight, shape: &shape };
                    let mut out = vec![5.0; q.len()];
                    cached_attention(&mut out, &q, cached);
                    let expected = reference(&q, cached);
                    assert!(out.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{n} {window:?}");
                }
            }
        }
    }
}
