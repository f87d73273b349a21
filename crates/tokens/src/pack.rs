//! Several documents behind one another in one run of ids, without padding.
//!
//! Attention stays inside each document and positions restart; the model learns the borders from `lengths`. Logits are
//! needed at `targets` only.

use std::collections::BTreeMap;

use crate::shard::Document;

/// One prediction to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The row in the pack whose hidden state predicts.
    pub position: u32,
    /// The token to predict, or the class for a classifier head (its row is the last of the document).
    pub token: u32,
}

/// Documents to run through the model together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pack {
    /// The tokens of all documents.
    pub ids: Vec<u32>,
    /// The length of each document; the sum is `ids.len()`.
    pub lengths: Vec<usize>,
    /// For each document the number of the one that is its beginning, which it shares with others: see
    /// [`Self::share_beginnings`]. Empty where there are none.
    pub beginnings: Vec<Option<usize>>,
    /// What is learned, by ascending position.
    pub targets: Vec<Target>,
}

/// Documents that are alike for at least so many tokens share them.
const LEAST_SHARED: usize = 16;

impl Pack {
    /// Puts a document behind the others.
    ///
    /// # Panics
    /// Beyond 2³² tokens, which [`Packer`] excludes.
    pub fn push(&mut self, document: Document<'_>) {
        let row = |at: usize| u32::try_from(self.ids.len() + at).expect("a packer's limit is below 2^32 tokens");
        match document.supervision {
            crate::shard::Supervised::Tokens(mask) => {
                let learned = (1..document.ids.len()).filter(|&at| mask[at]);
                let targets = learned.map(|at| Target { position: row(at - 1), token: document.ids[at] });
                self.targets.extend(targets);
            }
            crate::shard::Supervised::Class(class) => {
                self.targets.push(Target { position: row(document.ids.len() - 1), token: class })
            }
        }
        self.ids.extend_from_slice(document.ids);
        self.lengths.push(document.ids.len());
    }

    /// The same pack with beginnings that several documents have in common, such as an instruction, written once. What is
    /// learned stays the same: a target in a shared beginning stands there once for each document.
    #[must_use]
    pub fn share_beginnings(self) -> Self {
        let documents: Vec<&[u32]> = self.documents().collect();
        let starts: Vec<usize> = documents.iter().scan(0, |at, d| Some(std::mem::replace(at, *at + d.len()))).collect();
        let mut groups: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
        for (i, document) in documents.iter().enumerate().filter(|(_, d)| d.len() > LEAST_SHARED) {
            groups.entry(&document[..LEAST_SHARED]).or_default().push(i);
        }
        groups.retain(|_, members| members.len() > 1);
        if groups.is_empty() {
            return self;
        }
        let mut order: Vec<Vec<usize>> = groups.into_values().collect();
        let grouped: Vec<usize> = order.concat();
        order.extend((0..documents.len()).filter(|i| !grouped.contains(i)).map(|i| vec![i]));
        order.sort_by_key(|members| members[0]);
        let mut new = Self::default();
        // For each document: how much of it is shared and where, and where the rest went.
        let mut moved = vec![(0, 0, 0); documents.len()];
        for members in order {
            let shared = if members.len() > 1 { common(&members, &documents) } else { 0 };
            let (place, at) = (new.lengths.len(), new.ids.len());
            if shared > 0 {
                new.append(&documents[members[0]][..shared], None);
            }
            for i in members {
                moved[i] = (shared, at, new.ids.len());
                new.append(&documents[i][shared..], (shared > 0).then_some(place));
            }
        }
        for target in &self.targets {
            let document = starts.partition_point(|start| *start <= target.position as usize) - 1;
            let row = target.position as usize - starts[document];
            let (shared, beginning, rest) = moved[document];
            let row = if row < shared { beginning + row } else { rest + row - shared };
            new.targets.push(Target { position: row as u32, ..*target });
        }
        new.targets.sort_by_key(|target| target.position);
        new
    }

    fn append(&mut self, ids: &[u32], beginning: Option<usize>) {
        self.ids.extend_from_slice(ids);
        self.lengths.push(ids.len());
        self.beginnings.push(beginning);
    }

    /// The documents' ids, one slice each.
    pub fn documents(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.lengths.iter().map(move |&length| {
            start += length;
            &self.ids[start - length..start]
        })
    }
}

/// How many tokens these documents begin with alike, at most all but the last of each.
fn common(members: &[usize], documents: &[&[u32]]) -> usize {
    let first = documents[members[0]];
    let alike = |i: &usize| {
        let document = documents[*i];
        first.iter().zip(document).take(document.len() - 1).take_while(|(a, b)| a == b).count()
    };
    members.iter().map(alike).min().unwrap_or(0).min(first.len() - 1)
}

/// Fills packs greedily in the order given. A new pack begins when the next document does not fit.
#[derive(Debug)]
pub struct Packer {
    max_tokens_per_pack: usize,
    pack: Pack,
}

impl Packer {
    /// For packs of at most `max_tokens_per_pack` tokens (below 2³²).
    #[must_use]
    pub fn new(max_tokens_per_pack: usize) -> Self {
        Self { max_tokens_per_pack: max_tokens_per_pack.min(u32::MAX as usize), pack: Pack::default() }
    }

    /// Whether a document of `tokens` tokens still fits; an empty pack takes any.
    #[must_use]
    pub fn fits(&self, tokens: usize) -> bool {
        self.pack.ids.is_empty() || self.pack.ids.len().saturating_add(tokens) <= self.max_tokens_per_pack
    }

    /// Puts a document into the open pack.
    pub fn push(&mut self, document: Document<'_>) {
        self.pack.push(document);
    }

    /// Closes the open pack; `None` if it is empty.
    pub fn close(&mut self) -> Option<Pack> {
        let pack = std::mem::take(&mut self.pack);
        (!pack.ids.is_empty()).then_some(pack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Supervised;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_predicted_by_the_row_before_it_and_never_across_a_border() {
        let mut pack = Pack::default();
        pack.push(Document { ids: &[10, 11, 12], supervision: Supervised::Tokens(&[false, false, true]) });
        pack.push(Document { ids: &[20, 21], supervision: Supervised::Tokens(&[true, true]) });
        pack.push(Document { ids: &[30, 31], supervision: Supervised::Class(4) });
        let targets: Vec<_> = pack.targets.iter().map(|t| (t.position, t.token)).collect();
        assert_eq!(targets, [(1, 12), (3, 21), (6, 4)]);
        assert_eq!(pack.lengths, [3, 2, 2]);
    }

    proptest! {
        #[test]
        fn sharing_beginnings_changes_no_document_and_no_target(
            documents in prop::collection::vec((0_usize..3, prop::collection::vec((0_u32..4, any::<bool>()), 1..9)), 1..12),
        ) {
            let mut pack = Pack::default();
            for (beginning, own) in &documents {
                let ids: Vec<u32> = (0..[0, 20, 24][*beginning]).chain(own.iter().map(|o| o.0)).collect();
                let mask: Vec<bool> = ids.iter().enumerate().map(|(i, _)| i % 3 == 0 || own[i % own.len()].1).collect();
                pack.push(Document { ids: &ids, supervision: Supervised::Tokens(&mask) });
            }
            let shared = pack.clone().share_beginnings();
            prop_assert!(shared.ids.len() <= pack.ids.len());
            prop_assert_eq!(shared.targets.len(), pack.targets.len());
            // Each row as all that it sees: the documents, whole, and what is predicted behind what.
            let parts: Vec<&[u32]> = shared.documents().collect();
            let whole = |i: usize| -> Vec<u32> {
                let beginning = shared.beginnings.get(i).copied().flatten();
                beginning.map_or(Vec::new(), |b| parts[b].to_vec()).into_iter().chain(parts[i].iter().copied()).collect()
            };
            let is_beginning = |i: usize| shared.beginnings.contains(&Some(i));
            let mut back: Vec<Vec<u32>> = (0..parts.len()).filter(|i| !is_beginning(*i)).map(whole).collect();
            let mut given: Vec<Vec<u32>> = pack.documents().map(<[u32]>::to_vec).collect();
            back.sort();
            given.sort();
            prop_assert_eq!(back, given);
            let seen = |pack: &Pack, whole: &dyn Fn(usize) -> Vec<u32>| -> Vec<(Vec<u32>, u32)> {
                let mut all = Vec::new();
                for target in &pack.targets {
                    let (mut document, mut start) = (0, 0);
                    while start + pack.lengths[document] <= target.position as usize {
                        start += pack.lengths[document];
                        document += 1;
                    }
                    let text = whole(document);
                    let before = text.len() - pack.lengths[document];
                    all.push((text[..=before + target.position as usize - start].to_vec(), target.token));
                }
                all.sort();
                all
            };
            let plain: Vec<Vec<u32>> = pack.documents().map(<[u32]>::to_vec).collect();
            prop_assert_eq!(seen(&shared, &whole), seen(&pack, &|i| plain[i].clone()));
        }

        #[test]
        fn unpacking_gives_the_documents_in_order_and_no_pack_is_too_large(
            documents in prop::collection::vec(prop::collection::vec((0_u32..99, any::<bool>()), 1..12), 0..40),
            limit in 12_usize..40,
        ) {
            let mut packer = Packer::new(limit);
            let mut packs = Vec::new();
            for document in &documents {
                let (ids, mask): (Vec<u32>, Vec<bool>) = document.iter().copied().unzip();
                if !packer.fits(ids.len()) {
                    packs.extend(packer.close());
                }
                packer.push(Document { ids: &ids, supervision: Supervised::Tokens(&mask) });
            }
            packs.extend(packer.close());
            let back: Vec<Vec<u32>> = packs.iter().flat_map(|pack| pack.documents().map(<[u32]>::to_vec)).collect();
            let given: Vec<Vec<u32>> = documents.iter().map(|d| d.iter().map(|&(id, _)| id).collect()).collect();
            prop_assert_eq!(back, given);
            prop_assert!(packs.iter().all(|pack| pack.ids.len() <= limit));
            let supervised: usize = documents.iter().map(|d| d.iter().skip(1).filter(|(_, learned)| *learned).count()).sum();
            prop_assert_eq!(packs.iter().map(|pack| pack.targets.len()).sum::<usize>(), supervised);
        }
    }
}
