//! Several documents behind one another in one run of ids, without padding.
//!
//! Attention stays inside each document and positions restart; the model learns the borders from `lengths`. Logits are
//! needed at `targets` only.

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
    /// What is learned, by ascending position.
    pub targets: Vec<Target>,
}

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

    /// The documents' ids, one slice each.
    pub fn documents(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.lengths.iter().map(move |&length| {
            start += length;
            &self.ids[start - length..start]
        })
    }
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
