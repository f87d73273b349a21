//! Asynchronous successive halving, ASHA (Li, Jamieson, Rostamizadeh, Gonina et al. 2020, "A System for Massively Parallel
//! Hyperparameter Tuning", algorithm 2), with optimiser steps as its resource.
//!
//! All trials run to the first rung. Whoever asks for work gets, from the highest rung down, a trial that is among the
//! best 1/η of its rung and was not promoted yet; only where there is none, a new trial begins. So nobody waits for a
//! rung to be full.

use std::collections::BTreeSet;

/// What is known of one rung.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rung {
    /// Trials that reached it, with their losses; infinite where they diverged.
    pub reached: Vec<(u64, f64)>,
    /// Trials that went on from it.
    pub promoted: BTreeSet<u64>,
}

/// How steps are dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// Steps of the first rung.
    pub min_steps: u64,
    /// One of so many goes on, η; at least 2.
    pub factor: u64,
}

impl Halving {
    /// Steps at each rung; the last one is `max_steps`, a whole run.
    #[must_use]
    pub fn rungs(self, max_steps: u64) -> Vec<u64> {
        let mut rungs = Vec::new();
        let mut steps = self.min_steps.max(1);
        while steps < max_steps {
            rungs.push(steps);
            steps = steps.saturating_mul(self.factor.max(2));
        }
        rungs.push(max_steps);
        rungs
    }
}

impl Rung {
    /// The best trial that may go on: among the ⌊reached / η⌋ best, not promoted yet, and not diverged.
    #[must_use]
    pub fn promotable(&self, factor: u64) -> Option<u64> {
        let mut order = self.reached.clone();
        order.sort_by(|left, right| left.1.total_cmp(&right.1).then(left.0.cmp(&right.0)));
        let best = order.into_iter().take(self.reached.len() / factor.max(2) as usize);
        best.filter(|(_, loss)| loss.is_finite()).map(|(trial, _)| trial).find(|trial| !self.promoted.contains(trial))
    }
}

/// The trial to go on with and the rung that it leaves; rungs from the first, the last of which nobody leaves.
#[must_use]
pub fn next(rungs: &[Rung], factor: u64) -> Option<(u64, usize)> {
    let (_, leaving) = rungs.split_last()?;
    leaving.iter().enumerate().rev().find_map(|(at, rung)| Some((rung.promotable(factor)?, at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rungs_grow_by_the_factor_and_end_with_a_whole_run() {
        let halving = Halving { min_steps: 10, factor: 3 };
        assert_eq!(halving.rungs(200), [10, 30, 90, 200]);
        assert_eq!(halving.rungs(90), [10, 30, 90]);
        assert_eq!(halving.rungs(7), [7]);
        assert_eq!(halving.rungs(u64::MAX).last(), Some(&u64::MAX));
    }

    #[test]
    fn the_highest_rung_comes_first_and_the_last_is_left_by_nobody() {
        let mut rungs = vec![Rung::default(); 3];
        rungs[0].reached = (0..6).map(|trial| (trial, trial as f64)).collect();
        rungs[0].promoted = BTreeSet::from([0, 1]);
        rungs[1].reached = vec![(0, 0.0), (1, 1.0)];
        assert_eq!(next(&rungs, 2), Some((0, 1)));
        rungs[1].promoted.insert(0);
        rungs[2].reached = vec![(0, 0.0); 4];
        assert_eq!(next(&rungs, 2), Some((2, 0)));
        rungs[0].promoted.insert(2);
        assert_eq!(next(&rungs, 2), None);
    }

    #[test]
    fn where_losses_only_grow_exactly_one_of_the_factor_goes_on() {
        let mut rung = Rung::default();
        for trial in 0..20 {
            rung.reached.push((trial, trial as f64));
            rung.promoted.extend(rung.promotable(3));
            assert_eq!(rung.promoted.len(), rung.reached.len() / 3);
        }
    }

    proptest! {
        /// Whatever the losses and the order of events: who leaves a rung is then among the best of it, and leaves it once.
        /// Earlier promotions stand although later arrivals may be better: that is the asynchronous part.
        #[test]
        fn never_more_are_promoted_than_the_rule_allows(
            losses in prop::collection::vec(prop_oneof![Just(f64::INFINITY), 0.0..1.0_f64], 1..60),
            factor in 2_u64..5,
            workers in 1_usize..5,
        ) {
            let mut rungs = vec![Rung::default(); 4];
            let (mut running, mut begun) = (Vec::new(), 0);
            loop {
                while running.len() < workers {
                    if let Some((trial, at)) = next(&rungs, factor) {
                        let own = losses[trial as usize];
                        let before = rungs[at].reached.iter().filter(|(_, loss)| *loss < own).count();
                        prop_assert!(before < rungs[at].reached.len() / factor as usize, "not among the best");
                        prop_assert!(own.is_finite() && rungs[at].promoted.insert(trial), "diverged, or promoted twice");
                        running.push((trial, at + 1));
                    } else if begun < losses.len() {
                        running.push((begun as u64, 0));
                        begun += 1;
                    } else {
                        break;
                    }
                }
                if running.is_empty() {
                    break;
                }
                let (trial, at) = running.remove(trial_to_end(&running));
                rungs[at].reached.push((trial, losses[trial as usize]));
            }
            prop_assert_eq!(rungs[0].reached.len(), losses.len());
            // In the end every rung but the last has let go whom the rule lets go.
            prop_assert_eq!(next(&rungs, factor), None);
        }
    }

    /// Workers end in an order that has nothing to do with who began first.
    fn trial_to_end(running: &[(u64, usize)]) -> usize {
        running.iter().map(|(trial, at)| (trial.wrapping_mul(7) as usize + at) % 5).sum::<usize>() % running.len()
    }
}
