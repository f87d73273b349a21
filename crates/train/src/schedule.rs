//! Learning rates: warm-up, then cosine (Loshchilov & Hutter 2017), linear or constant.

/// The shape after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Half a cosine down to the minimum.
    Cosine,
    /// A straight line down to the minimum.
    Linear,
    /// No change.
    Constant,
}

/// A learning-rate schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// The shape.
    pub shape: Shape,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// The last rate as a share of the peak.
    pub min_ratio: f64,
}

impl Schedule {
    /// The rate of step `step`, counted from 1.
    pub fn rate(&self, step: u64) -> f64 {
        if step <= self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let done = ((step - self.warmup_steps) as f64 / span).min(1.0);
        let share = match self.shape {
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Shape::Linear => 1.0 - done,
            Shape::Constant => return self.peak,
        };
        self.peak * (self.min_ratio + (1.0 - self.min_ratio) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_to_the_peak_and_ends_at_the_minimum() {
        let schedule = Schedule { peak: 1.0, shape: Shape::Cosine, warmup_steps: 10, total_steps: 110, min_ratio: 0.1 };
        assert_eq!(schedule.rate(5), 0.5);
        assert_eq!(schedule.rate(10), 1.0);
        assert!((schedule.rate(60) - 0.55).abs() < 1e-9);
        assert!((schedule.rate(110) - 0.1).abs() < 1e-9);
        let linear = Schedule { shape: Shape::Linear, min_ratio: 0.0, warmup_steps: 0, ..schedule };
        assert!((linear.rate(55) - 0.5).abs() < 1e-9);
    }
}
