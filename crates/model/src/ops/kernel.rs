//! The inner loop of every matrix product: `MR` rows of A times up to [`NR`] columns of B, summed over k in registers.
//!
//! A is read where it lies, by two strides, one value at a time; B is a packed panel, a row of [`NR`] at a time. Several
//! products can be summed into one tile before it is written. The outer loops are in [`super::matmul`]. Three versions of
//! the same arithmetic: AVX-512, AVX2 with FMA, and portable Rust; which one runs is found out once. The tall AVX-512
//! kernel is written in assembly: compilers spend the address registers on the twelve rows of A and lose a third of the
//! speed to additions; so it runs at the rate of the multipliers (LOG.md).

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

/// Asks for `data[start..start + len]`, as far as it is there, before it is read.
#[inline]
pub fn prefetch(data: &[f32], start: usize, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in data.get(start..start + len).unwrap_or_default().chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, at an address that lies in the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, start, len);
}

/// Packs a panel of a matrix that lies transposed: `out[p · NR + j] = data[j · stride + p]` for `p` in `0..depth` and `j` in
/// `0..columns`, and zeros up to a whole number of vectors.
///
/// # Panics
/// Where `out` or `data` is too short.
pub fn pack_turned(out: &mut [f32], data: &[f32], stride: usize, (depth, columns): (usize, usize)) {
    assert!(columns <= NR && out.len() >= depth * NR && stride >= depth);
    assert!(columns == 0 || depth == 0 || data.len() >= (columns - 1) * stride + depth);
    let (mut done, mut turned) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        (done, turned) = (depth / 16 * 16, columns / 16 * 16);
        for (p, j) in (0..done).step_by(16).flat_map(|p| (0..turned).step_by(16).map(move |j| (p, j))) {
            // SAFETY: rows j..j + 16 hold depth values each, p + 16 <= depth, and `out` holds depth rows of NR values.
            unsafe { x86::turn(data.as_ptr().add(j * stride + p), stride, out.as_mut_ptr().add(p * NR + j)) };
        }
    }
    for p in 0..depth {
        let row = &mut out[p * NR..][..NR];
        let first = if p < done { turned } else { 0 };
        for j in first..columns {
            row[j] = data[j * stride + p];
        }
        pad(row, columns);
    }
}

/// Values of the widest vectors.
const VECTOR: usize = 16;

/// Zeros behind the first `columns` of a panel's row, up to a whole number of vectors: the kernel reads no further.
pub fn pad(row: &mut [f32], columns: usize) {
    let end = columns.next_multiple_of(VECTOR);
    if columns < end {
        row[columns..end].fill(0.0);
    }
}

/// One of the products that a tile sums: `k` columns of A times `k` rows of B.
#[derive(Clone, Copy)]
pub struct Factors {
    /// Inner length.
    pub k: usize,
    /// First element of A.
    pub a: *const f32,
    /// From one row of A to the next.
    pub a_row: usize,
    /// From one column of A to the next.
    pub a_column: usize,
    /// A panel of B: `k` rows of [`NR`] values.
    pub b: *const f32,
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
    /// Factor applied to the sum.
    pub alpha: f32,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl Tile {
    /// The tile some rows below.
    pub fn below(self, rows: usize) -> Self {
        Self { c: self.c.wrapping_add(rows * self.row_stride), ..self }
    }
}

/// Computes `rows` (12, 8, 4, 2 or 1) rows of one tile.
///
/// # Safety
/// For each of `factors`, `rows × k` elements of A are readable by their strides, and `k × NR` of B; the tile's
/// `rows × columns` elements are writable and touched by nobody else during the call. `isa` must be supported here.
pub unsafe fn run(isa: Isa, rows: usize, factors: &[Factors], tile: Tile) {
    // SAFETY: the caller's contract is passed on unchanged; `rows` picks the matching constant.
    unsafe {
        match rows {
            12 => run_rows::<12>(isa, factors, tile),
            8 => run_rows::<8>(isa, factors, tile),
            4 => run_rows::<4>(isa, factors, tile),
            2 => run_rows::<2>(isa, factors, tile),
            _ => run_rows::<1>(isa, factors, tile),
        }
    }
}

unsafe fn run_rows<const MR: usize>(isa: Isa, factors: &[Factors], tile: Tile) {
    // SAFETY: as for `run`; the instruction set was detected before it was named.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if tile.columns > 16 => x86::avx512::<MR, 2>(factors, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::avx512::<MR, 1>(factors, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::avx2::<MR>(factors, tile),
            _ => portable::<MR>(factors, tile),
        }
    }
}

unsafe fn portable<const MR: usize>(factors: &[Factors], tile: Tile) {
    const LANES: usize = 8;
    for start in (0..tile.columns).step_by(LANES) {
        let mut sums = [[0.0_f32; LANES]; MR];
        for f in factors {
            for p in 0..f.k {
                // SAFETY: B holds k rows of NR values; start + LANES <= NR.
                let right = unsafe { std::slice::from_raw_parts(f.b.add(p * NR + start), LANES) };
                for (i, row) in sums.iter_mut().enumerate() {
                    // SAFETY: row i < MR and column p < k of A.
                    let x = unsafe { *f.a.add(i * f.a_row + p * f.a_column) };
                    for (sum, y) in row.iter_mut().zip(right) {
                        *sum += x * y;
                    }
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
    use super::{Factors, NR, Tile, store_lanes};
    use std::arch::asm;
    use std::arch::x86_64::*;

    /// `NV` vectors of 16 columns.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512<const MR: usize, const NV: usize>(factors: &[Factors], tile: Tile) {
        // SAFETY: every pointer stays within what `run` promises.
        unsafe {
            if MR == 12 {
                // Written by the first factors; the zeros they begin with are read from a constant.
                let mut sums = std::mem::MaybeUninit::<[[__m512; NV]; MR]>::uninit();
                let at = sums.as_mut_ptr().cast();
                let mut from = ZEROS.0.as_ptr();
                for f in factors.iter().filter(|f| f.k > 0) {
                    if NV == 2 {
                        tall_2(f, from, at)
                    } else {
                        tall_1(f, from, at)
                    }
                    from = at;
                }
                // `run` asks for a factor that sums something.
                return store(sums.assume_init_ref(), tile);
            }
            let mut sums = [[_mm512_setzero_ps(); NV]; MR];
            factors.iter().for_each(|f| short(f, &mut sums));
            store(&sums, tile);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn short<const MR: usize, const NV: usize>(f: &Factors, sums: &mut [[__m512; NV]; MR]) {
        // SAFETY: as for `run`.
        unsafe {
            let (mut a, mut b) = (f.a, f.b);
            let mut local = *sums;
            for _ in 0..f.k {
                let mut right = [_mm512_setzero_ps(); NV];
                for (v, right) in right.iter_mut().enumerate() {
                    *right = _mm512_loadu_ps(b.add(16 * v));
                }
                for (i, row) in local.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(i * f.a_row));
                    for (sum, right) in row.iter_mut().zip(right) {
                        *sum = _mm512_fmadd_ps(x, right, *sum);
                    }
                }
                a = a.wrapping_add(f.a_column);
                b = b.wrapping_add(NR);
            }
            *sums = local;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const MR: usize, const NV: usize>(sums: &[[__m512; NV]; MR], tile: Tile) {
        let mask = if tile.columns >= NR { u32::MAX } else { (1_u32 << tile.columns) - 1 };
        let lanes = [mask as __mmask16, (mask >> 16) as __mmask16];
        let alpha = _mm512_set1_ps(tile.alpha);
        for (i, row) in sums.iter().enumerate() {
            let c = tile.c.wrapping_add(i * tile.row_stride);
            for (v, sum) in row.iter().enumerate() {
                let at = c.wrapping_add(16 * v);
                // SAFETY: the tile is writable by contract; masked lanes are neither read nor written.
                unsafe {
                    let value = if tile.accumulate {
                        _mm512_fmadd_ps(*sum, alpha, _mm512_maskz_loadu_ps(lanes[v], at))
                    } else {
                        _mm512_mul_ps(*sum, alpha)
                    };
                    _mm512_mask_storeu_ps(at, lanes[v], value);
                }
            }
        }
    }

    #[repr(align(64))]
    struct Zeros([f32; 12 * 32]);
    static ZEROS: Zeros = Zeros([0.0; 12 * 32]);

    /// Writes a block of 16 × 16 values transposed; rows of `out` lie [`NR`] apart.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn turn(data: *const f32, stride: usize, out: *mut f32) {
        // SAFETY: the caller promises 16 rows of 16 values in both.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(data.add(i * stride));
            }
            // Pairs of values, then pairs of pairs, within lanes of four.
            let mut fours = [_mm512_setzero_ps(); 16];
            for i in 0..4 {
                let [a, b, c, d] = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
                let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (low2, high2) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let pd = |x| _mm512_castps_pd(x);
                fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(low), pd(low2)));
                fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(low), pd(low2)));
                fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(high), pd(high2)));
                fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(high), pd(high2)));
            }
            // fours[4 i + c], lane l: column 4 l + c of rows 4 i to 4 i + 3. Lanes are put in order.
            for c in 0..4 {
                let [a, b, e, f] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
                let (ab_even, ab_odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
                let (ef_even, ef_odd) = (_mm512_shuffle_f32x4::<0x88>(e, f), _mm512_shuffle_f32x4::<0xdd>(e, f));
                _mm512_storeu_ps(out.add(c * NR), _mm512_shuffle_f32x4::<0x88>(ab_even, ef_even));
                _mm512_storeu_ps(out.add((4 + c) * NR), _mm512_shuffle_f32x4::<0x88>(ab_odd, ef_odd));
                _mm512_storeu_ps(out.add((8 + c) * NR), _mm512_shuffle_f32x4::<0xdd>(ab_even, ef_even));
                _mm512_storeu_ps(out.add((12 + c) * NR), _mm512_shuffle_f32x4::<0xdd>(ab_odd, ef_odd));
            }
        }
    }

    /// Twelve rows of A, addressed from every third one: base, base + row, base + 2 · row. `$sums` vectors stay in registers.
    /// The twelve rows that follow are asked for ahead, as if they followed without a gap.
    macro_rules! tall {
        ($f:ident, $from:ident, $sums:ident, loads: [$($load:literal),*], steps: [$($step:literal),*], stores: [$($store:literal),*]) => {{
            let (row, column) = ($f.a_row * size_of::<f32>(), $f.a_column * size_of::<f32>());
            asm!(
                $($load,)*
                "2:",
                $($step,)*
                "add {a0}, {column}",
                "add {a3}, {column}",
                "add {a6}, {column}",
                "add {a9}, {column}",
                "add {b}, 128",
                "prefetcht0 [{next}]",
                "add {next}, 48",
                "dec {k}",
                "jnz 2b",
                $($store,)*
                a0 = inout(reg) $f.a => _,
                a3 = inout(reg) $f.a.wrapping_byte_add(3 * row) => _,
                a6 = inout(reg) $f.a.wrapping_byte_add(6 * row) => _,
                a9 = inout(reg) $f.a.wrapping_byte_add(9 * row) => _,
                row = in(reg) row,
                column = in(reg) column,
                b = inout(reg) $f.b => _,
                next = inout(reg) $f.a.wrapping_byte_add(12 * row) => _,
                k = inout(reg) $f.k => _,
                from = in(reg) $from,
                sums = in(reg) $sums,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _, out("zmm6") _,
                out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _, out("zmm12") _,
                out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _,
                out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
                out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _, out("zmm30") _,
                out("zmm31") _,
                options(nostack),
            );
        }};
    }

    /// Adds a product of `f.k > 0` to the twelve rows of 32 values at `from` and writes the sums.
    #[rustfmt::skip]
    #[target_feature(enable = "avx512f")]
    unsafe fn tall_2(f: &Factors, from: *const f32, sums: *mut f32) {
        // SAFETY: A and B are read as `run` promises; `from` and `sums` hold 24 vectors.
        unsafe {
            tall!(f, from, sums,
                loads: ["vmovups zmm8, [{from} + 0]\nvmovups zmm9, [{from} + 64]\nvmovups zmm10, [{from} + 128]",
                "vmovups zmm11, [{from} + 192]\nvmovups zmm12, [{from} + 256]\nvmovups zmm13, [{from} + 320]",
                "vmovups zmm14, [{from} + 384]\nvmovups zmm15, [{from} + 448]\nvmovups zmm16, [{from} + 512]",
                "vmovups zmm17, [{from} + 576]\nvmovups zmm18, [{from} + 640]\nvmovups zmm19, [{from} + 704]",
                "vmovups zmm20, [{from} + 768]\nvmovups zmm21, [{from} + 832]\nvmovups zmm22, [{from} + 896]",
                "vmovups zmm23, [{from} + 960]\nvmovups zmm24, [{from} + 1024]\nvmovups zmm25, [{from} + 1088]",
                "vmovups zmm26, [{from} + 1152]\nvmovups zmm27, [{from} + 1216]\nvmovups zmm28, [{from} + 1280]",
                "vmovups zmm29, [{from} + 1344]\nvmovups zmm30, [{from} + 1408]\nvmovups zmm31, [{from} + 1472]"],
                steps: ["vmovups zmm0, [{b} + 0]\nvmovups zmm1, [{b} + 64]",
                "vbroadcastss zmm2, [{a0}]\nvfmadd231ps zmm8, zmm2, zmm0\nvfmadd231ps zmm9, zmm2, zmm1",
                "vbroadcastss zmm3, [{a0} + {row}]\nvfmadd231ps zmm10, zmm3, zmm0\nvfmadd231ps zmm11, zmm3, zmm1",
                "vbroadcastss zmm4, [{a0} + 2*{row}]\nvfmadd231ps zmm12, zmm4, zmm0\nvfmadd231ps zmm13, zmm4, zmm1",
                "vbroadcastss zmm5, [{a3}]\nvfmadd231ps zmm14, zmm5, zmm0\nvfmadd231ps zmm15, zmm5, zmm1",
                "vbroadcastss zmm6, [{a3} + {row}]\nvfmadd231ps zmm16, zmm6, zmm0\nvfmadd231ps zmm17, zmm6, zmm1",
                "vbroadcastss zmm7, [{a3} + 2*{row}]\nvfmadd231ps zmm18, zmm7, zmm0\nvfmadd231ps zmm19, zmm7, zmm1",
                "vbroadcastss zmm2, [{a6}]\nvfmadd231ps zmm20, zmm2, zmm0\nvfmadd231ps zmm21, zmm2, zmm1",
                "vbroadcastss zmm3, [{a6} + {row}]\nvfmadd231ps zmm22, zmm3, zmm0\nvfmadd231ps zmm23, zmm3, zmm1",
                "vbroadcastss zmm4, [{a6} + 2*{row}]\nvfmadd231ps zmm24, zmm4, zmm0\nvfmadd231ps zmm25, zmm4, zmm1",
                "vbroadcastss zmm5, [{a9}]\nvfmadd231ps zmm26, zmm5, zmm0\nvfmadd231ps zmm27, zmm5, zmm1",
                "vbroadcastss zmm6, [{a9} + {row}]\nvfmadd231ps zmm28, zmm6, zmm0\nvfmadd231ps zmm29, zmm6, zmm1",
                "vbroadcastss zmm7, [{a9} + 2*{row}]\nvfmadd231ps zmm30, zmm7, zmm0\nvfmadd231ps zmm31, zmm7, zmm1"],
                stores: ["vmovups [{sums} + 0], zmm8\nvmovups [{sums} + 64], zmm9\nvmovups [{sums} + 128], zmm10",
                "vmovups [{sums} + 192], zmm11\nvmovups [{sums} + 256], zmm12\nvmovups [{sums} + 320], zmm13",
                "vmovups [{sums} + 384], zmm14\nvmovups [{sums} + 448], zmm15\nvmovups [{sums} + 512], zmm16",
                "vmovups [{sums} + 576], zmm17\nvmovups [{sums} + 640], zmm18\nvmovups [{sums} + 704], zmm19",
                "vmovups [{sums} + 768], zmm20\nvmovups [{sums} + 832], zmm21\nvmovups [{sums} + 896], zmm22",
                "vmovups [{sums} + 960], zmm23\nvmovups [{sums} + 1024], zmm24\nvmovups [{sums} + 1088], zmm25",
                "vmovups [{sums} + 1152], zmm26\nvmovups [{sums} + 1216], zmm27\nvmovups [{sums} + 1280], zmm28",
                "vmovups [{sums} + 1344], zmm29\nvmovups [{sums} + 1408], zmm30\nvmovups [{sums} + 1472], zmm31"]
            );
        }
    }

    /// Adds a product of `f.k > 0` to the twelve rows of 16 values at `from` and writes the sums.
    #[rustfmt::skip]
    #[target_feature(enable = "avx512f")]
    unsafe fn tall_1(f: &Factors, from: *const f32, sums: *mut f32) {
        // SAFETY: A and B are read as `run` promises; `from` and `sums` hold 12 vectors.
        unsafe {
            tall!(f, from, sums,
                loads: ["vmovups zmm8, [{from} + 0]\nvmovups zmm9, [{from} + 64]\nvmovups zmm10, [{from} + 128]",
                "vmovups zmm11, [{from} + 192]\nvmovups zmm12, [{from} + 256]\nvmovups zmm13, [{from} + 320]",
                "vmovups zmm14, [{from} + 384]\nvmovups zmm15, [{from} + 448]\nvmovups zmm16, [{from} + 512]",
                "vmovups zmm17, [{from} + 576]\nvmovups zmm18, [{from} + 640]\nvmovups zmm19, [{from} + 704]"],
                steps: ["vmovups zmm0, [{b} + 0]",
                "vbroadcastss zmm2, [{a0}]\nvfmadd231ps zmm8, zmm2, zmm0",
                "vbroadcastss zmm3, [{a0} + {row}]\nvfmadd231ps zmm9, zmm3, zmm0",
                "vbroadcastss zmm4, [{a0} + 2*{row}]\nvfmadd231ps zmm10, zmm4, zmm0",
                "vbroadcastss zmm5, [{a3}]\nvfmadd231ps zmm11, zmm5, zmm0",
                "vbroadcastss zmm6, [{a3} + {row}]\nvfmadd231ps zmm12, zmm6, zmm0",
                "vbroadcastss zmm7, [{a3} + 2*{row}]\nvfmadd231ps zmm13, zmm7, zmm0",
                "vbroadcastss zmm2, [{a6}]\nvfmadd231ps zmm14, zmm2, zmm0",
                "vbroadcastss zmm3, [{a6} + {row}]\nvfmadd231ps zmm15, zmm3, zmm0",
                "vbroadcastss zmm4, [{a6} + 2*{row}]\nvfmadd231ps zmm16, zmm4, zmm0",
                "vbroadcastss zmm5, [{a9}]\nvfmadd231ps zmm17, zmm5, zmm0",
                "vbroadcastss zmm6, [{a9} + {row}]\nvfmadd231ps zmm18, zmm6, zmm0",
                "vbroadcastss zmm7, [{a9} + 2*{row}]\nvfmadd231ps zmm19, zmm7, zmm0"],
                stores: ["vmovups [{sums} + 0], zmm8\nvmovups [{sums} + 64], zmm9\nvmovups [{sums} + 128], zmm10",
                "vmovups [{sums} + 192], zmm11\nvmovups [{sums} + 256], zmm12\nvmovups [{sums} + 320], zmm13",
                "vmovups [{sums} + 384], zmm14\nvmovups [{sums} + 448], zmm15\nvmovups [{sums} + 512], zmm16",
                "vmovups [{sums} + 576], zmm17\nvmovups [{sums} + 640], zmm18\nvmovups [{sums} + 704], zmm19"]
            );
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<const MR: usize>(factors: &[Factors], tile: Tile) {
        for start in (0..tile.columns).step_by(8) {
            // SAFETY: every pointer stays within what `run` promises.
            unsafe {
                let mut sums = [_mm256_setzero_ps(); MR];
                for f in factors {
                    let (mut a, mut b) = (f.a, f.b.add(start));
                    for _ in 0..f.k {
                        let y = _mm256_loadu_ps(b);
                        for (i, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm256_fmadd_ps(_mm256_set1_ps(*a.add(i * f.a_row)), y, *sum);
                        }
                        a = a.wrapping_add(f.a_column);
                        b = b.wrapping_add(NR);
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
    fn a_panel_of_a_transposed_matrix_is_packed_whatever_its_size() {
        for (depth, columns) in [(16, 32), (40, 32), (33, 19), (5, 3), (64, 16), (1, 32)] {
            let stride = depth + 3;
            let data = noise(columns * stride, 7);
            let mut out = vec![9.0; depth * NR];
            pack_turned(&mut out, &data, stride, (depth, columns));
            for (p, j) in (0..depth).flat_map(|p| (0..NR).map(move |j| (p, j))) {
                let beyond = if j < columns.next_multiple_of(VECTOR) { 0.0 } else { 9.0 };
                let expected = if j < columns { data[j * stride + p] } else { beyond };
                assert_eq!(out[p * NR + j], expected, "{depth}×{columns} at {p}, {j}");
            }
        }
    }

    #[test]
    fn every_instruction_set_sums_the_same_tile_whatever_the_strides_of_a() {
        let (k, second) = (37, 5);
        let available = match isa() {
            Isa::Avx512 => vec![Isa::Portable, Isa::Avx2, Isa::Avx512],
            Isa::Avx2 => vec![Isa::Portable, Isa::Avx2],
            Isa::Portable => vec![Isa::Portable],
        };
        for (rows, columns) in [12, 8, 4, 2, 1].into_iter().flat_map(|r| [32, 29, 16, 7].map(|c| (r, c))) {
            let (a, b) = (noise(k * rows, 1), noise(k * NR, 2));
            let (u, v) = (noise(second * rows, 3), noise(second * NR, 4));
            let factors = [
                Factors { k, a: a.as_ptr(), a_row: k, a_column: 1, b: b.as_ptr() },
                Factors { k: second, a: u.as_ptr(), a_row: 1, a_column: rows, b: v.as_ptr() },
            ];
            for isa in &available {
                let mut c = vec![0.5_f32; rows * NR];
                let tile = Tile { c: c.as_mut_ptr(), row_stride: NR, columns, alpha: 0.5, accumulate: true };
                // SAFETY: the buffers have the promised sizes and the set is one this machine has.
                unsafe { run(*isa, rows, &factors, tile) };
                for (i, j) in (0..rows).flat_map(|i| (0..NR).map(move |j| (i, j))) {
                    let first: f32 = (0..k).map(|p| a[i * k + p] * b[p * NR + j]).sum();
                    let more: f32 = (0..second).map(|p| u[p * rows + i] * v[p * NR + j]).sum();
                    let expected = if j < columns { 0.5 + 0.5 * (first + more) } else { 0.5 };
                    assert!((c[i * NR + j] - expected).abs() < 1e-4, "{isa:?} {rows}×{columns} at {i}, {j}");
                }
            }
        }
    }
}
