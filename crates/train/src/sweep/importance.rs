//! Which parameter mattered: the share of the variance of the loss that each explains alone, in a random forest.
//!
//! Functional ANOVA after Hutter, Hoos & Leyton-Brown (2014), "An Efficient Approach for Assessing Hyperparameter
//! Importance", main effects only. A regression tree is constant on boxes, so that its mean over all other dimensions, and
//! the variance of that mean, are exact sums over its leaves. Shares need not sum to 1: the rest are interactions.

use super::draw::Draw;
use super::space::{Point, Space};

/// Trees, each grown on trials drawn with replacement.
const TREES: u64 = 64;
/// No leaf holds fewer trials than these, unless it cannot be divided.
const LEAST_IN_LEAF: usize = 2;
/// Fewer trials say nothing.
const LEAST_TRIALS: usize = 4;

/// A box of the unit cube with the mean loss within.
struct Leaf {
    low: Vec<f64>,
    high: Vec<f64>,
    mean: f64,
}

impl Leaf {
    fn width(&self, at: usize) -> f64 {
        self.high[at] - self.low[at]
    }

    fn volume(&self) -> f64 {
        (0..self.low.len()).map(|at| self.width(at)).product()
    }
}

/// For each dimension the share of the variance that it explains alone, 0..=1, the mean over all trees. `None` with
/// fewer than four finite losses, or where all losses are alike.
#[must_use]
pub fn importance(space: &Space, seen: &[(&Point, f64)], seed: u64) -> Option<Vec<f64>> {
    let finite: Vec<(Vec<f64>, f64)> =
        seen.iter().filter(|(_, loss)| loss.is_finite()).map(|(point, loss)| (space.to_unit(point), *loss)).collect();
    if finite.len() < LEAST_TRIALS {
        return None;
    }
    let shares: Vec<Vec<f64>> = (0..TREES).filter_map(|tree| shares(&finite, &mut Draw::new(seed, tree))).collect();
    let dimensions = space.dimensions.len();
    let mean = |at: usize| shares.iter().map(|tree| tree[at]).sum::<f64>() / shares.len() as f64;
    (!shares.is_empty()).then(|| (0..dimensions).map(mean).collect())
}

/// One tree's shares.
fn shares(seen: &[(Vec<f64>, f64)], draw: &mut Draw) -> Option<Vec<f64>> {
    let drawn: Vec<&(Vec<f64>, f64)> = (0..seen.len()).map(|_| &seen[draw.below(seen.len())]).collect();
    let dimensions = seen[0].0.len();
    let mut leaves = Vec::new();
    let whole = Leaf { low: vec![0.0; dimensions], high: vec![1.0; dimensions], mean: 0.0 };
    let mut open = vec![(whole, drawn)];
    while let Some((mut leaf, members)) = open.pop() {
        leaf.mean = mean(&members);
        match split(&members) {
            None => leaves.push(leaf),
            Some((at, border)) => {
                let (left, right): (Vec<_>, Vec<_>) = members.into_iter().partition(|(unit, _)| unit[at] < border);
                let mut lower = leaf.high.clone();
                lower[at] = border;
                let mut upper = leaf.low.clone();
                upper[at] = border;
                open.push((Leaf { low: leaf.low, high: lower, mean: 0.0 }, left));
                open.push((Leaf { low: upper, high: leaf.high, mean: 0.0 }, right));
            }
        }
    }
    decompose(&leaves, dimensions)
}

fn mean(members: &[&(Vec<f64>, f64)]) -> f64 {
    members.iter().map(|(_, loss)| loss).sum::<f64>() / members.len().max(1) as f64
}

/// The border that lowers the sum of squares most: (dimension, place).
fn split(members: &[&(Vec<f64>, f64)]) -> Option<(usize, f64)> {
    if members.len() < 2 * LEAST_IN_LEAF {
        return None;
    }
    let all: f64 = members.iter().map(|(_, loss)| loss).sum();
    let none = all * all / members.len() as f64;
    let mut best: Option<(f64, usize, f64)> = None;
    for at in 0..members[0].0.len() {
        let mut sorted = members.to_vec();
        sorted.sort_by(|left, right| left.0[at].total_cmp(&right.0[at]));
        let mut left = 0.0;
        for count in 1..sorted.len() {
            left += sorted[count - 1].1;
            let (before, after) = (sorted[count - 1].0[at], sorted[count].0[at]);
            if before == after || count < LEAST_IN_LEAF || sorted.len() - count < LEAST_IN_LEAF {
                continue;
            }
            let right = all - left;
            let gain = left * left / count as f64 + right * right / (sorted.len() - count) as f64 - none;
            if gain > 1e-12 * none.abs() && best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, at, f64::midpoint(before, after)));
            }
        }
    }
    best.map(|(_, at, border)| (at, border))
}

/// The variance of each dimension's marginal mean, as a share of the tree's variance.
fn decompose(leaves: &[Leaf], dimensions: usize) -> Option<Vec<f64>> {
    let mean: f64 = leaves.iter().map(|leaf| leaf.volume() * leaf.mean).sum();
    let variance: f64 = leaves.iter().map(|leaf| leaf.volume() * (leaf.mean - mean).powi(2)).sum();
    if variance <= 0.0 {
        return None;
    }
    let marginal = |at: usize| {
        let mut borders: Vec<f64> = leaves.iter().flat_map(|leaf| [leaf.low[at], leaf.high[at]]).collect();
        borders.sort_by(f64::total_cmp);
        borders.dedup();
        let interval = |pair: &[f64]| {
            let middle = f64::midpoint(pair[0], pair[1]);
            let there = leaves.iter().filter(|leaf| leaf.low[at] <= middle && middle < leaf.high[at]);
            let level: f64 = there.map(|leaf| leaf.volume() / leaf.width(at) * leaf.mean).sum();
            (pair[1] - pair[0]) * (level - mean).powi(2)
        };
        borders.windows(2).map(interval).sum::<f64>() / variance
    };
    Some((0..dimensions).map(marginal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Dimension;

    #[test]
    fn the_parameter_that_decides_explains_most_and_the_idle_one_next_to_nothing() {
        let unit = Dimension::Float { low: 0.0, high: 1.0, log: false };
        let space = Space { dimensions: vec![unit; 3] };
        let mut draw = Draw::new(1, 1);
        let points: Vec<Point> = (0..80).map(|_| (0..3).map(|_| draw.uniform()).collect()).collect();
        let seen: Vec<(&Point, f64)> = points.iter().map(|p| (p, 3.0 * p[0] + p[1])).collect();
        let shares = importance(&space, &seen, 0).unwrap();
        // Var(3x) : Var(y) = 9 : 1.
        assert!(shares[0] > 0.75 && (0.02..0.25).contains(&shares[1]) && shares[2] < 0.05, "{shares:?}");
        assert!(shares.iter().sum::<f64>() <= 1.0 + 1e-9, "{shares:?}");
    }

    #[test]
    fn too_few_trials_or_equal_losses_say_nothing() {
        let space = Space { dimensions: vec![Dimension::Choice { count: 2 }] };
        let points = [vec![0.0], vec![1.0], vec![0.0], vec![1.0], vec![1.0]];
        let with = |loss: fn(usize) -> f64| points.iter().enumerate().map(|(i, p)| (p, loss(i))).collect::<Vec<_>>();
        assert_eq!(importance(&space, &with(|_| 1.0), 0), None);
        assert_eq!(importance(&space, &with(|i| i as f64)[..3], 0), None);
        assert_eq!(importance(&space, &with(|i| if i > 2 { f64::INFINITY } else { 1.0 }), 0), None);
    }
}
