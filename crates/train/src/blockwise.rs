//! Optimiser states in 8 bits (Dettmers et al. 2022): blocks of 256 values, each a factor of its block's largest magnitude, out of
//! 256 factors that lie densely near 0 and near 1.
//!
//! A code is a decimal exponent in unary, then a fraction in the bits that are left: seven decades, each twice as fine as
//! the one below, evenly spaced within. First moments have a sign, second moments spend the bit on the fraction. One thing
//! is otherwise than in the paper: a value above 0 is never rounded to 0. A second moment that vanished beside a first one
//! that did not would turn an update into a division by epsilon.

use std::sync::LazyLock;

/// Values that share a factor.
pub const BLOCK: usize = 256;
/// Decades of factors.
const DECADES: usize = 7;
/// The bits of an f32 above which a magnitude's neighbours are told apart: exponent and seven bits of fraction.
const SHIFT: u32 = 16;
/// Key of 1.0.
const LAST_KEY: usize = (0x3f80_0000 >> SHIFT) as usize;

/// Which 256 factors a state has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Of both signs, for first moments.
    Both,
    /// None below 0, for second moments.
    Positive,
}

/// The factors of one sign, with what finds the nearest.
struct Codebook {
    /// By code.
    factors: [f32; 256],
    /// Between a magnitude and the next, ascending from 0.
    borders: Vec<f32>,
    /// For the upper bits of a magnitude: how many borders lie below all that begin so.
    start: Vec<u8>,
}

static BOTH: LazyLock<Codebook> = LazyLock::new(|| Codebook::new(Sign::Both));
static POSITIVE: LazyLock<Codebook> = LazyLock::new(|| Codebook::new(Sign::Positive));

/// With a sign, codes from here on are below 0; this one itself, which would be another 0, is the factor 1.
const NEGATIVE: u8 = 128;

impl Codebook {
    fn new(sign: Sign) -> Self {
        let magnitudes = magnitudes(if sign == Sign::Both { 0 } else { 1 });
        let mut factors = [0.0; 256];
        for (index, magnitude) in magnitudes.iter().enumerate() {
            factors[index] = *magnitude;
            if sign == Sign::Both && (1..usize::from(NEGATIVE)).contains(&index) {
                factors[index + usize::from(NEGATIVE)] = -magnitude;
            }
        }
        let borders: Vec<f32> = magnitudes.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        let start = (0..=LAST_KEY).map(|key| {
            let least = f32::from_bits((key as u32) << SHIFT);
            borders.partition_point(|border| *border < least) as u8
        });
        Self { start: start.collect(), factors, borders }
    }

    /// The place among the magnitudes of the one nearest to `x`, for `x` in 0..=1; not 0 where `x` is not.
    #[inline(always)]
    fn nearest(&self, x: f32) -> u8 {
        let key = (x.to_bits() >> SHIFT) as usize;
        let mut place = usize::from(self.start[key.min(LAST_KEY)]);
        while self.borders.get(place).is_some_and(|border| *border < x) {
            place += 1;
        }
        if place == 0 && x > 0.0 { 1 } else { place as u8 }
    }
}

/// 0, the middles of even steps from a tenth of each decade's top to its top, and 1; `more` bits of fraction beside those
/// that are left by a sign.
fn magnitudes(more: usize) -> Vec<f32> {
    let mut magnitudes = vec![0.0];
    for decade in 0..DECADES {
        let steps = 1 << (decade + more);
        let top = 10.0_f64.powi(decade as i32 + 1 - DECADES as i32);
        magnitudes.extend((0..steps).map(|i| (top * (0.1 + 0.9 * (f64::from(i) + 0.5) / f64::from(steps))) as f32));
    }
    magnitudes.push(1.0);
    magnitudes
}

impl Sign {
    fn codebook(self) -> &'static Codebook {
        match self {
            Self::Both => &BOTH,
            Self::Positive => &POSITIVE,
        }
    }
}

/// A state in 8 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Blockwise {
    sign: Sign,
    /// One a value; with a sign, the upper half of the codes is below 0.
    pub codes: Vec<u8>,
    /// One a block.
    pub scales: Vec<f32>,
}

/// Some blocks as they lie.
pub struct Part<'a> {
    sign: Sign,
    codes: &'a mut [u8],
    scales: &'a mut [f32],
}

/// One of them.
pub struct Block<'a> {
    sign: Sign,
    codes: &'a mut [u8],
    scale: &'a mut f32,
}

impl Blockwise {
    /// Zeros.
    pub fn zeros(values: usize, sign: Sign) -> Self {
        Self { sign, codes: vec![0; values], scales: vec![0.0; values.div_ceil(BLOCK)] }
    }

    /// All of it in parts of so many blocks, to read and write.
    pub fn parts(&mut self, blocks: usize) -> impl Iterator<Item = Part<'_>> {
        let sign = self.sign;
        let parts = self.codes.chunks_mut(BLOCK * blocks).zip(self.scales.chunks_mut(blocks));
        parts.map(move |(codes, scales)| Part { sign, codes, scales })
    }

    /// The values.
    pub fn values(&mut self) -> Vec<f32> {
        let mut out = vec![0.0; self.codes.len()];
        self.parts(1).flat_map(Part::blocks).zip(out.chunks_mut(BLOCK)).for_each(|(block, out)| block.read(out));
        out
    }
}

impl<'a> Part<'a> {
    /// Block by block.
    pub fn blocks(self) -> impl Iterator<Item = Block<'a>> {
        let sign = self.sign;
        self.codes.chunks_mut(BLOCK).zip(self.scales).map(move |(codes, scale)| Block { sign, codes, scale })
    }
}

impl Block<'_> {
    /// The values, into `out`.
    pub fn read(&self, out: &mut [f32]) {
        let (factors, scale) = (&self.sign.codebook().factors, *self.scale);
        out.iter_mut().zip(&*self.codes).for_each(|(x, code)| *x = scale * factors[usize::from(*code)]);
    }

    /// Replaces them by the nearest that 8 bits have.
    pub fn write(&mut self, values: &[f32]) {
        let book = self.sign.codebook();
        let largest = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        *self.scale = largest;
        for (code, x) in self.codes.iter_mut().zip(values) {
            let place = if largest > 0.0 { book.nearest((x.abs() / largest).min(1.0)) } else { 0 };
            let below = self.sign == Sign::Both && *x < 0.0 && place > 0;
            *code = if below { NEGATIVE + place.min(NEGATIVE - 1) } else { place };
        }
    }
}

/// Codes that a whole number of 24 bits holds, which an f32 keeps exactly.
const PACKED: usize = 3;

/// Numbers that so many codes are packed in.
pub fn packed_len(codes: usize) -> usize {
    codes.div_ceil(PACKED)
}

/// Codes for a file of f32.
pub fn pack(codes: &[u8]) -> Vec<f32> {
    let number = |codes: &[u8]| codes.iter().rev().fold(0_u32, |sum, code| sum << 8 | u32::from(*code)) as f32;
    codes.chunks(PACKED).map(number).collect()
}

/// The way back; what is no whole number of 24 bits becomes some codes.
pub fn unpack(codes: &mut [u8], packed: &[f32]) {
    for (codes, number) in codes.chunks_mut(PACKED).zip(packed) {
        let bytes = (*number as u32).to_le_bytes();
        codes.iter_mut().zip(bytes).for_each(|(code, byte)| *code = byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_from_a_file_of_numbers() {
        for length in [0, 1, 2, 3, 257] {
            let codes: Vec<u8> = (0..length).map(|i| (i * 151 + 255) as u8).collect();
            let mut back = vec![7; length];
            assert_eq!(pack(&codes).len(), packed_len(length));
            unpack(&mut back, &pack(&codes));
            assert_eq!(back, codes);
        }
    }

    fn round(values: &[f32], sign: Sign) -> Vec<f32> {
        let mut state = Blockwise::zeros(values.len(), sign);
        for (mut block, values) in state.parts(2).flat_map(Part::blocks).zip(values.chunks(BLOCK)) {
            block.write(values);
        }
        state.values()
    }

    #[test]
    fn every_code_is_another_factor_and_comes_back() {
        for (sign, lowest) in [(Sign::Both, -0.992_968_75), (Sign::Positive, 0.0)] {
            let mut factors = sign.codebook().factors.to_vec();
            assert_eq!(round(&factors, sign), factors);
            factors.sort_by(f32::total_cmp);
            assert!(factors.windows(2).all(|pair| pair[0] < pair[1]), "256 of them");
            assert_eq!((factors[0], factors[255]), (lowest, 1.0));
        }
    }

    #[test]
    fn what_comes_back_is_the_nearest() {
        for sign in [Sign::Both, Sign::Positive] {
            let mut factors = sign.codebook().factors.to_vec();
            factors.sort_by(f32::total_cmp);
            // From far below the smallest factor to 1, one largest value for all.
            let mut values: Vec<f32> = (0..BLOCK - 1).map(|i| 10.0_f32.powf(-8.0 * i as f32 / 255.0)).collect();
            values.iter_mut().skip(1).step_by(2).for_each(|x| *x = if sign == Sign::Both { -*x } else { *x });
            values.push(0.0);
            for (x, back) in values.iter().zip(round(&values, sign)) {
                let off = |factor: &f32| (factor - x).abs();
                let nearest = factors.iter().map(off).fold(f32::INFINITY, f32::min);
                let smallest = factors.iter().map(|f| f.abs()).filter(|f| *f > 0.0).fold(1.0, f32::min);
                let kept = x.abs() < smallest && back.abs() == smallest;
                assert!((back - x).abs() <= nearest || kept, "{x} became {back}");
                assert_eq!(*x == 0.0, back == 0.0, "{x} became {back}");
            }
        }
    }

    #[test]
    fn blocks_of_zeros_and_of_the_smallest_numbers_stay_numbers() {
        assert!(round(&[0.0; 300], Sign::Both).iter().all(|x| *x == 0.0));
        let tiny = [f32::from_bits(1), -f32::from_bits(3), 0.0, f32::MAX];
        assert!(round(&tiny[..3], Sign::Both).iter().all(|x| x.is_finite()));
        let back = round(&tiny, Sign::Both);
        assert_eq!((back[2], back[3]), (0.0, f32::MAX));
        assert!(back[0] >= 0.0 && back[1] <= 0.0);
    }
}
