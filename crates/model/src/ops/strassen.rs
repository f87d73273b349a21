//! Large products with seven multiplications for every eight: one level of Strassen's algorithm ("Gaussian Elimination is not
//! Optimal", 1969), its additions fused into packing and writing as in Huang et al., "Strassen's Algorithm Reloaded" (2016).
//!
//! ```text
//! A = (A11 A12; A21 A22), B and C likewise
//! M1 = (A11 + A22)(B11 + B22)   M2 = (A21 + A22) B11   M3 = A11 (B12 - B22)   M4 = A22 (B21 - B11)
//! M5 = (A11 + A12) B22          M6 = (A21 - A11)(B11 + B12)                   M7 = (A12 - A22)(B21 + B22)
//! C11 = M1 + M4 - M5 + M7   C12 = M3 + M5   C21 = M2 + M4   C22 = M1 - M2 + M3 + M6
//! ```
//!
//! The sums of A are made once for all columns, those of B a panel at a time while it is packed, and every product is
//! written to its parts of C from registers. The order of all sums is fixed. The tests bound the error against
//! exact products; small and odd products are left to [`super::matmul`].

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::kernel::{self, Factors, MR_MAX, NR, Tile};
use super::matmul::{DEPTH, Shared, Term, View, Write, grow, kernel_rows, pack, share};

/// Rows, inner length and columns from which on an eighth less to multiply is worth the additions.
const LEAST: (usize, usize, usize) = (8 * MR_MAX, 256, 2 * NR * 2);
/// The left sides: A11, A22, and the five sums.
const LEFT: usize = 7;

/// Two quadrants of B added, or the first alone.
struct Product {
    left: usize,
    right: (usize, Option<(usize, f32)>),
    /// Quadrants of C, each with its sign and whether nothing was written there before.
    out: &'static [(usize, f32, bool)],
}

/// Quadrants are numbered 11, 12, 21, 22; the left sides as in [`Left`].
const PRODUCTS: [Product; 7] = [
    Product { left: 2, right: (0, Some((3, 1.0))), out: &[(0, 1.0, true), (3, 1.0, true)] },
    Product { left: 3, right: (0, None), out: &[(2, 1.0, true), (3, -1.0, false)] },
    Product { left: 0, right: (1, Some((3, -1.0))), out: &[(1, 1.0, true), (3, 1.0, false)] },
    Product { left: 1, right: (2, Some((0, -1.0))), out: &[(0, 1.0, false), (2, 1.0, false)] },
    Product { left: 4, right: (3, None), out: &[(0, -1.0, false), (1, 1.0, false)] },
    Product { left: 5, right: (0, Some((1, 1.0))), out: &[(3, 1.0, false)] },
    Product { left: 6, right: (2, Some((3, 1.0))), out: &[(0, 1.0, false)] },
];

/// A11, A22, A11 + A22, A21 + A22, A11 + A12, A21 - A11, A12 - A22: all of one orientation, a line after the other.
struct Left<'a> {
    sides: [&'a [f32]; LEFT],
    line: usize,
    /// Lines are columns of A and not its rows.
    turned: bool,
}

/// Which part of a product this algorithm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Core {
    /// Rows of a quadrant.
    rows: usize,
    k: usize,
    n: usize,
}

impl Core {
    /// `None` where the plain way is better.
    pub(super) fn of(m: usize, k: usize, n: usize) -> Option<Self> {
        let even = k.is_multiple_of(2) && n.is_multiple_of(2 * NR);
        (even && m >= LEAST.0 && k >= LEAST.1 && n >= LEAST.2).then_some(Self { rows: m / 2, k, n })
    }

    /// The rows that it computes; the one that may be left over is for others.
    pub(super) fn computed(&self) -> usize {
        2 * self.rows
    }

    /// `C = alpha · (A · B + Σ others) (+ C)` for the first [`Self::computed`] rows of C, which has `n` columns; the other
    /// terms are short and multiplied plainly while C is at hand.
    pub(super) fn multiply(&self, c: &mut [f32], (a, b): (View<'_>, View<'_>), others: &[Term<'_>], write: Write) {
        assert!(c.len() >= self.computed() * self.n, "C has too few rows");
        let c = Shared(c.as_mut_ptr());
        let mut buffer = SUMS.take();
        for start in (0..self.k).step_by(2 * DEPTH) {
            let half = (self.k - start).min(2 * DEPTH) / 2;
            let left = self.left(&mut buffer, a, start, half);
            let others = if start + 2 * half == self.k { others } else { &[] };
            let write = Write { accumulate: write.accumulate || start > 0, ..write };
            let slice = Slice { core: *self, c: &c, left, b, start, half, others, write };
            // Whole panels for all threads alike, then the parts of those that are left over.
            let (panels, threads) = (self.n / 2 / NR, rayon::current_num_threads());
            let whole = panels / threads * threads;
            let part = self.rows.div_ceil(threads).next_multiple_of(MR_MAX);
            share(whole + (panels - whole) * threads, |task| {
                let (panel, first) = match task.checked_sub(whole) {
                    None => (task, None),
                    Some(rest) => (whole + rest / threads, Some(rest % threads * part)),
                };
                let rows = first.map_or(0..self.rows, |at| at.min(self.rows)..(at + part).min(self.rows));
                RIGHT.with_borrow_mut(|scratch| slice.panel(panel, rows, scratch));
            });
        }
        SUMS.set(buffer);
    }

    /// The left sides of one slice, in `buffer`.
    fn left<'b>(&self, buffer: &'b mut Vec<f32>, a: View<'_>, start: usize, half: usize) -> Left<'b> {
        let turned = a.column_stride != 1;
        assert!(!turned || a.row_stride == 1, "neither rows nor columns are contiguous");
        let (lines, length) = if turned { (half, self.rows) } else { (self.rows, half) };
        let stride = if turned { a.column_stride } else { a.row_stride };
        let origin = start * a.column_stride;
        // Lines must not lie a power of two apart, or they crowd each other out of the cache.
        let line = length.next_multiple_of(16) + 16;
        let all = grow(buffer, LEFT * lines * line);
        let (down, right) = (self.rows * a.row_stride, half * a.column_stride);
        let shared = Shared(all.as_mut_ptr());
        share(lines.div_ceil(LINES_PER_TASK), |task| {
            for i in task * LINES_PER_TASK..lines.min((task + 1) * LINES_PER_TASK) {
                let at = |offset: usize| &a.data[origin + offset + i * stride..][..length];
                // SAFETY: line i of each side lies in `all`, and no other task has it.
                let out = std::array::from_fn(|side| unsafe { shared.part((side * lines + i) * line, length) });
                sums(out, [at(0), at(right), at(down), at(down + right)]);
            }
        });
        let mut sides = all.chunks_exact(lines * line);
        Left { sides: std::array::from_fn(|_| sides.next().expect("there are seven")), line, turned }
    }
}

/// A slice of the inner dimension, with all that its pieces need.
struct Slice<'a> {
    core: Core,
    c: &'a Shared,
    left: Left<'a>,
    b: View<'a>,
    start: usize,
    half: usize,
    others: &'a [Term<'a>],
    write: Write,
}

impl Slice<'_> {
    /// All seven products of some rows of the quadrants with one panel, and the other terms.
    fn panel(&self, panel: usize, rows: Range<usize>, scratch: &mut Vec<f32>) {
        let size = self.half * NR;
        let (quadrants, sum) = grow(scratch, 5 * size).split_at_mut(4 * size);
        for (i, quadrant) in quadrants.chunks_exact_mut(size).enumerate() {
            let first = self.start + i / 2 * self.half;
            let column = self.column(i, panel);
            pack(quadrant, self.b, &(first..first + self.half), column..column + NR);
        }
        for product in &PRODUCTS {
            let part = |i: usize| &quadrants[i * size..][..size];
            let right: &[f32] = match product.right {
                (one, None) => part(one),
                (one, Some((two, sign))) => {
                    let both = part(one).iter().zip(part(two));
                    sum.iter_mut().zip(both).for_each(|(sum, (x, y))| *sum = x + sign * y);
                    sum
                }
            };
            let (a_row, a_column) = if self.left.turned { (1, self.left.line) } else { (self.left.line, 1) };
            let a = self.left.sides[product.left][rows.start * a_row..].as_ptr();
            let factors = Factors { k: self.half, a, a_row, a_column, b: right.as_ptr() };
            let tile =
                |(quadrant, sign, first): &(usize, f32, bool)| self.tile(*quadrant, panel, rows.start, *sign, *first);
            let first = tile(&product.out[0]);
            let tiles = [first, product.out.get(1).map_or(first, tile)];
            self.run(factors, &tiles[..product.out.len()], rows.len());
        }
        self.short(panel, &rows, scratch);
    }

    /// The other terms, each added plainly.
    fn short(&self, panel: usize, rows: &Range<usize>, scratch: &mut Vec<f32>) {
        for (term, quadrant) in self.others.iter().flat_map(|term| (0..4).map(move |quadrant| (term, quadrant))) {
            let (view, k) = term.lying();
            let column = self.column(quadrant, panel);
            let right = grow(scratch, k * NR);
            pack(right, view, &(0..k), column..column + NR);
            let a = &term.a.data[(quadrant / 2 * self.core.rows + rows.start) * term.a.row_stride..];
            let (a_row, a_column) = (term.a.row_stride, term.a.column_stride);
            let factors = Factors { k, a: a.as_ptr(), a_row, a_column, b: right.as_ptr() };
            self.run(factors, &[self.tile(quadrant, panel, rows.start, 1.0, false)], rows.len());
        }
    }

    /// The first column of a panel in a quadrant.
    fn column(&self, quadrant: usize, panel: usize) -> usize {
        quadrant % 2 * (self.core.n / 2) + panel * NR
    }

    fn tile(&self, quadrant: usize, panel: usize, row: usize, sign: f32, first: bool) -> Tile {
        let at = (quadrant / 2 * self.core.rows + row) * self.core.n + self.column(quadrant, panel);
        Tile {
            c: self.c.0.wrapping_add(at),
            row_stride: self.core.n,
            columns: NR,
            alpha: self.write.alpha * sign,
            accumulate: self.write.accumulate || !first,
        }
    }

    fn run(&self, mut factors: Factors, tiles: &[Tile], rows: usize) {
        let mut copy = [tiles[0], *tiles.last().expect("there is one")];
        let tiles = &mut copy[..tiles.len()];
        let mut row = 0;
        while row < rows {
            let height = kernel_rows(rows - row);
            // SAFETY: the left side holds all rows of a quadrant by its strides, the panel `k` rows of NR; the tiles lie in
            // different quadrants of C, whose size was asserted, and tasks own different rows or panels of all quadrants.
            unsafe { kernel::run(kernel::isa(), height, &[factors], tiles) };
            factors.a = factors.a.wrapping_add(height * factors.a_row);
            tiles.iter_mut().for_each(|tile| *tile = tile.below(height));
            row += height;
        }
    }
}

/// Lines of A that one task adds.
const LINES_PER_TASK: usize = 16;

/// One line of each left side from one line of each quadrant.
fn sums(out: [&mut [f32]; LEFT], [a11, a12, a21, a22]: [&[f32]; 4]) {
    let [first, second, s1, s2, s3, s4, s5] = out;
    first.copy_from_slice(a11);
    second.copy_from_slice(a22);
    for i in 0..a11.len() {
        s1[i] = a11[i] + a22[i];
        s2[i] = a21[i] + a22[i];
        s3[i] = a11[i] + a12[i];
        s4[i] = a21[i] - a11[i];
        s5[i] = a12[i] - a22[i];
    }
}

thread_local! {
    /// Taken while in use, so that a task stolen meanwhile finds an empty one.
    static SUMS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static RIGHT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::{Right, matmul, matmul_reference};
    use crate::ops::testing::noise;

    /// Root mean square distance from the exact product, relative to its own.
    fn error(c: &[f32], exact: &[f32]) -> f64 {
        let square = |x: f64| x * x;
        let off: f64 = c.iter().zip(exact).map(|(a, b)| square(f64::from(a - b))).sum();
        (off / exact.iter().map(|x| square(f64::from(*x))).sum::<f64>()).sqrt()
    }

    #[test]
    fn seven_products_give_what_eight_give() {
        for (m, k, n) in [(96, 256, 128), (131, 300, 192), (250, 2600, 128)] {
            let (a, b) = (noise(m * k, 3), noise(k * n, 4));
            assert!(Core::of(m, k, n).is_some());
            for (av, right, bv) in [
                (View::rows(&a, k), Right::rows(&b, n), View::rows(&b, n)),
                (View::transposed(&a, m), Right::rows(&b, n), View::rows(&b, n)),
                (View::rows(&a, k), Right::turned(&b, k), View::transposed(&b, k)),
            ] {
                let exact = matmul_reference(av, bv, (m, k, n));
                let mut c = vec![7.0; m * n];
                matmul(&mut c, av, m, right, Write::SET);
                // Two parts in a million: f32 keeps six in a hundred million a sum, and there are hundreds.
                assert!(error(&c, &exact) < 2e-6, "{m}×{k}×{n}: {}", error(&c, &exact));
                matmul(&mut c, av, m, right, Write::ADD.scaled(-1.0));
                assert!(c.iter().zip(&exact).all(|(c, e)| c.abs() <= 1e-4 + 1e-5 * e.abs()));
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (200, 512, 256);
        let (a, b) = (noise(m * k, 5), noise(k * n, 6));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0.0; m * n];
            pool.install(|| matmul(&mut c, View::rows(&a, k), m, Right::rows(&b, n), Write::SET));
            c
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn small_and_odd_products_are_left_alone() {
        assert_eq!(Core::of(95, 512, 512), None);
        assert_eq!(Core::of(512, 511, 512), None);
        assert_eq!(Core::of(512, 512, 96), None);
        assert_eq!(Core::of(501, 512, 512).unwrap().computed(), 500);
    }
}
