//! The folder of an export: written to a hidden sibling and renamed, with `wardsmith-export.json`, which states the
//! SHA-256 of every other file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardsmith_records::dataset::Split;

use crate::error::{Error, Result};

/// The name of the statement in every export.
pub(crate) const STATEMENT: &str = "wardsmith-export.json";
const FORMAT: &str = "wardsmith-export";
const FORMAT_VERSION: u32 = 1;
/// Also the `created_by` of Parquet files: fixed, so that equal datasets make equal bytes.
pub(crate) const CREATED_BY: &str = concat!("wardsmith-tables ", env!("CARGO_PKG_VERSION"));
/// No statement is larger.
const MAX_STATEMENT_BYTES: u64 = 16 << 20;

/// `wardsmith-export.json`: what an export holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Always `wardsmith-export`.
    pub format: String,
    /// The version of this file's form.
    pub format_version: u32,
    /// The crate and its version.
    pub created_by: String,
    /// `hf`, `chat` or `records`.
    pub kind: String,
    /// SHA-256 of the dataset's own `manifest.json`; `None` for records.
    pub dataset_manifest_sha256: Option<String>,
    /// Private examples that were left out.
    pub withheld_private_examples: u64,
    /// Exported examples by task and split.
    pub examples: BTreeMap<String, BTreeMap<Split, u64>>,
    /// Every other file, by its path in the folder.
    pub files: BTreeMap<String, ExportedFile>,
}

impl Statement {
    /// A statement without examples and files.
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            created_by: CREATED_BY.into(),
            kind: kind.into(),
            dataset_manifest_sha256: None,
            withheld_private_examples: 0,
            examples: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Bytes, as stored.
    pub bytes: u64,
    /// Rows or lines, where the file is data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// What stands at its place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The folder.
    pub path: PathBuf,
    /// What it holds.
    pub statement: Statement,
}

/// A folder that is being written; removed where [`Folder::finish`] never comes.
#[derive(Debug)]
pub(crate) struct Folder {
    target: PathBuf,
    partial: PathBuf,
    files: BTreeMap<String, ExportedFile>,
}

impl Folder {
    /// Begins an export that will stand at `target`.
    pub(crate) fn create(target: &Path, overwrite: bool) -> Result<Self> {
        check_target(target, overwrite)?;
        let name = target.file_name().ok_or_else(|| Error::NoName(target.to_path_buf()))?;
        let partial = target.with_file_name(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(Error::io("clear", &partial))?;
        }
        fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
        Ok(Self { target: target.to_path_buf(), partial, files: BTreeMap::new() })
    }

    /// Opens the file called `name`, a path within the folder, and makes its parents.
    pub(crate) fn open(&self, name: &str) -> Result<Digested> {
        let path = self.partial.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        Ok(Digested { inner: BufWriter::with_capacity(1 << 18, file), digest: Sha256::new(), bytes: 0, path })
    }

    /// Takes a finished file into the statement; `name` is where it ends up.
    pub(crate) fn take(&mut self, file: Digested, name: &str, rows: Option<u64>) -> Result<ExportedFile> {
        let (from, to) = (file.path.clone(), self.partial.join(name));
        let summary = file.close(rows)?;
        if from != to {
            fs::rename(&from, &to).map_err(Error::io("rename", &from))?;
        }
        self.files.insert(name.into(), summary.clone());
        Ok(summary)
    }

    /// Gives a file that was taken another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let path = self.partial.join(from);
        fs::rename(&path, self.partial.join(to)).map_err(Error::io("rename", &path))?;
        if let Some(summary) = self.files.remove(from) {
            self.files.insert(to.into(), summary);
        }
        Ok(())
    }

    /// Writes a whole file.
    pub(crate) fn write(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let mut file = self.open(name)?;
        let path = file.path.clone();
        file.write_all(content).map_err(Error::io("write", &path))?;
        self.take(file, name, None).map(drop)
    }

    /// Writes a value as indented JSON.
    pub(crate) fn write_json<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.write(name, &json(value))
    }

    /// Writes the statement and puts the folder in its place; an older export there steps aside first.
    pub(crate) fn finish(mut self, mut statement: Statement) -> Result<Exported> {
        statement.files = std::mem::take(&mut self.files);
        self.write(STATEMENT, &json(&statement))?;
        let aside = self.partial.with_extension("replaced");
        let replaces = self.target.exists();
        if replaces {
            if aside.exists() {
                // Left by a run that was cut off between the renames below.
                fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
            }
            fs::rename(&self.target, &aside).map_err(Error::io("move aside", &self.target))?;
        }
        fs::rename(&self.partial, &self.target).map_err(Error::io("rename to", &self.target))?;
        if replaces {
            fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
        }
        Ok(Exported { path: self.target.clone(), statement })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After `finish` the folder has another name; before it, what is half written is of no use to anybody.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Refuses a target that must not be replaced: only an export may be, and only where that is allowed.
pub fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    let exists = |what, hint| Err(Error::OutputExists { path: target.to_path_buf(), what, hint });
    if !target.exists() {
        return Ok(());
    }
    if !is_export(target) {
        return exists(" and is no export", "name a folder that does not exist yet");
    }
    if !overwrite {
        return exists("", "name another folder, or allow it to be overwritten");
    }
    Ok(())
}

fn is_export(target: &Path) -> bool {
    let path = target.join(STATEMENT);
    let small = fs::metadata(&path).is_ok_and(|about| about.len() <= MAX_STATEMENT_BYTES);
    let value = fs::read(&path).ok().filter(|_| small).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.is_some_and(|value: serde_json::Value| value["format"] == FORMAT)
}

fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data has a JSON form");
    bytes.push(b'\n');
    bytes
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// A file that digests what is written to it.
#[derive(Debug)]
pub(crate) struct Digested {
    inner: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
    pub(crate) path: PathBuf,
}

impl Digested {
    /// Empties the buffer, waits for the disk, and tells what was written.
    fn close(self, rows: Option<u64>) -> Result<ExportedFile> {
        let failed = |error| Error::io("write", &self.path)(error);
        let file = self.inner.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(ExportedFile { sha256: hex(&self.digest.finalize()), bytes: self.bytes, rows })
    }
}

impl Write for Digested {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.digest.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All files in `folder` with their bytes, by path.
    pub(crate) fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(path) = open.pop() {
            for entry in fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    open.push(entry);
                } else {
                    let name = entry.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(&entry).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn a_finished_folder_states_every_file_and_leaves_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("deep/out");
        let mut folder = Folder::create(&target, false).unwrap();
        folder.write("a/b.txt", b"abc").unwrap();
        let exported = folder.finish(Statement::new("hf")).unwrap();
        let files = files_in(place.path());
        assert_eq!(files.keys().collect::<Vec<_>>(), ["deep/out/a/b.txt", "deep/out/wardsmith-export.json"]);
        let read: Statement = serde_json::from_slice(&files["deep/out/wardsmith-export.json"]).unwrap();
        assert_eq!(read, exported.statement);
        // The one-block example of FIPS 180-2.
        assert_eq!(read.files["a/b.txt"].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn only_an_export_is_ever_replaced_and_only_where_that_is_allowed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out");
        Folder::create(&target, false).unwrap().finish(Statement::new("hf")).unwrap();
        let message = Folder::create(&target, false).unwrap_err().to_string();
        assert!(message.contains("exists already\nhint:"), "{message}");
        Folder::create(&target, true).unwrap().finish(Statement::new("chat")).unwrap();
        let other = place.path().join("thesis");
        fs::create_dir(&other).unwrap();
        let message = Folder::create(&other, true).unwrap_err().to_string();
        assert!(message.contains("and is no export"), "{message}");
        assert!(matches!(Folder::create(Path::new("/"), true), Err(Error::OutputExists { .. })));
    }

    #[test]
    fn a_folder_that_is_dropped_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(&place.path().join("out"), false).unwrap();
        folder.write("a", b"b").unwrap();
        drop(folder);
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }
}
