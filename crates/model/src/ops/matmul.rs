//! Matrix products `C = alpha · A · B (+ C)` with B packed once into panels.
//!
//! Frozen weights are packed once for the whole run, trainable ones once a step, so the cost of packing is shared by
//! every token. Loop order after Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), with the
//! roles of A and B swapped: A (activations) is packed a block at a time into a thread's own scratch. The sum over k runs
//! in one fixed order, so a result does not depend on the number of threads.

use std::cell::RefCell;

use rayon::prelude::*;

use super::kernel::{self, MR_MAX, NR, Tile};

/// Rows of A packed together: their block stays in the second-level cache.
const ROWS_PER_BLOCK: usize = 96;
/// Inner products are summed in pieces of this length.
const DEPTH: usize = 1024;
/// Products smaller than this many multiply-adds run on the calling thread.
const PARALLEL_FROM: usize = 1 << 20;

/// A matrix `[k, n]` in panels of [`NR`] columns, zero-padded on the right.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    data: Vec<f32>,
}

/// A strided read-only matrix: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix with `columns` columns.
    pub fn rows(data: &'a [f32], columns: usize) -> Self {
        Self { data, row_stride: columns, column_stride: 1 }
    }

    /// The transpose of a row-major matrix that has `columns` columns.
    pub fn transposed(data: &'a [f32], columns: usize) -> Self {
        Self { data, row_stride: 1, column_stride: columns }
    }

    fn assert_holds(&self, rows: usize, columns: usize) {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * self.row_stride + (columns - 1) * self.column_stride;
            assert!(last < self.data.len(), "a {rows}×{columns} view reaches past its {} elements", self.data.len());
        }
    }
}

impl Packed {
    /// Packs the `k × n` matrix seen through `b`.
    pub fn new(b: View<'_>, k: usize, n: usize) -> Self {
        let mut packed = Self::default();
        packed.fill(b, k, n);
        packed
    }

    /// Packs anew, keeping the allocation. Threads split large matrices.
    pub fn fill(&mut self, b: View<'_>, k: usize, n: usize) {
        if k * n < PARALLEL_FROM / 4 {
            return self.fill_here(b, k, n);
        }
        self.resize(b, k, n);
        self.data.par_chunks_exact_mut(k * NR).enumerate().for_each(|(panel, out)| pack_panel(out, b, panel, n));
    }

    /// Packs anew on the calling thread alone: for callers that hold thread-local scratch.
    pub fn fill_here(&mut self, b: View<'_>, k: usize, n: usize) {
        self.resize(b, k, n);
        if k > 0 {
            self.data.chunks_exact_mut(k * NR).enumerate().for_each(|(panel, out)| pack_panel(out, b, panel, n));
        }
    }

    fn resize(&mut self, b: View<'_>, k: usize, n: usize) {
        b.assert_holds(k, n);
        (self.k, self.n) = (k, n);
        self.data.resize(n.div_ceil(NR) * k * NR, 0.0);
    }

    /// Panel `index`: k rows of [`NR`] columns.
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.k * NR..][..self.k * NR]
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

fn pack_panel(out: &mut [f32], b: View<'_>, panel: usize, n: usize) {
    let first = panel * NR;
    let columns = NR.min(n - first);
    for (p, row) in out.chunks_exact_mut(NR).enumerate() {
        let start = p * b.row_stride + first * b.column_stride;
        if b.column_stride == 1 {
            row[..columns].copy_from_slice(&b.data[start..start + columns]);
        } else {
            for (j, x) in row[..columns].iter_mut().enumerate() {
                *x = b.data[start + j * b.column_stride];
            }
        }
        row[columns..].fill(0.0);
    }
}

/// How a product is written.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Factor of the product.
    pub alpha: f32,
    /// Add to what is there.
    pub accumulate: bool,
}

impl Write {
    /// `C = A · B`.
    pub const SET: Self = Self { alpha: 1.0, accumulate: false };
    /// `C += A · B`.
    pub const ADD: Self = Self { alpha: 1.0, accumulate: true };

    /// The same with a factor.
    pub fn scaled(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }
}

struct Shared(*mut f32);
// SAFETY: the pointer is only used for tiles that no two tasks share.
unsafe impl Sync for Shared {}

/// `C[m, n] = alpha · A[m, k] · B[k, n] (+ C)` on the calling thread alone: for callers that are one of many tasks and hold
/// thread-local scratch (a task stolen while waiting for others would need it too).
pub fn matmul_here(c: &mut [f32], a: View<'_>, m: usize, b: &Packed, write: Write) {
    if let Some(product) = Product::new(c, a, m, b, write) {
        product.block(0..m, 0..b.n.div_ceil(NR));
    }
}

/// `C[m, n] = alpha · A[m, k] · B[k, n] (+ C)`, with C row-major of `b.n` columns. Threads split large products.
pub fn matmul(c: &mut [f32], a: View<'_>, m: usize, b: &Packed, write: Write) {
    let Some(product) = Product::new(c, a, m, b, write) else { return };
    let (threads, panels) = (rayon::current_num_threads(), b.n.div_ceil(NR));
    if threads == 1 || m * b.n * b.k < PARALLEL_FROM {
        product.block(0..m, 0..panels);
        return;
    }
    let row_tasks = m.div_ceil(ROWS_PER_BLOCK);
    let column_tasks = if row_tasks >= 2 * threads { 1 } else { (2 * threads).div_ceil(row_tasks).min(panels) };
    let panels_each = panels.div_ceil(column_tasks);
    (0..row_tasks * column_tasks).into_par_iter().for_each(|task| {
        let (row, column) = (task / column_tasks * ROWS_PER_BLOCK, task % column_tasks * panels_each);
        if column < panels {
            product.block(row..m.min(row + ROWS_PER_BLOCK), column..panels.min(column + panels_each));
        }
    });
}

struct Product<'a> {
    c: Shared,
    a: View<'a>,
    m: usize,
    b: &'a Packed,
    write: Write,
}

thread_local! {
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl<'a> Product<'a> {
    /// Checks the sizes; `None` when there is nothing to sum.
    fn new(c: &mut [f32], a: View<'a>, m: usize, b: &'a Packed, write: Write) -> Option<Self> {
        a.assert_holds(m, b.k);
        assert_eq!(c.len(), m * b.n, "the output of a {m}×{}×{} product has the wrong size", b.k, b.n);
        if b.k == 0 && !write.accumulate {
            c.fill(0.0);
        }
        (m > 0 && b.n > 0 && b.k > 0).then_some(Self { c: Shared(c.as_mut_ptr()), a, m, b, write })
    }

    /// Computes a rectangle of C: some rows of some panels.
    fn block(&self, rows: std::ops::Range<usize>, panels: std::ops::Range<usize>) {
        debug_assert!(rows.end <= self.m);
        LEFT.with_borrow_mut(|left| {
            for first in rows.clone().step_by(ROWS_PER_BLOCK) {
                let block = first..rows.end.min(first + ROWS_PER_BLOCK);
                for depth in (0..self.b.k).step_by(DEPTH) {
                    let length = DEPTH.min(self.b.k - depth);
                    pack_left(left, self.a, block.clone(), depth..depth + length);
                    for panel in panels.clone() {
                        self.panel(left, block.clone(), panel, depth..depth + length);
                    }
                }
            }
        });
    }

    fn panel(&self, left: &[f32], rows: std::ops::Range<usize>, panel: usize, depth: std::ops::Range<usize>) {
        let (n, length, isa) = (self.b.n, depth.len(), kernel::isa());
        let right = &self.b.data[(panel * self.b.k + depth.start) * NR..][..length * NR];
        let mut row = rows.start;
        let mut at = 0;
        while row < rows.end {
            let height = kernel_rows(rows.end - row);
            let tile = Tile {
                c: self.c.0.wrapping_add(row * n + panel * NR),
                row_stride: n,
                columns: NR.min(n - panel * NR),
                alpha: self.write.alpha,
                accumulate: self.write.accumulate || depth.start > 0,
            };
            // SAFETY: `left[at..]` holds height × length packed values, `right` a whole panel piece; the tile lies in C,
            // whose size was asserted, and tasks own disjoint rectangles.
            unsafe { kernel::run(isa, height, length, left[at..].as_ptr(), right.as_ptr(), tile) };
            at += height * length;
            row += height;
        }
    }
}

/// The tallest kernel that fits into the rows left.
fn kernel_rows(left: usize) -> usize {
    match left {
        MR_MAX.. => 12,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

fn pack_left(out: &mut Vec<f32>, a: View<'_>, rows: std::ops::Range<usize>, depth: std::ops::Range<usize>) {
    out.clear();
    out.resize(rows.len() * depth.len(), 0.0);
    let mut rest = out.as_mut_slice();
    let mut row = rows.start;
    while row < rows.end {
        let height = kernel_rows(rows.end - row);
        let (group, tail) = rest.split_at_mut(height * depth.len());
        if a.row_stride == 1 {
            for (p, out) in group.chunks_exact_mut(height).enumerate() {
                out.copy_from_slice(&a.data[row + (depth.start + p) * a.column_stride..][..height]);
            }
        } else {
            for i in 0..height {
                let start = (row + i) * a.row_stride + depth.start * a.column_stride;
                let line = a.data[start..].iter().step_by(a.column_stride.max(1));
                for (out, x) in group[i..].iter_mut().step_by(height).zip(line) {
                    *out = *x;
                }
            }
        }
        rest = tail;
        row += height;
    }
}

/// The same product in three plain loops: the reference for tests.
pub fn matmul_reference(a: View<'_>, b: View<'_>, shape: (usize, usize, usize)) -> Vec<f32> {
    let (m, k, n) = shape;
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k)
                .map(|p| {
                    let x = a.data[i * a.row_stride + p * a.column_stride];
                    let y = b.data[p * b.row_stride + j * b.column_stride];
                    f64::from(x) * f64::from(y)
                })
                .sum();
            c[i * n + j] = sum as f32;
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            assert!((x - y).abs() <= tolerance, "element {i}: {x} against {y}");
        }
    }

    #[test]
    fn agrees_with_three_loops_for_awkward_shapes_and_all_transposes() {
        for (m, k, n) in [(1, 1, 1), (13, 7, 33), (97, 40, 64), (200, 1030, 45), (5, 300, 100)] {
            let (a, b) = (noise(m * k, 3), noise(k * n, 4));
            for (av, bv) in [
                (View::rows(&a, k), View::rows(&b, n)),
                (View::transposed(&a, m), View::rows(&b, n)),
                (View::rows(&a, k), View::transposed(&b, k)),
            ] {
                let expected = matmul_reference(av, bv, (m, k, n));
                let mut c = vec![7.0; m * n];
                matmul(&mut c, av, m, &Packed::new(bv, k, n), Write::SET);
                assert_close(&c, &expected, 1e-3);
                matmul(&mut c, av, m, &Packed::new(bv, k, n), Write::ADD.scaled(-1.0));
                assert_close(&c, &vec![0.0; m * n], 1e-5);
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (300, 128, 200);
        let (a, b) = (noise(m * k, 5), noise(k * n, 6));
        let packed = Packed::new(View::rows(&b, n), k, n);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0.0; m * n];
            pool.install(|| matmul(&mut c, View::rows(&a, k), m, &packed, Write::SET));
            c
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn an_empty_inner_dimension_gives_zeros() {
        let mut c = vec![3.0; 4];
        matmul(&mut c, View::rows(&[], 0), 2, &Packed::new(View::rows(&[], 2), 0, 2), Write::SET);
        assert_eq!(c, [0.0; 4]);
    }
}
