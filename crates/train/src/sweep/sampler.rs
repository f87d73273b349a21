//! Which point a new trial gets.

use super::draw::Draw;
use super::space::{Point, Space};
use super::tpe::{self, Observation};

/// How points are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// Every combination of values that stand for the ranges; so many values of each dimension.
    Grid(Vec<usize>),
    /// Evenly over the space.
    Random,
    /// As [`tpe`] says, after some random points.
    Tpe,
}

impl Sampler {
    /// How many points there are, where that is limited.
    #[must_use]
    pub fn limit(&self, space: &Space) -> Option<u64> {
        let Self::Grid(points) = self else { return None };
        let lengths = space.dimensions.iter().zip(points).map(|(dimension, points)| dimension.grid(*points).len());
        Some(lengths.fold(1_u64, |product, length| product.saturating_mul(length as u64)))
    }

    /// The point of trial `number`, given what is over. `(seed, number)` fixes every draw.
    #[must_use]
    pub fn propose(&self, space: &Space, seen: &[Observation<'_>], (seed, number): (u64, u64)) -> Point {
        let mut draw = Draw::new(seed, number);
        match self {
            Self::Grid(points) => grid_point(space, points, number),
            Self::Tpe if seen.len() >= tpe::STARTUP_TRIALS => tpe::propose(space, seen, &mut draw),
            Self::Random | Self::Tpe => {
                let unit: Vec<f64> = space.dimensions.iter().map(|_| draw.uniform()).collect();
                space.from_unit(&unit)
            }
        }
    }
}

/// The last dimension changes fastest.
fn grid_point(space: &Space, points: &[usize], number: u64) -> Point {
    let mut left = number;
    let mut point: Point = Vec::new();
    for (dimension, points) in space.dimensions.iter().zip(points).rev() {
        let values = dimension.grid(*points);
        point.push(values[(left % values.len() as u64) as usize]);
        left /= values.len() as u64;
    }
    point.reverse();
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Dimension;

    #[test]
    fn a_grid_gives_every_combination_once() {
        let space = Space {
            dimensions: vec![
                Dimension::Float { low: 1.0, high: 100.0, log: true },
                Dimension::Choice { count: 2 },
                Dimension::Integer { low: 1, high: 3, log: false },
            ],
        };
        let sampler = Sampler::Grid(vec![3, 9, 9]);
        assert_eq!(sampler.limit(&space), Some(18));
        let mut all: Vec<Point> = (0..18).map(|number| sampler.propose(&space, &[], (0, number))).collect();
        assert_eq!((&all[0], &all[1]), (&vec![1.0, 0.0, 1.0], &vec![1.0, 0.0, 2.0]));
        all.sort_by(|left, right| left.partial_cmp(right).unwrap());
        all.dedup();
        assert_eq!(all.len(), 18);
        assert!(all.iter().any(|point| (point[0] - 10.0).abs() < 1e-9));
    }

    #[test]
    fn a_trial_s_draw_depends_on_seed_and_number_alone() {
        let space = Space { dimensions: vec![Dimension::Float { low: 0.0, high: 1.0, log: false }] };
        let one = Sampler::Random.propose(&space, &[], (4, 7));
        assert_eq!(one, Sampler::Random.propose(&space, &[], (4, 7)));
        assert_ne!(one, Sampler::Random.propose(&space, &[], (4, 8)));
        assert_ne!(one, Sampler::Random.propose(&space, &[], (5, 7)));
    }
}
