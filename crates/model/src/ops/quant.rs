//! Weights in 8 and 4 bits: blocks of 32 values along a row with one half-precision scale, as GGUF defines `Q8_0` and `Q4_0`.
//!
//! The values are GGUF's, bit for bit. Their order in memory is not: 16 rows lie side by side, so that one instruction works on
//! four columns of all of them and nothing is summed across lanes (`quant_kernel.rs`). Inputs are rounded to 8 bits a
//! block too, as llama.cpp does it; the sums within a block are exact.
//! Formats: `ggml-quants.c` (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`) of ggml-org/llama.cpp.

use std::cell::RefCell;

use half::f16;

use super::exp::vectorised;
use super::pool::{self, Parts};
use super::quant_kernel::{Operands, tile};

/// Values that share a scale.
pub const BLOCK: usize = 32;
/// Rows that lie side by side.
pub const LANES: usize = 16;
/// Products with fewer multiply-adds than this run on the calling thread.
const ALONE_BELOW: usize = 1 << 15;
/// Most input rows that one kernel call takes.
const TILE_ROWS: usize = 8;

/// How a matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bits a value: `x = d · q`, q in -127..=127; 8.5 bits with the scales.
    Q8_0,
    /// 4 bits a value: `x = d · (q - 8)`, q in 0..=15; 4.5 bits with the scales.
    Q4_0,
}

impl Format {
    /// Cache lines that hold one block of 16 rows.
    pub(super) fn lines(self) -> usize {
        match self {
            Self::Q8_0 => 8,
            Self::Q4_0 => 4,
        }
    }

    /// What is added to every value to store it without a sign.
    pub(super) fn offset(self) -> i32 {
        match self {
            Self::Q8_0 => 128,
            Self::Q4_0 => 8,
        }
    }
}

/// One block in 8 bits: the scale and the values.
pub fn quantise_q8_0(x: &[f32; BLOCK]) -> (f16, [i8; BLOCK]) {
    let d = x.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    (f16::from_f32(d), x.map(|v| (v * inverse).round() as i8))
}

/// One block in 4 bits: the scale and the values, 0..=15, in their order.
pub fn quantise_q4_0(x: &[f32; BLOCK]) -> (f16, [u8; BLOCK]) {
    let largest = x.iter().fold(0.0_f32, |m, v| if v.abs() > m.abs() { *v } else { m });
    let d = largest / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    (f16::from_f32(d), x.map(|v| ((v * inverse + 8.5) as i8).clamp(0, 15) as u8))
}

/// 64 bytes that start where a cache line does.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// A matrix (rows, columns) in 8 or 4 bits.
#[derive(Clone, Debug)]
pub struct QuantMatrix {
    /// How it is stored.
    pub format: Format,
    /// Rows: outputs of a linear layer.
    pub rows: usize,
    /// Columns: its inputs.
    pub columns: usize,
    /// (group, block, lane) half-precision bits.
    scales: Vec<u16>,
    /// (group, block, line): byte `4 · lane + i` of line `l` is column `4 · l + i` of the block; in 4 bits the low half is,
    /// and the high half is column `16 + 4 · l + i`.
    lines: Vec<Line>,
}

impl QuantMatrix {
    /// From row-major values; rows and columns that are missing to whole groups and blocks count as zero.
    pub fn new(values: &[f32], columns: usize, format: Format) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        assert_eq!(rows * columns, values.len(), "the values are not whole rows of {columns}");
        let (groups, blocks) = (rows.div_ceil(LANES), columns.div_ceil(BLOCK));
        let zero = format.offset() as u8;
        let empty = Line([if format == Format::Q4_0 { zero << 4 | zero } else { zero }; 64]);
        let mut scales = vec![0; groups * blocks * LANES];
        let mut lines = vec![empty; groups * blocks * format.lines()];
        let (scale_parts, line_parts) = (Parts::new(&mut scales), Parts::new(&mut lines));
        pool::run(groups, &|group| {
            // SAFETY: each task writes the part of its own group.
            let (scales, lines) = unsafe {
                let (s, l) = (blocks * LANES, blocks * format.lines());
                (scale_parts.part(group * s, s), line_parts.part(group * l, l))
            };
            for (lane, row) in values.chunks_exact(columns.max(1)).skip(group * LANES).take(LANES).enumerate() {
                pack_row(format, row, lane, scales, lines);
            }
        });
        Self { format, rows, columns, scales, lines }
    }

    fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.scales.len() * 2 + self.lines.len() * 64
    }

    /// The values of row `row`, into `out` (columns).
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.columns, "row {row} does not exist or does not fit");
        let (group, lane, blocks, count) = (row / LANES, row % LANES, self.blocks(), self.format.lines());
        for (b, out) in out.chunks_mut(BLOCK).enumerate() {
            let at = group * blocks + b;
            let scale = f16::from_bits(self.scales[at * LANES + lane]).to_f32();
            let lines = &self.lines[at * count..][..count];
            for (i, x) in out.iter_mut().enumerate() {
                let byte = |i: usize| i32::from(lines[i / 4].0[4 * lane + i % 4]);
                let stored = match self.format {
                    Format::Q8_0 => byte(i),
                    Format::Q4_0 if i < 16 => byte(i) & 15,
                    Format::Q4_0 => byte(i - 16) >> 4,
                };
                *x = scale * (stored - self.format.offset()) as f32;
            }
        }
    }

    /// `y` (rows of x, self.rows) = x · Wᵀ for groups `groups` of 16 outputs.
    fn product(&self, y: &Parts<f32>, x: &Inputs, groups: std::ops::Range<usize>) {
        let (blocks, count) = (self.blocks(), self.format.lines());
        for group in groups {
            let width = LANES.min(self.rows - group * LANES);
            for first in (0..x.rows).step_by(TILE_ROWS) {
                let rows = TILE_ROWS.min(x.rows - first);
                let mut out = [[0.0; LANES]; TILE_ROWS];
                let operands = Operands {
                    format: self.format,
                    scales: &self.scales[group * blocks * LANES..][..blocks * LANES],
                    lines: &self.lines[group * blocks * count..][..blocks * count],
                    values: &x.values[first * blocks * BLOCK..][..rows * blocks * BLOCK],
                    steps: &x.scales[first * blocks..][..rows * blocks],
                    sums: &x.sums[first * blocks..][..rows * blocks],
                };
                tile(operands, &mut out[..rows]);
                for (row, out) in out[..rows].iter().enumerate() {
                    // SAFETY: this task alone writes these outputs.
                    let y = unsafe { y.part((first + row) * self.rows + group * LANES, width) };
                    y.copy_from_slice(&out[..width]);
                }
            }
        }
    }
}

fn pack_row(format: Format, row: &[f32], lane: usize, scales: &mut [u16], lines: &mut [Line]) {
    let blocks = scales.chunks_exact_mut(LANES).zip(lines.chunks_exact_mut(format.lines()));
    for ((scales, lines), part) in blocks.zip(row.chunks(BLOCK)) {
        let mut x = [0.0; BLOCK];
        x[..part.len()].copy_from_slice(part);
        let at = |i: usize| (i / 4, 4 * lane + i % 4);
        match format {
            Format::Q8_0 => {
                let (d, q) = quantise_q8_0(&x);
                scales[lane] = d.to_bits();
                for (i, q) in q.iter().enumerate() {
                    lines[at(i).0].0[at(i).1] = (i32::from(*q) + 128) as u8;
                }
            }
            Format::Q4_0 => {
                let (d, q) = quantise_q4_0(&x);
                scales[lane] = d.to_bits();
                for i in 0..16 {
                    lines[at(i).0].0[at(i).1] = q[i + 16] << 4 | q[i];
                }
            }
        }
    }
}

/// Input rows in 8 bits.
#[derive(Default)]
struct Inputs {
    rows: usize,
    /// (row, block, 32).
    values: Vec<i8>,
    /// (row, block).
    scales: Vec<f32>,
    /// (row, block): sums of the values.
    sums: Vec<i32>,
}

impl Inputs {
    fn fill(&mut self, x: &[f32], columns: usize) {
        let blocks = columns.div_ceil(BLOCK);
        self.rows = x.len() / columns;
        self.values.resize(self.rows * blocks * BLOCK, 0);
        self.scales.resize(self.rows * blocks, 0.0);
        self.sums.resize(self.rows * blocks, 0);
        let (values, scales, sums) =
            (Parts::new(&mut self.values), Parts::new(&mut self.scales), Parts::new(&mut self.sums));
        let one = |row: usize| {
            // SAFETY: each task writes the part of its own row.
            let (values, scales, sums) = unsafe {
                let at = row * blocks;
                (values.part(at * BLOCK, blocks * BLOCK), scales.part(at, blocks), sums.part(at, blocks))
            };
            round_row(&x[row * columns..][..columns], values, scales, sums);
        };
        if self.rows < TILE_ROWS { (0..self.rows).for_each(one) } else { pool::run(self.rows, &one) }
    }
}

vectorised! {
    /// Rounds a row to 8 bits, block by block.
    fn round_row(row: &[f32], values: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        for (i, (scale, sum)) in scales.iter_mut().zip(sums).enumerate() {
            let part = &row[i * BLOCK..row.len().min((i + 1) * BLOCK)];
            let mut x = [0.0_f32; BLOCK];
            x[..part.len()].copy_from_slice(part);
            let mut largest = [0.0_f32; 16];
            for (j, v) in x.iter().enumerate() {
                let v = v.abs();
                largest[j % 16] = if v > largest[j % 16] { v } else { largest[j % 16] };
            }
            let largest = largest.iter().fold(0.0_f32, |a, b| if *b > a { *b } else { a });
            let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
            *scale = largest / 127.0;
            *sum = 0;
            for (q, v) in values[i * BLOCK..][..BLOCK].iter_mut().zip(&x) {
                // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer without a library call.
                let rounded = (v * inverse + 12_582_912.0) - 12_582_912.0;
                *q = rounded as i32 as i8;
                *sum += i32::from(*q);
            }
        }
    }
}

thread_local! {
    static INPUTS: RefCell<Inputs> = RefCell::default();
}

/// One product of [`multiply`]: the matrix and its output (rows of x, matrix rows).
pub type Output<'a> = (&'a QuantMatrix, &'a mut [f32]);

/// `y = x · Wᵀ` for one or several matrices over the same `x` (rows, columns); overwrites the outputs.
///
/// # Panics
/// When the sizes do not fit.
pub fn multiply(outputs: &mut [Output<'_>], x: &[f32]) {
    let Some(columns) = outputs.first().map(|(w, _)| w.columns) else { return };
    let rows = x.len().checked_div(columns).unwrap_or(0);
    assert_eq!(rows * columns, x.len(), "the input is not whole rows of {columns}");
    for (w, y) in outputs.iter() {
        assert!(w.columns == columns && y.len() == rows * w.rows, "a product's output has the wrong size");
    }
    INPUTS.with_borrow_mut(|inputs| {
        inputs.fill(x, columns);
        let parts: Vec<_> = outputs.iter_mut().map(|(w, y)| (*w, Parts::new(y))).collect();
        let groups: usize = parts.iter().map(|(w, _)| w.rows.div_ceil(LANES)).sum();
        let few = rows * groups * LANES * columns < ALONE_BELOW;
        let tasks = if few { 1 } else { groups.min(4 * pool::threads()) };
        pool::run(tasks, &|task| {
            let (from, to) = (task * groups / tasks, (task + 1) * groups / tasks);
            let mut start = 0;
            for (w, y) in &parts {
                let end = start + w.rows.div_ceil(LANES);
                let (low, high) = (from.max(start), to.min(end));
                if low < high {
                    w.product(y, inputs, low - start..high - start);
                }
                start = end;
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    fn values(m: &QuantMatrix) -> Vec<f32> {
        let mut out = vec![0.0; m.rows * m.columns];
        out.chunks_exact_mut(m.columns).enumerate().for_each(|(i, out)| m.row(i, out));
        out
    }

    #[test]
    fn what_comes_back_is_within_half_a_step() {
        for (format, steps) in [(Format::Q8_0, 127.0), (Format::Q4_0, 8.0)] {
            let (rows, columns) = (19, 75);
            let w = noise(rows * columns, 1);
            let back = values(&QuantMatrix::new(&w, columns, format));
            for (row, back) in w.chunks_exact(columns).zip(back.chunks_exact(columns)) {
                for (block, back) in row.chunks(BLOCK).zip(back.chunks(BLOCK)) {
                    let step = block.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / steps;
                    // The largest value may lie a whole step outside 4 bits' range on the other side; f16 costs 2^-11.
                    let bound = if format == Format::Q4_0 { 1.01 * step } else { 0.57 * step };
                    assert!(block.iter().zip(back).all(|(x, y)| (x - y).abs() <= bound), "{format:?}");
                }
            }
        }
    }

    #[test]
    fn blocks_are_those_of_the_reference() {
        let mut x = [0.0; BLOCK];
        (x[0], x[1], x[17], x[31]) = (-2.0, 1.0, 0.26, 0.13);
        let (d, q) = quantise_q8_0(&x);
        assert_eq!((d, q[0], q[1], q[17], q[31]), (f16::from_f32(2.0 / 127.0), -127, 64, 17, 8));
        let (d, q) = quantise_q4_0(&x);
        assert_eq!((d.to_f32(), q[0], q[1], q[17], q[31], q[2]), (0.25, 0, 12, 9, 9, 8));
        assert_eq!(quantise_q8_0(&[0.0; BLOCK]), (f16::ZERO, [0; BLOCK]));
        assert_eq!(quantise_q4_0(&[0.0; BLOCK]).1, [8; BLOCK]);
    }

    #[test]
    fn products_agree_with_plain_loops_over_what_comes_back() {
        for format in [Format::Q8_0, Format::Q4_0] {
            for (rows, outputs, columns) in [(1, 1, 1), (1, 48, 96), (3, 33, 70), (13, 100, 576)] {
                let w = QuantMatrix::new(&noise(outputs * columns, 2), columns, format);
                let x = noise(rows * columns, 3);
                let mut y = vec![7.0; rows * outputs];
                multiply(&mut [(&w, &mut y)], &x);
                let plain = values(&w);
                for (i, y) in y.iter().enumerate() {
                    let row = &x[i / outputs * columns..][..columns];
                    let weights = &plain[i % outputs * columns..][..columns];
                    let exact: f64 = row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    // Every input is off by at most half a step of its block.
                    let half_step = |x: &[f32]| x.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 254.0;
                    let blocks = row.chunks(BLOCK).zip(weights.chunks(BLOCK));
                    let bound: f32 = blocks.map(|(x, w)| half_step(x) * w.iter().map(|w| w.abs()).sum::<f32>()).sum();
                    assert!((f64::from(*y) - exact).abs() < f64::from(1.01 * bound) + 1e-5, "{format:?} {y} {exact}");
                }
            }
        }
    }

    #[test]
    fn matrices_multiplied_together_give_what_they_give_alone() {
        let x = noise(2 * 64, 1);
        let (a, b) = (
            QuantMatrix::new(&noise(600 * 64, 2), 64, Format::Q8_0),
            QuantMatrix::new(&noise(77 * 64, 3), 64, Format::Q4_0),
        );
        let (mut y, mut z, mut y1, mut z1) = (vec![0.0; 1200], vec![0.0; 154], vec![1.0; 1200], vec![1.0; 154]);
        multiply(&mut [(&a, &mut y), (&b, &mut z)], &x);
        multiply(&mut [(&a, &mut y1)], &x);
        multiply(&mut [(&b, &mut z1)], &x);
        assert_eq!((y, z), (y1, z1));
    }
}
