//! How often an example counts: its own weight times its task's share in a mixture.
//!
//! A weight of 2 is twice in every epoch, one of 0.25 is there with a probability of a quarter. Which ones are there is
//! fixed by the seed and their IDs, so that a mixture does not depend on what else is in it.

use crate::dataset::Example;
use crate::phrasing::draw;

/// No example is repeated more often than this.
pub const MAX_REPEATS: usize = 100;

/// `examples` of one task, each as often as its weight times `share` says, repeated ones behind one another.
#[must_use]
pub fn weigh(examples: Vec<Example>, share: f64, seed: u64) -> Vec<Example> {
    let mut weighed = Vec::with_capacity(examples.len());
    for example in examples {
        let count = times(&example, share, seed);
        for _ in 1..count {
            weighed.push(example.clone());
        }
        if count > 0 {
            weighed.push(example);
        }
    }
    weighed
}

fn times(example: &Example, share: f64, seed: u64) -> usize {
    let wanted = (example.weight * share).clamp(0.0, MAX_REPEATS as f64);
    let more = draw(seed, &example.task, &example.id) < wanted.fract();
    wanted as usize + usize::from(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Conversation;

    fn examples(weight: f64) -> Vec<Example> {
        let example = |at: usize| Example {
            id: format!("CVE-2024-{at:04}"),
            task: "severity".into(),
            published: String::new(),
            group: 0,
            sources: Vec::new(),
            weight,
            private: false,
            conversation: Conversation::question("how bad?", "High"),
            gold: None,
        };
        (0..1000).map(example).collect()
    }

    #[test]
    fn weights_and_shares_multiply_and_every_draw_is_fixed() {
        assert_eq!(weigh(examples(1.0), 1.0, 3), examples(1.0));
        assert_eq!(weigh(examples(2.0), 1.5, 3).len(), 3000);
        let quarter = weigh(examples(0.5), 0.5, 3);
        assert!((200..300).contains(&quarter.len()), "{}", quarter.len());
        assert_eq!(quarter, weigh(examples(0.5), 0.5, 3));
        assert_ne!(quarter, weigh(examples(0.5), 0.5, 4));
        assert!(weigh(examples(1.0), 0.0, 3).is_empty());
        assert_eq!(weigh(examples(f64::MAX), 1.0, 3).len(), 1000 * MAX_REPEATS);
    }
}
