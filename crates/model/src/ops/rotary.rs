//! Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face's Llama.

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
    /// Angles `position · theta^(-2i / dims)` for the first `dims` elements of a head.
    pub fn new(theta: f32, dims: usize, length: usize) -> Self {
        let half = dims / 2;
        let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / theta.powf(2.0 * i as f32 / dims as f32)).collect();
        let angles = (0..length).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Self { half, cos, sin }
    }

    /// Positions covered.
    pub fn length(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Rotates rows of `head_dim` elements, row `t` at `positions[t]`, in place.
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
        let table = RotaryTable::new(10_000.0, 8, 16);
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
        let table = RotaryTable::new(10_000.0, 4, 32);
        let at = |seed, p| {
            let mut v = noise(4, seed);
            table.apply(&mut v, 4, &[p], Turn::Forward);
            v
        };
        let dot = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(at(1, 3), at(2, 1)) - dot(at(1, 20), at(2, 18))).abs() < 1e-5);
    }
}
