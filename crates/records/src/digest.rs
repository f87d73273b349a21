//! SHA-256 of what passes through a reader or writer, and of whole files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::manifest::FileSummary;

/// A digest in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Digest and size of the file at `path`.
pub(crate) fn sha256_of_file(path: &Path) -> Result<FileSummary> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut digesting = Digesting::new(file);
    let mut buffer = vec![0; 1 << 17];
    loop {
        match digesting.read(&mut buffer) {
            Ok(0) => return Ok(digesting.finish()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

fn summary(digest: Sha256, bytes: u64) -> FileSummary {
    FileSummary { sha256: hex(&digest.finalize()), bytes, plain_sha256: None }
}

/// Passes bytes through and digests them.
#[derive(Debug)]
pub(crate) struct Digesting<T> {
    inner: T,
    digest: Sha256,
    bytes: u64,
}

impl<T> Digesting<T> {
    /// Nothing has passed yet.
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, digest: Sha256::new(), bytes: 0 }
    }

    /// What it reads from or writes to.
    pub(crate) fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Digest and number of the bytes that passed.
    pub(crate) fn finish(self) -> FileSummary {
        self.into_parts().1
    }

    /// What it reads from or writes to, with digest and number of the bytes that passed.
    pub(crate) fn into_parts(self) -> (T, FileSummary) {
        (self.inner, summary(self.digest, self.bytes))
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Read> Read for Digesting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Digesting<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_what_passes_is_that_of_the_whole() {
        let mut digesting = Digesting::new(Vec::new());
        digesting.write_all(b"ab").unwrap();
        digesting.write_all(b"c").unwrap();
        let summary = digesting.finish();
        // The one-block example of FIPS 180-2.
        assert_eq!(summary.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(summary.sha256, sha256_of_bytes(b"abc"));
        assert_eq!(summary.bytes, 3);
    }
}
