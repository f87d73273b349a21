//! A trie over the token sequences of allowed answers: the exact probability of every answer from one prefill.
//!
//! All nodes of one depth run as one batch; each sees the prompt and its own ancestors.

use crate::cache::Sight;
use crate::error::{Error, Result};
use crate::layers::workspace::Workspace;
use crate::model::Model;
use crate::ops::cross_entropy::log_softmax;

/// A trie of answers.
#[derive(Clone, Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    answers: usize,
}

#[derive(Clone, Debug)]
struct Node {
    token: u32,
    children: Vec<usize>,
    /// The answer that ends here.
    answer: Option<usize>,
}

impl Trie {
    /// Builds the trie. Every answer must be non-empty, distinct, and no beginning of another (end them with an end token).
    pub fn new(answers: &[Vec<u32>]) -> Result<Self> {
        let mut trie =
            Self { nodes: vec![Node { token: 0, children: Vec::new(), answer: None }], answers: answers.len() };
        for (i, answer) in answers.iter().enumerate() {
            let end = answer.iter().fold(0, |node, token| trie.child(node, *token));
            if end == 0 || trie.nodes[end].answer.replace(i).is_some() {
                return Err(Error::Batch { reason: format!("answer {i} is empty or stands twice") });
            }
        }
        match trie.nodes.iter().find(|n| n.answer.is_some() && !n.children.is_empty()) {
            Some(n) => Err(Error::Batch { reason: format!("answer {:?} is the beginning of another", n.answer) }),
            None => Ok(trie),
        }
    }

    fn child(&mut self, node: usize, token: u32) -> usize {
        let found = self.nodes[node].children.iter().copied().find(|c| self.nodes[*c].token == token);
        found.unwrap_or_else(|| {
            self.nodes.push(Node { token, children: Vec::new(), answer: None });
            let new = self.nodes.len() - 1;
            self.nodes[node].children.push(new);
            new
        })
    }

    /// Tokens on the longest branch.
    fn depth(&self) -> usize {
        fn below(trie: &Trie, node: usize) -> usize {
            trie.nodes[node].children.iter().map(|c| 1 + below(trie, *c)).max().unwrap_or(0)
        }
        below(self, 0)
    }
}

/// A node whose children are to be scored: its log-probability and the slots of its branch.
struct Open {
    node: usize,
    nats: f64,
    slots: Vec<usize>,
}

impl Model {
    /// ln p(answer | prompt) in nats of every answer of the trie, in their order.
    pub fn score_answers(&self, prompt: &[u32], trie: &Trie, workspace: &mut Workspace) -> Result<Vec<f64>> {
        if self.spec.positions.limit().is_some_and(|l| prompt.len() + trie.depth() > l + 1) {
            let reason = format!("the prompt of {} tokens leaves no room for the answers", prompt.len());
            return Err(Error::Batch { reason });
        }
        let (mut cache, mut logits) = self.prefill(prompt, workspace)?;
        let mut scores = vec![f64::NEG_INFINITY; trie.answers];
        let mut level = vec![Open { node: 0, nats: 0.0, slots: Vec::new() }];
        let mut position = prompt.len() as u32;
        loop {
            let next = expand(trie, &level, &mut logits, &mut scores, self.spec.vocab);
            if next.is_empty() {
                return Ok(scores);
            }
            let first = cache.len();
            level = next
                .into_iter()
                .enumerate()
                .map(|(i, mut open)| {
                    open.slots.push(first + i);
                    open
                })
                .collect();
            let ids: Vec<u32> = level.iter().map(|o| trie.nodes[o.node].token).collect();
            let slots: Vec<Vec<usize>> = level.iter().map(|o| o.slots.clone()).collect();
            let sight = Sight::Tree { prefix: prompt.len(), slots: &slots };
            let x = self.forward_cached(&mut cache, &ids, &vec![position; ids.len()], sight, workspace);
            logits = self.head.logits(&self.params, &x, workspace);
            workspace.give(x);
            position += 1;
        }
    }
}

/// Scores the children of a level; finished answers go to `scores`, the others are returned.
fn expand(trie: &Trie, level: &[Open], logits: &mut [f32], scores: &mut [f64], vocab: usize) -> Vec<Open> {
    let mut next = Vec::new();
    for (open, row) in level.iter().zip(logits.chunks_exact_mut(vocab)) {
        log_softmax(row);
        for child in &trie.nodes[open.node].children {
            let node = &trie.nodes[*child];
            let nats = open.nats + f64::from(row[node.token as usize]);
            match node.answer {
                Some(answer) => scores[answer] = nats,
                None => next.push(Open { node: *child, nats, slots: open.slots.clone() }),
            }
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_answers_are_refused() {
        assert!(Trie::new(&[vec![1, 2], vec![1, 2]]).is_err());
        assert!(Trie::new(&[vec![1], vec![1, 2]]).is_err());
        assert!(Trie::new(&[vec![]]).is_err());
        assert_eq!(Trie::new(&[vec![1, 2, 9], vec![1, 3, 9], vec![4, 9]]).unwrap().depth(), 3);
    }
}
