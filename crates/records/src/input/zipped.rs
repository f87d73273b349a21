//! Zip archives (APPNOTE.TXT of PKWARE), which are read from their end: on the disk, or spooled there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Error, Result};
use crate::input::bounds::{Bounds, Failure, Gauge, Guard, Meter, ZIP_DIRECTORY_BYTES};
use crate::input::layers::{Depth, Reading, is_hidden_member, shown_name};

/// Where the record that ends a zip must lie: its own 22 bytes, a comment, and what zip64 puts before it.
const END_BYTES: u64 = 22 + (1 << 16) + 20 + 56;

/// An opened archive, and what is read of its file.
pub(super) struct Zip<R> {
    archive: ZipArchive<Meter<R>>,
    gauge: Gauge,
}

impl<R: Read + Seek> Zip<R> {
    /// Reads the directory of the archive in `file`.
    pub(super) fn open(mut file: R, place: &str, bounds: &Bounds) -> Result<Self> {
        let damaged = |error: io::Error| Error::Damaged { place: place.into(), detail: error.to_string() };
        let too_large = || {
            let detail = format!("its directory has more than {} members, or goes on for too long", bounds.members);
            Error::TooLarge { place: place.into(), detail }
        };
        // The library makes room for as many members as the archive claims.
        if claimed_members(&mut file).map_err(damaged)? > bounds.members {
            return Err(too_large());
        }
        let (metered, gauge) = Meter::new(file);
        gauge.allow(ZIP_DIRECTORY_BYTES);
        let archive = ZipArchive::new(metered)
            .map_err(|error| if gauge.is_spent() { too_large() } else { zip_error(error, place) })?;
        gauge.allow(u64::MAX);
        Ok(Self { archive, gauge })
    }

    /// How many members it has.
    pub(super) fn len(&self) -> usize {
        self.archive.len()
    }
}

/// Reads `members` of an archive one after the other.
pub(super) fn read<R: Read + Seek>(
    reading: &mut Reading<'_>,
    zip: Zip<R>,
    members: Range<usize>,
    depth: Depth,
    place: &str,
) -> Result<()> {
    reading.count_members(members.len() as u64, place)?;
    let Zip { mut archive, gauge } = zip;
    for index in members {
        let member = archive.by_index(index).map_err(|error| zip_error(error, place))?;
        let name = member.name().map_err(|error| zip_error(error, place))?;
        let place = format!("{place}/{}", shown_name(&name));
        if !member.is_file() || is_hidden_member(&name) || !(reading.wants)(&place) {
            continue;
        }
        drop(name);
        let failure = Failure::default();
        let limits = (reading.bounds, &failure);
        let guarded = Guard::of_decompressed(member, gauge.clone(), reading.total.clone(), limits);
        let result = reading.open(Box::new(guarded), depth.of_member(), &failure, &place);
        failure.or(result, &place)?;
    }
    Ok(())
}

/// Reads a zip that comes as a stream. It is read from its end, so it must first lie on the disk as a whole.
pub(super) fn read_spooled(
    reading: &mut Reading<'_>,
    mut stream: Box<dyn Read + '_>,
    depth: Depth,
    place: &str,
) -> Result<()> {
    let mut spool = tempfile::tempfile().map_err(Error::io("create a file in", &std::env::temp_dir()))?;
    io::copy(&mut stream, &mut spool).map_err(Error::io("unpack", Path::new(place)))?;
    spool.seek(SeekFrom::Start(0)).map_err(Error::io("unpack", Path::new(place)))?;
    let zip = Zip::<File>::open(spool, place, &reading.bounds)?;
    let members = 0..zip.len();
    read(reading, zip, members, depth, place)
}

/// The most members that any record in the last bytes of a zip claims to end.
fn claimed_members(file: &mut (impl Read + Seek)) -> io::Result<u64> {
    let len = file.seek(SeekFrom::End(0))?;
    let start = len.saturating_sub(END_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.by_ref().take(END_BYTES).read_to_end(&mut tail)?;
    let mut most = 0;
    for at in (0..tail.len()).filter(|&at| tail[at..].starts_with(b"PK\x05\x06")) {
        let count = tail.get(at + 10..at + 12).map_or(0, |bytes| u64::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        most = most.max(count);
        let locator = at.checked_sub(20).map(|start| &tail[start..at]).filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
        if let Some(locator) = locator {
            most = most.max(claimed_in_zip64(file, number_at(locator, 8))?);
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(most)
}

/// As [`claimed_members`], for the larger record that may lie at `offset`; it may also be another archive's.
fn claimed_in_zip64(file: &mut (impl Read + Seek), offset: u64) -> io::Result<u64> {
    let mut record = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.by_ref().take(56).read_to_end(&mut record)?;
    let is_record = record.len() == 56 && record.starts_with(b"PK\x06\x06");
    Ok(if is_record { number_at(&record, 24).max(number_at(&record, 32)) } else { 0 })
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..at + 8].try_into().expect("eight bytes are eight bytes");
    u64::from_le_bytes(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::input::tests::{contents, folder, one, read_within, zip};
    use crate::input::walk::may_be_data;
    use crate::input::{MEMBERS_A_UNIT, bounds};

    #[test]
    fn a_large_zip_is_cut_into_units_that_cover_it() {
        let names: Vec<String> = (0..MEMBERS_A_UNIT + 10).map(|n| format!("{n:05}.json")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"1"[..])).collect();
        let folder = folder(&[("big.zip", &zip(&members))]);
        let path = folder.path().join("big.zip");
        assert_eq!(Input::open(&path, &may_be_data).unwrap().units.len(), 2);
        let places: Vec<String> = contents(&path).unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, names);
    }

    #[test]
    fn a_compressed_size_that_lies_does_not_widen_the_ratio() {
        let zeros = vec![0u8; 4 << 20];
        let mut archive = zip(&[("a.json", &zeros), ("b.json", b"1")]);
        // The compressed size stands 20 bytes into the directory's entry, the name 46 bytes; the last entry is `b`.
        let entries: Vec<usize> = (0..archive.len()).filter(|&at| archive[at..].starts_with(b"PK\x01\x02")).collect();
        let stated = &mut archive[entries[0] + 20..entries[0] + 24];
        stated.copy_from_slice(&(1u32 << 30).to_le_bytes());
        let bounds = bounds::Bounds { ratio_free_bytes: 1 << 20, ..bounds::Bounds::default() };
        let message = read_within(&archive, bounds).unwrap_err().to_string();
        assert!(message.contains("`file/a.json` is too large: it unpacks to more than 200 times"), "{message}");
    }

    #[test]
    fn members_that_share_their_bytes_are_counted_each() {
        let text = vec![b'x'; 4000];
        let mut archive = zip(&[("a.json", &text), ("b.json", &text), ("c.json", &text)]);
        let entries: Vec<usize> = (0..archive.len()).filter(|&at| archive[at..].starts_with(b"PK\x01\x02")).collect();
        for entry in &entries[1..] {
            archive[entry + 42..entry + 46].copy_from_slice(&0u32.to_le_bytes());
        }
        let bounds = |ratio_free_bytes| bounds::Bounds { ratio: 2, ratio_free_bytes, ..bounds::Bounds::default() };
        assert!(read_within(&archive, bounds(12_000)).is_ok());
        let message = read_within(&archive, bounds(11_999)).unwrap_err().to_string();
        assert!(message.contains("it comes to more than 11999 bytes"), "{message}");
    }

    #[test]
    fn more_members_than_allowed_or_claimed_are_too_many() {
        let archive = zip(&[("a.json", b"1"), ("b.json", b"2"), ("c.json", b"3")]);
        let bounds = |members| bounds::Bounds { members, ..bounds::Bounds::default() };
        assert_eq!(read_within(&archive, bounds(3)).unwrap().len(), 3);
        assert!(matches!(read_within(&archive, bounds(2)), Err(Error::TooLarge { .. })));
        let mut claims = archive.clone();
        let end = archive.len() - 22;
        claims[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
        let opened = Zip::open(io::Cursor::new(claims), "file", &bounds(1000));
        assert!(matches!(opened.err().unwrap(), Error::TooLarge { .. }));
    }

    #[test]
    fn no_cut_or_flipped_byte_makes_it_panic() {
        let archive = zip(&[("a.json", b"some text"), ("b/c.json", b"more text")]);
        for at in 0..archive.len() {
            let _ = one(&archive[..at]);
            let mut flipped = archive.clone();
            flipped[at] ^= 0x55;
            let _ = one(&flipped);
        }
    }
}
