//! The tree of one CWE view, and partial credit for an answer that is near the truth in it.
//!
//! Made by [`crate::catalogue`], kept in a dataset as `hierarchy.json`, so that grading needs no catalogue. The credit
//! is the similarity of Wu and Palmer, "Verb semantics and lexical selection" (ACL 1994), over the view's `ChildOf`
//! edges: for a common ancestor `c` it is `2·N3 / (N1 + N2 + 2·N3)`, where `N1` and `N2` count the edges from the two
//! entries up to `c` and `N3` those from `c` up to the view itself (so a pillar has `N3 = 1`, and entries that meet in
//! the view only earn 0). An entry may have several parents: the best common ancestor counts, by the shortest way up
//! to it and the longest chain above it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::CweId;

/// No chain of the real catalogue is half as long; what is deeper is a cycle in a broken catalogue.
const MAX_DEPTH: usize = 64;

/// The `ChildOf` edges of one view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hierarchy {
    /// The view, such as 1000.
    pub view: u32,
    /// The parents of each entry of the view; the roots have none.
    pub parents: BTreeMap<CweId, Vec<CweId>>,
}

impl Hierarchy {
    /// Whether the view has this entry.
    #[must_use]
    pub fn contains(&self, id: CweId) -> bool {
        self.parents.contains_key(&id)
    }

    /// Each ancestor of `id` with the fewest edges up to it, nearest first (then by number); without `id` itself.
    #[must_use]
    pub fn ancestors(&self, id: CweId) -> Vec<(CweId, usize)> {
        let mut found = self.distances_up(id);
        found.retain(|(ancestor, _)| *ancestor != id);
        found
    }

    /// Edges from `id` up to the view along the longest chain (a root has 1); 0 where the view lacks it.
    #[must_use]
    pub fn depth(&self, id: CweId) -> usize {
        self.depth_within(id, MAX_DEPTH)
    }

    /// The common ancestor (which may be one of the two) that earns the most, with what it earns.
    #[must_use]
    pub fn nearest_common_ancestor(&self, left: CweId, right: CweId) -> Option<(CweId, f64)> {
        let (left, right) = (self.distances_up(left), self.distances_up(right));
        let mut best: Option<(CweId, f64)> = None;
        for &(ancestor, from_left) in &left {
            let Some(&(_, from_right)) = right.iter().find(|(other, _)| *other == ancestor) else {
                continue;
            };
            let twice_above = 2 * self.depth(ancestor);
            let credit = twice_above as f64 / (from_left + from_right + twice_above) as f64;
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((ancestor, credit));
            }
        }
        best
    }

    /// Partial credit of answering `answer` where `gold` is right, 0..=1; 1 only for the right answer.
    #[must_use]
    pub fn credit(&self, gold: CweId, answer: CweId) -> f64 {
        if gold == answer {
            return 1.0;
        }
        self.nearest_common_ancestor(gold, answer).map_or(0.0, |(_, credit)| credit)
    }

    /// How many entries `said` and `gold` have in common, each taken with everything above it, and how many each has alone:
    /// (common, said, gold). An entry that the view lacks stands for itself.
    #[must_use]
    pub fn lineage(&self, said: CweId, gold: CweId) -> (usize, usize, usize) {
        let with_ancestors = |id: CweId| -> Vec<CweId> {
            let above = self.ancestors(id).into_iter().map(|(ancestor, _)| ancestor);
            std::iter::once(id).chain(above).collect()
        };
        let (said, gold) = (with_ancestors(said), with_ancestors(gold));
        (said.iter().filter(|id| gold.contains(id)).count(), said.len(), gold.len())
    }

    /// `id` and everything above it, with the fewest edges up, nearest first.
    fn distances_up(&self, id: CweId) -> Vec<(CweId, usize)> {
        let mut found = Vec::new();
        let mut level = if self.contains(id) { vec![id] } else { Vec::new() };
        for distance in 0..MAX_DEPTH {
            level.sort_unstable();
            level.dedup();
            level.retain(|entry| !found.iter().any(|(known, _)| known == entry));
            found.extend(level.iter().map(|&entry| (entry, distance)));
            level = level.iter().flat_map(|entry| self.parents_of(*entry)).copied().collect();
            if level.is_empty() {
                break;
            }
        }
        found
    }

    fn depth_within(&self, id: CweId, limit: usize) -> usize {
        if !self.contains(id) || limit == 0 {
            return 0;
        }
        let above = self.parents_of(id).iter();
        1 + above.map(|parent| self.depth_within(*parent, limit - 1)).max().unwrap_or(0)
    }

    fn parents_of(&self, id: CweId) -> &[CweId] {
        self.parents.get(&id).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pillars 1 and 2; 10 and 11 under 1; 100 under 10; 101 under both 10 and 2.
    pub(crate) fn small() -> Hierarchy {
        let edges: &[(u32, &[u32])] = &[(1, &[]), (2, &[]), (10, &[1]), (11, &[1]), (100, &[10]), (101, &[10, 2])];
        let ids = |ids: &[u32]| ids.iter().copied().map(CweId).collect();
        Hierarchy { view: 1000, parents: edges.iter().map(|(id, up)| (CweId(*id), ids(up))).collect() }
    }

    #[test]
    fn ancestors_come_nearest_first_and_each_once() {
        let found = small().ancestors(CweId(101));
        assert_eq!(found, [(CweId(2), 1), (CweId(10), 1), (CweId(1), 2)]);
        assert!(small().ancestors(CweId(999)).is_empty());
    }

    #[test]
    fn depth_counts_the_longest_chain_up_to_the_view() {
        let depth = |id| small().depth(CweId(id));
        assert_eq!((depth(1), depth(10), depth(101), depth(999)), (1, 2, 3, 0));
    }

    #[test]
    fn credit_is_the_similarity_of_wu_and_palmer() {
        let credit = |gold, answer| small().credit(CweId(gold), CweId(answer));
        assert_eq!(credit(100, 100), 1.0);
        assert_eq!(credit(100, 10), 4.0 / 5.0, "the parent: N1=1 N2=0 N3=2");
        assert_eq!(credit(100, 101), 4.0 / 6.0, "a sibling: N1=1 N2=1 N3=2");
        assert_eq!(credit(100, 11), 2.0 / 5.0, "an uncle: N1=2 N2=1 N3=1");
        assert_eq!(credit(1, 2), 0.0, "they meet in the view only");
        assert_eq!(credit(101, 2), 2.0 / 3.0, "by its second parent");
        assert_eq!(credit(100, 999), 0.0, "no entry of the view");
        assert_eq!(credit(999, 999), 1.0, "equal is equal");
    }

    #[test]
    fn lineages_share_their_ancestors() {
        let lineage = |said, gold| small().lineage(CweId(said), CweId(gold));
        assert_eq!(lineage(100, 101), (2, 3, 4), "10 and 1");
        assert_eq!(lineage(100, 100), (3, 3, 3));
        assert_eq!((lineage(1, 2), lineage(999, 2), lineage(999, 999)), ((0, 1, 1), (0, 1, 1), (1, 1, 1)));
    }

    #[test]
    fn a_cycle_in_a_broken_catalogue_ends() {
        let ring = [(CweId(1), vec![CweId(2)]), (CweId(2), vec![CweId(1)])];
        let hierarchy = Hierarchy { view: 1, parents: ring.into() };
        assert!(hierarchy.depth(CweId(1)) <= MAX_DEPTH);
        assert!(hierarchy.credit(CweId(1), CweId(2)) < 1.0);
    }

    proptest! {
        #[test]
        fn credit_is_symmetric_and_within_bounds(edges in proptest::collection::vec((0u32..30, 0u32..30), 0..60)) {
            let mut parents: BTreeMap<CweId, Vec<CweId>> = (0..30).map(|id| (CweId(id), Vec::new())).collect();
            for (low, high) in edges {
                if low > high {
                    parents.get_mut(&CweId(low)).unwrap().push(CweId(high));
                }
            }
            let hierarchy = Hierarchy { view: 1000, parents };
            for (left, right) in [(3, 29), (20, 25), (28, 29)] {
                let credit = hierarchy.credit(CweId(left), CweId(right));
                prop_assert_eq!(credit, hierarchy.credit(CweId(right), CweId(left)));
                prop_assert!((0.0..1.0).contains(&credit));
            }
        }
    }
}
