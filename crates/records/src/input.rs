//! Opens what a user names: a file, a folder tree, gzip, xz, zip, tar, one in the other, or plain.
//!
//! What a file is, its first bytes say, not its name. Names inside archives are shown and never used as paths, links are
//! not followed, and every size is bounded by the limits that this module shows. Which files of a folder or archive are
//! opened at all, the source says ([`Wanted`]). An [`Input`] is cut into [`Unit`]s which can be read side by side; their
//! order is fixed by their names alone.

mod bounds;
mod layers;
mod tarball;
pub(crate) mod walk;
mod zipped;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::bounds::{Bounds, Failure, Guard, Total};
use self::layers::{Depth, Reading};
use self::walk::Walk;
use self::zipped::Zip;
use crate::digest::{sha256_of_bytes, sha256_of_file};
use crate::error::{Error, Result};
use crate::manifest::{FileSummary, InputSummary};

pub use self::bounds::{MAX_ARCHIVE_BYTES, MAX_MEMBERS, MAX_RATIO, MAX_STREAM_BYTES, XZ_MEMORY_BYTES};

/// How many files of a folder the manifest lists by name.
pub const MAX_LISTED_FILES: usize = 256;
/// How many members of a zip are read as one unit, at least.
const MEMBERS_A_UNIT: usize = 4096;

/// Whether a file in a folder or archive is worth opening, by its place. What a user names himself is always opened.
pub type Wanted<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// What a user named, looked at but not yet read.
#[derive(Debug)]
pub struct Input {
    /// Names, sizes and digests, for the manifest.
    pub summary: InputSummary,
    /// What to read, in order.
    pub units: Vec<Unit>,
}

/// A part of an input that is read in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    path: PathBuf,
    /// How it is called in errors and rejects: its path from the named file or folder on.
    place: String,
    /// Which members, where it is a zip.
    members: Option<Range<usize>>,
    /// Its share of the stored bytes, to begin with the largest.
    bytes: u64,
}

impl Unit {
    /// Its share of the stored bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.bytes
    }
}

/// What is done with each opened file: it gets the decompressed bytes and the file's place.
pub type Visit<'a> = &'a mut dyn FnMut(&mut dyn BufRead, &str) -> Result<()>;

impl Input {
    /// Looks at the file or folder at `path`; of a folder, at those files that are wanted.
    ///
    /// # Errors
    /// Where it cannot be read, is compressed in a way that is not read, or holds no file.
    pub fn open(path: &Path, wants: Wanted<'_>) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
        let name = path.file_name().map_or_else(|| "input".into(), |name| name.to_string_lossy().into_owned());
        if metadata.is_dir() {
            return Self::open_folder(path, name, wants);
        }
        let summary = sha256_of_file(path)?;
        Ok(Self {
            units: units_of_file(path, &name)?,
            summary: InputSummary {
                name,
                sha256: summary.sha256,
                bytes: summary.bytes,
                files: 1,
                ..InputSummary::default()
            },
        })
    }

    fn open_folder(path: &Path, name: String, wants: Wanted<'_>) -> Result<Self> {
        let mut walk = Walk::default();
        walk.tree(path, &name, wants)?;
        if walk.files.is_empty() {
            return Err(Error::Empty(path.to_path_buf()));
        }
        let digests: Result<Vec<FileSummary>> = walk.files.par_iter().map(|(file, _)| sha256_of_file(file)).collect();
        let members: BTreeMap<String, FileSummary> =
            walk.files.iter().map(|(_, place)| place.clone()).zip(digests?).collect();
        let lines: String = members.iter().map(|(place, file)| format!("{}  {place}\n", file.sha256)).collect();
        let units: Result<Vec<Vec<Unit>>> =
            walk.files.par_iter().map(|(file, place)| units_of_file(file, place)).collect();
        walk.skipped.truncate(MAX_LISTED_FILES);
        let summary = InputSummary {
            name,
            sha256: sha256_of_bytes(lines.as_bytes()),
            bytes: members.values().map(|file| file.bytes).sum(),
            files: members.len() as u64,
            members: if members.len() <= MAX_LISTED_FILES { members } else { BTreeMap::new() },
            skipped: walk.skipped,
            ..InputSummary::default()
        };
        Ok(Self { summary, units: units?.concat() })
    }
}

/// Cuts a file into units: a large zip into several, anything else is one.
fn units_of_file(path: &Path, place: &str) -> Result<Vec<Unit>> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    let head = layers::read_head(&mut file).map_err(Error::io("read", path))?;
    let unit = |members, bytes| Unit { path: path.to_path_buf(), place: place.to_owned(), members, bytes };
    if !layers::is_zip(&head) {
        return Ok(vec![unit(None, bytes)]);
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::io("read", path))?;
    let count = Zip::open(file, place, &Bounds::default())?.len();
    if count == 0 {
        return Err(Error::Empty(path.to_path_buf()));
    }
    let step = MEMBERS_A_UNIT.max(count.div_ceil(16));
    let ranges = (0..count).step_by(step).map(|start| start..count.min(start + step));
    Ok(ranges.map(|range| unit(Some(range.clone()), bytes * range.len() as u64 / count as u64)).collect())
}

/// Opens every wanted file in `unit`, one after the other, and lets `visit` read it.
///
/// What `visit` leaves unread is read and thrown away, so that damage at the end is noticed. Where decompression fails
/// or passes a limit, that is the error, whatever `visit` made of it.
///
/// # Errors
/// Those of `visit`, and those of opening and decompressing.
pub fn read(unit: &Unit, wants: Wanted<'_>, visit: Visit<'_>) -> Result<()> {
    read_bounded(unit, wants, visit, Bounds::default())
}

fn read_bounded(unit: &Unit, wants: Wanted<'_>, visit: Visit<'_>, bounds: Bounds) -> Result<()> {
    let file = File::open(&unit.path).map_err(Error::io("read", &unit.path))?;
    let stored = file.metadata().map_err(Error::io("read", &unit.path))?.len();
    let mut reading = Reading { wants, visit, bounds, total: Total::new(stored, &bounds), members: 0 };
    if let Some(members) = &unit.members {
        let zip = Zip::open(file, &unit.place, &bounds)?;
        return zipped::read(&mut reading, zip, members.clone(), Depth::default(), &unit.place);
    }
    let failure = Failure::default();
    let guarded = Guard::of_file(file, bounds, &failure);
    let result = reading.open(Box::new(guarded), Depth::default(), &failure, &unit.place);
    failure.or(result, &unit.place)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::input::walk::may_be_data;
    use std::io::{self, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use liblzma::write::XzEncoder;
    use tempfile::TempDir;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// A tar of files; the names are written as they are, however hostile.
    pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            let field = &mut header.as_gnu_mut().unwrap().name;
            if name.len() > field.len() {
                header.set_cksum();
                builder.append_data(&mut header, name, *bytes).unwrap();
                continue;
            }
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub(crate) fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    /// Everything in the input at `path`: places after its own name, and texts.
    pub(crate) fn contents(path: &Path) -> Result<Vec<(String, String)>> {
        contents_within(path, Bounds::default())
    }

    fn contents_within(path: &Path, bounds: Bounds) -> Result<Vec<(String, String)>> {
        let input = Input::open(path, &may_be_data)?;
        let mut found = Vec::new();
        for unit in &input.units {
            let mut visit = |reader: &mut dyn BufRead, place: &str| {
                let mut bytes = Vec::new();
                let _ = reader.read_to_end(&mut bytes);
                let place = place.split_once('/').map_or("", |(_, rest)| rest);
                found.push((place.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
                Ok(())
            };
            read_bounded(unit, &may_be_data, &mut visit, bounds)?;
        }
        Ok(found)
    }

    /// As [`contents`], of a file called `file`.
    pub(crate) fn one(bytes: &[u8]) -> Result<Vec<(String, String)>> {
        read_within(bytes, Bounds::default())
    }

    /// As [`one`], with limits.
    pub(super) fn read_within(bytes: &[u8], bounds: Bounds) -> Result<Vec<(String, String)>> {
        let folder = folder(&[("file", bytes)]);
        contents_within(&folder.path().join("file"), bounds)
    }

    #[test]
    fn an_empty_folder_or_archive_is_an_error() {
        for files in [&[][..], &[("README.md", &b"x"[..])]] {
            let message = Input::open(folder(files).path(), &may_be_data).unwrap_err().to_string();
            assert!(message.contains("holds no file to read") && message.contains("hint:"), "{message}");
        }
        assert!(matches!(one(&zip(&[])), Err(Error::Empty(_))));
        assert!(matches!(Input::open(Path::new("/nowhere/at/all"), &may_be_data), Err(Error::Io { .. })));
    }

    #[test]
    fn what_a_visitor_leaves_unread_is_still_checked() {
        let mut damaged = xz(&vec![b'x'; 1 << 20]);
        let last = damaged.len() - 20;
        damaged[last] ^= 1;
        let folder = folder(&[("file", &damaged)]);
        let input = Input::open(&folder.path().join("file"), &may_be_data).unwrap();
        let result = read(&input.units[0], &may_be_data, &mut |_, _| Ok(()));
        assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
    }
}
