//! What a file is held against: stated lengths and digests, its own or those of what it decompresses to.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

use crate::error::{Error, Result};

/// A digest in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

/// `text` in lower case, where it is a digest of `bytes` bytes in hexadecimal.
pub(crate) fn digest_of(text: &str, bytes: usize) -> Option<String> {
    let good = text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| text.to_ascii_lowercase())
}

/// What a publisher states about a file, beside the file. Digests are lower-case hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    /// Its length.
    pub(crate) bytes: Option<u64>,
    /// Its SHA-256.
    pub(crate) sha256: Option<String>,
    /// Its SHA-512.
    pub(crate) sha512: Option<String>,
    /// The SHA-256 of what it decompresses to.
    pub(crate) unpacked_sha256: Option<String>,
}

impl Stated {
    /// The digests, as the lock file keeps them.
    pub(crate) fn digests(&self) -> std::collections::BTreeMap<String, String> {
        let all = [("sha256", &self.sha256), ("sha512", &self.sha512), ("unpacked-sha256", &self.unpacked_sha256)];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

/// Digests what passes, as far as it is needed.
#[derive(Debug)]
pub(crate) struct Digests {
    sha256: Sha256,
    sha512: Option<Sha512>,
    bytes: u64,
}

impl Digests {
    /// For a file about which `stated` is known.
    pub(crate) fn new(stated: &Stated) -> Self {
        Self { sha256: Sha256::new(), sha512: stated.sha512.as_ref().map(|_| Sha512::new()), bytes: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes passed.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of all that passed, or what differs from `stated`.
    pub(crate) fn finish(self, stated: &Stated) -> Result<String, String> {
        let sha256 = hex(&self.sha256.finalize());
        if let Some(bytes) = stated.bytes.filter(|bytes| *bytes != self.bytes) {
            return Err(format!("it has {} bytes, not {bytes} as its publisher states", self.bytes));
        }
        differs("SHA-256", stated.sha256.as_deref(), &sha256)?;
        if let Some(sha512) = self.sha512 {
            differs("SHA-512", stated.sha512.as_deref(), &hex(&sha512.finalize()))?;
        }
        Ok(sha256)
    }
}

/// An error where something else was stated.
pub(crate) fn differs(kind: &str, stated: Option<&str>, found: &str) -> Result<(), String> {
    match stated {
        Some(stated) if stated != found => Err(format!("its {kind} is {found}, not {stated} as its publisher states")),
        _ => Ok(()),
    }
}

/// SHA-256 and length of the file at `path`.
pub(crate) fn sha256_of_file(path: &Path) -> Result<(String, u64)> {
    let mut digests = Digests::new(&Stated::default());
    read_all(path, &mut |bytes| digests.update(bytes)).map_err(Error::io("read", path))?;
    let bytes = digests.bytes();
    Ok((hex(&digests.sha256.finalize()), bytes))
}

/// Hands the whole file at `path` to `each`, piece by piece.
pub(crate) fn read_all(path: &Path, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one-block example of FIPS 180-2, and the first digits of the same with SHA-512.
    const ABC_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "ddaf35a193617abacc417349ae204131";

    #[test]
    fn what_passes_is_held_against_all_that_was_stated() {
        let finish = |stated: &Stated| {
            let mut digests = Digests::new(stated);
            digests.update(b"ab");
            digests.update(b"c");
            digests.finish(stated)
        };
        let right = Stated { bytes: Some(3), sha256: Some(ABC_256.into()), ..Stated::default() };
        assert_eq!(finish(&right).unwrap(), ABC_256);
        assert!(finish(&Stated { bytes: Some(4), ..right.clone() }).unwrap_err().contains("3 bytes, not 4"));
        assert!(finish(&Stated { sha256: Some("00".repeat(32)), ..right.clone() }).unwrap_err().contains("SHA-256"));
        let wrong = finish(&Stated { sha512: Some("00".repeat(64)), ..right }).unwrap_err();
        assert!(wrong.contains(&format!("its SHA-512 is {ABC_512}")), "{wrong}");
    }

    #[test]
    fn a_digest_is_told_from_other_text_and_its_case_does_not_matter() {
        assert_eq!(digest_of(&ABC_256.to_uppercase(), 32).as_deref(), Some(ABC_256));
        for text in ["", "abc", &ABC_256[1..], &ABC_256.replace('b', "x"), &format!("{ABC_256} ")] {
            assert_eq!(digest_of(text, 32), None);
        }
    }
}
