//! The engine: options, the folder that is fetched into, and one feed after the other.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::clock::{Chance, Clock};
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::http::{Client, Network};
use crate::lock::Lock;
use crate::mirror::Mirror;
use crate::retry::Patience;
use crate::session::Session;

/// Held while a process fetches into a folder.
const GUARD_FILE: &str = ".wardsmith-fetch";

/// What to fetch how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder to fetch into; made where it is missing.
    pub into: PathBuf,
    /// What stands in for the original servers.
    pub mirror: Option<Mirror>,
    /// Fetch exactly what this says, and refuse anything else.
    pub locked: Option<Lock>,
    /// The ecosystems of feed `ghsa`, as OSV names them; empty for the default ones.
    pub ecosystems: Vec<String>,
    /// The providers of feed `csaf`: addresses of `provider-metadata.json`, or domains; empty for CISA.
    pub providers: Vec<String>,
    /// Leave out what is of earlier years, in feeds that come by year (`nvd`, `csaf`, `certcc`).
    pub since_year: Option<i16>,
    /// The key of NVD's API.
    pub nvd_api_key: Option<String>,
    /// Waiting for servers.
    pub network: Network,
    /// Waiting between attempts.
    pub patience: Patience,
    /// The seed of the jitter in waiting times.
    pub seed: u64,
}

impl Options {
    /// Into `into`, everything else as by default.
    #[must_use]
    pub fn new(into: PathBuf) -> Self {
        Self {
            into,
            mirror: None,
            locked: None,
            ecosystems: Vec::new(),
            providers: Vec::new(),
            since_year: None,
            nvd_api_key: None,
            network: Network::default(),
            patience: Patience::default(),
            seed: 0,
        }
    }
}

/// How far one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The feed.
    pub feed: &'static str,
    /// The file's path in the folder.
    pub file: &'a str,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes that there will be, where the server says.
    pub total_bytes: Option<u64>,
}

/// A file that could not be had.
#[derive(Debug)]
pub struct Failure {
    /// Its original address.
    pub url: String,
    /// Why.
    pub error: Error,
}

/// What was done for one feed.
#[derive(Debug, Default)]
pub struct Summary {
    /// The feed.
    pub feed: &'static str,
    /// Files that are new or have changed.
    pub downloaded: usize,
    /// Files that are as they were.
    pub unchanged: usize,
    /// Files of which a part was there already; they are counted as downloaded or unchanged as well.
    pub resumed: usize,
    /// Files that the feed replaced by others, and which were removed.
    pub removed: usize,
    /// Bytes that came for files; indexes and answers are not counted.
    pub bytes: u64,
    /// Files that could not be had.
    pub failed: Vec<Failure>,
}

/// Fetches feeds into one folder.
pub struct Fetcher<'f> {
    pub(crate) options: Options,
    pub(crate) client: Client,
    pub(crate) lock: Lock,
    pub(crate) clock: &'f dyn Clock,
    pub(crate) stopped: &'f dyn Fn() -> bool,
    pub(crate) chance: Chance,
    /// Entries of `lock` that are not in the file yet.
    pub(crate) unwritten: usize,
    /// Unlocked when it is closed.
    _guard: File,
}

impl<'f> Fetcher<'f> {
    /// Opens the folder. `stopped` is asked between pieces and while waiting; once it says yes, fetching ends with
    /// [`Error::Stopped`] and what has arrived is kept.
    ///
    /// # Errors
    /// Where the folder cannot be made, is in use by another process, or has a lock file that cannot be read.
    pub fn new(options: Options, clock: &'f dyn Clock, stopped: &'f dyn Fn() -> bool) -> Result<Self> {
        let into = &options.into;
        fs::create_dir_all(into).map_err(Error::io("create", into))?;
        let guard = guard(into)?;
        let lock = Lock::of_folder(into)?;
        let (client, chance) = (Client::new(options.network)?, Chance::new(options.seed));
        Ok(Self { options, client, lock, clock, stopped, chance, unwritten: 0, _guard: guard })
    }

    /// Fetches one feed. `progress` hears of every piece.
    ///
    /// # Errors
    /// Where nothing of it could be had, the disk fails, or it was asked to stop. Where some files could be had, those
    /// that could not stand in the summary.
    pub fn fetch(&mut self, feed: &dyn Feed, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Summary> {
        let mut session = Session::new(self, feed, progress);
        let result = session.run();
        let mut summary = session.into_summary();
        self.write_lock()?;
        result?;
        if summary.downloaded + summary.unchanged == 0 && !summary.failed.is_empty() {
            return Err(summary.failed.swap_remove(0).error);
        }
        Ok(summary)
    }

    /// Fetches several feeds; what happens to one does not touch the others, but a request to stop ends all.
    pub fn fetch_all(
        &mut self,
        feeds: &[&dyn Feed],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Vec<(&'static str, Result<Summary>)> {
        let mut results = Vec::new();
        for feed in feeds {
            let result = self.fetch(*feed, progress);
            let stop = matches!(result, Err(Error::Stopped));
            results.push((feed.name(), result));
            if stop {
                break;
            }
        }
        results
    }

    /// What has been fetched into the folder so far.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    pub(crate) fn write_lock(&mut self) -> Result<()> {
        if self.unwritten > 0 {
            self.lock.write(&self.options.into)?;
            self.unwritten = 0;
        }
        Ok(())
    }
}

fn guard(folder: &Path) -> Result<File> {
    let path = folder.join(GUARD_FILE);
    let file = File::options().create(true).append(true).open(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(folder.to_path_buf())),
        // Some network file systems know no locks; then the user has to take care.
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_folder_serves_one_fetcher_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(folder.path().join("new"));
        let first = Fetcher::new(options.clone(), &SystemClock, &|| false).unwrap();
        let second = Fetcher::new(options.clone(), &SystemClock, &|| false);
        assert!(matches!(second.err(), Some(Error::Busy(_))));
        drop(first);
        assert!(Fetcher::new(options, &SystemClock, &|| false).is_ok());
    }
}
