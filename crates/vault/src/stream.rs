//! The two ends of a sealed stream.

use std::fmt;
use std::io::{self, BufReader, Read, Write};

use age::stream::{StreamReader, StreamWriter};

/// Seals what is written to it. What is dropped without [`Sealing::finish`] cannot be opened.
pub struct Sealing<W: Write>(StreamWriter<W>);

impl<W: Write> Sealing<W> {
    pub(crate) fn new(inner: StreamWriter<W>) -> Self {
        Self(inner)
    }

    /// Writes the last chunk, and hands back what was written to.
    ///
    /// # Errors
    /// Where that refuses.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> fmt::Debug for Sealing<W> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sealing(…)")
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Opens what it reads. Its end is the true end: a stream that was cut off gives an error there.
pub struct Opening<R: Read> {
    inner: StreamReader<BufReader<R>>,
    failed: bool,
}

impl<R: Read> Opening<R> {
    pub(crate) fn new(inner: StreamReader<BufReader<R>>) -> Self {
        Self { inner, failed: false }
    }
}

impl<R: Read> fmt::Debug for Opening<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Opening(…)")
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // An empty buffer would read as an end, and after a failure nothing is to be believed.
        if bytes.is_empty() {
            return Ok(0);
        }
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "the sealed data is damaged or cut off");
        if self.failed {
            return Err(broken());
        }
        self.inner.read(bytes).map_err(|error| {
            self.failed = true;
            match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => broken(),
                _ => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Key};
    use proptest::prelude::*;

    /// Three chunks and a bit.
    const LONG: usize = (3 << 16) + 7;

    fn pair() -> Key {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(Key::generate_text().as_bytes()).unwrap();
        Key::from_file(file.path()).unwrap()
    }

    fn sealed(key: &Key, plain: &[u8]) -> Vec<u8> {
        let mut sealing = key.seal(Vec::new()).unwrap();
        sealing.write_all(plain).unwrap();
        sealing.finish().unwrap()
    }

    fn opened(key: &Key, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        key.open(bytes)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn what_is_sealed_is_opened_by_its_key_alone() {
        let plain = b"the kettle is in the left cupboard ".repeat(9000);
        for key in [pair(), Key::from_passphrase("open sesame").unwrap()] {
            let bytes = sealed(&key, &plain);
            assert!(!bytes.windows(14).any(|window| window == b"left cupboard "));
            assert_eq!(opened(&key, &bytes).unwrap(), plain);
            assert!(matches!(opened(&pair(), &bytes), Err(Error::WrongKey)));
        }
        let bytes = sealed(&Key::from_passphrase("open sesame").unwrap(), &plain);
        assert!(matches!(opened(&Key::from_passphrase("open barley").unwrap(), &bytes), Err(Error::WrongKey)));
        assert!(matches!(opened(&pair(), b"plain text"), Err(Error::Damaged)));
        assert!(matches!(opened(&pair(), b""), Err(Error::Damaged)));
    }

    #[test]
    fn whole_chunks_and_nothing_at_all_come_back() {
        let key = pair();
        for length in [0, 1, 1 << 16, (1 << 16) + 1, 2 << 16, LONG] {
            let plain = vec![7; length];
            assert_eq!(opened(&key, &sealed(&key, &plain)).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error_wherever_it_is_cut() {
        let key = pair();
        for length in [0, 5, 2 << 16, LONG] {
            let bytes = sealed(&key, &vec![7; length]);
            let step = bytes.len() / 97 + 1;
            let chunk = (1 << 16) + 16;
            // At any place, and at the borders of chunks, which look the most like an end.
            let ends = (0..4).map(|chunks| chunks * chunk).filter(|end| *end > 0 && *end < bytes.len());
            let borders = ends.map(|end| bytes.len() - end);
            for cut in (0..bytes.len()).step_by(step).chain(borders).chain([bytes.len() - 1]) {
                assert!(opened(&key, &bytes[..cut]).is_err(), "{length} bytes, cut to {cut} of {}", bytes.len());
            }
            let more = [bytes.as_slice(), b"x"].concat();
            assert!(opened(&key, &more).is_err());
        }
    }

    #[test]
    fn what_was_not_finished_cannot_be_opened() {
        let key = pair();
        let mut bytes = Vec::new();
        let mut sealing = key.seal(&mut bytes).unwrap();
        sealing.write_all(&vec![7; LONG]).unwrap();
        drop(sealing);
        assert!(opened(&key, &bytes).is_err());
    }

    #[test]
    fn a_failed_stream_stays_failed() {
        let key = pair();
        let mut bytes = sealed(&key, &vec![7; LONG]);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut opening = key.open(bytes.as_slice()).unwrap();
        let mut plain = Vec::new();
        assert!(opening.read_to_end(&mut plain).is_err() && plain.len() < LONG);
        assert!(opening.read(&mut [0; 8]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn one_flipped_bit_is_an_error(place in any::<prop::sample::Index>(), bit in 0..8_u8, length in 0_usize..200_000) {
            let key = pair();
            let mut bytes = sealed(&key, &vec![7; length]);
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(opened(&key, &bytes).is_err());
        }
    }
}
