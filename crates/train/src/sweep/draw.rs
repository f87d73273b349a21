//! Random numbers of a search: a function of (seed, trial) alone, so that a resumed study draws what it would have drawn.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One trial's stream of random numbers.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of one trial.
    #[must_use]
    pub fn new(seed: u64, trial: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(trial);
        Self(random)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform below `count`, which is above zero; the bias is far below what a search can show.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count - 1)
    }

    /// Standard normal, by Box & Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// The place of one of `weights`, drawn in proportion to them.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (place, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return place;
            }
        }
        weights.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_differ_and_have_the_moments_they_should() {
        let many = |seed, trial| -> Vec<f64> {
            let mut draw = Draw::new(seed, trial);
            (0..4000).map(|_| draw.normal()).collect()
        };
        let drawn = many(1, 2);
        assert_eq!(drawn, many(1, 2));
        assert_ne!(drawn, many(1, 3));
        let mean = drawn.iter().sum::<f64>() / 4000.0;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        let mut draw = Draw::new(3, 0);
        let heavy = (0..1000).filter(|_| draw.weighted(&[1.0, 3.0]) == 1).count();
        assert!((700..800).contains(&heavy), "{heavy}");
    }
}
