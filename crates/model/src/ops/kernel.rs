//! The inner loop of every matrix product: `MR` rows of A times a panel of [`NR`] columns of B.
//!
//! A is packed as `k` groups of `MR` values, B as `k` groups of `NR` values, so that both are read in a straight
//! line. The outer loops are in [`super::matmul`]. Three versions of the same arithmetic: AVX-512, AVX2 with FMA, and
//! portable Rust; which one runs is found out once.

use std::sync::OnceLock;

/// Columns of a packed panel of B.
pub const NR: usize = 32;
/// Most rows one kernel call computes.
pub const MR_MAX: usize = 12;

/// The instruction set the kernels use on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 16 floats an instruction.
    Avx512,
    /// 8 floats an instruction.
    Avx2,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

/// The best instruction set here; decided at the first call.
pub fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
    {
        Isa::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Isa::Avx2
    } else {
        Isa::Portable
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Isa {
    Isa::Portable
}

/// Where one kernel call writes: a tile of C.
#[derive(Clone, Copy)]
pub struct Tile {
    /// First element.
    pub c: *mut f32,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Columns to write, 1..=NR.
    pub columns: usize,
    /// Factor applied to the product.
    pub alpha: f32,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

/// Computes `rows` (12, 8, 4, 2 or 1) rows of one panel.
///
/// # Safety
/// `a` holds `k * rows` floats, `b` holds `k * NR` floats, and the tile's `rows × columns` elements are writable and
/// touched by nobody else during the call. `isa` must be supported here.
pub unsafe fn run(isa: Isa, rows: usize, k: usize, a: *const f32, b: *const f32, tile: Tile) {
    // SAFETY: the caller's contract is passed on unchanged; `rows` picks the matching constant.
    unsafe {
        match rows {
            12 => run_rows::<12>(isa, k, a, b, tile),
            8 => run_rows::<8>(isa, k, a, b, tile),
            4 => run_rows::<4>(isa, k, a, b, tile),
            2 => run_rows::<2>(isa, k, a, b, tile),
            _ => run_rows::<1>(isa, k, a, b, tile),
        }
    }
}

unsafe fn run_rows<const MR: usize>(isa: Isa, k: usize, a: *const f32, b: *const f32, tile: Tile) {
    // SAFETY: as for `run`; the instruction set was detected before it was named.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::avx512::<MR>(k, a, b, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::avx2::<MR>(k, a, b, tile),
            _ => portable::<MR>(k, a, b, tile),
        }
    }
}

unsafe fn portable<const MR: usize>(k: usize, a: *const f32, b: *const f32, tile: Tile) {
    const LANES: usize = 8;
    for start in (0..tile.columns).step_by(LANES) {
        let mut sums = [[0.0_f32; LANES]; MR];
        for p in 0..k {
            // SAFETY: `a` and `b` hold k groups of MR and NR values; start + LANES <= NR.
            let (left, right) = unsafe {
                (
                    std::slice::from_raw_parts(a.add(p * MR), MR),
                    std::slice::from_raw_parts(b.add(p * NR + start), LANES),
                )
            };
            for (row, x) in sums.iter_mut().zip(left) {
                for (sum, y) in row.iter_mut().zip(right) {
                    *sum += x * y;
                }
            }
        }
        // SAFETY: the tile is writable by contract.
        unsafe { store_lanes(&sums, start, tile) };
    }
}

/// Writes a block of partial columns with plain stores.
unsafe fn store_lanes<const MR: usize, const LANES: usize>(sums: &[[f32; LANES]; MR], start: usize, tile: Tile) {
    let columns = LANES.min(tile.columns - start);
    for (i, row) in sums.iter().enumerate() {
        for (j, sum) in row.iter().take(columns).enumerate() {
            // SAFETY: row i < MR and column start + j < tile.columns lie in the tile.
            unsafe {
                let c = tile.c.add(i * tile.row_stride + start + j);
                *c = if tile.accumulate { *c + tile.alpha * sum } else { tile.alpha * sum };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{NR, Tile, store_lanes};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512<const MR: usize>(k: usize, a: *const f32, b: *const f32, tile: Tile) {
        // SAFETY: every pointer stays within what `run` promises; masked lanes are neither read nor written.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); 2]; MR];
            for p in 0..k {
                let b0 = _mm512_loadu_ps(b.add(p * NR));
                let b1 = _mm512_loadu_ps(b.add(p * NR + 16));
                for (i, row) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(p * MR + i));
                    row[0] = _mm512_fmadd_ps(x, b0, row[0]);
                    row[1] = _mm512_fmadd_ps(x, b1, row[1]);
                }
            }
            let mask = if tile.columns >= NR { u32::MAX } else { (1_u32 << tile.columns) - 1 };
            let alpha = _mm512_set1_ps(tile.alpha);
            for (i, row) in sums.iter().enumerate() {
                let c = tile.c.wrapping_add(i * tile.row_stride);
                for (half, sum) in row.iter().enumerate() {
                    let lanes = (mask >> (16 * half)) as __mmask16;
                    let at = c.wrapping_add(16 * half);
                    let value = if tile.accumulate {
                        _mm512_fmadd_ps(*sum, alpha, _mm512_maskz_loadu_ps(lanes, at))
                    } else {
                        _mm512_mul_ps(*sum, alpha)
                    };
                    _mm512_mask_storeu_ps(at, lanes, value);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<const MR: usize>(k: usize, a: *const f32, b: *const f32, tile: Tile) {
        for start in (0..tile.columns).step_by(8) {
            // SAFETY: every pointer stays within what `run` promises.
            unsafe {
                let mut sums = [_mm256_setzero_ps(); MR];
                for p in 0..k {
                    let y = _mm256_loadu_ps(b.add(p * NR + start));
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_fmadd_ps(_mm256_set1_ps(*a.add(p * MR + i)), y, *sum);
                    }
                }
                let mut lanes = [[0.0_f32; 8]; MR];
                for (row, sum) in lanes.iter_mut().zip(&sums) {
                    _mm256_storeu_ps(row.as_mut_ptr(), *sum);
                }
                store_lanes(&lanes, start, tile);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    #[test]
    fn every_instruction_set_gives_the_same_tile() {
        let (k, columns) = (37, 29);
        let (a, b) = (noise(k * MR_MAX, 1), noise(k * NR, 2));
        let available = match isa() {
            Isa::Avx512 => vec![Isa::Portable, Isa::Avx2, Isa::Avx512],
            Isa::Avx2 => vec![Isa::Portable, Isa::Avx2],
            Isa::Portable => vec![Isa::Portable],
        };
        for rows in [12, 8, 4, 2, 1] {
            let mut results = Vec::new();
            for isa in &available {
                let mut c = vec![0.5_f32; rows * NR];
                let tile = Tile { c: c.as_mut_ptr(), row_stride: NR, columns, alpha: 0.5, accumulate: true };
                // SAFETY: the buffers have the promised sizes and the set is one this machine has.
                unsafe { run(*isa, rows, k, a.as_ptr(), b.as_ptr(), tile) };
                assert!(c[columns..NR].iter().all(|x| *x == 0.5), "wrote past the tile");
                results.push(c);
            }
            for other in &results[1..] {
                for (x, y) in results[0].iter().zip(other) {
                    assert!((x - y).abs() < 1e-4, "{x} {y}");
                }
            }
        }
    }
}
