//! One-vs-all linear classifiers by stochastic gradient descent on sparse rows: modified Huber loss (Zhang 2004), L2
//! penalty, Bottou's "optimal" step size 1 / (α (t₀ + t)).
//!
//! Classes are independent but see the rows in one order, so that 16 of them share each walk over a row: a
//! feature's weights for a block of classes fill one cache line. Blocks run in parallel; neither the blocks' size nor the
//! number of threads changes a result. The penalty shrinks a scale factor, not the weights (Bottou 2010), and so costs
//! nothing per feature.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::vectorizer::Row;
use crate::evaluate::below;

/// Classes trained together: 16 × 4 bytes are a cache line.
const LANES: usize = 16;

/// Below this scale the weights are multiplied out, long before `f32` loses digits.
const SMALLEST_SCALE: f32 = 1e-6;

/// Intercepts move this much slower than weights, because every row shows them (scikit-learn's choice for sparse rows).
const INTERCEPT_RATE: f32 = 0.01;

/// How the classifiers are trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearOptions {
    /// Strength α of the L2 penalty; also sets the step size.
    pub alpha: f64,
    /// Passes over the rows at most.
    pub max_epochs: usize,
    /// A pass must lower a class's mean loss by this much to count as progress.
    pub tolerance: f64,
    /// A class stops after this many passes without progress.
    pub patience: usize,
    /// Fixes the order of the rows.
    pub seed: u64,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self { alpha: 1e-6, max_epochs: 12, tolerance: 1e-3, patience: 5, seed: 0 }
    }
}

/// One number for each class of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
struct Lanes([f32; LANES]);

/// Trained classifiers.
#[derive(Debug, Clone)]
pub struct Linear {
    classes: usize,
    blocks: Vec<Block>,
}

/// The classifiers of up to [`LANES`] neighbouring classes.
#[derive(Debug, Clone)]
struct Block {
    /// Weight divided by scale, of each feature (features, lanes).
    weights: Vec<Lanes>,
    scale: Lanes,
    intercept: Lanes,
}

impl Linear {
    /// Trains one classifier for each class on all `rows` (of `features` columns), whose classes are `gold`.
    /// `on_epoch` is called from several threads after each pass of a block, [`Linear::passes`] times in all.
    ///
    /// # Panics
    /// If `rows` and `gold` differ in length or a column is not below `features`.
    #[must_use]
    pub fn fit(
        rows: &[Row],
        gold: &[usize],
        (features, classes): (usize, usize),
        options: LinearOptions,
        on_epoch: &(dyn Fn() + Sync),
    ) -> Self {
        assert_eq!(rows.len(), gold.len(), "one class a row");
        let starts: Vec<usize> = (0..classes).step_by(LANES).collect();
        let train = |&first: &usize| Trainer::new(first, features, options).train(rows, gold, on_epoch);
        Self { classes, blocks: starts.par_iter().with_max_len(1).map(train).collect() }
    }

    /// How often [`Linear::fit`] calls `on_epoch`.
    #[must_use]
    pub fn passes(classes: usize, options: LinearOptions) -> usize {
        classes.div_ceil(LANES) * options.max_epochs
    }

    /// Each class's decision value: above 0 it says yes, and by more than 1 it is sure.
    #[must_use]
    pub fn decide(&self, row: &Row) -> Vec<f32> {
        let mut values: Vec<f32> = self.blocks.iter().flat_map(|block| block.decide(row)).collect();
        values.truncate(self.classes);
        values
    }
}

impl Block {
    fn decide(&self, row: &Row) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for &(column, value) in row {
            add_scaled(&mut sums, value, &self.weights[column as usize].0);
        }
        std::array::from_fn(|lane| sums[lane] * self.scale.0[lane] + self.intercept.0[lane])
    }

    /// Adds `steps[lane]` × row to each lane's weights (given in true, unscaled size).
    fn add(&mut self, row: &Row, steps: &[f32; LANES]) {
        let scaled = std::array::from_fn(|lane| steps[lane] / self.scale.0[lane]);
        for &(column, value) in row {
            add_scaled(&mut self.weights[column as usize].0, value, &scaled);
        }
        add_scaled(&mut self.intercept.0, INTERCEPT_RATE, steps);
    }

    /// Shrinks the lanes' weights by their factors.
    fn shrink(&mut self, factors: &[f32; LANES]) {
        multiply(&mut self.scale.0, factors);
        if self.scale.0.iter().any(|&scale| scale < SMALLEST_SCALE) {
            for weights in &mut self.weights {
                multiply(&mut weights.0, &self.scale.0);
            }
            self.scale = Lanes([1.0; LANES]);
        }
    }
}

/// sums += value × weights, lane by lane.
fn add_scaled(sums: &mut [f32; LANES], value: f32, weights: &[f32; LANES]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum += value * weight;
    }
}

/// numbers ×= factors, lane by lane.
fn multiply(numbers: &mut [f32; LANES], factors: &[f32; LANES]) {
    for (number, factor) in numbers.iter_mut().zip(factors) {
        *number *= factor;
    }
}

/// A block in training.
struct Trainer {
    block: Block,
    /// The class of the first lane.
    first: usize,
    options: LinearOptions,
    /// Lanes that still learn.
    active: [bool; LANES],
    best_loss: [f64; LANES],
    /// Passes since the loss last fell enough.
    idle: [usize; LANES],
    /// Steps taken.
    taken: u64,
}

impl Trainer {
    fn new(first: usize, features: usize, options: LinearOptions) -> Self {
        let block = Block {
            weights: vec![Lanes([0.0; LANES]); features],
            scale: Lanes([1.0; LANES]),
            intercept: Lanes([0.0; LANES]),
        };
        Self {
            block,
            first,
            options,
            active: [true; LANES],
            best_loss: [f64::INFINITY; LANES],
            idle: [0; LANES],
            taken: 0,
        }
    }

    fn train(mut self, rows: &[Row], gold: &[usize], on_epoch: &(dyn Fn() + Sync)) -> Block {
        let mut random = ChaCha8Rng::seed_from_u64(self.options.seed);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        for _ in 0..self.options.max_epochs {
            if self.active.contains(&true) {
                shuffle(&mut order, &mut random);
                let losses = self.pass(rows, gold, &order);
                self.judge(&losses, rows.len());
            }
            on_epoch();
        }
        self.block
    }

    /// One pass over the rows: the sum of each lane's losses, each before its row was learned.
    fn pass(&mut self, rows: &[Row], gold: &[usize], order: &[usize]) -> [f64; LANES] {
        let mut losses = [0.0; LANES];
        for &index in order {
            let rate = self.rate();
            let steps = self.steps_of(&rows[index], gold[index], rate as f32, &mut losses);
            let factor = (1.0 - rate * self.options.alpha).max(0.0) as f32;
            self.block.shrink(&self.active.map(|active| if active { factor } else { 1.0 }));
            if steps.iter().any(|&step| step != 0.0) {
                self.block.add(&rows[index], &steps);
            }
            self.taken += 1;
        }
        losses
    }

    /// How far each lane moves along a row of class `gold`; adds the row's losses to `losses`.
    fn steps_of(&self, row: &Row, gold: usize, rate: f32, losses: &mut [f64; LANES]) -> [f32; LANES] {
        let values = self.block.decide(row);
        std::array::from_fn(|lane| {
            let target = if gold == self.first + lane { 1.0 } else { -1.0 };
            let (loss, slope) = modified_huber(values[lane] * target);
            losses[lane] += f64::from(loss);
            if self.active[lane] { -rate * slope * target } else { 0.0 }
        })
    }

    /// The step size 1 / (α (t₀ + t)), where t₀ makes the first one the typical size of a weight, α^(−¼).
    fn rate(&self) -> f64 {
        let alpha = self.options.alpha;
        let first_rate = alpha.powf(-0.25);
        1.0 / (1.0 / first_rate + alpha * self.taken as f64)
    }

    /// Puts the lanes to rest whose loss has not fallen for long.
    fn judge(&mut self, losses: &[f64; LANES], rows: usize) {
        for (lane, &loss) in losses.iter().enumerate() {
            let progress = loss <= self.best_loss[lane] - self.options.tolerance * rows as f64;
            self.idle[lane] = if progress { 0 } else { self.idle[lane] + 1 };
            self.best_loss[lane] = self.best_loss[lane].min(loss);
            self.active[lane] &= self.idle[lane] < self.options.patience;
        }
    }
}

/// Loss and slope at a margin: (1 − margin)² down to 0 at margin 1, and a straight line below margin −1.
fn modified_huber(margin: f32) -> (f32, f32) {
    if margin >= 1.0 {
        (0.0, 0.0)
    } else if margin >= -1.0 {
        ((1.0 - margin) * (1.0 - margin), -2.0 * (1.0 - margin))
    } else {
        (-4.0 * margin, -4.0)
    }
}

/// Fisher–Yates.
fn shuffle(order: &mut [usize], random: &mut ChaCha8Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, below(random, last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty classes, each with a column of its own, ten rows a class with a column of noise.
    fn forty() -> (Vec<Row>, Vec<usize>) {
        let row = |index: u32| vec![(index % 40, 0.8), (40 + index % 7, 0.6)];
        ((0..400).map(row).collect(), (0..400).map(|index| index % 40).collect())
    }

    fn best(values: &[f32]) -> usize {
        (0..values.len()).max_by(|&left, &right| values[left].total_cmp(&values[right])).unwrap()
    }

    fn fit(rows: &[Row], gold: &[usize], seed: u64) -> Linear {
        Linear::fit(rows, gold, (47, 40), LinearOptions { seed, ..LinearOptions::default() }, &|| ())
    }

    #[test]
    fn separable_classes_are_separated_across_blocks() {
        let (rows, gold) = forty();
        let linear = fit(&rows, &gold, 0);
        assert!(rows.iter().zip(&gold).all(|(row, &gold)| best(&linear.decide(row)) == gold));
        assert_eq!(linear.decide(&rows[0]).len(), 40);
    }

    #[test]
    fn a_seed_fixes_every_bit_whatever_the_number_of_threads() {
        let (rows, gold) = forty();
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&rows, &gold, seed).decide(&rows[3]))
        };
        assert_eq!(on(1, 5), on(3, 5));
        assert_ne!(on(1, 5), on(1, 6));
    }

    #[test]
    fn the_slope_is_the_derivative_of_the_loss() {
        for margin in [-3.0_f32, -1.5, -0.5, 0.0, 0.9, 1.5] {
            let difference = modified_huber(margin + 1e-2).0 - modified_huber(margin - 1e-2).0;
            assert!((difference / 2e-2 - modified_huber(margin).1).abs() < 1e-2, "at {margin}");
        }
    }

    #[test]
    fn multiplying_the_scale_out_changes_no_decision() {
        let row = vec![(0, 0.5), (2, 1.0)];
        let lanes = std::array::from_fn(|lane| lane as f32 * 1e5);
        let block =
            Block { weights: vec![Lanes(lanes); 3], scale: Lanes([1.0; LANES]), intercept: Lanes([0.25; LANES]) };
        let (mut slow, mut fast) = (block.clone(), block);
        (0..4).for_each(|_| slow.shrink(&[0.1; LANES]));
        fast.shrink(&[1e-7; LANES]);
        (0..3).for_each(|_| fast.shrink(&[10.0; LANES]));
        assert_eq!(fast.scale.0[0], 1000.0);
        assert!(slow.decide(&row).iter().zip(fast.decide(&row)).all(|(slow, fast)| (slow / fast - 1.0).abs() < 1e-4));
    }

    #[test]
    fn a_class_that_learns_no_more_stops_and_its_neighbours_go_on() {
        let mut trainer = Trainer::new(0, 1, LinearOptions { patience: 2, ..LinearOptions::default() });
        let mut losses = [100.0; LANES];
        for loss in [100.0, 50.0, 25.0] {
            losses[1] = loss;
            trainer.judge(&losses, 10);
        }
        assert_eq!(trainer.active[..3], [false, true, false]);
    }

    #[test]
    fn every_pass_of_every_block_is_told() {
        let told = std::sync::atomic::AtomicUsize::new(0);
        let (rows, gold) = forty();
        let tell = || {
            told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let _ = Linear::fit(&rows, &gold, (47, 40), LinearOptions::default(), &tell);
        assert_eq!(told.into_inner(), Linear::passes(40, LinearOptions::default()));
    }
}
