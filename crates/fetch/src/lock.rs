//! `wardsmith.lock.json`: what was fetched, from where, when, and its SHA-256, so that a dataset's inputs can be told and
//! had again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checksum::{digest_of, sha256_of_file};
use crate::error::{Error, Result};
use crate::safe_path::safe_path;

/// Its name, in the folder that is fetched into.
pub const LOCK_FILE: &str = "wardsmith.lock.json";

const FORMAT: &str = "wardsmith-lock";
const FORMAT_VERSION: u32 = 1;
const MAX_LOCK_BYTES: u64 = 256 << 20;

/// The lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Always `wardsmith-lock`.
    format: String,
    /// Always 1.
    format_version: u32,
    /// Which program wrote it.
    created_by: String,
    /// Every file, by its path in the folder, with `/` between folders.
    pub files: BTreeMap<String, LockedFile>,
    /// How far a feed that is asked for changes since a time has come, by a name of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub progress: BTreeMap<String, String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// The feed it belongs to.
    pub feed: String,
    /// Its original address, whatever mirror it came from.
    pub url: String,
    /// Where it came from in the end, after mirror and redirects. An address that a redirect led to stands here without
    /// its query, which may hold a passing signature.
    pub final_url: String,
    /// When it was fetched, in UTC.
    pub fetched_at: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The server's name for this version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the server says it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// What an index said of this version of it, such as a time; while it says the same, the file is not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_as: Option<String>,
    /// Digests that its publisher states, and which it was held against.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stated: BTreeMap<String, String>,
    /// The terms of its data.
    pub licence: String,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            created_by: concat!("wardsmith ", env!("CARGO_PKG_VERSION")).into(),
            files: BTreeMap::new(),
            progress: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// Reads the lock file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, is no lock file, or names what must not become a file.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |detail: String| Error::BadLock { path: path.to_path_buf(), detail };
        let file = fs::File::open(path).map_err(Error::io("read", path))?;
        let mut text = Vec::new();
        file.take(MAX_LOCK_BYTES + 1).read_to_end(&mut text).map_err(Error::io("read", path))?;
        if text.len() as u64 > MAX_LOCK_BYTES {
            return Err(bad(format!("it has more than {MAX_LOCK_BYTES} bytes")));
        }
        let lock: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if lock.format != FORMAT || lock.format_version != FORMAT_VERSION {
            return Err(bad(format!("it is `{}` version {}", lock.format, lock.format_version)));
        }
        for (name, file) in &lock.files {
            safe_path(name).map_err(|reason| bad(format!("it names `{}`, but {reason}", name.escape_debug())))?;
            if name.split_once('/').is_none_or(|(folder, _)| folder != file.feed) {
                return Err(bad(format!("`{name}` does not lie in the folder of its feed, `{}`", file.feed)));
            }
            if digest_of(&file.sha256, 32).as_ref() != Some(&file.sha256) {
                return Err(bad(format!("the SHA-256 of `{name}` is none")));
            }
        }
        Ok(lock)
    }

    /// The lock file of `folder`, or an empty one where there is none yet.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        if path.exists() { Self::read(&path) } else { Ok(Self::default()) }
    }

    /// Writes it into `folder`, by way of a sibling.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("a lock file has no keys that are not text");
        text.push(b'\n');
        write_atomically(&folder.join(LOCK_FILE), &text)
    }
}

/// Writes `bytes` to a hidden sibling of `path`, and renames it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new().prefix(".wardsmith-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(Error::io("write", path))
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that are as the lock file says.
    pub good: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The others, a line each.
    pub problems: Vec<String>,
}

/// Holds every file in `folder` against its lock file; reads all of them.
///
/// # Errors
/// Where there is no lock file that can be read.
pub fn verify(folder: &Path) -> Result<Verified> {
    let lock = Lock::read(&folder.join(LOCK_FILE))?;
    let mut verified = Verified::default();
    for (name, locked) in &lock.files {
        match problem(&folder.join(name), locked) {
            None => {
                verified.good += 1;
                verified.bytes += locked.bytes;
            }
            Some(problem) => verified.problems.push(format!("`{name}` {problem}")),
        }
    }
    Ok(verified)
}

/// What is wrong with the file at `path`.
fn problem(path: &Path, locked: &LockedFile) -> Option<String> {
    match sha256_of_file(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Some("is missing".into()),
        Err(error) => Some(format!("cannot be read: {}", error.to_string().lines().next().unwrap_or_default())),
        Ok((_, bytes)) if bytes != locked.bytes => Some(format!("has {bytes} bytes, not {}", locked.bytes)),
        Ok((sha256, _)) if sha256 != locked.sha256 => Some(format!("was changed: its SHA-256 is {sha256}")),
        Ok(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn locked(content: &[u8]) -> LockedFile {
        use sha2::Digest as _;
        LockedFile {
            feed: "kev".into(),
            url: "https://example.org/a.json".into(),
            final_url: "https://example.org/a.json".into(),
            fetched_at: "2024-05-01T00:00:00Z".into(),
            bytes: content.len() as u64,
            sha256: crate::checksum::hex(&sha2::Sha256::digest(content)),
            etag: None,
            last_modified: None,
            listed_as: None,
            stated: BTreeMap::new(),
            licence: "CC0".into(),
        }
    }

    #[test]
    fn it_reads_back_as_it_was_written_and_leaves_no_sibling() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lock::of_folder(folder.path()).unwrap(), Lock::default());
        let mut lock = Lock::default();
        lock.files.insert("kev/a.json".into(), locked(b"a"));
        lock.progress.insert("nvd-api".into(), "2024".into());
        lock.write(folder.path()).unwrap();
        lock.write(folder.path()).unwrap();
        assert_eq!(Lock::of_folder(folder.path()).unwrap(), lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_that_leads_out_of_the_folder_or_is_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let mut lock = Lock::default();
        lock.files.insert("../a.json".into(), locked(b"a"));
        lock.write(folder.path()).unwrap();
        let message = Lock::read(&path).unwrap_err().to_string();
        assert!(message.contains("`../a.json`") && message.contains("hint:"), "{message}");
        let lock = Lock { format_version: 2, ..Lock::default() };
        lock.write(folder.path()).unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("version 2"));
        let mut lock = Lock::default();
        lock.files.insert("kev/a.json".into(), LockedFile { sha256: "abc".into(), ..locked(b"a") });
        lock.write(folder.path()).unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("is none"));
        for name in ["a.json", "cwe/a.json"] {
            let mut lock = Lock::default();
            lock.files.insert(name.into(), locked(b"a"));
            lock.write(folder.path()).unwrap();
            assert!(Lock::read(&path).unwrap_err().to_string().contains("folder of its feed, `kev`"));
        }
        for text in ["", "{}", "[]", "<html>"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Lock::read(&path), Err(Error::BadLock { .. })), "{text:?}");
        }
    }

    #[test]
    fn verifying_names_what_is_missing_short_or_changed() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::default();
        for (name, content) in [("good", "good"), ("missing", "x"), ("short", "xyz"), ("changed", "right")] {
            lock.files.insert(format!("kev/{name}"), locked(content.as_bytes()));
        }
        lock.write(folder.path()).unwrap();
        fs::create_dir(folder.path().join("kev")).unwrap();
        for (name, content) in [("good", "good"), ("short", "xy"), ("changed", "wrong")] {
            fs::write(folder.path().join("kev").join(name), content).unwrap();
        }
        let verified = verify(folder.path()).unwrap();
        assert_eq!((verified.good, verified.bytes), (1, 4));
        let problems = verified.problems.join("\n");
        for said in ["`kev/missing` is missing", "`kev/short` has 2 bytes, not 3", "`kev/changed` was changed"] {
            assert!(problems.contains(said), "{problems}");
        }
        assert!(verify(tempfile::tempdir().unwrap().path()).is_err());
    }
}
