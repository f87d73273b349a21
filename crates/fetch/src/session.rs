//! What a feed works with: documents, files, time, and what is there already. One session fetches one feed once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use url::Url;

use crate::checksum::{Stated, sha256_of_file};
use crate::clock::{Pace, sleep};
use crate::error::{Error, Result, Trouble};
use crate::feed::Feed;
use crate::fetcher::{Failure, Fetcher, Options, Progress, Summary};
use crate::http::Request;
use crate::lock::LockedFile;
use crate::mirror::{Mirror, Place, web_address};
use crate::retry::Attempts;
use crate::safe_path::safe_path;
use crate::shape::Shape;
use crate::transfer::{Arrived, NewFile, Transfer, Wanted, copy};

/// After so many failures in a row the rest of a feed is not tried.
const MAX_FAILURES_IN_A_ROW: usize = 10;
/// New small files are written into the lock file so many at a time: it grows with every file, and some feeds have
/// thousands. A file that is not in it yet is only asked for again.
const LOCK_EVERY: usize = 64;
/// Files from this size on are written into the lock file at once.
const LARGE_BYTES: u64 = 1 << 20;
/// A file from a lock file may have so many bytes more than it says before it is broken off.
const LOCKED_SLACK_BYTES: u64 = 1 << 20;

/// See the file's head.
pub struct Session<'s, 'f> {
    fetcher: &'s mut Fetcher<'f>,
    feed: &'s dyn Feed,
    progress: &'s mut dyn FnMut(Progress<'_>),
    summary: Summary,
    pace: Option<Pace>,
    /// The paths that this session asked for.
    asked: BTreeSet<String>,
    failures_in_a_row: usize,
}

impl<'s, 'f> Session<'s, 'f> {
    pub(crate) fn new(
        fetcher: &'s mut Fetcher<'f>,
        feed: &'s dyn Feed,
        progress: &'s mut dyn FnMut(Progress<'_>),
    ) -> Self {
        let summary = Summary { feed: feed.name(), ..Summary::default() };
        // As a lock file says, files are asked for without a key.
        let has_key = fetcher.options.nvd_api_key.is_some() && fetcher.options.locked.is_none();
        // A folder on this machine may be asked as often as one likes.
        let is_folder = matches!(fetcher.options.mirror, Some(Mirror::Folder(_)));
        let pace = feed.pace(has_key).filter(|_| !is_folder).map(|(requests, window)| Pace::new(requests, window));
        Self { fetcher, feed, progress, summary, pace, asked: BTreeSet::new(), failures_in_a_row: 0 }
    }

    /// The feed as it is, or as a lock file says.
    pub(crate) fn run(&mut self) -> Result<()> {
        match self.fetcher.options.locked.take() {
            None => self.feed.fetch(self),
            Some(locked) => {
                let result = self.run_locked(&locked.files);
                self.fetcher.options.locked = Some(locked);
                result
            }
        }
    }

    pub(crate) fn into_summary(self) -> Summary {
        self.summary
    }

    fn run_locked(&mut self, files: &std::collections::BTreeMap<String, LockedFile>) -> Result<()> {
        let name = self.feed.name();
        let mut found = false;
        for (path, locked) in files.iter().filter(|(_, locked)| locked.feed == name) {
            found = true;
            let wanted = wanted_as_locked(path, locked, name)?;
            self.file_as(&wanted, Some(&locked.sha256))?;
        }
        if found {
            return Ok(());
        }
        let problem = format!("the lock file says nothing of feed `{name}`");
        Err(Error::Options { problem, hint: "name other feeds, or fetch without --locked" })
    }

    /// What the user wants.
    pub(crate) fn options(&self) -> &Options {
        &self.fetcher.options
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.fetcher.clock.now()
    }

    /// This year, in UTC.
    pub(crate) fn year(&self) -> i16 {
        jiff::tz::Offset::UTC.to_datetime(self.now()).year()
    }

    /// How far a feed had come, by a name that begins with its own.
    pub(crate) fn progress_of(&self, name: &str) -> Option<&str> {
        self.fetcher.lock.progress.get(name).map(String::as_str)
    }

    /// Keeps how far a feed has come; nothing forgets it.
    pub(crate) fn keep_progress(&mut self, name: &str, value: Option<String>) -> Result<()> {
        match value {
            Some(value) => self.fetcher.lock.progress.insert(name.into(), value),
            None => self.fetcher.lock.progress.remove(name),
        };
        self.fetcher.unwritten += 1;
        self.fetcher.write_lock()
    }

    /// A document that fits into memory and is not kept.
    pub(crate) fn document(&mut self, url: &Url, max_bytes: u64) -> Result<Vec<u8>> {
        let place = self.place(url)?;
        let mut attempts = Attempts::new(self.fetcher.options.patience);
        loop {
            self.keep_pace()?;
            match self.document_once(url, &place, max_bytes) {
                Ok(bytes) => return Ok(bytes),
                Err(trouble) => self.wait_after(trouble, url, 0, &mut attempts)?,
            }
        }
    }

    /// The same, or nothing where the server has none.
    pub(crate) fn document_if_there(&mut self, url: &Url, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        match self.document(url, max_bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Refused { status: 404 | 410, .. } | Error::NotInMirror { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A document as JSON of the form `T`, which `wanted` calls in words.
    pub(crate) fn json<T: DeserializeOwned>(&mut self, url: &Url, max_bytes: u64, wanted: &'static str) -> Result<T> {
        let bytes = self.document(url, max_bytes)?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        serde_json::from_slice(text).map_err(|error| unreadable(url, wanted, error.to_string()))
    }

    fn document_once(&self, url: &Url, place: &Place, max_bytes: u64) -> Result<Vec<u8>, Trouble> {
        let mut body: Box<dyn std::io::Read> = match place {
            Place::File(path) => match fs::File::open(path) {
                Ok(file) => Box::new(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(Error::NotInMirror { url: url.to_string(), path: path.clone() }.into());
                }
                Err(error) => return Err(Error::io("read", path)(error).into()),
            },
            Place::Remote(at) => self.open_document(at)?,
        };
        let mut bytes = Vec::new();
        copy(&mut body, self.fetcher.stopped, &mut |piece| {
            if (bytes.len() + piece.len()) as u64 > max_bytes {
                return Err(Error::TooLarge { url: url.to_string(), max_bytes }.into());
            }
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn open_document(&self, at: &Url) -> Result<Box<dyn std::io::Read>, Trouble> {
        let headers = vec![("Accept-Encoding", "gzip".to_owned())];
        let request = Request { headers, secret: None, is_paced: self.pace.is_some() };
        let answer = self.fetcher.client.get(at, &request)?;
        if answer.status != 200 {
            return Err(Error::refused(at.as_str(), answer.status).into());
        }
        match answer.encoding().as_str() {
            "gzip" | "x-gzip" => Ok(Box::new(MultiGzDecoder::new(answer.body))),
            "identity" | "" => Ok(answer.body),
            other => {
                let detail = format!("it is encoded as `{}`, which was not asked for", other.escape_debug());
                Err(Error::Unreadable { url: at.to_string(), wanted: "a plain document", detail }.into())
            }
        }
    }

    /// A file that is kept. Whether it is there now; what went wrong with this file alone is counted.
    ///
    /// # Errors
    /// What other files of the feed would suffer as well.
    pub(crate) fn file(&mut self, wanted: &Wanted) -> Result<bool> {
        self.file_as(wanted, None)
    }

    fn file_as(&mut self, wanted: &Wanted, must_be: Option<&str>) -> Result<bool> {
        self.asked.insert(wanted.path.clone());
        match self.try_file(wanted, must_be) {
            Ok(()) => {
                self.failures_in_a_row = 0;
                Ok(true)
            }
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

    /// The same, but what goes wrong is the error.
    pub(crate) fn bring(&mut self, wanted: &Wanted) -> Result<()> {
        self.asked.insert(wanted.path.clone());
        self.try_file(wanted, None)
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
    fn known(&self, wanted: &Wanted, target: &PathBuf) -> Result<Option<LockedFile>> {
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

    fn place(&self, url: &Url) -> Result<Place> {
        match &self.fetcher.options.mirror {
            None => Ok(Place::Remote(url.clone())),
            Some(mirror) => mirror.place(url),
        }
    }

    fn tell(&mut self, file: &str, done_bytes: u64, total_bytes: Option<u64>) {
        (self.progress)(Progress { feed: self.feed.name(), file, done_bytes, total_bytes });
    }

    /// Waits until another request may be made.
    fn keep_pace(&mut self) -> Result<()> {
        if (self.fetcher.stopped)() {
            return Err(Error::Stopped);
        }
        if let Some(pace) = self.pace.as_mut() {
            sleep(self.fetcher.clock, pace.wait(self.fetcher.clock.now()), self.fetcher.stopped)?;
            pace.made(self.fetcher.clock.now());
        }
        Ok(())
    }

    fn wait_after(&mut self, trouble: Trouble, url: &Url, gained: u64, attempts: &mut Attempts) -> Result<()> {
        let now = std::time::SystemTime::try_from(self.now()).unwrap_or(std::time::SystemTime::UNIX_EPOCH);
        let wait = attempts.after(trouble, url.as_str(), gained, now, &mut self.fetcher.chance)?;
        sleep(self.fetcher.clock, wait, self.fetcher.stopped)
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

/// A file as a lock file says.
fn wanted_as_locked(path: &str, locked: &LockedFile, feed: &str) -> Result<Wanted> {
    let shape = match path.rsplit('.').next() {
        Some("json") => Shape::Json,
        Some("gz") => Shape::Gzip,
        Some("zip") => Shape::Zip,
        _ => Shape::Text,
    };
    let url = web_address(&locked.url)?;
    if path.split('/').next() != Some(feed) {
        let (name, reason) = (path.escape_debug().to_string(), "it is of another feed");
        return Err(Error::UnsafeName { name, reason, origin: "the lock file".into() });
    }
    let max_bytes = locked.bytes.saturating_add(LOCKED_SLACK_BYTES);
    let mut wanted = Wanted::new(url, path, shape, max_bytes);
    wanted.stated = Stated::default();
    wanted.listed_as.clone_from(&locked.listed_as);
    Ok(wanted)
}

/// An error about a document.
pub(crate) fn unreadable(url: &Url, wanted: &'static str, detail: String) -> Error {
    Error::Unreadable { url: url.to_string(), wanted, detail }
}

/// An address that a fetched document names: like [`web_address`], and https where the document came by https.
pub(crate) fn named_address(text: &str, document: &Url) -> Result<Url> {
    let url = web_address(text)?;
    if document.scheme() == "https" && url.scheme() != "https" {
        let reason = format!("`{document}` was fetched by https and names it");
        return Err(Error::BadUrl { url: url.to_string(), reason });
    }
    Ok(url)
}

/// A constant address of this crate.
pub(crate) fn known_address(text: &str) -> Url {
    Url::parse(text).expect("the addresses in this crate are addresses; a test walks them")
}

/// In UTC, without fractions.
pub(crate) fn whole_seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_by_https_may_not_lead_to_http() {
        let document = known_address("https://example.org/index.json");
        assert!(named_address("https://other.org/a", &document).is_ok());
        assert!(named_address("http://other.org/a", &document).is_err());
        assert!(named_address("http://other.org/a", &known_address("http://example.org/index.json")).is_ok());
        assert!(named_address("file:///a", &document).is_err());
    }

    #[test]
    fn times_are_utc_without_fractions() {
        let time = Timestamp::from_millisecond(1_714_521_601_999).unwrap();
        assert_eq!(whole_seconds(time), "2024-05-01T00:00:01Z");
    }
}
