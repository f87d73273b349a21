//! Noise by counting: value i of a stream is a function of the stream's seed and i alone (SplitMix64; Steele, Lea & Flood 2014).
//! So a mask needs no memory, is drawn alike by any number of threads, and is there again in the backward pass.

use super::pool;

/// Values of one task; a multiple of the decisions that one draw gives.
const CHUNK: usize = 1 << 14;
/// Decisions of 16 bits in a draw.
const LANES: usize = 4;

/// Number `number` of the stream `seed`: 64 bits, each as likely 0 as 1.
#[inline(always)]
pub fn draw(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which values of a buffer are dropped (Srivastava et al. 2014, inverted): what stays is scaled up, so that the mean stays.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    seed: u64,
    /// Values whose 16 bits are below are dropped.
    limit: u16,
    scale: f32,
}

impl Mask {
    /// Drops `share` of the values, to a 65,536th.
    ///
    /// # Panics
    /// Where the share is not within 0..1.
    pub fn new(share: f32, seed: u64) -> Self {
        assert!((0.0..1.0).contains(&share), "a share of {share} cannot be dropped");
        let limit = (share * 65_536.0).round().min(65_535.0) as u16;
        Self { seed, limit, scale: 65_536.0 / (65_536.0 - f32::from(limit)) }
    }

    /// What one draw multiplies four neighbours by.
    #[inline(always)]
    fn factors(&self, group: usize) -> [f32; LANES] {
        let bits = draw(self.seed, group as u64);
        std::array::from_fn(|i| if (bits >> (16 * i)) as u16 >= self.limit { self.scale } else { 0.0 })
    }

    /// `y ← mask · x`.
    pub fn set(&self, y: &mut [f32], x: &[f32]) {
        self.each(y, x, |y, masked| *y = masked);
    }

    /// `y += mask · x`.
    pub fn add(&self, y: &mut [f32], x: &[f32]) {
        self.each(y, x, |y, masked| *y += masked);
    }

    fn each(&self, y: &mut [f32], x: &[f32], write: impl Fn(&mut f32, f32) + Sync) {
        pool::chunks_mut(y, CHUNK, |chunk, y| {
            let (x, first) = (&x[chunk * CHUNK..], chunk * CHUNK / LANES);
            for (group, (y, x)) in y.chunks_mut(LANES).zip(x.chunks(LANES)).enumerate() {
                let factors = self.factors(first + group);
                y.iter_mut().zip(x).zip(factors).for_each(|((y, x), factor)| write(y, x * factor));
            }
        });
    }
}

/// Adds to each value a uniform in ±`width`.
pub fn add_uniform(x: &mut [f32], width: f32, seed: u64) {
    pool::chunks_mut(x, CHUNK, |chunk, x| {
        for (i, x) in x.iter_mut().enumerate() {
            // 24 bits, as an f32 holds them: -1 to below 1.
            let unit = (draw(seed, (chunk * CHUNK + i) as u64) >> 40) as f32 / 8_388_608.0 - 1.0;
            *x += width * unit;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    #[test]
    fn uniform_noise_fills_its_width_evenly() {
        let mut x = vec![1.0; 2 * CHUNK + 3];
        add_uniform(&mut x, 0.5, 9);
        assert!(x.iter().all(|x| (0.5..1.5).contains(x)));
        for part in 0..4 {
            let from = 0.5 + 0.25 * part as f32;
            let share = x.iter().filter(|x| (from..from + 0.25).contains(*x)).count() as f32 / x.len() as f32;
            assert!((share - 0.25).abs() < 0.01, "{share}");
        }
    }

    #[test]
    fn a_mask_drops_its_share_keeps_the_mean_and_comes_again() {
        let ones = vec![1.0; 3 * CHUNK + 5];
        for share in [0.0, 0.1, 0.5, 0.9] {
            let mask = Mask::new(share, 7);
            let (mut once, mut twice) = (vec![0.0; ones.len()], vec![0.0; ones.len()]);
            mask.set(&mut once, &ones);
            mask.add(&mut twice, &ones);
            assert_eq!(once, twice);
            let (dropped, n) = (once.iter().filter(|x| **x == 0.0).count() as f32, ones.len() as f32);
            assert!((dropped / n - share).abs() < 0.01, "{share}: {dropped} of {n}");
            assert!((once.iter().sum::<f32>() / n - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn streams_differ_and_no_place_of_a_group_is_like_another() {
        let x = noise(40_000, 1);
        let run = |seed| {
            let mut y = vec![0.0; x.len()];
            Mask::new(0.5, seed).set(&mut y, &x);
            y
        };
        let (a, b) = (run(1), run(2));
        let same = a.iter().zip(&b).filter(|(a, b)| (**a == 0.0) == (**b == 0.0)).count();
        assert!((same as f32 / 40_000.0 - 0.5).abs() < 0.01, "{same}");
        for i in 0..LANES {
            let alike = a.chunks_exact(LANES).filter(|c| (c[i] == 0.0) == (c[(i + 1) % LANES] == 0.0)).count();
            assert!((alike as f32 / 10_000.0 - 0.5).abs() < 0.02, "lane {i}: {alike}");
        }
    }
}
