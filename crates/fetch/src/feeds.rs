//! The feeds, one file each; the table is in [`feed`](crate::feed).

pub(crate) mod attack;
pub(crate) mod capec;
pub(crate) mod certcc;
pub(crate) mod csaf;
pub(crate) mod cvelist;
pub(crate) mod cwe;
pub(crate) mod epss;
pub(crate) mod ghsa;
mod github;
pub(crate) mod kev;
pub(crate) mod nvd;
pub(crate) mod nvd_api;
mod rolie;
pub(crate) mod sigma;

use crate::error::Result;
use crate::session::{Session, known_address};
use crate::shape::Shape;
use crate::transfer::Wanted;

/// A file with an address that does not change: address, path, form, greatest size in bytes.
type Fixed = (&'static str, &'static str, Shape, u64);

/// Fetches files whose addresses do not change.
fn fetch_fixed(session: &mut Session<'_, '_>, files: &[Fixed]) -> Result<()> {
    for (url, path, shape, max_bytes) in files {
        session.file(&Wanted::new(known_address(url), *path, *shape, *max_bytes))?;
    }
    Ok(())
}
