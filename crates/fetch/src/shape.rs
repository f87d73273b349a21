//! What a whole file must look like before it gets its name: a server's own page with status 200 is no feed, and a stream
//! that ended early is no archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::checksum::{differs, hex};

/// No feed decompresses to more than this: 16 GiB.
const MAX_UNPACKED_BYTES: u64 = 16 << 30;
/// The end record of a zip may have a comment of so many bytes, and has 22 without one.
const MAX_END_RECORD_BYTES: u64 = 22 + 65_535;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON object or array.
    Json,
    /// One gzip stream of something else.
    Gzip,
    /// A zip.
    Zip,
    /// Text that is no markup.
    Text,
}

impl Shape {
    /// Whether a server may call a file of this form encoded with gzip when the file itself is gzip.
    pub(crate) fn is_gzip(self) -> bool {
        self == Self::Gzip
    }

    /// What is wrong with the file at `path`; `unpacked_sha256` is of what a gzip holds.
    pub(crate) fn check(self, path: &Path, unpacked_sha256: Option<&str>) -> io::Result<Result<(), String>> {
        let mut file = File::open(path)?;
        match self {
            Self::Json => json(file),
            Self::Gzip => gzip(file, unpacked_sha256),
            Self::Zip => zip(&mut file),
            Self::Text => text(file),
        }
    }
}

fn json(mut file: File) -> io::Result<Result<(), String>> {
    let mut first = [0; 64];
    let count = file.read(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    let begins = first[..count].trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['));
    if !begins {
        return Ok(Err("it is no JSON object".into()));
    }
    match serde_json::from_reader::<_, IgnoredAny>(BufReader::with_capacity(1 << 17, file)) {
        Ok(_) => Ok(Ok(())),
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => Ok(Err(format!("it is broken JSON: {error}"))),
    }
}

fn gzip(file: File, unpacked_sha256: Option<&str>) -> io::Result<Result<(), String>> {
    let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(1 << 17, file)).take(MAX_UNPACKED_BYTES + 1);
    let (mut digest, mut bytes) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; 1 << 17];
    loop {
        let count = match decoder.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(format!("it is broken gzip: {error}"))),
        };
        if bytes == 0 && buffer[..count].starts_with(b"\x1f\x8b") {
            return Ok(Err("it is gzip in gzip".into()));
        }
        if unpacked_sha256.is_some() {
            digest.update(&buffer[..count]);
        }
        bytes += count as u64;
    }
    if bytes > MAX_UNPACKED_BYTES {
        return Ok(Err(format!("it decompresses to more than {MAX_UNPACKED_BYTES} bytes")));
    }
    Ok(match unpacked_sha256 {
        Some(stated) => differs("decompressed SHA-256", Some(stated), &hex(&digest.finalize())),
        None => Ok(()),
    })
}

/// Begins like a zip, and its end record stands at the end.
fn zip(file: &mut File) -> io::Result<Result<(), String>> {
    let length = file.metadata()?.len();
    let mut first = [0; 4];
    if length < 22 || file.read_exact(&mut first).is_err() || !matches!(&first, b"PK\x03\x04" | b"PK\x05\x06") {
        return Ok(Err("it is no zip".into()));
    }
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_END_RECORD_BYTES)))?;
    let mut end = Vec::new();
    file.take(MAX_END_RECORD_BYTES).read_to_end(&mut end)?;
    let found = end.windows(22).enumerate().rev().any(|(at, record)| {
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(b"PK\x05\x06") && at + 22 + comment == end.len()
    });
    Ok(if found { Ok(()) } else { Err("it is a zip without its end".into()) })
}

fn text(mut file: File) -> io::Result<Result<(), String>> {
    let mut first = vec![0; 4096];
    let count = file.read(&mut first)?;
    let first = &first[..count];
    let markup = first.trim_ascii_start().first() == Some(&b'<');
    Ok(if first.is_empty() || first.contains(&0) || markup { Err("it is no plain text".into()) } else { Ok(()) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn check(shape: Shape, bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        shape.check(file.path(), None).unwrap()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn json_must_be_whole() {
        assert!(check(Shape::Json, b" {\"a\": [1, 2]}\n").is_ok());
        for bytes in [&b""[..], b"{\"a\": [1, 2", b"{} {}", b"7", b"<html></html>", b"\xff"] {
            assert!(check(Shape::Json, bytes).is_err(), "{bytes:?}");
        }
        assert!(check(Shape::Json, "[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn gzip_must_decompress_to_its_end_and_once() {
        let good = gzipped(b"feed");
        assert!(check(Shape::Gzip, &good).is_ok());
        assert!(check(Shape::Gzip, &good[..good.len() - 1]).is_err());
        assert!(check(Shape::Gzip, b"feed").is_err());
        assert!(check(Shape::Gzip, &gzipped(&good)).unwrap_err().contains("gzip in gzip"));
    }

    #[test]
    fn the_digest_of_what_a_gzip_holds_is_checked() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&gzipped(b"abc")).unwrap();
        let stated = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(Shape::Gzip.check(file.path(), Some(stated)).unwrap().is_ok());
        let wrong = Shape::Gzip.check(file.path(), Some(&"0".repeat(64))).unwrap().unwrap_err();
        assert!(wrong.contains("decompressed SHA-256"), "{wrong}");
    }

    #[test]
    fn a_zip_must_have_its_end() {
        let mut empty = b"PK\x05\x06".to_vec();
        empty.extend([0; 18]);
        assert!(check(Shape::Zip, &empty).is_ok());
        let mut commented = [&b"PK\x03\x04 and so on "[..], &empty].concat();
        let comment_length_at = commented.len() - 2;
        commented[comment_length_at] = 3;
        commented.extend(b"abc");
        assert!(check(Shape::Zip, &commented).is_ok());
        assert!(check(Shape::Zip, &commented[..commented.len() - 1]).is_err());
        assert!(check(Shape::Zip, b"PK\x03\x04 and so on, cut off").is_err());
        assert!(check(Shape::Zip, b"<html>this is no zip at all</html>").is_err());
    }

    #[test]
    fn text_is_no_page_and_no_binary() {
        assert!(check(Shape::Text, b"cve,epss\nCVE-2024-0001,0.5\n").is_ok());
        for bytes in [&b""[..], b"  <!DOCTYPE html>", b"a\0b"] {
            assert!(check(Shape::Text, bytes).is_err(), "{bytes:?}");
        }
    }
}
