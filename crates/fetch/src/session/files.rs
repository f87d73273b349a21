//! The files of a session: what is there is kept, what is wanted is brought, what happens is counted and locked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checksum::sha256_of_file;
use crate::error::{Error, Result};
use crate::fetcher::{Failure, Progress};
use crate::lock::LockedFile;
use crate::retry::Attempts;
use crate::safe_path::safe_path;
use crate::session::{Session, whole_seconds};
use crate::transfer::{Arrived, NewFile, Transfer, Wanted};

/// After so many failures in a row the rest of a feed is not tried.
const MAX_FAILURES_IN_A_ROW: usize = 10;
/// New small files are written into the lock file so many at a time: it grows with every file, and some feeds have
/// thousands. A file that is not in it yet is only asked for again.
const LOCK_EVERY: usize = 64;
/// Files from this size on are written into the lock file at once.
const LARGE_BYTES: u64 = 1 << 20;

impl Session<'_, '_> {
    /// A file that is kept. Whether it is there now; what went wrong with this file alone is counted.
    ///
    /// # Errors
    /// What other files of the feed would suffer as well.
    pub(crate) fn file(&mut self, wanted: &Wanted) -> Result<bool> {
        self.file_as(wanted, None)
    }

    /// The same, where the file must have a certain SHA-256.
    pub(super) fn file_as(&mut self, wanted: &Wanted, must_be: Option<&str>) -> Result<bool> {
        match self.bring_as(wanted, must_be) {
            Ok(()) => Ok(true),
            Err(error) if error.ends_the_feed() => Err(error),
            Err(error) => self.failed(wanted.url.to_string(), error).map(|()| false),
        }
    }

    /// Counts what went wrong with one file or document; an error where that happened too often in a row.
    pub(crate) fn failed(&mut self, url: String, error: Error) -> Result<()> {
        if error.ends_the_feed() {
            return Err(error);
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW {
            let (feed, count) = (self.feed.name(), self.failures_in_a_row);
            return Err(Error::TooManyFailures { feed, count, last: Box::new(error) });
        }
        self.summary.failed.push(Failure { url, error });
        Ok(())
    }

    /// Like [`file`](Self::file), but what goes wrong is the error.
    pub(crate) fn bring(&mut self, wanted: &Wanted) -> Result<()> {
        self.bring_as(wanted, None)
    }

    fn bring_as(&mut self, wanted: &Wanted, must_be: Option<&str>) -> Result<()> {
        self.asked.insert(wanted.path.clone());
        self.try_file(wanted, must_be)?;
        self.failures_in_a_row = 0;
        Ok(())
    }

    fn try_file(&mut self, wanted: &Wanted, must_be: Option<&str>) -> Result<()> {
        let target = self.target(wanted)?;
        let known = self.known(wanted, &target)?;
        if let Some(known) = known.as_ref().filter(|known| is_settled(known, wanted, must_be)) {
            self.tell(&wanted.path, known.bytes, Some(known.bytes));
            self.summary.unchanged += 1;
            return Ok(());
        }
        let mut attempts = Attempts::new(self.fetcher.options.patience);
        let (arrived, resumed) = loop {
            self.keep_pace()?;
            let mut transfer = Transfer {
                client: &self.fetcher.client,
                place: self.place(&wanted.url)?,
                wanted,
                target: &target,
                known: known.as_ref().filter(|_| must_be.is_none()),
                must_be,
                is_paced: self.pace.is_some(),
                stopped: self.fetcher.stopped,
                transferred: 0,
                resumed: false,
            };
            let (feed, file) = (self.feed.name(), wanted.path.as_str());
            let result = transfer.attempt(&mut |done_bytes, total_bytes| {
                (self.progress)(Progress { feed, file, done_bytes, total_bytes });
            });
            let (gained, resumed) = (transfer.transferred, transfer.resumed);
            self.summary.bytes += gained;
            match result {
                Ok(arrived) => break (arrived, resumed),
                Err(trouble) => self.wait_after(trouble, &wanted.url, gained, &mut attempts)?,
            }
        };
        self.summary.resumed += usize::from(resumed);
        self.settle(wanted, arrived)
    }

    /// Writes into the lock file what has arrived.
    fn settle(&mut self, wanted: &Wanted, arrived: Arrived) -> Result<()> {
        let before = self.fetcher.lock.files.get(&wanted.path);
        let (is_new, is_replaced) = match &arrived {
            Arrived::Unchanged => (false, false),
            Arrived::New(new) => (before.is_none_or(|before| before.sha256 != new.sha256), before.is_some()),
        };
        self.summary.downloaded += usize::from(is_new);
        self.summary.unchanged += usize::from(!is_new);
        let entry = match (arrived, before) {
            (Arrived::New(new), _) => self.entry(wanted, new),
            (Arrived::Unchanged, Some(before)) => LockedFile { listed_as: wanted.listed_as.clone(), ..before.clone() },
            (Arrived::Unchanged, None) => return Ok(()),
        };
        let at_once = is_replaced || entry.bytes >= LARGE_BYTES;
        self.fetcher.lock.files.insert(wanted.path.clone(), entry);
        self.fetcher.unwritten += 1;
        if at_once || self.fetcher.unwritten >= LOCK_EVERY {
            self.fetcher.write_lock()?;
        }
        Ok(())
    }

    fn entry(&self, wanted: &Wanted, new: NewFile) -> LockedFile {
        LockedFile {
            feed: self.feed.name().into(),
            url: wanted.url.to_string(),
            final_url: new.final_url,
            fetched_at: whole_seconds(self.now()),
            bytes: new.bytes,
            sha256: new.sha256,
            etag: new.state.etag,
            last_modified: new.state.last_modified,
            listed_as: wanted.listed_as.clone(),
            stated: wanted.stated.digests(),
            licence: self.feed.licence().into(),
        }
    }

    /// What the lock file says of the file that is there, where it is of this address, is still so on the disk, and was
    /// held against what is stated now.
    fn known(&self, wanted: &Wanted, target: &Path) -> Result<Option<LockedFile>> {
        let Some(known) = self.fetcher.lock.files.get(&wanted.path) else {
            return Ok(None);
        };
        let stated = wanted.stated.digests();
        // What has the stated digest is it, wherever it came from.
        let is_same = is_as_stated(known, wanted);
        let is_it = is_same || known.url == wanted.url.as_str() && (stated.is_empty() || known.stated == stated);
        if !is_it || !target.is_file() {
            return Ok(None);
        }
        let (sha256, bytes) = sha256_of_file(target)?;
        Ok((sha256 == known.sha256 && bytes == known.bytes).then(|| known.clone()))
    }

    /// Where a file goes.
    fn target(&self, wanted: &Wanted) -> Result<PathBuf> {
        let reason = match safe_path(&wanted.path) {
            Err(reason) => reason,
            Ok(path) if path.split('/').next() != Some(self.feed.name()) => "it is of another feed",
            Ok(path) => return Ok(self.fetcher.options.into.join(path)),
        };
        let name = wanted.path.escape_debug().to_string();
        Err(Error::UnsafeName { name, reason, origin: wanted.url.to_string() })
    }

    /// Whether a file of this path is there as the lock file says; it then counts as asked for, and as unchanged.
    pub(crate) fn has(&mut self, path: &str) -> Result<bool> {
        let is_there = self.has_quietly(path)?;
        if is_there {
            self.count_kept(path);
        }
        Ok(is_there)
    }

    /// The same without counting it.
    pub(crate) fn has_quietly(&self, path: &str) -> Result<bool> {
        let Some(known) = self.fetcher.lock.files.get(path) else {
            return Ok(false);
        };
        let target = self.on_disk(path);
        Ok(target.is_file() && sha256_of_file(&target)? == (known.sha256.clone(), known.bytes))
    }

    /// A file that is there is kept.
    pub(crate) fn count_kept(&mut self, path: &str) {
        self.summary.unchanged += 1;
        self.failures_in_a_row = 0;
        self.asked.insert(path.to_owned());
    }

    /// Whether a file is there of which its index says the same as before; it then counts as unchanged.
    pub(crate) fn is_listed_as_before(&mut self, wanted: &Wanted) -> Result<bool> {
        let known = self.fetcher.lock.files.get(&wanted.path);
        let same = known.is_some_and(|known| known.url == wanted.url.as_str() && is_settled(known, wanted, None));
        Ok(same && self.has(&wanted.path)?)
    }

    /// Removes this feed's files that were not asked for this time, as far as nobody changed them.
    pub(crate) fn remove_the_rest(&mut self) -> Result<()> {
        let name = self.feed.name();
        let files = &self.fetcher.lock.files;
        let rest = files.iter().filter(|(path, file)| file.feed == name && !self.asked.contains(*path));
        let rest: Vec<(String, String)> = rest.map(|(path, file)| (path.clone(), file.sha256.clone())).collect();
        for (path, sha256) in rest {
            let target = self.fetcher.options.into.join(&path);
            if target.is_file() && sha256_of_file(&target)?.0 == sha256 {
                fs::remove_file(&target).map_err(Error::io("remove", &target))?;
                self.summary.removed += 1;
            }
            self.fetcher.lock.files.remove(&path);
            self.fetcher.unwritten += 1;
        }
        self.fetcher.write_lock()
    }

    /// How many files could not be had so far.
    pub(crate) fn failures(&self) -> usize {
        self.summary.failed.len()
    }

    /// The place in the folder that is fetched into of a file of this feed.
    pub(crate) fn on_disk(&self, path: &str) -> PathBuf {
        self.fetcher.options.into.join(path)
    }
}

/// Whether a file that is there needs no question: it is the locked one, or its index says the same as before.
fn is_settled(known: &LockedFile, wanted: &Wanted, must_be: Option<&str>) -> bool {
    match must_be {
        Some(sha256) => known.sha256 == sha256,
        None => is_as_stated(known, wanted) || wanted.listed_as.is_some() && known.listed_as == wanted.listed_as,
    }
}

fn is_as_stated(known: &LockedFile, wanted: &Wanted) -> bool {
    wanted.stated.sha256.as_ref() == Some(&known.sha256)
}
