//! From logits to one token: Transformers' processors in Transformers' order, and a draw.
//!
//! Order and definitions follow `_get_logits_processor` (`generation/utils.py`) and `generation/logits_process.py` of
//! Transformers 5.23: repetition penalty (Keskar et al. 2019), allowed tokens, temperature, top-k (Fan et al. 2018), top-p
//! (Holtzman et al. 2020), min-p (Nguyen et al. 2024). Everything is off by default: the likeliest token is taken.

use crate::error::{Error, Result};
use crate::ops::attention::softmax;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token and draws nothing.
    pub temperature: f32,
    /// Only the so many likeliest tokens; ties with the last stay. 0 for all.
    pub top_k: usize,
    /// The smallest set of likeliest tokens whose probability exceeds this, 0..=1; 1 for all.
    pub top_p: f32,
    /// Only tokens of at least this share of the likeliest token's probability, 0..=1; 0 for all.
    pub min_p: f32,
    /// Divides positive logits of tokens already there, multiplies negative ones; 1 for none.
    pub repetition_penalty: f32,
    /// Fixes the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Refuses values outside their ranges.
    pub fn check(&self) -> Result<()> {
        let share = |x: f32| (0.0..=1.0).contains(&x);
        let good = self.temperature.is_finite()
            && self.temperature >= 0.0
            && share(self.top_p)
            && share(self.min_p)
            && self.repetition_penalty.is_finite()
            && self.repetition_penalty > 0.0;
        if good {
            return Ok(());
        }
        let reason = "temperature is at least 0, top_p and min_p lie in 0..=1, the repetition penalty is above 0";
        Err(Error::Sampling { reason: reason.into() })
    }

    /// Applies all processors to the logits after `seen`; what may not be drawn becomes negative infinity. Tokens that `allowed`
    /// is too short for are forbidden.
    pub fn process(&self, logits: &mut [f32], seen: &[u32], allowed: Option<&[bool]>) {
        penalise(logits, seen, self.repetition_penalty);
        if let Some(allowed) = allowed {
            let allowed = allowed.iter().copied().chain(std::iter::repeat(false));
            let forbidden = logits.iter_mut().zip(allowed).filter(|(_, allowed)| !allowed);
            forbidden.for_each(|(x, _)| *x = f32::NEG_INFINITY);
        }
        if self.temperature > 0.0 {
            logits.iter_mut().for_each(|x| *x /= self.temperature);
            keep_top_k(logits, self.top_k);
            keep_top_p(logits, self.top_p);
            keep_min_p(logits, self.min_p);
        }
    }

    /// One token; the logits are used up.
    pub fn choose(&self, logits: &mut [f32], seen: &[u32], allowed: Option<&[bool]>, draws: &mut Draws) -> u32 {
        self.process(logits, seen, allowed);
        let best = crate::generate::argmax(logits);
        if self.temperature == 0.0 {
            return best;
        }
        softmax(logits);
        let point = draws.next_unit();
        let mut sum = 0.0;
        let drawn = logits.iter().position(|p| {
            sum += f64::from(*p);
            *p > 0.0 && sum > point
        });
        // The sum of rounded probabilities may end below the point.
        drawn.map_or(best, |token| token as u32)
    }
}

fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        if let Some(x) = logits.get_mut(token as usize) {
            *x = if *x < 0.0 { *x * penalty } else { *x / penalty };
        }
    }
}

fn keep_top_k(logits: &mut [f32], k: usize) {
    if k == 0 || k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, least, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least = *least;
    logits.iter_mut().filter(|x| **x < least).for_each(|x| *x = f32::NEG_INFINITY);
}

fn keep_top_p(logits: &mut [f32], p: f32) {
    if p >= 1.0 {
        return;
    }
    let mut order: Vec<usize> = (0..logits.len()).filter(|i| logits[*i] > f32::NEG_INFINITY).collect();
    order.sort_unstable_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let mut probabilities = logits.to_vec();
    softmax(&mut probabilities);
    // From the least likely up: those whose sum stays within 1 - p go, the likeliest never does.
    let mut sum = 0.0_f32;
    for token in order.iter().skip(1).rev() {
        sum += probabilities[*token];
        if sum > 1.0 - p {
            break;
        }
        logits[*token] = f32::NEG_INFINITY;
    }
}

fn keep_min_p(logits: &mut [f32], p: f32) {
    if p <= 0.0 {
        return;
    }
    let mut probabilities = logits.to_vec();
    softmax(&mut probabilities);
    let least = p * probabilities.iter().copied().fold(0.0, f32::max);
    for (x, _) in logits.iter_mut().zip(&probabilities).filter(|(_, p)| **p < least) {
        *x = f32::NEG_INFINITY;
    }
}

/// Uniform draws from a seed: SplitMix64 (Steele, Lea & Flood 2014). Each sequence of a batch has its own.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The draws of sequence `sequence` under a seed.
    pub fn new(seed: u64, sequence: usize) -> Self {
        let mut draws = Self(seed);
        draws.0 = draws.next_u64() ^ (sequence as u64).wrapping_mul(0xd129_0f0d_93c4_8a3b);
        draws
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next draw, 0 <= x < 1.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_repeats_and_keeps_to_the_probabilities() {
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        let logits = [0.7_f32.ln(), 0.2_f32.ln(), f32::NEG_INFINITY, 0.1_f32.ln()];
        let draw = |seed| {
            let mut draws = Draws::new(seed, 0);
            (0..4000).map(|_| sampling.choose(&mut logits.clone(), &[], None, &mut draws)).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
        let share = |token| drawn.iter().filter(|t| **t == token).count() as f64 / 4000.0;
        assert!((share(0) - 0.7).abs() < 0.03 && (share(1) - 0.2).abs() < 0.03 && share(2) == 0.0);
    }

    #[test]
    fn forbidden_tokens_are_never_chosen() {
        let allowed = [false, true, true];
        let choose = |s: Sampling| s.choose(&mut [9.0, 1.0, 2.0], &[], Some(&allowed), &mut Draws::new(0, 0));
        assert_eq!(choose(Sampling::default()), 2);
        assert_eq!(Sampling::default().choose(&mut [1.0, 9.0], &[], Some(&[true]), &mut Draws::new(0, 0)), 0);
        assert_ne!(choose(Sampling { temperature: 5.0, ..Sampling::default() }), 0);
        assert!(Sampling { top_p: 1.5, ..Sampling::default() }.check().is_err());
        assert!(Sampling { temperature: f32::NAN, ..Sampling::default() }.check().is_err());
    }
}
