//! Opens what a user names: a file, a folder tree, gzip, zip, a zip in a zip, or plain.
//!
//! What a file is, its first bytes say, not its name. Names inside archives are shown and never used as paths, symbolic
//! links in folders are not followed, and decompression is bounded by [`MAX_STREAM_BYTES`] and [`MAX_RATIO`]. An
//! [`Input`] is cut into [`Unit`]s which can be read side by side; their order is fixed by their names alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::digest::{sha256_of_bytes, sha256_of_file};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::manifest::{FileSummary, InputSummary};

/// One decompressed file may not be larger than this: 16 GiB, some six times the whole CVE list in one file.
pub const MAX_STREAM_BYTES: u64 = 16 << 30;
/// Nor may it be more than so many times as large as what it was compressed to; real feeds reach about 30.
pub const MAX_RATIO: u64 = 200;
/// The ratio is not looked at before so much was decompressed.
const RATIO_FREE_BYTES: u64 = 64 << 20;
/// How many files of a folder the manifest lists by name.
pub const MAX_LISTED_FILES: usize = 256;
/// How many members of a zip are read as one unit, at least.
const MEMBERS_A_UNIT: usize = 4096;
/// How much of a file is looked at to tell its format.
const HEAD_BYTES: usize = 8 << 10;
/// What else lies in the folders and archives of feeds: texts, checksums, signatures.
const NO_DATA: &[&str] = &["md", "txt", "meta", "sha256", "sha512", "md5", "asc", "sig", "xsd", "pdf", "html", "csv"];

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
    /// Looks at the file or folder at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, is compressed in a way that is not read, or holds no file.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
        let name = path.file_name().map_or_else(|| "input".into(), |name| name.to_string_lossy().into_owned());
        if metadata.is_dir() {
            return Self::open_folder(path, name);
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

    fn open_folder(path: &Path, name: String) -> Result<Self> {
        let mut walk = Walk::default();
        walk.folder(path, &name)?;
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

/// The files of a folder tree, in the order of their names.
#[derive(Default)]
struct Walk {
    files: Vec<(PathBuf, String)>,
    skipped: Vec<String>,
}

impl Walk {
    fn folder(&mut self, path: &Path, place: &str) -> Result<()> {
        let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
        let entries: io::Result<Vec<fs::DirEntry>> = entries.collect();
        let mut entries = entries.map_err(Error::io("read", path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(Error::io("read", &path))?;
            let place = format!("{place}/{}", entry.file_name().to_string_lossy());
            if kind.is_dir() && !is_hidden(&place) {
                self.folder(&path, &place)?;
            } else if kind.is_file() && may_be_data(&place) {
                self.files.push((path, place));
            } else {
                self.skipped.push(place);
            }
        }
        Ok(())
    }
}

/// Whether the last part of a path begins with a dot.
fn is_hidden(place: &str) -> bool {
    place.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
}

/// Whether a file in a folder or archive is worth opening, by its name.
fn may_be_data(place: &str) -> bool {
    let name = place.rsplit('/').next().unwrap_or(place);
    let extension = name.rsplit_once('.').map_or(String::new(), |(_, end)| end.to_ascii_lowercase());
    !is_hidden(place) && !NO_DATA.contains(&extension.as_str()) && !name.starts_with("README") && name != "LICENSE"
}

/// Cuts a file into units: a large zip into several, anything else is one.
fn units_of_file(path: &Path, place: &str) -> Result<Vec<Unit>> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    let head = read_head(&mut file).map_err(Error::io("read", path))?;
    let unit = |members, bytes| Unit { path: path.to_path_buf(), place: place.to_owned(), members, bytes };
    if !is_zip(&head) {
        return Ok(vec![unit(None, bytes)]);
    }
    let count = open_zip(file, place)?.len();
    if count == 0 {
        return Err(Error::Empty(path.to_path_buf()));
    }
    let step = MEMBERS_A_UNIT.max(count.div_ceil(16));
    let ranges = (0..count).step_by(step).map(|start| start..count.min(start + step));
    Ok(ranges.map(|range| unit(Some(range.clone()), bytes * range.len() as u64 / count as u64)).collect())
}

/// Opens everything in `unit`, one file after the other, and lets `visit` read it.
///
/// What `visit` leaves unread is read and thrown away, so that damage at the end is noticed. Where decompression fails
/// or passes a limit, that is the error, whatever `visit` made of it.
///
/// # Errors
/// Those of `visit`, and those of opening and decompressing.
pub fn read(unit: &Unit, visit: Visit<'_>) -> Result<()> {
    let file = File::open(&unit.path).map_err(Error::io("read", &unit.path))?;
    match &unit.members {
        None => read_stream(file, &unit.place, visit),
        Some(members) => read_zip(open_zip(file, &unit.place)?, members.clone(), &unit.place, Nesting::Outer, visit),
    }
}

/// Whether a zip may hold further zips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

/// Reads a file that is no zip.
fn read_stream(mut stream: impl Read, place: &str, visit: Visit<'_>) -> Result<()> {
    let failure = Failure::default();
    let consumed = Rc::new(Cell::new(0));
    let counted = Counted { inner: &mut stream, count: Rc::clone(&consumed) };
    let guarded = Guard::new(counted, Limit::Absolute, &failure);
    let result = visit_decompressed(Box::new(guarded), &consumed, &failure, place, visit);
    failure.or(result, place)
}

/// Looks whether a stream is gzip, and hands it to `visit` decompressed and to its end.
fn visit_decompressed(
    mut stream: Box<dyn Read + '_>,
    consumed: &Rc<Cell<u64>>,
    failure: &Failure,
    place: &str,
    visit: Visit<'_>,
) -> Result<()> {
    let head = failure.read_head(&mut stream, place)?;
    let is_gzip = head.starts_with(b"\x1f\x8b");
    let stream = io::Cursor::new(head).chain(stream);
    if !is_gzip {
        return visit_plain(Box::new(stream), failure, place, visit);
    }
    let limit = Limit::Ratio(Rc::clone(consumed));
    let decoder = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, stream));
    visit_plain(Box::new(Guard::new(decoder, limit, failure)), failure, place, visit)
}

/// Hands a decompressed stream to `visit`; its first buffer is the head of the file.
fn visit_plain(mut stream: Box<dyn Read + '_>, failure: &Failure, place: &str, visit: Visit<'_>) -> Result<()> {
    let head = failure.read_head(&mut stream, place)?;
    if let looks_like @ (Format::Compressed | Format::Tar) = Format::of(&head) {
        return Err(Error::UnsupportedContainer { place: place.into(), looks_like: looks_like.describe() });
    }
    let mut reader = BufReader::with_capacity(1 << 16, io::Cursor::new(head).chain(stream));
    visit(&mut reader, place)?;
    // A failure is noted by the guard and told by the caller.
    let _ = io::copy(&mut reader, &mut io::sink());
    Ok(())
}

fn read_zip<R: Read + Seek>(
    mut archive: ZipArchive<R>,
    members: Range<usize>,
    place: &str,
    nesting: Nesting,
    visit: Visit<'_>,
) -> Result<()> {
    for index in members {
        let member = archive.by_index(index).map_err(|error| zip_error(error, place))?;
        let name = member.name().map_err(|error| zip_error(error, place))?.escape_debug().to_string();
        let place = format!("{place}/{name}");
        if member.is_dir() || !may_be_data(&place) {
            continue;
        }
        let failure = Failure::default();
        let consumed = Rc::new(Cell::new(member.compressed_size()));
        let guarded: Box<dyn Read + '_> = Box::new(Guard::new(member, Limit::Ratio(Rc::clone(&consumed)), &failure));
        let result = read_member(guarded, &consumed, &failure, &place, nesting, visit);
        failure.or(result, &place)?;
    }
    Ok(())
}

/// Reads one member of a zip: a file, or, once, a further zip (the CVE list is published as a zip in a zip).
fn read_member(
    mut member: Box<dyn Read + '_>,
    consumed: &Rc<Cell<u64>>,
    failure: &Failure,
    place: &str,
    nesting: Nesting,
    visit: Visit<'_>,
) -> Result<()> {
    let head = failure.read_head(&mut member, place)?;
    let inner = is_zip(&head);
    let mut member = io::Cursor::new(head).chain(member);
    if !inner {
        return visit_decompressed(Box::new(member), consumed, failure, place, visit);
    }
    if nesting == Nesting::Inner {
        let looks_like = "a zip in a zip in a zip";
        return Err(Error::UnsupportedContainer { place: place.into(), looks_like });
    }
    // A zip is read from its end, so it must lie on the disk as a whole.
    let mut spool = tempfile::tempfile().map_err(Error::io("create a file in", &std::env::temp_dir()))?;
    io::copy(&mut member, &mut spool).map_err(Error::io("unpack", Path::new(place)))?;
    spool.seek(SeekFrom::Start(0)).map_err(Error::io("unpack", Path::new(place)))?;
    let archive = open_zip(spool, place)?;
    let count = archive.len();
    read_zip(archive, 0..count, place, Nesting::Inner, visit)
}

fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

fn open_zip<R: Read + Seek>(file: R, place: &str) -> Result<ZipArchive<R>> {
    ZipArchive::new(file).map_err(|error| zip_error(error, place))
}

fn zip_error(error: ZipError, place: &str) -> Error {
    let place = place.to_owned();
    match error {
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) | ZipError::InvalidPassword => {
            Error::UnsupportedContainer { place, looks_like: "a zip that is encrypted or not compressed by deflate" }
        }
        other => Error::Damaged { place, detail: other.to_string() },
    }
}

/// The first bytes of a stream, as many as there are up to [`HEAD_BYTES`].
fn read_head(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    stream.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// What went wrong below a parser, which only sees that reading failed.
#[derive(Debug, Default, Clone)]
struct Failure(Rc<RefCell<Option<Cause>>>);

#[derive(Debug, Clone)]
enum Cause {
    Damaged(String),
    TooLarge(String),
}

impl Failure {
    /// Notes the first cause.
    fn note(&self, cause: Cause) {
        self.0.borrow_mut().get_or_insert(cause);
    }

    /// The noted cause as an error, else `result`.
    fn or(&self, result: Result<()>, place: &str) -> Result<()> {
        let place = place.to_owned();
        match self.0.borrow_mut().take() {
            Some(Cause::Damaged(detail)) => Err(Error::Damaged { place, detail }),
            Some(Cause::TooLarge(detail)) => Err(Error::TooLarge { place, detail }),
            None => result,
        }
    }

    fn read_head(&self, stream: &mut dyn Read, place: &str) -> Result<Vec<u8>> {
        read_head(stream).map_err(|error| Error::Damaged { place: place.into(), detail: error.to_string() })
    }
}

/// Counts what passes.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// How far a stream may go.
enum Limit {
    /// Up to [`MAX_STREAM_BYTES`].
    Absolute,
    /// Also up to [`MAX_RATIO`] times what was consumed.
    Ratio(Rc<Cell<u64>>),
}

/// Ends a stream that grows too large, and notes why a stream ended.
struct Guard<R> {
    inner: R,
    limit: Limit,
    passed: u64,
    failure: Failure,
}

impl<R> Guard<R> {
    fn new(inner: R, limit: Limit, failure: &Failure) -> Self {
        Self { inner, limit, passed: 0, failure: failure.clone() }
    }

    /// What is too much about `passed` bytes, if anything is.
    fn excess(&self) -> Option<String> {
        if self.passed > MAX_STREAM_BYTES {
            return Some(format!("it unpacks to more than {} GiB", MAX_STREAM_BYTES >> 30));
        }
        let Limit::Ratio(consumed) = &self.limit else {
            return None;
        };
        let allowed = consumed.get().saturating_mul(MAX_RATIO).max(RATIO_FREE_BYTES);
        (self.passed > allowed).then(|| format!("it unpacks to more than {MAX_RATIO} times its size"))
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.inner.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failure.note(Cause::Damaged(match error.kind() {
                    io::ErrorKind::UnexpectedEof => "it ends too early".into(),
                    _ => error.to_string(),
                }));
                return Err(error);
            }
        };
        self.passed += count as u64;
        if let Some(excess) = self.excess() {
            self.failure.note(Cause::TooLarge(excess.clone()));
            return Err(io::Error::other(excess));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    /// Everything in the input at `path`: places after its own name, and texts.
    fn contents(path: &Path) -> Result<Vec<(String, String)>> {
        let input = Input::open(path)?;
        let mut found = Vec::new();
        for unit in &input.units {
            read(unit, &mut |reader, place| {
                let mut text = String::new();
                let _ = reader.read_to_string(&mut text);
                let place = place.split_once('/').map_or("", |(_, rest)| rest);
                found.push((place.to_owned(), text));
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn one(bytes: &[u8]) -> Result<Vec<(String, String)>> {
        let folder = folder(&[("file", bytes)]);
        contents(&folder.path().join("file"))
    }

    #[test]
    fn a_file_is_opened_by_what_it_is_and_not_by_its_name() {
        let whole = |text: &str| vec![(String::new(), text.to_owned())];
        assert_eq!(one(b"plain").unwrap(), whole("plain"));
        assert_eq!(one(&gzip(b"squeezed")).unwrap(), whole("squeezed"));
        let two_members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(one(&two_members).unwrap(), whole("one two"));
        assert_eq!(one(b"").unwrap(), whole(""));
        let members = one(&zip(&[("b.json", b"1"), ("a/c.json", &gzip(b"2")), ("README.md", b"no")])).unwrap();
        assert_eq!(members, [("b.json".to_owned(), "1".to_owned()), ("a/c.json".into(), "2".into())]);
    }

    #[test]
    fn a_zip_in_a_zip_is_read_and_a_third_one_is_refused() {
        let inner = zip(&[("x.json", b"deep")]);
        let middle = zip(&[("cves.zip", &inner)]);
        assert_eq!(one(&middle).unwrap(), [("cves.zip/x.json".to_owned(), "deep".to_owned())]);
        let message = one(&zip(&[("o.zip", &middle)])).unwrap_err().to_string();
        assert!(message.contains("a zip in a zip in a zip"), "{message}");
    }

    #[test]
    fn a_folder_is_walked_in_order_without_what_is_no_data() {
        let files: &[(&str, &[u8])] = &[
            ("b.json", b"2"),
            ("a/z.json", b"1"),
            (".hidden.json", b"x"),
            (".git/c.json", b"x"),
            ("README.md", b"x"),
            ("b.meta", b"x"),
        ];
        let folder = folder(files);
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let places: Vec<String> = contents(folder.path()).unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["a/z.json", "b.json"]);
        let summary = Input::open(folder.path()).unwrap().summary;
        assert_eq!((summary.files, summary.bytes, summary.members.len()), (2, 2, 2));
        assert!(summary.skipped.len() >= 4);
        fs::write(folder.path().join("b.json"), b"3").unwrap();
        assert_ne!(Input::open(folder.path()).unwrap().summary.sha256, summary.sha256);
    }

    #[test]
    fn an_empty_folder_or_archive_is_an_error() {
        for files in [&[][..], &[("README.md", &b"x"[..])]] {
            let message = Input::open(folder(files).path()).unwrap_err().to_string();
            assert!(message.contains("holds no file to read") && message.contains("hint:"), "{message}");
        }
        assert!(matches!(one(&zip(&[])), Err(Error::Empty(_))));
        assert!(matches!(Input::open(Path::new("/nowhere/at/all")), Err(Error::Io { .. })));
    }

    #[test]
    fn a_truncated_gzip_is_told_by_name_even_where_only_its_end_is_missing() {
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let whole = gzip(&noise);
        for cut in [5, 20, whole.len() / 2, whole.len() - 1] {
            let message = one(&whole[..cut]).unwrap_err().to_string();
            assert!(message.contains("`file` is damaged: it ends too early"), "{cut}: {message}");
            assert!(message.contains("hint: the download is incomplete"), "{message}");
        }
        let mut flipped = whole.clone();
        flipped[whole.len() - 6] ^= 1;
        assert!(matches!(one(&flipped), Err(Error::Damaged { .. })), "a wrong checksum");
    }

    #[test]
    fn a_bomb_is_defused() {
        let zeros = vec![0u8; 80 << 20];
        let bomb = gzip(&zeros);
        assert!(zeros.len() as u64 > MAX_RATIO * bomb.len() as u64, "it is one");
        let message = one(&bomb).unwrap_err().to_string();
        assert!(message.contains("`file` is too large: it unpacks to more than 200 times"), "{message}");
        let message = one(&zip(&[("a.json", &zeros)])).unwrap_err().to_string();
        assert!(message.contains("`file/a.json` is too large"), "{message}");
    }

    #[test]
    fn other_archives_and_broken_zips_are_named() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, want) in [
            (b"\xfd7zXZ\0and so on".to_vec(), "compressed in another way"),
            (gzip(&tar), "a tar archive"),
            (b"PK\x03\x04but no more".to_vec(), "is damaged"),
            (zip(&[("a.json", b"text")])[..60].to_vec(), "is damaged"),
        ] {
            let message = one(&bytes).unwrap_err().to_string();
            assert!(message.contains("`file`") && message.contains(want), "{message}");
        }
    }

    #[test]
    fn names_in_archives_are_shown_and_never_used() {
        let members = one(&zip(&[("../../etc/x.json", b"1"), ("/abs\n.json", b"2")])).unwrap();
        assert_eq!(members[0].0, "../../etc/x.json");
        assert_eq!(members[1].0, "/abs\\n.json", "escaped");
    }

    #[test]
    fn a_large_zip_is_cut_into_units_that_cover_it() {
        let names: Vec<String> = (0..MEMBERS_A_UNIT + 10).map(|n| format!("{n:05}.json")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"1"[..])).collect();
        let folder = folder(&[("big.zip", &zip(&members))]);
        let path = folder.path().join("big.zip");
        assert_eq!(Input::open(&path).unwrap().units.len(), 2);
        let places: Vec<String> = contents(&path).unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, names);
    }
}
