//! A trie over the token sequences of allowed answers: the exact probability of every answer, or of those that matter.
//!
//! What all answers begin with runs behind the prompt, in the same pass. Other nodes run as batches: their tokens are known, and
//! each sees the prompt and its own ancestors.

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

    /// The nodes that every answer begins with, in their order; none of them ends one.
    fn beginning(&self) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut node = 0;
        while let [only] = self.nodes[node].children.as_slice()
            && self.nodes[*only].answer.is_none()
        {
            chain.push(*only);
            node = *only;
        }
        chain
    }

    /// The answers below a node, itself among them.
    fn answers_below(&self, node: usize) -> Vec<usize> {
        let (mut waiting, mut found) = (vec![node], Vec::new());
        while let Some(node) = waiting.pop() {
            found.extend(self.nodes[node].answer);
            waiting.extend(&self.nodes[node].children);
        }
        found
    }

    /// The nodes that lead to an answer, from the first token's on; the one that ends it is not among them.
    fn path(&self, answer: usize) -> Vec<usize> {
        fn down(trie: &Trie, node: usize, answer: usize, path: &mut Vec<usize>) -> bool {
            if trie.nodes[node].answer == Some(answer) {
                return true;
            }
            path.push(node);
            if trie.nodes[node].children.iter().any(|child| down(trie, *child, answer, path)) {
                return true;
            }
            path.pop();
            false
        }
        let mut path = Vec::new();
        down(self, 0, answer, &mut path);
        path
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

/// Nodes that one pass of a search takes: as many rows as a product takes at nearly the same cost.
const NODES_PER_RUN: usize = 48;

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

/// Which answers a search has to find.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// So many of the likeliest.
    pub most: usize,
    /// And so many more that the others together have at most this share of the probability of those found, as far as
    /// `budget` goes.
    pub left_out: f64,
    /// Nodes that may be run for the sake of `left_out`.
    pub budget: usize,
    /// And this one.
    pub certain: Option<usize>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// ln p in nats, by answer. Of an answer that was not reached its part of what its branch has, shared out evenly; the sum
    /// over a branch is never too small.
    pub nats: Vec<f64>,
    /// Whether it is exact.
    pub exact: Vec<bool>,
    /// What those that are not exact have together at most, as a share of the probability of those that are.
    pub left_out: f64,
    /// Nodes that were run behind the prompt.
    pub nodes: usize,
    /// Passes that this took besides the prompt's.
    pub passes: usize,
}

/// A prompt's cache with the trie that is scored over it.
struct Scoring<'a> {
    model: &'a Model,
    trie: &'a Trie,
    cache: &'a mut Cache,
    /// Prompt and the beginning of all answers.
    prefix: usize,
    /// ln p of the children of each node, in their order, once it has run.
    steps: Vec<Option<Vec<f64>>>,
    /// The slots of each node's branch behind the prefix, once it has run.
    slots: Vec<Vec<usize>>,
    nodes: usize,
    passes: usize,
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
        self.nodes += nodes.len();
    }

    /// The head's rows for hidden states `x` of `nodes`.
    fn read(&mut self, nodes: &[usize], x: &[f32], workspace: &mut Workspace) {
        for (nodes, x) in nodes.chunks(ROWS_PER_BLOCK).zip(x.chunks(ROWS_PER_BLOCK * self.model.spec.hidden)) {
            let mut logits = self.model.head.logits(&self.model.params, x, workspace);
            self.note(nodes, &mut logits);
            workspace.give(logits);
        }
    }

    /// Runs nodes as one batch over the prompt, each seeing its own branch.
    fn run(&mut self, run: Run, workspace: &mut Workspace) {
        if run.nodes.is_empty() {
            return;
        }
        let ids: Vec<u32> = run.nodes.iter().map(|n| self.trie.nodes[*n].token).collect();
        let sight = Sight::Tree { prefix: self.prefix, slots: &run.slots };
        let x = self.model.forward_cached(self.cache, &ids, &run.positions, sight, workspace);
        self.read(&run.nodes, &x, workspace);
        workspace.give(x);
        self.passes += 1;
        for (node, slots) in run.nodes.into_iter().zip(run.slots) {
            self.slots[node] = slots;
        }
    }

    /// Goes down from a node through all that has run: finished answers and nodes that have not run.
    fn follow(&self, node: usize, nats: f64) -> (Vec<(usize, f64)>, Vec<Open>) {
        let (mut waiting, mut found, mut open) = (vec![(node, nats)], Vec::new(), Vec::new());
        while let Some((node, nats)) = waiting.pop() {
            let steps = self.steps[node].iter().flatten();
            for (child, step) in self.trie.nodes[node].children.iter().zip(steps) {
                match self.trie.nodes[*child].answer {
                    Some(answer) => found.push((answer, nats + step)),
                    None if self.steps[*child].is_some() => waiting.push((*child, nats + step)),
                    None => open.push(Open { node: *child, nats: nats + step, slots: self.slots[node].clone() }),
                }
            }
        }
        (found, open)
    }

    /// Adds a node that has not run to a run; its parent has, or stands there already.
    fn add(&self, run: &mut Run, node: usize, mut slots: Vec<usize>) -> Vec<usize> {
        run.positions.push((self.prefix + slots.len()) as u32);
        slots.push(self.cache.len() + run.nodes.len());
        run.nodes.push(node);
        run.slots.push(slots.clone());
        slots
    }

    /// Adds `open` to a run, with the nodes that follow as long as there is one way only (`forced`), or all that follow.
    fn plan(&self, run: &mut Run, open: &Open, forced: bool) {
        let mut waiting = vec![(open.node, open.slots.clone())];
        while let Some((node, slots)) = waiting.pop() {
            let slots = self.add(run, node, slots);
            let children = &self.trie.nodes[node].children;
            if !forced || children.len() == 1 {
                let open = children.iter().filter(|c| self.trie.nodes[**c].answer.is_none());
                waiting.extend(open.map(|c| (*c, slots.clone())));
            }
        }
    }

    /// Adds the way to an answer, as far as it has not run.
    fn plan_way(&self, run: &mut Run, answer: usize) {
        let mut slots = Vec::new();
        for node in self.trie.path(answer) {
            slots = match self.steps[node] {
                Some(_) => self.slots[node].clone(),
                None => self.add(run, node, slots),
            };
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
        for open in scoring.follow(0, 0.0).1 {
            scoring.plan(&mut run, &open, false);
        }
        scoring.run(run, workspace);
        let mut scores = vec![f64::NEG_INFINITY; trie.answers];
        scoring.follow(0, 0.0).0.into_iter().for_each(|(answer, nats)| scores[answer] = nats);
        cache.truncate(prompt.len());
        Ok(scores)
    }

    /// The answers that `search` asks for, best first branch by branch: a branch is never likelier than its beginning, so that
    /// those that cannot matter are never run. Forced tokens run with what forces them, and as many branches as are needed as
    /// one batch. Reuses what `cache` holds of the prompt; the cache holds the prompt afterwards.
    pub fn search_answers(
        &self,
        cache: &mut Cache,
        prompt: &[u32],
        (trie, search): (&Trie, Search),
        workspace: &mut Workspace,
    ) -> Result<Found> {
        let mut scoring = self.scoring(cache, prompt, trie, workspace)?;
        let mut certain = search.certain.filter(|answer| *answer < trie.answers);
        loop {
            let (mut found, mut open) = scoring.follow(0, 0.0);
            open.sort_by(|a, b| b.nats.total_cmp(&a.nats).then(a.node.cmp(&b.node)));
            found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut run = Run::default();
            if let Some(answer) = certain.take() {
                scoring.plan_way(&mut run, answer);
            }
            let budget = search.budget.saturating_sub(scoring.nodes).min(NODES_PER_RUN);
            for (needed, most) in
                [(likely(&found, &open, search), NODES_PER_RUN), (heavy(&found, &open, search), budget)]
            {
                for open in &open[..needed] {
                    if run.nodes.len() < most && !run.nodes.contains(&open.node) {
                        scoring.plan(&mut run, open, true);
                    }
                }
            }
            if run.nodes.is_empty() {
                let mut all = Found::new(trie, &found, &open);
                (all.nodes, all.passes) = (scoring.nodes, scoring.passes);
                cache.truncate(prompt.len());
                return Ok(all);
            }
            scoring.run(run, workspace);
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
        let beginning = trie.beginning();
        let ids: Vec<u32> = prompt.iter().copied().chain(beginning.iter().map(|n| trie.nodes[*n].token)).collect();
        let x = self.prefill_rows(cache, &ids, 1 + beginning.len(), workspace)?;
        let (steps, slots) = (vec![None; trie.nodes.len()], vec![Vec::new(); trie.nodes.len()]);
        let mut scoring = Scoring { model: self, trie, cache, prefix: ids.len(), steps, slots, nodes: 0, passes: 0 };
        scoring.read(&[vec![0], beginning].concat(), &x, workspace);
        workspace.give(x);
        Ok(scoring)
    }
}

/// How many of the open branches, best first, may hold one of the likeliest answers.
fn likely(found: &[(usize, f64)], open: &[Open], search: Search) -> usize {
    // Every branch holds an answer; while too few are found, so many of the best are run.
    match search.most.checked_sub(found.len()) {
        Some(0) | None => {
            search.most.checked_sub(1).map_or(0, |last| open.partition_point(|o| o.nats >= found[last].1))
        }
        Some(lacking) => lacking.min(open.len()),
    }
}

/// How many of them, best first, have to be run until what is left out is small enough.
fn heavy(found: &[(usize, f64)], open: &[Open], search: Search) -> usize {
    let mass: f64 = found.iter().map(|(_, nats)| nats.exp()).sum();
    let whole: f64 = mass + open.iter().map(|o| o.nats.exp()).sum::<f64>();
    let mut rest = 0.0;
    let small = open.iter().rev().take_while(|o| {
        rest += o.nats.exp();
        rest <= search.left_out * if mass > 0.0 { mass } else { whole }
    });
    open.len() - small.count()
}

impl Found {
    fn new(trie: &Trie, found: &[(usize, f64)], open: &[Open]) -> Self {
        let (mut nats, mut exact) = (vec![f64::NEG_INFINITY; trie.answers], vec![false; trie.answers]);
        for open in open {
            let below = trie.answers_below(open.node);
            let each = open.nats - (below.len() as f64).ln();
            below.into_iter().for_each(|answer| nats[answer] = each);
        }
        for (answer, found) in found {
            (nats[*answer], exact[*answer]) = (*found, true);
        }
        let mass = |all: &mut dyn Iterator<Item = f64>| all.map(f64::exp).sum::<f64>();
        let left_out = mass(&mut open.iter().map(|o| o.nats)) / mass(&mut found.iter().map(|f| f.1));
        Self { nats, exact, left_out, nodes: 0, passes: 0 }
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

    #[test]
    fn a_trie_knows_its_beginning_and_its_ways() {
        let trie = Trie::new(&[vec![1, 5, 2, 9], vec![1, 5, 3, 9], vec![1, 5, 3, 8, 9]]).unwrap();
        let tokens = |nodes: Vec<usize>| nodes.iter().map(|n| trie.nodes[*n].token).collect::<Vec<_>>();
        assert_eq!(tokens(trie.beginning()), [1, 5]);
        assert_eq!(tokens(trie.path(2)), [0, 1, 5, 3, 8]);
        assert_eq!(trie.answers_below(0).len(), 3);
        assert!(Trie::new(&[vec![1, 9]]).unwrap().beginning().len() == 1);
    }
}
