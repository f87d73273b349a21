//! What has arrived of a file: a hidden sibling, and beside it what the server said of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checksum::{Digests, Stated, read_all};
use crate::error::{Error, Result, Trouble};
use crate::http::Answer;
use crate::lock::write_atomically;

/// What the server said of a file when it began to send it: the content of `.NAME.part.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartState {
    /// What was asked for.
    pub(crate) url: String,
    /// The server's name for this version.
    pub(crate) etag: Option<String>,
    /// When it was changed.
    pub(crate) last_modified: Option<String>,
    /// How long it will be.
    pub(crate) expected_bytes: Option<u64>,
    /// Whether it is sent in another form, of which no part can be asked for.
    pub(crate) is_encoded: bool,
}

impl PartState {
    /// What proves to the server that the rest of the same version is wanted: a strong tag, else the date.
    pub(crate) fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        strong.or(self.last_modified.as_deref()).filter(|_| !self.is_encoded)
    }
}

/// The part of one file.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    state_path: PathBuf,
    state: PartState,
    file: Option<File>,
    digests: Digests,
}

impl Part {
    /// The part of the file at `target`, whose folder is made where it is missing.
    pub(crate) fn of(target: &Path) -> Result<Self> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            path: folder.join(format!(".{name}.part")),
            state_path: folder.join(format!(".{name}.part.json")),
            state: PartState::default(),
            file: None,
            digests: Digests::new(&Stated::default()),
        })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of it.
    pub(crate) fn state(&self) -> &PartState {
        &self.state
    }

    /// How many bytes have arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.digests.bytes()
    }

    /// Whether all that was announced has arrived.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.expected_bytes == Some(self.bytes())
    }

    /// Opens what an earlier attempt left, where the rest of it can be asked for; else throws it away.
    pub(crate) fn resume(&mut self, url: &str, stated: &Stated, stopped: &dyn Fn() -> bool) -> Result<bool> {
        let state = fs::read(&self.state_path).ok().and_then(|text| serde_json::from_slice::<PartState>(&text).ok());
        let length = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let usable = |state: &PartState| {
            let fits = state.expected_bytes.is_none_or(|expected| length <= expected);
            state.url == url && state.validator().is_some() && fits && length > 0
        };
        let Some(state) = state.filter(usable) else {
            self.discard()?;
            return Ok(false);
        };
        let mut digests = Digests::new(stated);
        read_all(&self.path, &mut |bytes| digests.update(bytes)).map_err(Error::io("read", &self.path))?;
        if stopped() {
            return Err(Error::Stopped);
        }
        let file = OpenOptions::new().append(true).open(&self.path).map_err(Error::io("write", &self.path))?;
        (self.state, self.digests, self.file) = (state, digests, Some(file));
        Ok(true)
    }

    /// Begins anew, with what the server says now.
    pub(crate) fn restart(&mut self, state: PartState, stated: &Stated) -> Result<()> {
        self.discard()?;
        let text = serde_json::to_vec(&state).expect("its state has no keys that are not text");
        write_atomically(&self.state_path, &text)?;
        let file = File::create_new(&self.path).map_err(Error::io("create", &self.path))?;
        (self.state, self.digests, self.file) = (state, Digests::new(stated), Some(file));
        Ok(())
    }

    /// An answer with status 206 was given: is it the rest of this version? Where it is not, the part is thrown away.
    pub(crate) fn accept_rest(&mut self, answer: &Answer, is_plain: bool) -> Result<(), Trouble> {
        let encoded = || (!is_plain).then(|| "it sends the rest in another encoding".to_owned());
        if let Some(problem) = self.problem_of_rest(answer).or_else(encoded) {
            self.discard()?;
            return Err(Trouble::Wrong(problem));
        }
        Ok(())
    }

    fn problem_of_rest(&mut self, answer: &Answer) -> Option<String> {
        let stated = answer.header("content-range").unwrap_or_default();
        let Some((first, last, total)) = content_range(stated) else {
            return Some(format!("its `Content-Range: {}` cannot be read", stated.escape_debug()));
        };
        if first != self.bytes() || total.is_some_and(|total| last.checked_add(1) != Some(total)) {
            return Some(format!("it sends `{stated}` where the rest from byte {} was asked for", self.bytes()));
        }
        if answer.header("etag").is_some_and(|etag| self.state.etag.as_deref().is_some_and(|known| known != etag)) {
            return Some("it has changed since it was begun".into());
        }
        match (total, self.state.expected_bytes) {
            (Some(total), Some(expected)) if total != expected => {
                Some(format!("it has {total} bytes now, and had {expected} when it was begun"))
            }
            (Some(total), None) => {
                self.state.expected_bytes = Some(total);
                None
            }
            _ => None,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("a part is begun or resumed before bytes arrive");
        file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.digests.update(bytes);
        Ok(())
    }

    /// Sees to it that what has arrived survives.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all).map_err(Error::io("write", &self.path))
    }

    /// The SHA-256 of all that has arrived, or what differs from `stated`.
    pub(crate) fn finish_digests(&mut self, stated: &Stated) -> Result<String, String> {
        std::mem::replace(&mut self.digests, Digests::new(stated)).finish(stated)
    }

    /// Gives it its name.
    pub(crate) fn rename(mut self, target: &Path) -> Result<()> {
        drop(self.file.take());
        fs::rename(&self.path, target).map_err(Error::io("rename to", target))?;
        sync_folder(target)?;
        remove(&self.state_path)
    }

    /// Throws away what has arrived.
    pub(crate) fn discard(&mut self) -> Result<()> {
        self.file = None;
        self.digests = Digests::new(&Stated::default());
        self.state = PartState::default();
        remove(&self.path)?;
        remove(&self.state_path)
    }
}

/// `bytes 5-9/10` as 5, 9 and 10; the last may be unknown, `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    (first <= last).then_some((first, last, total))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A new name survives a crash once its folder is written; only Unix opens folders.
fn sync_folder(target: &Path) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("write", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> PartState {
        let (url, etag) = ("http://a/b".to_owned(), Some("\"1\"".to_owned()));
        PartState { url, etag, expected_bytes: Some(6), ..PartState::default() }
    }

    #[test]
    fn a_content_range_is_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for text in
            ["", "bytes", "bytes */10", "bytes 9-5/10", "bytes -5/10", "items 5-9/10", "bytes 5-9", "bytes 5-9/x"]
        {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_strong_tag_or_a_date_proves_the_version() {
        let with = |etag: Option<&str>, date: Option<&str>, is_encoded| {
            let (etag, last_modified) = (etag.map(str::to_owned), date.map(str::to_owned));
            PartState { etag, last_modified, is_encoded, ..state() }.validator().map(str::to_owned)
        };
        assert_eq!(with(Some("\"1\""), Some("then"), false).as_deref(), Some("\"1\""));
        assert_eq!(with(Some("W/\"1\""), Some("then"), false).as_deref(), Some("then"));
        assert_eq!(with(Some("W/\"1\""), None, false), None);
        assert_eq!(with(Some("\"1\""), Some("then"), true), None);
    }

    #[test]
    fn a_part_goes_on_where_it_stopped_and_only_for_the_same_address() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.json");
        let stated = Stated::default();
        let go_on = |url: &str| {
            let mut part = Part::of(&target).unwrap();
            let resumed = part.resume(url, &stated, &|| false).unwrap();
            (resumed, part)
        };
        let mut part = Part::of(&target).unwrap();
        part.restart(state(), &stated).unwrap();
        part.append(b"abc").unwrap();
        drop(part);
        let (resumed, mut part) = go_on("http://a/b");
        assert!(resumed && !part.is_whole());
        part.append(b"def").unwrap();
        assert!(part.is_whole());
        let whole = part.finish_digests(&stated).unwrap();
        part.rename(&target).unwrap();
        assert_eq!(crate::checksum::sha256_of_file(&target).unwrap(), (whole, 6));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut part = Part::of(&target).unwrap();
        part.restart(state(), &stated).unwrap();
        part.append(b"abcdefg").unwrap();
        drop(part);
        assert!(!go_on("http://a/b").0, "it is longer than announced");
        let mut part = Part::of(&target).unwrap();
        part.restart(state(), &stated).unwrap();
        part.append(b"abc").unwrap();
        drop(part);
        assert!(!go_on("http://a/c").0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the part is gone");
    }
}
