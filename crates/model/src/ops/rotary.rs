//! Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face's Llama, with the scalings that
//! stretch it to longer texts.

use std::f32::consts::TAU;

/// One way of turning heads to their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: f32,
    /// The first elements of a head that are turned; even. The others stay.
    pub dims: usize,
    /// How the frequencies are changed.
    pub scaling: Scaling,
}

/// A change of the frequencies, computed as Transformers does.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// None.
    Default,
    /// All divided by a factor (Chen et al. 2023).
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1: slow frequencies divided by a factor, fast ones kept, those between blended.
    Llama3 {
        /// The divisor.
        factor: f32,
        /// Wavelengths above `original / low` are divided.
        low: f32,
        /// Wavelengths below `original / high` are kept.
        high: f32,
        /// Positions before stretching.
        original: f32,
    },
    /// YaRN (Peng et al. 2023).
    Yarn(Yarn),
    /// LongRoPE (Ding et al. 2024) within the original length: each frequency divided by its own factor.
    PerFrequency {
        /// One divisor a frequency.
        factors: Vec<f32>,
        /// Factor of cosines and sines.
        magnitude: f32,
    },
}

/// The settings of YaRN.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// The divisor of slow frequencies.
    pub factor: f32,
    /// Turns within the original length above which a frequency is kept.
    pub beta_fast: f64,
    /// Turns below which it is divided.
    pub beta_slow: f64,
    /// Positions before stretching.
    pub original: f64,
    /// Whether the ends of the blend are rounded outwards to whole frequencies.
    pub truncate: bool,
    /// Factor of cosines and sines.
    pub magnitude: f32,
}

impl Rotary {
    /// Plain turning of the first `dims` elements.
    pub fn plain(theta: f32, dims: usize) -> Self {
        Self { theta, dims, scaling: Scaling::Default }
    }

    /// The angles per position, (dims / 2).
    pub fn frequencies(&self) -> Vec<f32> {
        let base = |i: usize| self.theta.powf(2.0 * i as f32 / self.dims as f32);
        let plain = (0..self.dims / 2).map(|i| 1.0 / base(i));
        match &self.scaling {
            Scaling::Default => plain.collect(),
            Scaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            Scaling::Llama3 { factor, low, high, original } => {
                plain.map(|f| llama3(f, *factor, (*low, *high), *original)).collect()
            }
            Scaling::Yarn(yarn) => {
                let kept = yarn.kept(f64::from(self.theta), self.dims);
                let blend = |(i, k): (usize, f32)| 1.0 / (yarn.factor * base(i)) * (1.0 - k) + 1.0 / base(i) * k;
                kept.into_iter().enumerate().map(blend).collect()
            }
            Scaling::PerFrequency { factors, .. } => {
                factors.iter().enumerate().map(|(i, f)| 1.0 / (f * base(i))).collect()
            }
        }
    }

    fn magnitude(&self) -> f32 {
        match &self.scaling {
            Scaling::Yarn(yarn) => yarn.magnitude,
            Scaling::PerFrequency { magnitude, .. } => *magnitude,
            _ => 1.0,
        }
    }
}

fn llama3(frequency: f32, factor: f32, (low, high): (f32, f32), original: f32) -> f32 {
    let wavelength = TAU / frequency;
    if wavelength > original / low {
        frequency / factor
    } else if wavelength < original / high {
        frequency
    } else {
        let kept = (original / wavelength - low) / (high - low);
        (1.0 - kept) * frequency / factor + kept * frequency
    }
}

impl Yarn {
    /// How much of each frequency is kept, from 1 (all) to 0 (divided by the factor).
    fn kept(&self, theta: f64, dims: usize) -> Vec<f32> {
        let dim_of =
            |turns: f64| dims as f64 * (self.original / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (dim_of(self.beta_fast), dim_of(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dims as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        let ramp = |i: usize| ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        (0..dims / 2).map(|i| 1.0 - ramp(i)).collect()
    }
}

/// Cosines and sines for positions `0..length`, (length, dims / 2) each.
#[derive(Clone, Debug, Default)]
pub struct RotaryTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// Whether vectors are rotated to their position or back (the gradient's direction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To the position.
    Forward,
    /// Back.
    Backward,
}

impl RotaryTable {
    /// Angles `position · frequency` for the first elements of a head.
    pub fn new(rotary: &Rotary, length: usize) -> Self {
        let (frequencies, magnitude) = (rotary.frequencies(), rotary.magnitude());
        let angles = (0..length).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        let scaled = |angle: f32| (angle.sin() * magnitude, angle.cos() * magnitude);
        let (sin, cos) = angles.map(scaled).unzip();
        Self { half: frequencies.len(), cos, sin }
    }

    /// Positions covered.
    pub fn length(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Rotates rows of `head_dim` elements, row `t` at `positions[t]`, in place. A magnitude other than 1 multiplies in
    /// both directions: the transpose of a scaled rotation is the rotation back, scaled alike.
    pub fn apply(&self, x: &mut [f32], head_dim: usize, positions: &[u32], turn: Turn) {
        let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
        for (row, position) in x.chunks_exact_mut(head_dim).zip(positions) {
            let start = *position as usize * self.half;
            let (cos, sin) = (&self.cos[start..start + self.half], &self.sin[start..start + self.half]);
            let (low, high) = row[..2 * self.half].split_at_mut(self.half);
            for i in 0..self.half {
                let (a, b, s) = (low[i], high[i], sign * sin[i]);
                low[i] = a * cos[i] - b * s;
                high[i] = b * cos[i] + a * s;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::noise;

    #[test]
    fn turning_back_restores_and_keeps_lengths() {
        let table = RotaryTable::new(&Rotary::plain(10_000.0, 8), 16);
        let original = noise(3 * 10, 1);
        let mut x = original.clone();
        table.apply(&mut x, 10, &[0, 5, 15], Turn::Forward);
        assert_eq!(x[..10], original[..10], "position 0 is not turned");
        assert_eq!(x[18..20], original[18..20], "elements past the rotary part stay");
        let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        assert!((norm(&x) - norm(&original)).abs() < 1e-4);
        table.apply(&mut x, 10, &[0, 5, 15], Turn::Backward);
        assert!(x.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn inner_products_depend_on_the_distance_alone() {
        let table = RotaryTable::new(&Rotary::plain(10_000.0, 4), 32);
        let at = |seed, p| {
            let mut v = noise(4, seed);
            table.apply(&mut v, 4, &[p], Turn::Forward);
            v
        };
        let dot = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(at(1, 3), at(2, 1)) - dot(at(1, 20), at(2, 18))).abs() < 1e-5);
    }
}
