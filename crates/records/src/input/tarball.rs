//! Tar archives (POSIX.1-2017 pax, and GNU's long names), read as the stream that they are.
//!
//! Only regular files are visited. Links and devices are passed over, and a sparse file is refused: what its map says
//! is not what its bytes are, and no feed has one.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use crate::error::{Error, Result};
use crate::input::bounds::{Cause, Failure, Gauge, Meter, TAR_HEADER_BYTES};
use crate::input::layers::{Depth, Reading, drain, is_hidden_member, shown_name};

/// The size of a header, and what the contents of members are rounded up to.
const BLOCK_BYTES: u64 = 512;

type Stream<'a> = Meter<Box<dyn Read + 'a>>;

/// Whether a file begins with a tar header: the magic word, and a checksum that holds.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK_BYTES as usize).filter(|block| &block[257..262] == b"ustar") else {
        return false;
    };
    let field = String::from_utf8_lossy(&block[148..156]);
    let stated = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    // The field itself counts as blanks.
    let sum = |part: &[u8]| part.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    stated == Ok(sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]))
}

/// Reads the members of an archive one after the other. What is wrong with the stream itself, `failure` notes.
pub(super) fn read(
    reading: &mut Reading<'_>,
    stream: Box<dyn Read + '_>,
    depth: Depth,
    failure: &Failure,
    place: &str,
) -> Result<()> {
    let (metered, gauge) = Meter::new(stream);
    let mut archive = Archive::new(metered);
    gauge.allow(TAR_HEADER_BYTES);
    let entries = archive.entries().map_err(|error| broken(&error, &gauge, place))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| broken(&error, &gauge, place))?;
        reading.count_members(1, place)?;
        // Its contents, and then one header: no more may pass before the next member is found.
        let size = entry.size();
        gauge.allow(size.saturating_add(BLOCK_BYTES + TAR_HEADER_BYTES));
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let place = format!("{place}/{}", shown_name(&name));
        if is_sparse(&mut entry).map_err(|error| broken(&error, &gauge, &place))? {
            return Err(Error::UnsupportedContainer { place, looks_like: "a sparse file in a tar archive" });
        }
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if !is_file || name.ends_with('/') || is_hidden_member(&name) || !(reading.wants)(&place) {
            continue;
        }
        let member = Member { entry, left: size, failure: failure.clone() };
        let own = Failure::default();
        let result = reading.open(Box::new(member), depth.of_member(), &own, &place);
        own.or(result, &place)?;
    }
    // Behind the end of the archive there may be padding, and the checksum of the compression around it.
    gauge.allow(u64::MAX);
    drain(&mut archive.into_inner());
    Ok(())
}

/// The contents of a member. The library ends them silently where the archive is cut; here that is noticed.
struct Member<'a, 'b> {
    entry: Entry<'a, Stream<'b>>,
    left: u64,
    failure: Failure,
}

impl Read for Member<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.entry.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && !buffer.is_empty() && self.left > 0 {
            self.failure.note(Cause::Damaged("it ends too early".into()));
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

/// Whether a member is a sparse file, of GNU's own kind or by pax headers.
fn is_sparse(entry: &mut Entry<'_, Stream<'_>>) -> io::Result<bool> {
    if entry.header().entry_type() == EntryType::GNUSparse {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(false);
    };
    Ok(extensions.filter_map(|one| one.ok()).any(|one| one.key_bytes().starts_with(b"GNU.sparse")))
}

/// The error of an archive whose next member cannot be found.
fn broken(error: &io::Error, gauge: &Gauge, place: &str) -> Error {
    let place = place.to_owned();
    if gauge.is_spent() {
        let detail = format!("between two members stand more than {TAR_HEADER_BYTES} bytes");
        return Error::TooLarge { place, detail };
    }
    Error::Damaged { place, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::bounds::Bounds;
    use crate::input::tests::{one, read_within, tar};
    use tar::{Builder, Header};

    /// A header for a file `name` that claims `size` bytes.
    fn header(name: &str, size: u64, kind: EntryType) -> Header {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_cksum();
        header
    }

    #[test]
    fn links_devices_and_folders_are_passed_over() {
        let mut builder = Builder::new(Vec::new());
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo, EntryType::Directory] {
            let mut header = header("a.json", 0, kind);
            header.set_link_name("/etc/passwd").unwrap();
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
        builder.append(&header("b.json", 2, EntryType::Regular), &b"ok"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        assert_eq!(one(&archive).unwrap(), [("b.json".to_owned(), "ok".to_owned())]);
    }

    #[test]
    fn a_size_that_lies_is_damage_whoever_reads_it() {
        for name in ["a.json", "a.md"] {
            let lies = header(name, 8 << 60, EntryType::Regular);
            let mut archive = lies.as_bytes().to_vec();
            archive.extend_from_slice(&[b'x'; 1024]);
            let message = one(&archive).unwrap_err().to_string();
            assert!(message.contains("`file` is damaged"), "{name}: {message}");
        }
        let lies = header("a.json", u64::MAX, EntryType::Regular);
        assert!(matches!(one(lies.as_bytes()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_size_in_a_pax_header_counts_and_may_lie_too() {
        let with_size = |size: &str, contents: &[u8]| {
            let record = |text: String| {
                let digits = if text.len() + 2 > 9 { 2 } else { 1 };
                format!("{}{text}", text.len() + digits)
            };
            let pax = record(format!(" size={size}\n"));
            let mut builder = Builder::new(Vec::new());
            builder.append(&header("pax", pax.len() as u64, EntryType::XHeader), pax.as_bytes()).unwrap();
            builder.append(&header("a.json", 0, EntryType::Regular), io::empty()).unwrap();
            let mut archive = builder.into_inner().unwrap();
            archive.truncate(archive.len() - 1024);
            archive.extend_from_slice(contents);
            archive
        };
        let mut block = [0u8; 512 + 1024];
        block[..5].copy_from_slice(b"hello");
        assert_eq!(one(&with_size("5", &block)).unwrap()[0].1, "hello");
        for lie in ["99999", "9223372036854775807", "18446744073709551615"] {
            assert!(matches!(one(&with_size(lie, &block)), Err(Error::Damaged { .. })), "{lie}");
        }
    }

    #[test]
    fn a_sparse_file_is_refused() {
        let mut sparse = header("a.json", 0, EntryType::GNUSparse);
        sparse.as_gnu_mut().unwrap().realsize[..11].copy_from_slice(b"00000000000");
        sparse.set_cksum();
        let message = one(&[sparse.as_bytes().to_vec(), vec![0; 1024]].concat()).unwrap_err().to_string();
        assert!(message.contains("a sparse file in a tar"), "{message}");
    }

    #[test]
    fn a_name_without_end_takes_no_memory() {
        let long = header("././@LongLink", 64 << 20, EntryType::GNULongName);
        let archive = [long.as_bytes().to_vec(), vec![b'n'; 4 << 20]].concat();
        let message = one(&archive).unwrap_err().to_string();
        assert!(message.contains("`file` is too large: between two members stand more than"), "{message}");
    }

    #[test]
    fn a_million_empty_members_are_too_many() {
        let names: Vec<String> = (0..1001).map(|n| format!("{n}.json")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let bounds = Bounds { members: 1000, ..Bounds::default() };
        assert_eq!(read_within(&tar(&members[..1000]), bounds).unwrap().len(), 1000);
        let message = read_within(&tar(&members), bounds).unwrap_err().to_string();
        assert!(message.contains("it has more than 1000 members"), "{message}");
    }

    #[test]
    fn no_cut_or_flipped_byte_makes_it_panic_and_no_cut_goes_unnoticed_in_a_member() {
        let archive = tar(&[("a.json", b"some text"), ("b/c.json", &[b'x'; 700])]);
        let whole = one(&archive).unwrap();
        for at in 512..archive.len() {
            match one(&archive[..at]) {
                Ok(found) => assert!(whole.starts_with(&found), "{at}"),
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}"),
            }
        }
        for at in 0..archive.len() {
            let mut flipped = archive.clone();
            flipped[at] ^= 0x55;
            let _ = one(&flipped);
        }
    }
}
