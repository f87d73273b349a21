//! Frozen matrices in fewer bits than f32: bf16, int8, or NF4 (QLoRA). Products expand a panel of them as it is packed
//! ([`super::matmul::Right`]), so that no f32 copy of a whole one ever lies in memory.
//!
//! Values are cut into blocks of [`BLOCK`] in row-major order, across the ends of rows. NF4 is that of Dettmers et al. 2023,
//! "QLoRA": 16 quantiles of the normal distribution times the largest magnitude of the block, itself kept in 8 bits
//! (double quantisation): its distance from the mean, by the code of Dettmers et al. 2022, "8-bit Optimizers via Block-wise
//! Quantization", in blocks of [`SCALES_PER_BLOCK`]. [`super::quant`] is another thing: GGUF's formats, for inference.

use std::ops::Range;
use std::sync::LazyLock;

use half::bf16;

use super::exp::vectorised;
use super::kernel::{self, NR};
use super::pool;

/// Values that share a scale.
pub const BLOCK: usize = 64;
/// Scales of NF4 that share theirs.
pub const SCALES_PER_BLOCK: usize = 256;
/// Blocks that one task rounds.
const BLOCKS_PER_TASK: usize = 256;
/// Values of each row that are expanded before they are turned: 32 rows of them stay in the first-level cache.
const PIECE: usize = 64;

/// The 16 values of NF4, from the appendix of the paper.
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Both values of a byte of NF4: the first one lies in its upper half.
static PAIRS: LazyLock<[[f32; 2]; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| [NF4[byte >> 4], NF4[byte & 15]]));

/// The 256 values of the code for scales, ascending: 0, 1, and for each power of ten from 10⁻⁶ to 1 the middles of 1, 2, 4, …,
/// 64 equal parts of its upper nine tenths, with both signs.
static SCALES: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut all = vec![0.0, 1.0];
    for power in 0..7 {
        let parts = 1 << power;
        let middle = |i: usize| 0.1 + 0.9 * (i as f64 + 0.5) / parts as f64;
        let positive = (0..parts).map(|i| (10_f64.powi(power - 6) * middle(i)) as f32);
        all.extend(positive.flat_map(|x| [x, -x]));
    }
    all.sort_by(f32::total_cmp);
    std::array::from_fn(|i| all[i])
});

/// In how many bits a frozen matrix is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// 32, as it is.
    #[default]
    F32,
    /// 16, the upper half of an f32.
    Bf16,
    /// 8, and an f32 scale for each block: 8.5 in all.
    Int8,
    /// 4, and scales in two steps: 4.13 in all.
    Nf4,
}

impl Form {
    /// Bytes of so many values.
    pub fn bytes(self, values: u64) -> u64 {
        let blocks = values.div_ceil(BLOCK as u64);
        match self {
            Self::F32 => 4 * values,
            Self::Bf16 => 2 * values,
            Self::Int8 => values + 4 * blocks,
            Self::Nf4 => values.div_ceil(2) + blocks + 4 * blocks.div_ceil(SCALES_PER_BLOCK as u64),
        }
    }
}

/// A row-major matrix in few bits.
#[derive(Clone, Debug)]
pub struct FrozenMatrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Bf16(Vec<bf16>),
    Int8 { values: Vec<i8>, scales: Vec<f32> },
    Nf4 { codes: Vec<u8>, scales: Scales },
}

/// NF4's scales in 8 bits.
#[derive(Clone, Debug)]
struct Scales {
    codes: Vec<u8>,
    /// One for each [`SCALES_PER_BLOCK`].
    outer: Vec<f32>,
    /// The mean of the scales.
    offset: f32,
}

impl FrozenMatrix {
    /// Holds a row-major matrix of `columns` columns in few bits; `None` for [`Form::F32`], which needs no other form. A value
    /// that is not finite spoils its block (its matrix in NF4), so that it is seen and not rounded away.
    ///
    /// # Panics
    /// When the values are no whole rows.
    pub fn new(values: &[f32], columns: usize, form: Form) -> Option<Self> {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        assert_eq!(rows * columns, values.len(), "{} values are no rows of {columns}", values.len());
        let kept = match form {
            Form::F32 => return None,
            Form::Bf16 => Kept::Bf16(values.iter().map(|x| bf16::from_f32(*x)).collect()),
            Form::Int8 => int8(values),
            Form::Nf4 => nf4(values),
        };
        Some(Self { rows, columns, kept })
    }

    /// Its form.
    pub fn form(&self) -> Form {
        match self.kept {
            Kept::Bf16(_) => Form::Bf16,
            Kept::Int8 { .. } => Form::Int8,
            Kept::Nf4 { .. } => Form::Nf4,
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Bf16(values) => 2 * values.len(),
            Kept::Int8 { values, scales } => values.len() + 4 * scales.len(),
            Kept::Nf4 { codes, scales } => codes.len() + scales.codes.len() + 4 * scales.outer.len(),
        }
    }

    /// Values from number `start` on, in row-major order, in f32.
    ///
    /// # Panics
    /// When they reach past the end.
    pub fn read(&self, start: usize, out: &mut [f32]) {
        let end = start + out.len();
        match &self.kept {
            Kept::Bf16(values) => read_bf16(out, &values[start..end]),
            Kept::Int8 { values, scales } => {
                blocks(start, out, |block, at, out| read_int8(out, &values[at..at + out.len()], scales[block]));
            }
            Kept::Nf4 { codes, scales } => {
                assert!(end <= self.rows * self.columns, "values up to {end} are asked for");
                blocks(start, out, |block, at, out| read_nf4(out, codes, at, scales.of(block)));
            }
        }
    }

    /// Row `row`, in f32, into `out`.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        self.read(row * self.columns, &mut out[..self.columns]);
    }

    /// Packs some rows, at most [`NR`], of the matrix as columns of a panel: `depth` counts its columns.
    pub(super) fn pack_turned(&self, out: &mut [f32], depth: &Range<usize>, rows: Range<usize>) {
        let mut piece = [0.0; NR * PIECE];
        for first in depth.clone().step_by(PIECE) {
            let len = PIECE.min(depth.end - first);
            for (row, piece) in rows.clone().zip(piece.chunks_exact_mut(PIECE)) {
                self.read(row * self.columns + first, &mut piece[..len]);
            }
            let out = &mut out[(first - depth.start) * NR..][..len * NR];
            kernel::pack_turned(out, &piece, PIECE, (len, rows.len()));
        }
    }

    /// Packs some columns, at most [`NR`], of the matrix as a panel: `depth` counts its rows.
    pub(super) fn pack_lying(&self, out: &mut [f32], depth: &Range<usize>, columns: Range<usize>) {
        for (row, out) in depth.clone().zip(out.as_chunks_mut::<NR>().0) {
            self.read(row * self.columns + columns.start, &mut out[..columns.len()]);
            kernel::pad(out, columns.len());
        }
    }

    /// All values in f32.
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.columns];
        pool::chunks_mut(&mut values, BLOCKS_PER_TASK * BLOCK, |task, out| {
            self.read(task * BLOCKS_PER_TASK * BLOCK, out);
        });
        values
    }
}

impl Scales {
    fn of(&self, block: usize) -> f32 {
        SCALES[usize::from(self.codes[block])] * self.outer[block / SCALES_PER_BLOCK] + self.offset
    }

    fn new(scales: &[f32]) -> Self {
        let sum: f64 = scales.iter().map(|x| f64::from(*x)).sum();
        let offset = (sum / scales.len().max(1) as f64) as f32;
        let (mut codes, mut outer) = (Vec::with_capacity(scales.len()), Vec::new());
        for scales in scales.chunks(SCALES_PER_BLOCK) {
            let distances: Vec<f32> = scales.iter().map(|x| x - offset).collect();
            let largest = magnitude(&distances);
            let inverse = if largest == 0.0 { 0.0 } else { 1.0 / largest };
            codes.extend(distances.iter().map(|x| nearest_scale(x * inverse)));
            outer.push(largest);
        }
        Self { codes, outer, offset }
    }
}

/// Calls `each(block, first value, part of out)` for the part of each block that lies within `out`.
#[inline(always)]
fn blocks(mut at: usize, mut out: &mut [f32], mut each: impl FnMut(usize, usize, &mut [f32])) {
    while !out.is_empty() {
        let (now, rest) = out.split_at_mut(out.len().min(BLOCK - at % BLOCK));
        let len = now.len();
        each(at / BLOCK, at, now);
        (at, out) = (at + len, rest);
    }
}

/// The largest magnitude; not a number where one of them is not finite.
fn magnitude(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |a, b| if b.abs() > a { b.abs() } else { a });
    if values.iter().all(|x| x.is_finite()) { largest } else { f32::NAN }
}

fn nearest_scale(x: f32) -> u8 {
    let above = SCALES.partition_point(|code| *code < x).min(255);
    let below = above.saturating_sub(1);
    (if (x - SCALES[below]).abs() <= (SCALES[above] - x).abs() { below } else { above }) as u8
}

fn int8(values: &[f32]) -> Kept {
    let parts = pool::map(values.chunks(BLOCKS_PER_TASK * BLOCK).collect(), |_, part: &[f32]| {
        let (mut rounded, mut scales) = (Vec::with_capacity(part.len()), Vec::with_capacity(BLOCKS_PER_TASK));
        for block in part.chunks(BLOCK) {
            let largest = magnitude(block);
            let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
            rounded.extend(block.iter().map(|x| (x * inverse).round_ties_even() as i8));
            scales.push(largest / 127.0);
        }
        (rounded, scales)
    });
    let (mut all, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len().div_ceil(BLOCK)));
    for (values, of) in parts {
        all.extend(values);
        scales.extend(of);
    }
    Kept::Int8 { values: all, scales }
}

fn nf4(values: &[f32]) -> Kept {
    let parts = pool::map(values.chunks(BLOCKS_PER_TASK * BLOCK).collect(), |_, part: &[f32]| {
        let (mut codes, mut scales) = (Vec::with_capacity(part.len() / 2 + 1), Vec::with_capacity(BLOCKS_PER_TASK));
        for block in part.chunks(BLOCK) {
            let (mut numbers, largest) = ([0_u8; BLOCK], magnitude(block));
            nearest_nf4(&mut numbers[..block.len()], block, if largest == 0.0 { 0.0 } else { 1.0 / largest });
            codes.extend(numbers[..block.len().next_multiple_of(2)].chunks_exact(2).map(|two| two[0] << 4 | two[1]));
            scales.push(largest);
        }
        (codes, scales)
    });
    let mut codes = Vec::with_capacity(values.len().div_ceil(2));
    let mut scales = Vec::with_capacity(values.len().div_ceil(BLOCK));
    for (part, of) in parts {
        codes.extend(part);
        scales.extend(of);
    }
    Kept::Nf4 { codes, scales: Scales::new(&scales) }
}

vectorised! {
    /// The numbers of the values of [`NF4`] that are nearest to `inverse · x`: so many middles between neighbours lie below.
    fn nearest_nf4(out: &mut [u8], x: &[f32], inverse: f32) {
        for (out, x) in out.iter_mut().zip(x) {
            let x = x * inverse;
            *out = 0;
            for i in 0..15 {
                *out += u8::from(x > 0.5 * (NF4[i] + NF4[i + 1]));
            }
        }
    }
}

vectorised! {
    fn read_bf16(out: &mut [f32], from: &[bf16]) {
        out.iter_mut().zip(from).for_each(|(out, x)| *out = f32::from_bits(u32::from(x.to_bits()) << 16));
    }
}

vectorised! {
    fn read_int8(out: &mut [f32], from: &[i8], scale: f32) {
        out.iter_mut().zip(from).for_each(|(out, x)| *out = f32::from(*x) * scale);
    }
}

/// Values from number `at` on, of one block.
fn read_nf4(out: &mut [f32], codes: &[u8], at: usize, scale: f32) {
    let (odd, lookup) = (at % 2, &*PAIRS);
    let (first, rest) = out.split_at_mut(odd.min(out.len()));
    first.iter_mut().for_each(|out| *out = lookup[usize::from(codes[at / 2])][1] * scale);
    let codes = &codes[at.div_ceil(2)..];
    let (pairs, last) = rest.as_chunks_mut::<2>();
    for (out, code) in pairs.iter_mut().zip(codes) {
        let [a, b] = lookup[usize::from(*code)];
        *out = [a * scale, b * scale];
    }
    if let [last] = last {
        *last = lookup[usize::from(codes[pairs.len()])][0] * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    const FORMS: [Form; 3] = [Form::Bf16, Form::Int8, Form::Nf4];

    #[test]
    fn the_code_books_are_what_the_papers_say() {
        assert!(NF4.is_sorted() && SCALES.is_sorted());
        assert_eq!((NF4[0], NF4[7], NF4[15]), (-1.0, 0.0, 1.0));
        // Eight values above zero, seven below: both halves have a zero, of which one is left.
        assert_eq!((NF4.iter().filter(|x| **x > 0.0).count(), NF4.iter().filter(|x| **x < 0.0).count()), (8, 7));
        assert_eq!((SCALES[0], SCALES[127], SCALES[255]), (-SCALES[254], 0.0, 1.0));
        assert!((SCALES[254] - (1.0 - 0.45 / 64.0)).abs() < 1e-6 && (SCALES[128] - 0.55e-6).abs() < 1e-12);
    }

    #[test]
    fn every_form_holds_a_matrix_within_its_bound_and_its_bytes() {
        for (rows, columns) in [(1, 1), (3, 7), (5, 64), (40, 100), (130, 129)] {
            let values = noise(rows * columns, 1);
            for form in FORMS {
                let matrix = FrozenMatrix::new(&values, columns, form).unwrap();
                assert_eq!((matrix.form(), matrix.bytes() as u64), (form, form.bytes(values.len() as u64)));
                for (block, back) in values.chunks(BLOCK).zip(matrix.values().chunks(BLOCK)) {
                    let largest = magnitude(block);
                    let bound = match form {
                        Form::F32 | Form::Bf16 => largest / 256.0,
                        Form::Int8 => largest / 254.0 * 1.001,
                        // Half of the widest gap of the code book, and what a scale is off in 8 bits.
                        Form::Nf4 => largest * 0.152 + 0.02,
                    };
                    assert!(block.iter().zip(back).all(|(x, y)| (x - y).abs() <= bound), "{form:?} {rows}×{columns}");
                }
            }
        }
        assert!(FrozenMatrix::new(&[1.0], 1, Form::F32).is_none());
    }

    #[test]
    fn rounded_values_are_rounded_to_themselves() {
        let values = noise(640, 3);
        for form in [Form::Bf16, Form::Int8] {
            let once = FrozenMatrix::new(&values, 64, form).unwrap().values();
            assert_eq!(FrozenMatrix::new(&once, 64, form).unwrap().values(), once, "{form:?}");
        }
    }

    #[test]
    fn any_part_reads_as_it_lies_in_the_whole() {
        let values = noise(33 * 67, 4);
        for form in FORMS {
            let matrix = FrozenMatrix::new(&values, 67, form).unwrap();
            let whole = matrix.values();
            for (start, len) in [(0, 1), (1, 1), (63, 2), (64, 130), (65, 64), (127, 66), (2000, 211)] {
                let mut part = vec![7.0; len];
                matrix.read(start, &mut part);
                assert_eq!(part, whole[start..start + len], "{form:?} from {start}");
            }
        }
    }

    #[test]
    fn nf4_is_that_of_bitsandbytes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/parity/nf4.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let floats = |name: &str| -> Vec<f32> {
            let tensor = theirs.tensor(name).unwrap();
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let value = |i: u64| {
            let spread = ((i * 2_654_435_761) % (1 << 32)) as f64 / f64::from(1_u32 << 31) - 1.0;
            (spread * (1 + i / 64 % 7) as f64 * 0.02) as f32
        };
        let values: Vec<f32> = (0..64 * 300).map(value).collect();
        let matrix = FrozenMatrix::new(&values, 100, Form::Nf4).unwrap();
        let Kept::Nf4 { codes, scales } = &matrix.kept else { panic!("it is in another form") };
        // Theirs is computed in f32.
        let book = floats("scales_book");
        assert!(SCALES.iter().zip(&book).all(|(a, b)| (a - b).abs() <= 2e-7 * b.abs()) && book.len() == 256);
        assert_eq!(floats("book"), NF4);
        assert_eq!(codes, theirs.tensor("codes").unwrap().data());
        // Their mean is summed in f32: a scale that lies between two values of the code may fall to either side.
        let off = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let off: Vec<u8> = scales.codes.iter().zip(theirs.tensor("scales").unwrap().data()).map(off).collect();
        assert!(off.iter().all(|off| *off < 2) && off.iter().filter(|off| **off > 0).count() < 4);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 4e-7 * b.abs().max(1e-2));
        assert!(near(&scales.outer, &floats("outer")) && near(&[scales.offset], &floats("offset")));
        for start in [0, 16_000] {
            let (theirs, ours) = (floats(&format!("values.{start}")), &matrix.values()[start..]);
            let alike = |i: usize| off[(start + i) / BLOCK] > 0 || near(&ours[i..=i], &theirs[i..=i]);
            assert!((0..theirs.len()).all(alike), "values from {start}");
        }
    }

    #[test]
    fn what_is_no_number_is_seen() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = noise(256, 5);
            values[70] = bad;
            for form in FORMS {
                let back = FrozenMatrix::new(&values, 64, form).unwrap().values();
                assert!(!back[70].is_finite(), "{form:?} hides {bad}");
            }
        }
        let zeros = FrozenMatrix::new(&[0.0; 130], 65, Form::Nf4).unwrap().values();
        assert_eq!(zeros, [0.0; 130]);
    }
}
