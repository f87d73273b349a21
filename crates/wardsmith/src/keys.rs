//! The key of this run, for datasets that are encrypted: named on the command line or in the environment, never in a
//! recipe, so that it stands in no file that a run leaves.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, bail};
use wardsmith_records::dataset::Dataset;
use wardsmith_vault::Key;

/// What `--key` says.
static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Remembers the key file that the command line names.
pub(crate) fn name(file: PathBuf) {
    FILE.get_or_init(|| file);
}

/// The key of the command line, else of the environment, if either names one.
pub(crate) fn key() -> Result<Option<Key>> {
    Ok(match FILE.get() {
        Some(path) => Some(Key::from_file(path)?),
        None => Key::from_env()?,
    })
}

/// The key to seal with.
pub(crate) fn needed() -> Result<Key> {
    match key()? {
        Some(key) => Ok(key),
        None => bail!(
            "nobody is named to encrypt for\nhint: name a key file with `--key` (`age-keygen -o FILE` makes one), or set WARDSMITH_AGE_RECIPIENTS or WARDSMITH_AGE_PASSPHRASE"
        ),
    }
}

/// Opens a dataset, encrypted or not.
pub(crate) fn open(path: &Path) -> Result<Dataset> {
    Ok(Dataset::open_with(path, key()?.as_ref())?)
}
