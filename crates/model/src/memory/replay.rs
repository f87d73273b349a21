//! What a workspace comes to hold: its takes and gives in the order in which a step and an evaluation make them, without
//! computing anything. Every function here follows the one of its name in `decoder`, `layers` and `head`; a test holds the
//! two against each other, value for value.

use crate::head::rows_per_block;
use crate::layers::workspace::choose;
use crate::spec::{BlockKind, DecoderSpec, QkNorm, QkvLayout};

/// A linear layer, and the adapter beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    pub adapter: Option<Adapter>,
}

/// What an adapter takes buffers for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adapter {
    pub rank: usize,
    pub dropout: bool,
    pub dora: bool,
}

/// A batch, as far as buffers are concerned: tokens, supervised positions.
pub(super) type Shape = (usize, usize);

/// Buffers by their capacities.
#[derive(Default)]
struct Pool {
    free: Vec<usize>,
    held: usize,
    most: usize,
}

impl Pool {
    fn take(&mut self, len: usize) -> usize {
        let (found, dropped) = choose(self.free.iter().copied(), len);
        let place = found.or(dropped);
        let old = place.map_or(0, |i| self.free.swap_remove(i));
        if found.is_some() {
            return old;
        }
        let new = if len == 0 { 0 } else { len.max(4) };
        self.held = self.held - old + new;
        self.most = self.most.max(self.held);
        new
    }

    fn give(&mut self, buffer: usize) {
        if buffer > 0 {
            self.free.push(buffer);
        }
    }

    fn give_all(&mut self, buffers: impl IntoIterator<Item = usize>) {
        buffers.into_iter().for_each(|buffer| self.give(buffer));
    }

    fn pass(&mut self, len: usize) {
        let buffer = self.take(len);
        self.give(buffer);
    }
}

/// A model whose steps are replayed.
pub(super) struct Replay<'a> {
    pub spec: &'a DecoderSpec,
    /// Of every block, in the order in which its spec names them.
    pub blocks: Vec<Vec<Layer>>,
    pub classes: usize,
    pub capped: bool,
}

/// What a block keeps.
struct Kept {
    x: usize,
    middle: Option<usize>,
    attention: Vec<usize>,
    attention_inner: Option<usize>,
    mlp: Vec<usize>,
    mlp_inner: Option<usize>,
}

impl Replay<'_> {
    /// The most values that a workspace holds over steps with packs of `pack` and evaluations of `validation`, as `train` has
    /// them: it begins anew where a batch has more tokens than any before.
    pub(super) fn most(&self, pack: Shape, validation: &[Shape]) -> u64 {
        let (mut pool, mut most) = (Pool::default(), 0);
        let mut largest = pack.0;
        self.step(&mut pool, pack);
        for shape in validation {
            if shape.0 > largest {
                largest = shape.0;
                most = most.max(pool.most);
                pool = Pool::default();
            }
            self.losses(&mut pool, *shape);
        }
        self.step(&mut pool, pack);
        most.max(pool.most) as u64
    }

    fn wanted((tokens, targets): Shape) -> usize {
        if targets == 0 { tokens } else { targets.min(tokens) }
    }

    fn step(&self, pool: &mut Pool, shape: Shape) {
        let (x, embedded, kept) = self.forward(pool, shape);
        let mut d_x = self.head_backward(pool, shape);
        pool.give(x);
        let narrow = Self::wanted(shape) < shape.0;
        let last = kept.len();
        for (i, kept) in kept.into_iter().enumerate().rev() {
            let wanted = if narrow && i + 1 == last { Self::wanted(shape) } else { shape.0 };
            self.block_backward(pool, (i, kept), (shape.0, wanted), &mut d_x);
        }
        if let Some(before) = embedded {
            let d_before = pool.take(shape.0 * self.spec.hidden);
            pool.give(before);
            pool.give(std::mem::replace(&mut d_x, d_before));
        }
        pool.give(d_x);
    }

    fn losses(&self, pool: &mut Pool, shape: Shape) {
        let (x, embedded, kept) = self.forward(pool, shape);
        pool.give_all(embedded);
        for kept in kept {
            pool.give_all(kept.attention);
            pool.give_all(kept.mlp);
            pool.give_all([Some(kept.x), kept.middle, kept.attention_inner, kept.mlp_inner].into_iter().flatten());
        }
        let (d, targets) = (self.spec.hidden, shape.1);
        let (rows, normed) = (pool.take(targets * d), pool.take(targets * d));
        self.logits(targets, |n| pool.pass(n));
        pool.give_all([normed, rows, x]);
    }

    /// Calls `block` with the logits of each block of rows.
    fn logits(&self, targets: usize, mut block: impl FnMut(usize)) {
        let height = rows_per_block(self.classes, targets);
        (0..targets).step_by(height).for_each(|first| block(height.min(targets - first) * self.classes));
    }

    fn head_backward(&self, pool: &mut Pool, shape: Shape) -> usize {
        let (d, targets) = (self.spec.hidden, shape.1);
        let [rows, normed, d_normed] = [(); 3].map(|()| pool.take(targets * d));
        let capped = self.capped;
        self.logits(targets, |n| {
            let logits = pool.take(n);
            if capped {
                pool.pass(n);
            }
            pool.give(logits);
        });
        let (d_rows, d_x) = (pool.take(targets * d), pool.take(Self::wanted(shape) * d));
        pool.give_all([normed, rows, d_normed, d_rows]);
        d_x
    }

    fn forward(&self, pool: &mut Pool, shape: Shape) -> (usize, Option<usize>, Vec<Kept>) {
        let (tokens, wide) = (shape.0, shape.0 * self.spec.hidden);
        let mut x = pool.take(wide);
        let embedded = self.spec.embedding_norm.then(|| std::mem::replace(&mut x, pool.take(wide)));
        let mut all = Vec::new();
        for i in 0..self.blocks.len() {
            let wanted = if i + 1 == self.blocks.len() { Self::wanted(shape) } else { tokens };
            let (y, kept) = self.block(pool, i, x, (tokens, wanted));
            all.push(kept);
            x = y;
        }
        (x, embedded, all)
    }

    fn norms(&self) -> (bool, bool, bool) {
        let kind = self.spec.block;
        let before = kind != BlockKind::PostNorm;
        (before, matches!(kind, BlockKind::PostNorm | BlockKind::Sandwich), kind == BlockKind::Parallel)
    }

    fn block(&self, pool: &mut Pool, i: usize, x: usize, (tokens, wanted): (usize, usize)) -> (usize, Kept) {
        let (before, after, parallel) = self.norms();
        let (d, wide) = (self.spec.hidden, tokens * self.spec.hidden);
        let mut middle = pool.take(wide);
        let normed = before.then(|| pool.take(wide));
        let attention = self.attention(pool, i, tokens);
        pool.give_all(normed);
        let attention_inner = after.then(|| pool.take(wide));
        let mut narrow_x = None;
        if wanted < tokens {
            narrow_x = parallel.then(|| pool.take(wanted * d));
            let narrow = pool.take(wanted * d);
            pool.give(std::mem::replace(&mut middle, narrow));
        }
        let y = pool.take(wanted * d);
        let normed = before.then(|| pool.take(wanted * d));
        let mlp = self.mlp(pool, i, wanted);
        pool.give_all(normed);
        let mlp_inner = after.then(|| pool.take(wanted * d));
        let middle = if parallel {
            pool.give(middle);
            narrow_x
        } else {
            Some(middle)
        };
        (y, Kept { x, middle, attention, attention_inner, mlp, mlp_inner })
    }

    fn head_sizes(&self, tokens: usize) -> [usize; 3] {
        let (query, key) = (self.spec.heads * self.spec.head_dim, self.spec.kv_heads * self.spec.head_dim);
        [query, key, key].map(|n| n * tokens)
    }

    /// The projections of a block, each with the parts (0 queries, 1 keys) that have a norm behind it.
    fn projections(&self, i: usize) -> &[Layer] {
        &self.blocks[i][..if self.spec.qkv == QkvLayout::Separate { 3 } else { 1 }]
    }

    fn has_norm(&self, part: usize) -> bool {
        self.spec.qk_norm != QkNorm::None && self.spec.qkv == QkvLayout::Separate && part < 2
    }

    /// Queries, keys, values, attended heads, and queries and keys before their norms.
    fn attention(&self, pool: &mut Pool, i: usize, tokens: usize) -> Vec<usize> {
        let sizes = self.head_sizes(tokens);
        let mut kept: Vec<usize> = sizes.map(|n| pool.take(n)).to_vec();
        let projections = self.projections(i);
        let all: Vec<usize> = projections.iter().map(|layer| pool.take(tokens * layer.outputs)).collect();
        projections.iter().for_each(|layer| linear(pool, layer, tokens));
        for (part, (mut y, layer)) in all.into_iter().zip(projections).enumerate() {
            if self.has_norm(part) {
                let normed = pool.take(tokens * layer.outputs);
                kept.push(std::mem::replace(&mut y, normed));
            }
            pool.give(y);
        }
        let heads = pool.take(sizes[0]);
        kept.push(pool.take(sizes[0]));
        linear(pool, &self.blocks[i][projections.len()], tokens);
        pool.give(heads);
        kept
    }

    /// Gate (if there is one), up and down.
    fn feed_forward(&self, i: usize) -> (Option<&Layer>, &Layer, &Layer) {
        match &self.blocks[i][self.projections(i).len() + 1..] {
            [gate, up, down] => (Some(gate), up, down),
            [up, down] => (None, up, down),
            _ => unreachable!("a feed-forward block has two or three layers"),
        }
    }

    fn mlp(&self, pool: &mut Pool, i: usize, rows: usize) -> Vec<usize> {
        let (gate, up, down) = self.feed_forward(i);
        let width = rows * up.outputs;
        let mut kept = vec![pool.take(width)];
        kept.extend(gate.map(|_| pool.take(width)));
        linear(pool, up, rows);
        gate.into_iter().for_each(|gate| linear(pool, gate, rows));
        if self.spec.fused_gate {
            let both = std::mem::replace(&mut kept[0], pool.take(width / 2));
            kept.push(pool.take(width / 2));
            pool.give(both);
        }
        let hidden = pool.take(rows * down.inputs);
        linear(pool, down, rows);
        pool.give(hidden);
        kept
    }

    fn block_backward(
        &self,
        pool: &mut Pool,
        (i, kept): (usize, Kept),
        (tokens, wanted): (usize, usize),
        d_x: &mut usize,
    ) {
        let (before, after, parallel) = self.norms();
        let (d, wide) = (self.spec.hidden, tokens * self.spec.hidden);
        let mut d_y = parallel.then(|| pool.take(wanted * d));
        self.around(pool, wanted * d, (before, after), |pool| self.mlp_backward(pool, i, wanted));
        if wanted < tokens {
            for narrow in std::iter::once(&mut *d_x).chain(d_y.as_mut()) {
                let wide = pool.take(wide);
                pool.give(std::mem::replace(narrow, wide));
            }
        }
        self.around(pool, wide, (before, after), |pool| self.attention_backward(pool, i, tokens));
        pool.give_all(kept.attention);
        pool.give_all(kept.mlp);
        let rest = [Some(kept.x), kept.middle, kept.attention_inner, kept.mlp_inner, d_y];
        pool.give_all(rest.into_iter().flatten());
    }

    /// The way back through the norms around a half.
    fn around(&self, pool: &mut Pool, n: usize, (before, after): (bool, bool), half: impl FnOnce(&mut Pool)) {
        let normed = before.then(|| pool.take(n));
        let d_normed = pool.take(n);
        let d_inner = after.then(|| pool.take(n));
        half(pool);
        pool.give_all([Some(d_normed), d_inner, normed].into_iter().flatten());
    }

    fn mlp_backward(&self, pool: &mut Pool, i: usize, rows: usize) {
        let (gate, up, down) = self.feed_forward(i);
        let width = rows * down.inputs;
        let (hidden, d_hidden) = (pool.take(width), pool.take(width));
        linear_backward(pool, down, rows);
        if let Some(gate) = gate {
            let d_gate = pool.take(width);
            linear_backward(pool, up, rows);
            linear_backward(pool, gate, rows);
            pool.give(d_gate);
        } else if self.spec.fused_gate {
            let (d_gate, both) = (pool.take(width), pool.take(2 * width));
            linear_backward(pool, up, rows);
            pool.give_all([d_gate, both]);
        } else {
            linear_backward(pool, up, rows);
        }
        pool.give_all([hidden, d_hidden]);
    }

    fn attention_backward(&self, pool: &mut Pool, i: usize, tokens: usize) {
        let (sizes, projections) = (self.head_sizes(tokens), self.projections(i));
        let d_attended = pool.take(sizes[0]);
        linear_backward(pool, &self.blocks[i][projections.len()], tokens);
        let mut d_heads = pool.take(sizes[0]);
        pool.give(d_attended);
        let d = sizes.map(|n| pool.take(n));
        for (part, layer) in projections.iter().enumerate() {
            let n = tokens * layer.outputs;
            if d_heads < n {
                pool.give(d_heads);
                d_heads = pool.take(n);
            }
            if self.has_norm(part) {
                let d_before = pool.take(n);
                pool.give(std::mem::replace(&mut d_heads, d_before));
            }
            linear_backward(pool, layer, tokens);
        }
        pool.give_all(d);
        pool.give(d_heads);
    }
}

/// The pair's forward product.
fn low_rank(pool: &mut Pool, layer: &Layer, adapter: &Adapter, rows: usize) {
    let dropped = adapter.dropout.then(|| pool.take(rows * layer.inputs));
    let u = pool.take(rows * adapter.rank);
    pool.give_all(dropped);
    pool.give(u);
}

/// The lengths of DoRA's rows.
fn lengths(pool: &mut Pool, layer: &Layer, rank: usize) {
    let all = [rank * layer.outputs, rank * rank, layer.outputs * rank].map(|n| pool.take(n));
    pool.give_all(all);
}

fn linear(pool: &mut Pool, layer: &Layer, rows: usize) {
    let Some(adapter) = &layer.adapter else { return };
    low_rank(pool, layer, adapter, rows);
    if adapter.dora {
        lengths(pool, layer, adapter.rank);
    }
}

fn linear_backward(pool: &mut Pool, layer: &Layer, rows: usize) {
    let Some(adapter) = &layer.adapter else { return };
    let scaled = adapter.dora.then(|| {
        lengths(pool, layer, adapter.rank);
        let z = pool.take(rows * layer.outputs);
        low_rank(pool, layer, adapter, rows);
        z
    });
    let d_u = pool.take(rows * adapter.rank);
    let dropped = adapter.dropout.then(|| pool.take(rows * layer.inputs));
    pool.pass(rows * adapter.rank);
    pool.pass(layer.inputs * adapter.rank);
    pool.give_all(dropped);
    pool.give(d_u);
    pool.give_all(scaled);
}
