//! What a feed works with: documents, files, time, and what is there already. One session fetches one feed once.

mod files;

use std::collections::BTreeSet;
use std::fs;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use url::Url;

use crate::clock::{Pace, sleep};
use crate::error::{Error, Result, Trouble};
use crate::feed::Feed;
use crate::fetcher::{Fetcher, Options, Progress, Summary};
use crate::http::Request;
use crate::lock::LockedFile;
use crate::mirror::{Mirror, Place, web_address};
use crate::retry::Attempts;
use crate::shape::Shape;
use crate::transfer::{Wanted, copy};

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
            let wanted = wanted_as_locked(path, locked)?;
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

/// A file as a lock file says.
fn wanted_as_locked(path: &str, locked: &LockedFile) -> Result<Wanted> {
    let shape = match path.rsplit('.').next() {
        Some("json") => Shape::Json,
        Some("gz") => Shape::Gzip,
        Some("zip") => Shape::Zip,
        _ => Shape::Text,
    };
    let url = web_address(&locked.url)?;
    let max_bytes = locked.bytes.saturating_add(LOCKED_SLACK_BYTES);
    let mut wanted = Wanted::new(url, path, shape, max_bytes);
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
