//! Where steps come from. The loader of `wardsmith-tokens` is the one that matters; tests bring their own.

use wardsmith_model::{Batch, Target};
use wardsmith_tokens::{Cursor, Loader, Pack};

use crate::error::Result;
use crate::world::share;

/// An endless, repeatable supply of optimiser steps.
pub trait Feed {
    /// The packs of the next step.
    fn next_step(&mut self) -> Vec<Batch>;
    /// Those of the packs of the next step that rank `rank` of `size` takes; all ranks move on by the same step.
    fn next_share(&mut self, rank: usize, size: usize) -> Vec<Batch> {
        share(self.next_step(), rank, size).collect()
    }
    /// Where the next step begins.
    fn cursor(&self) -> Cursor;
    /// Goes to where another feed stood.
    fn seek(&mut self, cursor: Cursor) -> Result<()>;
    /// How often everything has been seen.
    fn epochs_done(&self) -> f64;
}

impl Feed for Loader {
    fn next_step(&mut self) -> Vec<Batch> {
        self.next_share(0, 1)
    }

    fn next_share(&mut self, rank: usize, size: usize) -> Vec<Batch> {
        share(Self::next_step(self).packs, rank, size).map(batch).collect()
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
