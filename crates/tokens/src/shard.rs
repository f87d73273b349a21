//! A tokenised corpus in memory, and how it is made from conversations: in parallel, in order.
//!
//! [`crate::shard_file`] keeps it on disk, so that a corpus is tokenised once.

use rayon::prelude::*;
use wardsmith_records::conversation::Conversation;

use crate::error::{Error, Result};
use crate::render::{Rendered, Renderer};

/// Conversations rendered between two reports of progress; bounds the memory beside the shard itself.
const CHUNK: usize = 4096;

/// What is learned from the documents of a shard: all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Supervision {
    /// One flag a token.
    Tokens(Vec<bool>),
    /// One class a document.
    Classes(Vec<u32>),
}

/// What is learned from one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised<'a> {
    /// `mask[i]`: token `i` is a target.
    Tokens(&'a [bool]),
    /// The class of the whole document.
    Class(u32),
}

/// One tokenised document of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its tokens; never empty.
    pub ids: &'a [u32],
    /// What is learned from it.
    pub supervision: Supervised<'a>,
}

impl Document<'_> {
    /// How many predictions it teaches.
    #[must_use]
    pub fn targets(&self) -> usize {
        match self.supervision {
            Supervised::Tokens(mask) => mask.iter().skip(1).filter(|learned| **learned).count(),
            Supervised::Class(_) => 1,
        }
    }
}

/// A tokenised corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub(crate) ids: Vec<u32>,
    /// `starts[i]..starts[i + 1]` are the ids of document `i`.
    pub(crate) starts: Vec<usize>,
    pub(crate) supervision: Supervision,
    pub(crate) truncated: u64,
}

impl Shard {
    /// Renders conversations for the language-model head. `progress` hears how many more are done.
    ///
    /// # Errors
    /// A conversation cannot be rendered; the error names its place.
    pub fn render<'a>(
        renderer: &Renderer,
        conversations: impl IntoIterator<Item = &'a Conversation>,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        let mut shard = Self::empty(Supervision::Tokens(Vec::new()));
        in_parallel(
            conversations,
            progress,
            |one| renderer.render_all(one),
            |windows| {
                for rendered in windows {
                    shard.push(&rendered);
                }
            },
        )?;
        Ok(shard)
    }

    /// Renders texts for a classifier head, each with its class.
    ///
    /// # Errors
    /// A text cannot be rendered; the error names its place.
    pub fn render_classes<'a>(
        renderer: &Renderer,
        texts: impl IntoIterator<Item = (&'a str, u32)>,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        let mut shard = Self::empty(Supervision::Classes(Vec::new()));
        let render = |(text, class): (&str, u32)| Ok((renderer.render_text(text)?, class));
        in_parallel(texts, progress, render, |(rendered, class)| shard.push_class(&rendered, class))?;
        Ok(shard)
    }

    fn empty(supervision: Supervision) -> Self {
        Self { ids: Vec::new(), starts: vec![0], supervision, truncated: 0 }
    }

    fn push(&mut self, rendered: &Rendered) {
        if let Supervision::Tokens(mask) = &mut self.supervision {
            mask.extend_from_slice(&rendered.mask);
        }
        self.push_ids(rendered);
    }

    fn push_class(&mut self, text: &Rendered, class: u32) {
        if let Supervision::Classes(classes) = &mut self.supervision {
            classes.push(class);
        }
        self.push_ids(text);
    }

    fn push_ids(&mut self, rendered: &Rendered) {
        self.ids.extend_from_slice(&rendered.ids);
        self.starts.push(self.ids.len());
        self.truncated += u64::from(rendered.truncated);
    }

    /// How many documents (windows counted singly).
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// How many predictions one epoch learns.
    #[must_use]
    pub fn targets(&self) -> usize {
        match &self.supervision {
            Supervision::Classes(classes) => classes.len(),
            // The first token of a document is never predicted.
            Supervision::Tokens(mask) => {
                let first = self.starts[..self.len()].iter().filter(|&&start| mask[start]).count();
                mask.iter().filter(|&&learned| learned).count() - first
            }
        }
    }

    /// How many documents were cut to fit.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// The length of the longest document in tokens; 0 if there are none.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// Document `index`.
    ///
    /// # Panics
    /// `index` is not below [`Self::len`].
    #[must_use]
    pub fn document(&self, index: usize) -> Document<'_> {
        let range = self.starts[index]..self.starts[index + 1];
        let supervision = match &self.supervision {
            Supervision::Tokens(mask) => Supervised::Tokens(&mask[range.clone()]),
            Supervision::Classes(classes) => Supervised::Class(classes[index]),
        };
        Document { ids: &self.ids[range], supervision }
    }
}

/// Chunk by chunk: `work` on all cores, then `keep` in the order of `items`.
fn in_parallel<I: Send, O: Send>(
    items: impl IntoIterator<Item = I>,
    progress: &dyn Fn(usize),
    work: impl Fn(I) -> Result<O> + Sync,
    mut keep: impl FnMut(O),
) -> Result<()> {
    let mut items = items.into_iter();
    let mut done = 0;
    loop {
        let chunk: Vec<I> = items.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        let count = chunk.len();
        let results: Vec<Result<O>> = chunk.into_par_iter().map(&work).collect();
        for (at, result) in results.into_iter().enumerate() {
            let kept = result.map_err(|source| Error::InConversation { index: done + at, source: Box::new(source) })?;
            keep(kept);
        }
        done += count;
        progress(count);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::renderer;

    /// `documents` questions and a long document.
    pub(crate) fn small(documents: usize) -> Shard {
        let mut conversations: Vec<Conversation> = (0..documents)
            .map(|n| Conversation::question("A path with dots. ".repeat(n % 3 + 1), format!("CWE-{n}")))
            .collect();
        conversations.push(Conversation::document("The answer is CWE-79. ".repeat(20)));
        Shard::render(&renderer(64), &conversations, &|_| ()).unwrap()
    }

    #[test]
    fn documents_come_in_the_order_of_the_conversations() {
        let (shard, renderer) = (small(20), renderer(64));
        for n in [0, 7, 19] {
            let question = Conversation::question("A path with dots. ".repeat(n % 3 + 1), format!("CWE-{n}"));
            let rendered = renderer.render(&question).unwrap();
            assert_eq!(shard.document(n).ids, rendered.ids);
            assert_eq!(shard.document(n).supervision, Supervised::Tokens(&rendered.mask));
        }
        assert!(shard.len() > 21, "the document has several windows");
        assert_eq!(shard.longest(), 64);
    }

    #[test]
    fn counts_agree_with_the_documents() {
        let shard = small(9);
        let mut pack = crate::pack::Pack::default();
        (0..shard.len()).for_each(|index| pack.push(shard.document(index)));
        assert_eq!((pack.ids.len(), pack.targets.len()), (shard.tokens(), shard.targets()));
    }

    #[test]
    fn a_class_is_learned_at_the_end_of_its_text() {
        let (renderer, texts) = (renderer(64), ["A path".to_owned(), "A path with dots. ".repeat(40)]);
        let done = Cell::new(0);
        let pairs = texts.iter().map(String::as_str).zip([3, 5]);
        let shard = Shard::render_classes(&renderer, pairs, &|n| done.set(done.get() + n)).unwrap();
        assert_eq!(shard.document(1).supervision, Supervised::Class(5));
        assert_eq!(shard.document(0).ids, renderer.render_text("A path").unwrap().ids);
        assert_eq!((shard.targets(), shard.truncated(), done.get()), (2, 1, 2));
    }

    #[test]
    fn a_conversation_that_cannot_be_rendered_is_named_by_its_place() {
        let conversations = [Conversation::question("A", "x"), Conversation::default()];
        let message = Shard::render(&renderer(64), &conversations, &|_| ()).unwrap_err().to_string();
        assert!(message.starts_with("in conversation 1"), "{message}");
    }
}
