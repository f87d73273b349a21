//! The inner loop of products with [`super::quant::QuantMatrix`]: 16 outputs for up to 8 inputs.
//!
//! A block's sum is exact in 32-bit integers: weights are stored without sign (`w + offset`), so the sum is
//! `Σ (w + offset) · x - offset · Σ x`. Versions: AVX-512 with VNNI, AVX2, and portable Rust.

use std::sync::OnceLock;

use half::f16;

use super::kernel::{self, Isa};
use super::quant::{BLOCK, Format, LANES, Line};

/// What one call multiplies.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) format: Format,
    /// (block, 16): half-precision bits.
    pub(super) scales: &'a [u16],
    /// (block, lines of the format).
    pub(super) lines: &'a [Line],
    /// (row, block, 32): inputs in 8 bits.
    pub(super) values: &'a [i8],
    /// (row, block): scales of the inputs.
    pub(super) steps: &'a [f32],
    /// (row, block): sums of the inputs.
    pub(super) sums: &'a [i32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Vnni,
    Avx2,
    Portable,
}

#[cfg(target_arch = "x86_64")]
fn set() -> Set {
    static SET: OnceLock<Set> = OnceLock::new();
    *SET.get_or_init(|| match kernel::isa() {
        Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => Set::Vnni,
        Isa::Avx512 | Isa::Avx2 if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") => Set::Avx2,
        _ => Set::Portable,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn set() -> Set {
    Set::Portable
}

/// Writes `out[row][lane]`, the products of each input row with the 16 weight rows.
pub(super) fn tile(operands: Operands<'_>, out: &mut [[f32; LANES]]) {
    tile_with(set(), operands, out);
}

fn tile_with(set: Set, operands: Operands<'_>, out: &mut [[f32; LANES]]) {
    let blocks = operands.scales.len() / LANES;
    assert_eq!(operands.lines.len(), blocks * operands.format.lines());
    let (mut rest, mut row) = (out, 0);
    while !rest.is_empty() {
        let rows = [8, 4, 2, 1].into_iter().find(|n| *n <= rest.len()).unwrap_or(1);
        let (now, later) = rest.split_at_mut(rows);
        let part = Operands {
            values: &operands.values[row * blocks * BLOCK..][..rows * blocks * BLOCK],
            steps: &operands.steps[row * blocks..][..rows * blocks],
            sums: &operands.sums[row * blocks..][..rows * blocks],
            ..operands
        };
        match rows {
            8 => rows_of::<8>(set, part, now),
            4 => rows_of::<4>(set, part, now),
            2 => rows_of::<2>(set, part, now),
            _ => rows_of::<1>(set, part, now),
        }
        (rest, row) = (later, row + rows);
    }
}

fn rows_of<const R: usize>(set: Set, operands: Operands<'_>, out: &mut [[f32; LANES]]) {
    let out: &mut [[f32; LANES]; R] = out.try_into().expect("the caller cut R rows");
    match (set, operands.format) {
        // SAFETY: the instruction set was detected; `tile_with` cut every slice to R rows of the same number of blocks.
        #[cfg(target_arch = "x86_64")]
        (Set::Vnni, Format::Q8_0) => unsafe { x86::vnni::<R, false>(operands, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Set::Vnni, Format::Q4_0) => unsafe { x86::vnni::<R, true>(operands, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Format::Q8_0) => unsafe { x86::avx2::<R, false>(operands, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Format::Q4_0) => unsafe { x86::avx2::<R, true>(operands, out) },
        _ => portable(operands, out),
    }
}

fn portable<const R: usize>(o: Operands<'_>, out: &mut [[f32; LANES]; R]) {
    let (blocks, count) = (o.scales.len() / LANES, o.format.lines());
    for (row, out) in out.iter_mut().enumerate() {
        *out = [0.0; LANES];
        for b in 0..blocks {
            let at = row * blocks + b;
            let values = &o.values[at * BLOCK..][..BLOCK];
            let mut sums = [-o.format.offset() * o.sums[at]; LANES];
            for (l, line) in o.lines[b * count..][..count].iter().enumerate() {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    for i in 0..4 {
                        let byte = i32::from(line.0[4 * lane + i]);
                        *sum += match o.format {
                            Format::Q8_0 => byte * i32::from(values[4 * l + i]),
                            Format::Q4_0 => {
                                (byte & 15) * i32::from(values[4 * l + i])
                                    + (byte >> 4) * i32::from(values[16 + 4 * l + i])
                            }
                        };
                    }
                }
            }
            for ((y, sum), scale) in out.iter_mut().zip(sums).zip(&o.scales[b * LANES..][..LANES]) {
                *y += sum as f32 * (f16::from_bits(*scale).to_f32() * o.steps[at]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BLOCK, LANES, Operands};

    /// Lines ahead that are fetched early: the hardware's own prefetcher stops at pages.
    const AHEAD: usize = 32;

    /// # Safety
    /// AVX-512 (F, BW, VL, VNNI) exists; `values`, `steps` and `sums` hold R rows of as many blocks as `scales` and `lines`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
    pub(super) unsafe fn vnni<const R: usize, const NIBBLES: bool>(o: Operands<'_>, out: &mut [[f32; LANES]; R]) {
        let blocks = o.scales.len() / LANES;
        let count = if NIBBLES { 4 } else { 8 };
        let offset = if NIBBLES { -8 } else { -128 };
        let low = _mm512_set1_epi8(15);
        let mut totals = [_mm512_setzero_ps(); R];
        // SAFETY: all offsets are below the lengths that the caller vouches for.
        unsafe {
            for b in 0..blocks {
                let mut sums = [_mm512_setzero_si512(); R];
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_set1_epi32(offset * *o.sums.as_ptr().add(r * blocks + b));
                }
                let line = o.lines.as_ptr().add(b * count);
                let x = |r: usize, group: usize| {
                    let at = o.values.as_ptr().add((r * blocks + b) * BLOCK + 4 * group);
                    _mm512_set1_epi32(at.cast::<i32>().read_unaligned())
                };
                for l in 0..count {
                    _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(AHEAD + l).cast());
                    let w = _mm512_load_si512(line.add(l).cast());
                    if NIBBLES {
                        let (first, second) =
                            (_mm512_and_si512(w, low), _mm512_and_si512(_mm512_srli_epi16::<4>(w), low));
                        for (r, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm512_dpbusd_epi32(*sum, first, x(r, l));
                            *sum = _mm512_dpbusd_epi32(*sum, second, x(r, 4 + l));
                        }
                    } else {
                        for (r, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm512_dpbusd_epi32(*sum, w, x(r, l));
                        }
                    }
                }
                let scales = _mm512_cvtph_ps(_mm256_loadu_si256(o.scales.as_ptr().add(b * LANES).cast()));
                for (r, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
                    let step = _mm512_set1_ps(*o.steps.as_ptr().add(r * blocks + b));
                    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scales, step), *total);
                }
            }
            for (out, total) in out.iter_mut().zip(totals) {
                _mm512_storeu_ps(out.as_mut_ptr(), total);
            }
        }
    }

    /// Four products of 8 weights without sign and 8 inputs, in 32 bits. In 8 bits the pair sums of `maddubs` could exceed
    /// 16 bits, so the weight's sign moves to the input first; in 4 bits they cannot.
    #[target_feature(enable = "avx2")]
    fn quads<const NIBBLES: bool>(w: __m256i, x: __m256i) -> __m256i {
        let pairs = if NIBBLES {
            _mm256_maddubs_epi16(w, x)
        } else {
            let signed = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
        };
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }

    /// # Safety
    /// AVX2, FMA and F16C exist; `values`, `steps` and `sums` hold R rows of as many blocks as `scales` and `lines`.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<const R: usize, const NIBBLES: bool>(o: Operands<'_>, out: &mut [[f32; LANES]; R]) {
        let blocks = o.scales.len() / LANES;
        let count = if NIBBLES { 4 } else { 8 };
        let low = _mm256_set1_epi8(15);
        // SAFETY: all offsets are below the lengths that the caller vouches for.
        unsafe {
            for half in 0..2 {
                let mut totals = [_mm256_setzero_ps(); R];
                for b in 0..blocks {
                    let mut sums = [_mm256_setzero_si256(); R];
                    if NIBBLES {
                        for (r, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm256_set1_epi32(-8 * *o.sums.as_ptr().add(r * blocks + b));
                        }
                    }
                    let x = |r: usize, group: usize| {
                        let at = o.values.as_ptr().add((r * blocks + b) * BLOCK + 4 * group);
                        _mm256_set1_epi32(at.cast::<i32>().read_unaligned())
                    };
                    for l in 0..count {
                        let line = o.lines.as_ptr().add(b * count + l).cast::<u8>().add(32 * half);
                        let w = _mm256_load_si256(line.cast());
                        for (r, sum) in sums.iter_mut().enumerate() {
                            if NIBBLES {
                                let first = _mm256_and_si256(w, low);
                                let second = _mm256_and_si256(_mm256_srli_epi16::<4>(w), low);
                                *sum = _mm256_add_epi32(*sum, quads::<true>(first, x(r, l)));
                                *sum = _mm256_add_epi32(*sum, quads::<true>(second, x(r, 4 + l)));
                            } else {
                                *sum = _mm256_add_epi32(*sum, quads::<false>(w, x(r, l)));
                            }
                        }
                    }
                    let scales = o.scales.as_ptr().add(b * LANES + 8 * half);
                    let scales = _mm256_cvtph_ps(_mm_loadu_si128(scales.cast()));
                    for (r, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
                        let step = _mm256_set1_ps(*o.steps.as_ptr().add(r * blocks + b));
                        *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scales, step), *total);
                    }
                }
                for (out, total) in out.iter_mut().zip(totals) {
                    _mm256_storeu_ps(out.as_mut_ptr().add(8 * half), total);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_tile() {
        let available: &[Set] = match set() {
            Set::Vnni => &[Set::Vnni, Set::Avx2],
            Set::Avx2 => &[Set::Avx2],
            Set::Portable => &[],
        };
        let (blocks, rows) = (5, 15);
        let byte = |i: usize| (i * 73 + i / 7 * 31) as u8;
        let values: Vec<i8> = (0..rows * blocks * BLOCK).map(|i| (byte(i + 5) as i8).max(-127)).collect();
        let sums: Vec<i32> = values.chunks(BLOCK).map(|v| v.iter().map(|x| i32::from(*x)).sum()).collect();
        let steps: Vec<f32> = (0..rows * blocks).map(|i| 0.01 + i as f32 / 1000.0).collect();
        let scales: Vec<u16> = (0..blocks * LANES).map(|i| f16::from_f32(0.5 - i as f32 / 90.0).to_bits()).collect();
        for format in [Format::Q8_0, Format::Q4_0] {
            let least = if format == Format::Q8_0 { 1 } else { 0 };
            let line = |l: usize| Line(std::array::from_fn(|i| byte(64 * l + i).max(least)));
            let lines: Vec<Line> = (0..blocks * format.lines()).map(line).collect();
            let operands =
                Operands { format, scales: &scales, lines: &lines, values: &values, steps: &steps, sums: &sums };
            let mut expected = vec![[0.0; LANES]; rows];
            tile_with(Set::Portable, operands, &mut expected);
            for set in available {
                let mut out = vec![[9.0; LANES]; rows];
                tile_with(*set, operands, &mut out);
                for (x, y) in expected.iter().flatten().zip(out.iter().flatten()) {
                    assert!((x - y).abs() <= 1e-5 * (1.0 + x.abs()), "{set:?} {format:?}: {x} {y}");
                }
            }
        }
    }
}
