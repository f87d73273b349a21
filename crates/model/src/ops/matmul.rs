//! Matrix products `C = alpha · Σ A · B (+ C)`, B packed into panels, lying as it is, or in few bits.
//!
//! A matrix that lies is packed a panel at a time, as it is needed. Loop order after Goto &
//! van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), with the roles of A and B swapped: a panel of B
//! stays in the second-level cache while the rows of A (activations) pass by, and A is read where it lies. The sum over k
//! runs in one fixed order, so a result does not depend on the number of threads.

use std::cell::RefCell;
use std::ops::Range;

use super::board::{self, Plan};
use super::frozen::FrozenMatrix;
use super::kernel::{self, Factors, MR_MAX, NR, Tile};
use super::pool;

/// Rows that are asked for before they are copied.
const AHEAD: usize = 24;
/// Rows of A that meet a panel before the next one comes.
pub(crate) const ROWS_PER_BLOCK: usize = 2048;
/// Rows that one thread takes at a time of those that meet a panel.
const ROWS_PER_PART: usize = 4 * MR_MAX;
/// Inner products are summed in pieces of this length: a panel's piece stays in the second-level cache.
pub(crate) const DEPTH: usize = 1024;
/// Products smaller than this many multiply-adds run on the calling thread.
const PARALLEL_FROM: usize = 1 << 20;
/// Rows of A that are a multiple of this many floats (4 KiB) apart fall into one set of the first-level cache.
pub(crate) const ALIASING: usize = 1024;
/// Such rows that one task copies.
const COPIED_TOGETHER: usize = 32;

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

    /// Whether its rows fall into one set of the first-level cache.
    fn crowded(&self) -> bool {
        self.column_stride == 1 && self.row_stride.is_multiple_of(ALIASING)
    }

    fn assert_holds(&self, rows: usize, columns: usize) {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * self.row_stride + (columns - 1) * self.column_stride;
            assert!(last < self.data.len(), "a {rows}×{columns} view reaches past its {} elements", self.data.len());
        }
    }
}

impl Packed {
    /// Packs the `k × n` matrix seen through `b` in place of the one before, on the calling thread alone: for callers that
    /// hold thread-local scratch.
    pub fn fill_here(&mut self, b: View<'_>, k: usize, n: usize) {
        b.assert_holds(k, n);
        (self.k, self.n) = (k, n);
        grow(&mut self.data, n.div_ceil(NR) * k * NR);
        if k > 0 {
            let columns = |panel: usize| panel * NR..n.min((panel + 1) * NR);
            let panels = self.data.chunks_exact_mut(k * NR).take(n.div_ceil(NR)).enumerate();
            panels.for_each(|(panel, out)| pack(out, b, &(0..k), columns(panel)));
        }
    }
}

/// Packs some columns, at most [`NR`], of some rows of a matrix into rows of [`NR`] values.
fn pack(out: &mut [f32], view: View<'_>, rows: &Range<usize>, columns: Range<usize>) {
    let start = rows.start * view.row_stride + columns.start * view.column_stride;
    let (data, width) = (&view.data[start..], columns.len());
    if view.row_stride == 1 {
        return kernel::pack_turned(out, data, view.column_stride, (rows.len(), width));
    }
    for (p, out) in out.as_chunks_mut::<NR>().0.iter_mut().enumerate().take(rows.len()) {
        kernel::prefetch(data, (p + AHEAD) * view.row_stride, width);
        let from = &data[p * view.row_stride..];
        match from.first_chunk::<NR>() {
            Some(whole) if width == NR && view.column_stride == 1 => *out = *whole,
            _ => {
                if view.column_stride == 1 {
                    out[..width].copy_from_slice(&from[..width]);
                } else {
                    let line = from.iter().step_by(view.column_stride);
                    out.iter_mut().zip(line).take(width).for_each(|(out, x)| *out = *x);
                }
                kernel::pad(out, width);
            }
        }
    }
}

/// B of a product.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Some columns of packed panels.
    Columns {
        /// The panels.
        panels: &'a Packed,
        /// The first column, where a panel begins.
        from: usize,
        /// Columns.
        n: usize,
    },
    /// A matrix `[k, n]` as it lies: its rows, or its columns, are contiguous.
    Lying {
        /// The elements.
        view: View<'a>,
        /// Rows.
        k: usize,
        /// Columns.
        n: usize,
    },
    /// A matrix in few bits, whose panels are expanded as they are packed.
    Stored {
        /// The matrix.
        matrix: &'a FrozenMatrix,
        /// Whether its transpose is meant.
        turned: bool,
    },
}

impl<'a> Right<'a> {
    /// A row-major matrix of `n` columns.
    pub fn rows(data: &'a [f32], n: usize) -> Self {
        Self::Lying { view: View::rows(data, n), k: data.len().checked_div(n).unwrap_or(0), n }
    }

    /// The transpose of a row-major matrix `[n, k]`.
    pub fn turned(data: &'a [f32], k: usize) -> Self {
        Self::Lying { view: View::transposed(data, k), k, n: data.len().checked_div(k).unwrap_or(0) }
    }

    fn size(&self) -> (usize, usize) {
        match *self {
            Self::Columns { panels, n, .. } => (panels.k, n),
            Self::Lying { k, n, .. } => (k, n),
            Self::Stored { matrix, turned: true } => (matrix.columns, matrix.rows),
            Self::Stored { matrix, turned: false } => (matrix.rows, matrix.columns),
        }
    }

    fn assert_holds(&self) {
        match *self {
            Self::Columns { panels, from, n } => {
                assert!(from + n <= panels.n, "{n} columns from {from} are asked for, of {}", panels.n);
                assert!(from.is_multiple_of(NR), "column {from} begins no panel");
            }
            Self::Lying { view, k, n } => {
                assert!(view.column_stride == 1 || view.row_stride == 1, "neither rows nor columns are contiguous");
                view.assert_holds(k, n);
            }
            Self::Stored { .. } => {}
        }
    }

    /// The panels that lie packed, from the row on where `depth` begins; `None` where they have to be copied.
    fn packed(&self, panel: usize, depth: &Range<usize>) -> Option<*const f32> {
        match *self {
            Self::Columns { panels, from, .. } => {
                Some(panels.data[((from / NR + panel) * panels.k + depth.start) * NR..][..depth.len() * NR].as_ptr())
            }
            Self::Lying { .. } | Self::Stored { .. } => None,
        }
    }

    /// Copies some rows of a panel that does not lie packed.
    fn copy(&self, panel: usize, depth: &Range<usize>, scratch: &mut Vec<f32>) -> *const f32 {
        let (columns, out) = (panel * NR..self.size().1.min((panel + 1) * NR), grow(scratch, depth.len() * NR));
        match *self {
            Self::Columns { .. } => {}
            Self::Lying { view, .. } => pack(out, view, depth, columns),
            Self::Stored { matrix, turned: true } => matrix.pack_turned(out, depth, columns),
            Self::Stored { matrix, turned: false } => matrix.pack_lying(out, depth, columns),
        }
        scratch.as_ptr()
    }
}

impl<'a> From<&'a Packed> for Right<'a> {
    fn from(panels: &'a Packed) -> Self {
        Self::Columns { panels, from: 0, n: panels.n }
    }
}

/// One of the products that a sum is made of.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// (m, k).
    pub a: View<'a>,
    /// (k, n).
    pub b: Right<'a>,
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
pub fn matmul_here<'a>(c: &mut [f32], a: View<'a>, m: usize, b: impl Into<Right<'a>>, write: Write) {
    let terms = [Term { a, b: b.into() }];
    if let Some(product) = Product::new(c, m, &terms, write) {
        product.block(0..m);
    }
}

/// `C[m, n] = alpha · A[m, k] · B[k, n] (+ C)`, with C row-major of B's columns. Threads split large products.
pub fn matmul<'a>(c: &mut [f32], a: View<'a>, m: usize, b: impl Into<Right<'a>>, write: Write) {
    matmul_sum(c, m, &[Term { a, b: b.into() }], write);
}

/// `C[m, n] = alpha · Σ A · B (+ C)` over `terms`, each tile summed in registers and written once.
pub fn matmul_sum(c: &mut [f32], m: usize, terms: &[Term<'_>], write: Write) {
    let Some(product) = Product::new(c, m, terms, write) else { return };
    let depth: usize = terms.iter().map(|t| t.b.size().0).sum();
    if pool::threads() == 1 || m * product.n * depth < PARALLEL_FROM {
        return product.block(0..m);
    }
    let passes = product.passes();
    for first in (0..m).step_by(ROWS_PER_BLOCK) {
        let rows = first..m.min(first + ROWS_PER_BLOCK);
        if terms.iter().any(|term| term.a.crowded()) {
            // What is copied of A is copied once, for all panels.
            LEFT.with_borrow_mut(|scratch| {
                for (number, pass) in passes.iter().enumerate() {
                    product.share(&rows, &[Pass { number, pieces: pass, left: product.left(scratch, pass, &rows) }]);
                }
            });
        } else {
            let lying = |pieces: &[Piece]| pieces.iter().map(|piece| product.lying(piece, &rows)).collect();
            let numbered = passes.iter().enumerate();
            let all: Vec<_> = numbered.map(|(number, pieces)| Pass { number, pieces, left: lying(pieces) }).collect();
            product.share(&rows, &all);
        }
    }
}

struct Product<'a> {
    c: Shared,
    terms: &'a [Term<'a>],
    n: usize,
    m: usize,
    write: Write,
}

/// A stretch of one term's inner dimension.
struct Piece {
    term: usize,
    depth: Range<usize>,
}

/// What is summed in registers before C is written, with the rows of A of each piece.
struct Pass<'a> {
    number: usize,
    pieces: &'a [Piece],
    left: Vec<View<'a>>,
}

/// A panel of each piece of a pass.
struct Panels([*const f32; MAX_TERMS]);
// SAFETY: they point to memory that is only read while a product runs.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

thread_local! {
    /// Rows of A that would crowd each other out of the cache where they lie.
    static LEFT: RefCell<Vec<f32>> = RefCell::default();
    /// A panel of each term.
    static RIGHT: RefCell<[Vec<f32>; MAX_TERMS]> = RefCell::default();
}

impl<'a> Product<'a> {
    /// Checks the sizes; `None` when there is nothing to sum.
    fn new(c: &mut [f32], m: usize, terms: &'a [Term<'a>], write: Write) -> Option<Self> {
        let n = terms.first().map_or(0, |t| t.b.size().1);
        for term in terms {
            let (k, columns) = term.b.size();
            assert_eq!(columns, n, "the terms of a sum have the same columns");
            term.a.assert_holds(m, k);
            term.b.assert_holds();
        }
        assert_eq!(c.len(), m * n, "the output of a {m}×{n} product has the wrong size");
        assert!(terms.len() <= MAX_TERMS, "a sum has at most {MAX_TERMS} terms");
        let empty = terms.iter().all(|t| t.b.size().0 == 0);
        if empty && !write.accumulate {
            c.fill(0.0);
        }
        (m > 0 && n > 0 && !empty).then_some(Self { c: Shared(c.as_mut_ptr()), terms, n, m, write })
    }

    /// What is summed in registers before C is written: pieces of up to [`DEPTH`] together, a short term with its neighbour.
    fn passes(&self) -> Vec<Vec<Piece>> {
        let mut passes: Vec<Vec<Piece>> = Vec::new();
        let mut filled = 0;
        for (term, t) in self.terms.iter().enumerate() {
            let k = t.b.size().0;
            for start in (0..k).step_by(DEPTH) {
                let depth = start..k.min(start + DEPTH);
                if passes.is_empty() || filled + depth.len() > DEPTH + DEPTH / 8 {
                    passes.push(Vec::new());
                    filled = 0;
                }
                filled += depth.len();
                passes.last_mut().expect("one was pushed before").push(Piece { term, depth });
            }
        }
        passes
    }

    /// Computes some rows of C on this thread.
    fn block(&self, rows: Range<usize>) {
        debug_assert!(rows.end <= self.m);
        LEFT.with_borrow_mut(|scratch| {
            for (number, pieces) in self.passes().iter().enumerate() {
                for first in rows.clone().step_by(ROWS_PER_BLOCK) {
                    let block = first..rows.end.min(first + ROWS_PER_BLOCK);
                    let pass = Pass { number, pieces, left: self.left(scratch, pieces, &block) };
                    for panel in 0..self.n.div_ceil(NR) {
                        self.multiply(&pass, &self.panels(pieces, panel), (&block, 0), panel);
                    }
                }
            }
        });
    }

    /// Computes some rows of C on all threads, the passes in their order.
    fn share(&self, rows: &Range<usize>, passes: &[Pass<'_>]) {
        let parts = rows.len().div_ceil(ROWS_PER_PART);
        board::share(
            Plan { pieces: self.n.div_ceil(NR), steps: passes.len(), parts },
            |panel, step| self.panels(passes[step].pieces, panel),
            |at, panels| {
                let skip = at.part * ROWS_PER_PART;
                let block = rows.start + skip..rows.end.min(rows.start + skip + ROWS_PER_PART);
                self.multiply(&passes[at.step], panels, (&block, skip), at.piece);
            },
        );
    }

    /// A panel of each piece: where it lies packed, or copied into this thread's scratch.
    fn panels(&self, pieces: &[Piece], panel: usize) -> Panels {
        let mut panels = [std::ptr::null(); MAX_TERMS];
        RIGHT.with_borrow_mut(|right| {
            for ((piece, to), scratch) in pieces.iter().zip(&mut panels).zip(right) {
                let b = self.terms[piece.term].b;
                *to = b.packed(panel, &piece.depth).unwrap_or_else(|| b.copy(panel, &piece.depth, scratch));
            }
        });
        Panels(panels)
    }

    /// What one pass adds to a rectangle of C, whose rows begin at row `skip` of the pass's rows of A.
    fn multiply(&self, pass: &Pass<'_>, panels: &Panels, (rows, skip): (&Range<usize>, usize), panel: usize) {
        let mut factors = [EMPTY; MAX_TERMS];
        for (i, (piece, a)) in pass.pieces.iter().zip(&pass.left).enumerate() {
            let (k, a_row, a_column, b) = (piece.depth.len(), a.row_stride, a.column_stride, panels.0[i]);
            factors[i] = Factors { k, a: a.data[skip * a_row..].as_ptr(), a_row, a_column, b };
        }
        let accumulate = self.write.accumulate || pass.number > 0;
        self.panel(&mut factors[..pass.pieces.len()], rows, panel, accumulate);
    }

    /// Some rows of A of a piece, where they lie.
    fn lying(&self, piece: &Piece, rows: &Range<usize>) -> View<'a> {
        let view = self.terms[piece.term].a;
        View { data: &view.data[rows.start * view.row_stride + piece.depth.start * view.column_stride..], ..view }
    }

    /// Some rows of A of each piece: where they lie, or copied together where they would crowd each other out of the cache.
    fn left<'s>(&'s self, scratch: &'s mut Vec<f32>, pass: &[Piece], rows: &Range<usize>) -> Vec<View<'s>> {
        let width = |piece: &Piece| piece.depth.len() + 16;
        let crowded = pass.iter().filter(|piece| self.terms[piece.term].a.crowded());
        let mut rest = grow(scratch, crowded.map(|piece| rows.len() * width(piece)).sum());
        let place = |piece: &Piece| {
            let view = self.lying(piece, rows);
            if !view.crowded() {
                return view;
            }
            let (copies, tail) = std::mem::take(&mut rest).split_at_mut(rows.len() * width(piece));
            rest = tail;
            pool::chunks_mut(copies, COPIED_TOGETHER * width(piece), |task, copies| {
                for (i, copy) in copies.chunks_exact_mut(width(piece)).enumerate() {
                    let (row, depth) = (task * COPIED_TOGETHER + i, piece.depth.len());
                    copy[..depth].copy_from_slice(&view.data[row * view.row_stride..][..depth]);
                }
            });
            View::rows(copies, width(piece))
        };
        pass.iter().map(place).collect()
    }

    /// All rows of a block against one panel.
    fn panel(&self, factors: &mut [Factors], rows: &Range<usize>, panel: usize, accumulate: bool) {
        let isa = kernel::isa();
        let mut tile = Tile {
            c: self.c.0.wrapping_add(rows.start * self.n + panel * NR),
            row_stride: self.n,
            columns: NR.min(self.n - panel * NR),
            alpha: self.write.alpha,
            accumulate,
        };
        let mut row = 0;
        while row < rows.len() {
            let height = kernel_rows(rows.len() - row);
            // SAFETY: views were checked to hold m × k elements, panels hold k × NR; the tile lies in C, whose size was
            // asserted; tasks own disjoint rectangles.
            unsafe { kernel::run(isa, height, factors, tile) };
            for factors in &mut *factors {
                factors.a = factors.a.wrapping_add(height * factors.a_row);
            }
            tile = tile.below(height);
            row += height;
        }
    }
}

/// More terms than anyone sums.
const MAX_TERMS: usize = 8;
const EMPTY: Factors = Factors { k: 0, a: std::ptr::null(), a_row: 0, a_column: 0, b: std::ptr::null() };

/// Makes room without clearing what is there.
pub fn grow(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    &mut scratch[..len]
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
    use crate::ops::frozen::Form;
    use crate::ops::testing::noise;

    fn packed(b: View<'_>, k: usize, n: usize) -> Packed {
        let mut packed = Packed::default();
        packed.fill_here(b, k, n);
        packed
    }

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
                matmul(&mut c, av, m, &packed(bv, k, n), Write::SET);
                assert_close(&c, &expected, 1e-3);
                matmul(&mut c, av, m, &packed(bv, k, n), Write::ADD.scaled(-1.0));
                assert_close(&c, &vec![0.0; m * n], 1e-5);
            }
        }
    }

    #[test]
    fn a_token_of_huge_values_disturbs_no_other() {
        // Activations of some models are thousands of times larger at one token; cleverer algorithms mix rows.
        let (m, k, n) = (252, 576, 64);
        let (mut a, b) = (noise(m * k, 3), noise(k * n, 4));
        let run = |a: &[f32]| {
            let mut c = vec![0.0; m * n];
            matmul(&mut c, View::rows(a, k), m, Right::turned(&b, k), Write::SET);
            c
        };
        let before = run(&a);
        a[..k].iter_mut().for_each(|x| *x *= 10_000.0);
        assert_eq!(before[n..], run(&a)[n..]);
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (300, 128, 200);
        let (a, b) = (noise(m * k, 5), noise(k * n, 6));
        let panels = packed(View::rows(&b, n), k, n);
        let run = || {
            let mut c = vec![0.0; m * n];
            matmul(&mut c, View::rows(&a, k), m, &panels, Write::SET);
            c
        };
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(alone.install(|| (pool::threads(), run())), (1, run()));
    }

    #[test]
    fn a_stored_matrix_gives_the_bits_of_its_expanded_values() {
        for (m, inputs, outputs) in [(1, 5, 3), (13, 100, 33), (300, 1100, 70)] {
            let (w, x, d_y) = (noise(inputs * outputs, 7), noise(m * inputs, 8), noise(m * outputs, 9));
            for form in [Form::Bf16, Form::Int8, Form::Nf4] {
                let matrix = &FrozenMatrix::new(&w, inputs, form).unwrap();
                let values = matrix.values();
                let product = |a: View<'_>, b: Right<'_>, n: usize| {
                    let mut c = vec![0.5; m * n];
                    matmul(&mut c, a, m, b, Write::ADD.scaled(0.25));
                    c
                };
                let (x, d_y) = (View::rows(&x, inputs), View::rows(&d_y, outputs));
                let forward = product(x, Right::Stored { matrix, turned: true }, outputs);
                assert_eq!(forward, product(x, Right::turned(&values, inputs), outputs), "{form:?} forward");
                let backward = product(d_y, Right::Stored { matrix, turned: false }, inputs);
                assert_eq!(backward, product(d_y, Right::rows(&values, inputs), inputs), "{form:?} backward");
            }
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zeros() {
        let mut c = vec![3.0; 4];
        matmul(&mut c, View::rows(&[], 0), 2, &packed(View::rows(&[], 2), 0, 2), Write::SET);
        assert_eq!(c, [0.0; 4]);
    }
}
