//! Takes the layers off a file: compression and archives, one in the other, down to the plain files in them.
//!
//! What a layer is, its first bytes say. At most [`MAX_ARCHIVES`] archives lie one in the other, and nothing is
//! compressed twice; who goes deeper than that hides something.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use crate::error::{Error, Result};
use crate::format::Format;
use crate::input::bounds::{Bounds, Failure, Guard, MAX_NAME_CHARS, Meter, Total, XZ_MEMORY_BYTES};
use crate::input::{Visit, Wanted, tarball, zipped};

/// How many archives may lie one in the other: the CVE list is published as a zip in a zip.
pub(super) const MAX_ARCHIVES: u8 = 2;
/// How much of a file is looked at to tell its format.
const HEAD_BYTES: usize = 8 << 10;
/// What the first member of an office document (ECMA-376, ODF) or of an electronic book is called.
const OFFICE_MEMBERS: &[&[u8]] = &[
    b"[Content_Types].xml",
    b"_rels/",
    b"customXml/",
    b"docMetadata/",
    b"docProps/",
    b"mimetype",
    b"ppt/",
    b"word/",
    b"xl/",
];

/// One reading of one file: what is asked for, and what it has cost so far.
pub(super) struct Reading<'a> {
    pub(super) wants: Wanted<'a>,
    pub(super) visit: Visit<'a>,
    pub(super) bounds: Bounds,
    pub(super) total: Total,
    /// Members of archives seen.
    pub(super) members: u64,
}

/// Where in the layers a stream was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Depth {
    /// Archives around it.
    pub(super) archives: u8,
    /// Whether the layer right around it is a compression.
    compressed: bool,
}

impl Depth {
    /// Of a member of an archive that lies here.
    pub(super) fn of_member(self) -> Self {
        Self { archives: self.archives + 1, compressed: false }
    }
}

/// Something that is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Gzip,
    Xz,
    Zip,
    Tar,
}

impl Layer {
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"\x1f\x8b") {
            Some(Self::Gzip)
        } else if head.starts_with(b"\xfd7zXZ\0") {
            Some(Self::Xz)
        } else if is_zip(head) {
            Some(Self::Zip)
        } else {
            tarball::is_tar(head).then_some(Self::Tar)
        }
    }
}

impl Reading<'_> {
    /// Takes the outermost layer off `stream` and goes on with what is in it.
    pub(super) fn open(
        &mut self,
        mut stream: Box<dyn Read + '_>,
        depth: Depth,
        failure: &Failure,
        place: &str,
    ) -> Result<()> {
        let head = head_of(&mut stream, place)?;
        let layer = Layer::of(&head);
        let stream: Box<dyn Read + '_> = Box::new(io::Cursor::new(head).chain(stream));
        let unread = |looks_like| Err(Error::UnsupportedContainer { place: place.into(), looks_like });
        match layer {
            Some(Layer::Gzip | Layer::Xz) if depth.compressed => unread("a file that is compressed twice"),
            Some(Layer::Zip | Layer::Tar) if depth.archives >= MAX_ARCHIVES => {
                unread("an archive in an archive in an archive")
            }
            Some(Layer::Zip) => zipped::read_spooled(self, stream, depth, place),
            Some(Layer::Tar) => tarball::read(self, stream, depth, failure, place),
            Some(layer) => self.decompress(stream, layer, depth, (failure, place)),
            None => self.visit_plain(stream, place),
        }
    }

    fn decompress(
        &mut self,
        stream: Box<dyn Read + '_>,
        layer: Layer,
        depth: Depth,
        (failure, place): (&Failure, &str),
    ) -> Result<()> {
        let (stream, consumed) = Meter::new(stream);
        let stream = BufReader::with_capacity(1 << 16, stream);
        let decoder: Box<dyn Read + '_> = if layer == Layer::Gzip {
            Box::new(MultiGzDecoder::new(stream))
        } else {
            let damaged =
                |error: liblzma::stream::Error| Error::Damaged { place: place.into(), detail: error.to_string() };
            let decoder = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED).map_err(damaged)?;
            Box::new(XzDecoder::new_stream(stream, decoder))
        };
        let guard = Guard::of_decompressed(decoder, consumed, self.total.clone(), (self.bounds, failure));
        self.open(Box::new(guard), Depth { compressed: true, ..depth }, failure, place)
    }

    /// Hands a plain stream to the visitor; its first buffer is the head of the file.
    fn visit_plain(&mut self, mut stream: Box<dyn Read + '_>, place: &str) -> Result<()> {
        let head = head_of(&mut stream, place)?;
        if let looks_like @ Format::Compressed = Format::of(&head) {
            return Err(Error::UnsupportedContainer { place: place.into(), looks_like: looks_like.describe() });
        }
        let mut reader = BufReader::with_capacity(1 << 16, io::Cursor::new(head).chain(stream));
        (self.visit)(&mut reader as &mut dyn BufRead, place)?;
        drain(&mut reader);
        Ok(())
    }

    /// Counts `more` members.
    pub(super) fn count_members(&mut self, more: u64, place: &str) -> Result<()> {
        self.members = self.members.saturating_add(more);
        if self.members > self.bounds.members {
            let detail = format!("it has more than {} members", self.bounds.members);
            return Err(Error::TooLarge { place: place.into(), detail });
        }
        Ok(())
    }
}

/// Reads to the end, so that damage there is noticed. A failure is noted by the guard and told by the caller.
pub(super) fn drain(reader: &mut dyn Read) {
    let _ = io::copy(reader, &mut io::sink());
}

/// The first bytes of a stream, as many as there are up to [`HEAD_BYTES`].
pub(super) fn read_head(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    stream.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn head_of(stream: &mut dyn Read, place: &str) -> Result<Vec<u8>> {
    read_head(stream).map_err(|error| Error::Damaged { place: place.into(), detail: error.to_string() })
}

/// Whether a file is a zip archive. An office document is one too, but for who reads it, it is a plain file.
pub(super) fn is_zip(head: &[u8]) -> bool {
    if head.starts_with(b"PK\x05\x06") {
        return true;
    }
    // A local file header: the name of the first member stands behind 30 bytes.
    let name = head.get(30..).unwrap_or_default();
    head.starts_with(b"PK\x03\x04") && !OFFICE_MEMBERS.iter().any(|member| name.starts_with(member))
}

/// A member's name as it is shown: cut, and without what could play tricks on a terminal. Never used as a path.
pub(super) fn shown_name(name: &str) -> String {
    let name = name.strip_prefix("./").unwrap_or(name);
    let mut shown = String::with_capacity(name.len().min(MAX_NAME_CHARS));
    for (at, c) in name.chars().enumerate() {
        if at == MAX_NAME_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() || crate::clean::is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a member lies in a hidden folder or is hidden itself.
pub(super) fn is_hidden_member(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::bounds::{MAX_RATIO, TAR_HEADER_BYTES};
    use crate::input::tests::{gzip, one, read_within, tar, xz, zip};

    #[test]
    fn a_file_is_opened_by_what_it_is_and_not_by_its_name() {
        let whole = |text: &str| vec![(String::new(), text.to_owned())];
        assert_eq!(one(b"plain").unwrap(), whole("plain"));
        assert_eq!(one(&gzip(b"squeezed")).unwrap(), whole("squeezed"));
        assert_eq!(one(&xz(b"squeezed")).unwrap(), whole("squeezed"));
        for pack in [gzip, xz] {
            assert_eq!(one(&[pack(b"one "), pack(b"two")].concat()).unwrap(), whole("one two"), "two members");
        }
        assert_eq!(one(b"").unwrap(), whole(""));
    }

    #[test]
    fn archives_are_opened_in_any_usual_wrapping() {
        let files: &[(&str, &[u8])] = &[("b.json", b"1"), ("a/c.json", &gzip(b"2")), ("README.md", b"no")];
        let want = [("b.json".to_owned(), "1".to_owned()), ("a/c.json".into(), "2".into())];
        let bare = tar(files);
        for archive in [zip(files), gzip(&bare), xz(&bare), bare] {
            assert_eq!(one(&archive).unwrap(), want);
        }
    }

    #[test]
    fn an_archive_in_an_archive_is_read_and_a_third_one_is_refused() {
        for (name, pack) in [("a.zip", zip as fn(&[(&str, &[u8])]) -> Vec<u8>), ("a.tar", tar)] {
            let inner = pack(&[("x.json", b"deep")]);
            let middle = pack(&[(name, &inner)]);
            assert_eq!(one(&middle).unwrap(), [(format!("{name}/x.json"), "deep".to_owned())]);
            let message = one(&pack(&[("o", &middle)])).unwrap_err().to_string();
            assert!(message.contains(&format!("`file/o/{name}`")) && message.contains("in an archive in"), "{message}");
        }
    }

    #[test]
    fn ten_archives_one_in_the_other_are_refused_and_so_is_what_is_compressed_twice() {
        let mut nested = tar(&[("x.json", b"deep")]);
        for _ in 0..10 {
            nested = tar(&[("n.tar.gz", &gzip(&nested))]);
        }
        assert!(matches!(one(&nested), Err(Error::UnsupportedContainer { .. })));
        for twice in [gzip(&xz(b"x")), xz(&gzip(b"x")), gzip(&gzip(b"x"))] {
            assert!(one(&twice).unwrap_err().to_string().contains("compressed twice"));
        }
    }

    #[test]
    fn a_truncated_stream_is_told_by_name_even_where_only_its_end_is_missing() {
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for whole in [gzip(&noise), xz(&noise)] {
            for cut in [7, 20, whole.len() / 2, whole.len() - 1] {
                let message = one(&whole[..cut]).unwrap_err().to_string();
                assert!(message.contains("`file` is damaged: it ends too early"), "{cut}: {message}");
                assert!(message.contains("hint: the download is incomplete"), "{message}");
            }
            let mut flipped = whole.clone();
            flipped[whole.len() - 6] ^= 1;
            assert!(matches!(one(&flipped), Err(Error::Damaged { .. })), "a wrong checksum");
        }
    }

    #[test]
    fn a_bomb_is_defused() {
        let bounds = Bounds { ratio_free_bytes: 1 << 20, ..Bounds::default() };
        let failure = |bytes: &[u8]| read_within(bytes, bounds).unwrap_err().to_string();
        let zeros = vec![0u8; 4 << 20];
        for bomb in [gzip(&zeros), xz(&zeros)] {
            assert!(zeros.len() as u64 > MAX_RATIO * bomb.len() as u64, "it is one");
            let message = failure(&bomb);
            assert!(message.contains("`file` is too large: it unpacks to more than 200 times"), "{message}");
        }
        let message = failure(&zip(&[("a.json", &zeros)]));
        assert!(message.contains("`file/a.json` is too large"), "{message}");
        let message = failure(&xz(&tar(&[("a.md", &zeros)])));
        assert!(message.contains("`file` is too large"), "what is passed over counts: {message}");
    }

    #[test]
    fn a_bomb_in_a_bomb_is_defused() {
        let bounds = Bounds { ratio_free_bytes: 1 << 20, ..Bounds::default() };
        let inner = zip(&[("a.json", &vec![0u8; 900 << 10])]);
        let copies: Vec<(String, &[u8])> = (0..20).map(|n| (format!("{n}.zip"), &inner[..])).collect();
        let members: Vec<(&str, &[u8])> = copies.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let message = read_within(&xz(&tar(&members)), bounds).unwrap_err().to_string();
        assert!(message.contains("with what was unpacked before it"), "{message}");
    }

    #[test]
    fn a_dictionary_that_takes_too_much_memory_is_refused() {
        let mut bomb = xz(b"small");
        // The size of the dictionary is the byte behind the filter's ID and the size of its properties.
        let at = bomb.windows(2).position(|pair| pair == [0x21, 0x01]).unwrap() + 2;
        bomb[at] = 40;
        let header = 12..12 + (usize::from(bomb[12]) + 1) * 4 - 4;
        let sum = crc32(&bomb[header.clone()]);
        bomb[header.end..header.end + 4].copy_from_slice(&sum.to_le_bytes());
        let message = one(&bomb).unwrap_err().to_string();
        assert!(message.contains("`file` is too large: to unpack it takes more than 256 MiB"), "{message}");
    }

    /// CRC-32 as xz has it.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum()
    }

    #[test]
    fn other_compressions_and_broken_archives_are_named() {
        for (bytes, want) in [
            (b"BZh91AY&SY".to_vec(), "compressed in another way"),
            (gzip(b"\x28\xb5\x2f\xfd zstd"), "compressed in another way"),
            (b"PK\x03\x04but no more".to_vec(), "is damaged"),
            (zip(&[("a.json", b"text")])[..60].to_vec(), "is damaged"),
        ] {
            let message = one(&bytes).unwrap_err().to_string();
            assert!(message.contains("`file`") && message.contains(want), "{message}");
        }
    }

    #[test]
    fn names_in_archives_are_shown_and_never_used() {
        let long = format!("{}.json", "n".repeat(5000));
        assert!((long.len() as u64) < TAR_HEADER_BYTES);
        for pack in [zip as fn(&[(&str, &[u8])]) -> Vec<u8>, tar] {
            let members =
                one(&pack(&[("../../etc/x.json", b"1"), ("/abs\u{1b}\u{202e}.json", b"2"), (&long, b"3")])).unwrap();
            assert_eq!(members[0].0, "../../etc/x.json");
            assert_eq!(members[1].0, "/abs\\u{1b}\\u{202e}.json", "escaped");
            assert_eq!(members[2].0.chars().count(), MAX_NAME_CHARS + 1);
            assert!(one(&pack(&[(".git/x.json", b"1"), ("a/._x.json", b"2")])).unwrap().is_empty());
        }
    }

    #[test]
    fn an_office_document_is_a_plain_file() {
        let document = zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>")]);
        let found = one(&document).unwrap();
        assert_eq!((found.len(), found[0].0.as_str()), (1, ""));
        let found = one(&tar(&[("a.docx", &document)])).unwrap();
        assert_eq!(found[0].0, "a.docx");
        assert!(is_zip(&zip(&[("password/x.json", b"1")])));
    }
}
