//! Where steps come from. The loader of `wardsmith-tokens` is the one that matters; tests bring their own.

use wardsmith_model::{Batch, Target};
use wardsmith_tokens::{Cursor, Loader, Pack};

use crate::error::Result;

/// An endless, repeatable supply of optimiser steps.
pub trait Feed {
    /// The packs of the next step.
    fn next_step(&mut self) -> Vec<Batch>;
    /// Where the next step begins.
    fn cursor(&self) -> Cursor;
    /// Goes to where another feed stood.
    fn seek(&mut self, cursor: Cursor) -> Result<()>;
    /// How often everything has been seen.
    fn epochs_done(&self) -> f64;
}

impl Feed for Loader {
    fn next_step(&mut self) -> Vec<Batch> {
        Self::next_step(self).packs.into_iter().map(batch).collect()
    }

    fn cursor(&self) -> Cursor {
        Self::cursor(self)
    }

    fn seek(&mut self, cursor: Cursor) -> Result<()> {
        Ok(Self::seek(self, cursor)?)
    }

    fn epochs_done(&self) -> f64 {
        Self::epochs_done(self)
    }
}

/// A pack as the model takes it: what its documents begin with alike is computed once.
pub fn batch(pack: Pack) -> Batch {
    let pack = pack.share_beginnings();
    let targets = pack.targets.into_iter().map(|t| Target { position: t.position, token: t.token }).collect();
    Batch { ids: pack.ids, lengths: pack.lengths, beginnings: pack.beginnings, targets }
}
