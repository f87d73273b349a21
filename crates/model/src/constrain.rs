//! A trie over the token sequences of allowed answers: the exact probability of every answer from one prefill.
//!
//! All nodes run as one batch: their tokens are known, and each sees the prompt and its own ancestors.

use rayon::prelude::*;

use crate::cache::{Cache, Sight};
use crate::error::{Error, Result};
use crate::layers::workspace::Workspace;
use crate::model::Model;
use crate::ops::exp;

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

/// Rows of the vocabulary's logits that are made at once.
const ROWS_PER_BLOCK: usize = 32;

/// A node that waits for its run: what is known of its probability, and the slots of its branch.
struct Open {
    node: usize,
    nats: f64,
    slots: Vec<usize>,
}

/// Nodes of one batch with their branches, parents before children.
#[derive(Default)]
struct Run {
    nodes: Vec<usize>,
    slots: Vec<Vec<usize>>,
    positions: Vec<u32>,
}

/// A prompt's cache with the trie that is scored over it.
struct Scoring<'a> {
    model: &'a Model,
    trie: &'a Trie,
    cache: &'a mut Cache,
    prompt: usize,
    /// ln p of the children of each node, in their order, once it has run.
    steps: Vec<Option<Vec<f64>>>,
}

impl Scoring<'_> {
    /// The probabilities of the children of `nodes` from logits (nodes, vocab), which are used up.
    fn note(&mut self, nodes: &[usize], logits: &mut [f32]) {
        let (vocab, trie) = (self.model.spec.vocab, self.trie);
        let steps = |(row, node): (&mut [f32], &usize)| -> Vec<f64> {
            let children = &trie.nodes[*node].children;
            let chosen: Vec<f32> = children.iter().map(|c| row[trie.nodes[*c].token as usize]).collect();
            let largest = exp::max(row);
            let log_sum = f64::from(exp::exp_sum(row, largest)).ln();
            chosen.iter().map(|x| f64::from(x - largest) - log_sum).collect()
        };
        let steps: Vec<Vec<f64>> = logits.par_chunks_exact_mut(vocab).zip(nodes).map(steps).collect();
        for (node, steps) in nodes.iter().zip(steps) {
            self.steps[*node] = Some(steps);
        }
    }

    /// Runs nodes as one batch over the prompt, each seeing its own branch.
    fn run(&mut self, run: &Run, workspace: &mut Workspace) {
        if run.nodes.is_empty() {
            return;
        }
        let ids: Vec<u32> = run.nodes.iter().map(|n| self.trie.nodes[*n].token).collect();
        let sight = Sight::Tree { prefix: self.prompt, slots: &run.slots };
        let x = self.model.forward_cached(self.cache, &ids, &run.positions, sight, workspace);
        for (nodes, x) in run.nodes.chunks(ROWS_PER_BLOCK).zip(x.chunks(ROWS_PER_BLOCK * self.model.spec.hidden)) {
            let mut logits = self.model.head.logits(&self.model.params, x, workspace);
            self.note(nodes, &mut logits);
            workspace.give(logits);
        }
        workspace.give(x);
    }

    /// Goes down from a node that has run through all that ran with it (`ran`: the slots of each, in the order of their depth):
    /// finished answers are found, other children are open.
    fn follow(&self, from: &Open, ran: &[Vec<usize>], (open, found): (&mut Vec<Open>, &mut Vec<(usize, f64)>)) {
        let (mut node, mut nats) = (from.node, from.nats);
        for (i, slots) in ran.iter().enumerate() {
            let steps = self.steps[node].iter().flatten();
            let children = self.trie.nodes[node].children.iter().zip(steps);
            if i + 1 < ran.len() {
                // What ran further is the only way on.
                let Some((child, step)) = children.into_iter().next() else { return };
                (node, nats) = (*child, nats + step);
                continue;
            }
            for (child, step) in children {
                match self.trie.nodes[*child].answer {
                    Some(answer) => found.push((answer, nats + step)),
                    None => open.push(Open { node: *child, nats: nats + step, slots: slots.clone() }),
                }
            }
        }
    }

    /// Adds `open` to a run, with the nodes that follow as long as there is one way only (`forced`), or all that follow.
    fn plan(&self, run: &mut Run, open: &Open, forced: bool) {
        let mut waiting = vec![(open.node, open.slots.clone())];
        while let Some((node, mut slots)) = waiting.pop() {
            run.positions.push((self.prompt + slots.len()) as u32);
            slots.push(self.cache.len() + run.nodes.len());
            let children = &self.trie.nodes[node].children;
            if !forced || children.len() == 1 {
                let open = children.iter().filter(|c| self.trie.nodes[**c].answer.is_none());
                waiting.extend(open.map(|c| (*c, slots.clone())));
            }
            run.nodes.push(node);
            run.slots.push(slots);
        }
    }
}

impl Model {
    /// ln p(answer | prompt) in nats of every answer of the trie, in their order.
    pub fn score_answers(&self, prompt: &[u32], trie: &Trie, workspace: &mut Workspace) -> Result<Vec<f64>> {
        self.score_answers_from(&mut Cache::new(self), prompt, trie, workspace)
    }

    /// The same, over what `cache` already holds of the prompt: questions that begin alike run their beginning once. The cache
    /// holds the prompt afterwards. All nodes of the trie run as one batch.
    pub fn score_answers_from(
        &self,
        cache: &mut Cache,
        prompt: &[u32],
        trie: &Trie,
        workspace: &mut Workspace,
    ) -> Result<Vec<f64>> {
        let mut scoring = self.scoring(cache, prompt, trie, workspace)?;
        let mut run = Run::default();
        for child in trie.nodes[0].children.iter().filter(|c| trie.nodes[**c].answer.is_none()) {
            scoring.plan(&mut run, &Open { node: *child, nats: 0.0, slots: Vec::new() }, false);
        }
        scoring.run(&run, workspace);
        let mut scores = vec![f64::NEG_INFINITY; trie.answers];
        let mut waiting = vec![(0, 0.0)];
        while let Some((node, nats)) = waiting.pop() {
            let steps = scoring.steps[node].iter().flatten();
            for (child, step) in trie.nodes[node].children.iter().zip(steps) {
                match trie.nodes[*child].answer {
                    Some(answer) => scores[answer] = nats + step,
                    None => waiting.push((*child, nats + step)),
                }
            }
        }
        cache.truncate(prompt.len());
        Ok(scores)
    }

    /// The `most` likeliest answers with their exact ln p in nats, best first. Only branches that may still hold one of them are
    /// run: a branch is never likelier than its beginning. Forced tokens run with what forces them, as one batch.
    pub fn best_answers(
        &self,
        cache: &mut Cache,
        prompt: &[u32],
        (trie, most): (&Trie, usize),
        workspace: &mut Workspace,
    ) -> Result<Vec<(usize, f64)>> {
        const BRANCHES_PER_RUN: usize = 8;
        let mut scoring = self.scoring(cache, prompt, trie, workspace)?;
        let mut found: Vec<(usize, f64)> = Vec::new();
        let mut open = Vec::new();
        scoring.follow(&Open { node: 0, nats: 0.0, slots: Vec::new() }, &[Vec::new()], (&mut open, &mut found));
        loop {
            found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            found.truncate(most);
            let least =
                if found.len() == most { found.last().map_or(f64::INFINITY, |f| f.1) } else { f64::NEG_INFINITY };
            open.retain(|o: &Open| o.nats >= least);
            open.sort_by(|a, b| b.nats.total_cmp(&a.nats).then(a.node.cmp(&b.node)));
            if open.is_empty() {
                cache.truncate(prompt.len());
                return Ok(found);
            }
            let now: Vec<Open> = open.drain(..open.len().min(BRANCHES_PER_RUN)).collect();
            let mut run = Run::default();
            let starts: Vec<usize> = now
                .iter()
                .map(|open| {
                    scoring.plan(&mut run, open, true);
                    run.nodes.len()
                })
                .collect();
            scoring.run(&run, workspace);
            let mut start = 0;
            for (first, end) in now.iter().zip(starts) {
                scoring.follow(first, &run.slots[start..end], (&mut open, &mut found));
                start = end;
            }
        }
    }

    fn scoring<'a>(
        &'a self,
        cache: &'a mut Cache,
        prompt: &[u32],
        trie: &'a Trie,
        workspace: &mut Workspace,
    ) -> Result<Scoring<'a>> {
        if self.spec.positions.limit().is_some_and(|l| prompt.len() + trie.depth() > l + 1) {
            let reason = format!("the prompt of {} tokens leaves no room for the answers", prompt.len());
            return Err(Error::Batch { reason });
        }
        let mut logits = self.prefill_from(cache, prompt, workspace)?;
        let steps = vec![None; trie.nodes.len()];
        let mut scoring = Scoring { model: self, trie, cache, prompt: prompt.len(), steps };
        scoring.note(&[0], &mut logits);
        Ok(scoring)
    }
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
