//! What can be chosen: one dimension a parameter, and the scale on which it is even.

/// The range of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dimension {
    /// Any number of the range.
    Float {
        /// The least.
        low: f64,
        /// The most, above `low`.
        high: f64,
        /// Even in the logarithm (`low` is above zero) and not in the number.
        log: bool,
    },
    /// A whole number of the range.
    Integer {
        /// The least.
        low: i64,
        /// The most, not below `low`.
        high: i64,
        /// Even in the logarithm (`low` is above zero) and not in the number.
        log: bool,
    },
    /// One of so many things without an order.
    Choice {
        /// How many there are.
        count: usize,
    },
}

/// A value for each dimension: the number itself, or the place of a choice.
pub type Point = Vec<f64>;

/// All that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// One a parameter.
    pub dimensions: Vec<Dimension>,
}

impl Dimension {
    /// The ends of the range on the scale on which it is even.
    fn ends(self) -> (f64, f64) {
        let scale = |x: f64, log: bool| if log { x.ln() } else { x };
        match self {
            Self::Float { low, high, log } => (scale(low, log), scale(high, log)),
            // Half a number more on both sides, so that the ends are as likely as the others.
            Self::Integer { low, high, log } => (scale(low as f64 - 0.5, log), scale(high as f64 + 0.5, log)),
            Self::Choice { count } => (-0.5, count as f64 - 0.5),
        }
    }

    /// The value as a place in 0..=1.
    #[must_use]
    pub fn to_unit(self, value: f64) -> f64 {
        let (low, high) = self.ends();
        let log = matches!(self, Self::Float { log: true, .. } | Self::Integer { log: true, .. });
        let at = if log { value.ln() } else { value };
        ((at - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The value at a place in 0..=1; whole numbers and choices are rounded to.
    #[must_use]
    pub fn from_unit(self, unit: f64) -> f64 {
        let (low, high) = self.ends();
        let at = low + unit.clamp(0.0, 1.0) * (high - low);
        match self {
            Self::Float { low, high, log } => (if log { at.exp() } else { at }).clamp(low, high),
            Self::Integer { low, high, log } => {
                (if log { at.exp() } else { at }).round().clamp(low as f64, high as f64)
            }
            Self::Choice { count } => at.round().clamp(0.0, count as f64 - 1.0),
        }
    }

    /// Values that stand for the range, `points` of them where it has so many: its ends and what lies evenly between.
    #[must_use]
    pub fn grid(self, points: usize) -> Vec<f64> {
        let (low, high, log) = match self {
            Self::Choice { count } => return (0..count).map(|place| place as f64).collect(),
            Self::Float { low, high, log } => (low, high, log),
            Self::Integer { low, high, log } => (low as f64, high as f64, log),
        };
        let last = points.max(2) - 1;
        let between = |place: usize| {
            let share = place as f64 / last as f64;
            match place {
                0 => low,
                place if place == last => high,
                _ if log => low * (high / low).powf(share),
                _ => low + share * (high - low),
            }
        };
        let round = |x: f64| if matches!(self, Self::Integer { .. }) { x.round() } else { x };
        let mut values: Vec<f64> = (0..=last).map(between).map(round).collect();
        values.dedup();
        values
    }
}

impl Space {
    /// The point at a place in the unit cube.
    #[must_use]
    pub fn from_unit(&self, unit: &[f64]) -> Point {
        self.dimensions.iter().zip(unit).map(|(dimension, unit)| dimension.from_unit(*unit)).collect()
    }

    /// The point's place in the unit cube.
    #[must_use]
    pub fn to_unit(&self, point: &[f64]) -> Vec<f64> {
        self.dimensions.iter().zip(point).map(|(dimension, value)| dimension.to_unit(*value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_dimension() -> impl Strategy<Value = Dimension> {
        prop_oneof![
            (1e-6..1.0, 1.0..1e3, any::<bool>()).prop_map(|(low, high, log)| Dimension::Float { low, high, log }),
            (1_i64..50, 0_i64..200, any::<bool>()).prop_map(|(low, more, log)| Dimension::Integer {
                low,
                high: low + more,
                log
            }),
            (1_usize..9).prop_map(|count| Dimension::Choice { count }),
        ]
    }

    proptest! {
        #[test]
        fn a_value_survives_the_way_into_the_unit_cube_and_back(dimension in any_dimension(), unit in 0.0..=1.0) {
            let value = dimension.from_unit(unit);
            let again = dimension.from_unit(dimension.to_unit(value));
            prop_assert!((again - value).abs() <= 1e-9 * value.abs(), "{value} {again}");
        }

        #[test]
        fn a_grid_is_distinct_holds_both_ends_and_lies_within(dimension in any_dimension(), points in 2_usize..12) {
            let grid = dimension.grid(points);
            prop_assert!(grid.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(grid.iter().all(|value| (dimension.from_unit(dimension.to_unit(*value)) - value).abs() <= 1e-9 * value.abs()));
            if let Dimension::Float { low, high, .. } = dimension {
                prop_assert_eq!((grid[0], grid[grid.len() - 1], grid.len()), (low, high, points));
            }
        }
    }

    #[test]
    fn every_whole_number_is_equally_likely() {
        let dimension = Dimension::Integer { low: 1, high: 4, log: false };
        let mut counts = [0; 5];
        (0..4000).for_each(|i| counts[dimension.from_unit((f64::from(i) + 0.5) / 4000.0) as usize] += 1);
        assert_eq!(counts, [0, 1000, 1000, 1000, 1000]);
    }
}
