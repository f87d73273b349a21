//! How much an input may cost: sizes, ratios and counts, and the readers that hold foreign bytes to them.
//!
//! What a file or archive says about its own sizes is never believed: bytes are counted as they pass.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use crate::error::{Error, Result};

/// One decompressed file may not be larger than this: 16 GiB, some six times the whole CVE list in one file.
pub const MAX_STREAM_BYTES: u64 = 16 << 30;
/// Everything that is decompressed out of one file, all layers together, may not be larger than this: 64 GiB.
pub const MAX_ARCHIVE_BYTES: u64 = 64 << 30;
/// Nor may either be more than so many times as large as what it was compressed to; real feeds reach about 30.
pub const MAX_RATIO: u64 = 200;
/// How many members the archives in one file may have; the whole CVE list has some 300,000.
pub const MAX_MEMBERS: u64 = 1_000_000;
/// How much memory the decoder of xz may take for its dictionary; `xz -9` asks for 65 MiB.
pub const XZ_MEMORY_BYTES: u64 = 256 << 20;
/// The ratio is not looked at before so much was decompressed.
const RATIO_FREE_BYTES: u64 = 64 << 20;
/// How much may stand between two members of a tar: long names, extended attributes.
pub(super) const TAR_HEADER_BYTES: u64 = 1 << 20;
/// How much of a zip may be read to find and read its directory: a million members of usual names, twice.
pub(super) const ZIP_DIRECTORY_BYTES: u64 = 256 << 20;
/// How much of a member's name is shown; the longest path that Linux takes has four times as many bytes.
pub(super) const MAX_NAME_CHARS: usize = 1024;

/// The limits of one reading; the default is those above, and tests use smaller ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) stream_bytes: u64,
    pub(super) archive_bytes: u64,
    pub(super) ratio: u64,
    pub(super) ratio_free_bytes: u64,
    pub(super) members: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            stream_bytes: MAX_STREAM_BYTES,
            archive_bytes: MAX_ARCHIVE_BYTES,
            ratio: MAX_RATIO,
            ratio_free_bytes: RATIO_FREE_BYTES,
            members: MAX_MEMBERS,
        }
    }
}

impl Bounds {
    /// How much may come out of `stored` bytes.
    fn allowed(&self, stored: u64) -> u64 {
        stored.saturating_mul(self.ratio).max(self.ratio_free_bytes)
    }
}

/// Counts what was decompressed out of one file, all its layers together.
#[derive(Debug, Clone)]
pub(super) struct Total {
    passed: Rc<Cell<u64>>,
    limit: u64,
}

impl Total {
    /// For a file of `stored` bytes.
    pub(super) fn new(stored: u64, bounds: &Bounds) -> Self {
        Self { passed: Rc::default(), limit: bounds.allowed(stored).min(bounds.archive_bytes) }
    }
}

/// What went wrong below a parser, which only sees that reading failed.
#[derive(Debug, Default, Clone)]
pub(super) struct Failure(Rc<RefCell<Option<Cause>>>);

#[derive(Debug, Clone)]
pub(super) enum Cause {
    Damaged(String),
    TooLarge(String),
}

impl Failure {
    /// Notes the first cause.
    pub(super) fn note(&self, cause: Cause) {
        self.0.borrow_mut().get_or_insert(cause);
    }

    /// The noted cause as an error, else `result`.
    pub(super) fn or(&self, result: Result<()>, place: &str) -> Result<()> {
        let place = place.to_owned();
        match self.0.borrow_mut().take() {
            Some(Cause::Damaged(detail)) => Err(Error::Damaged { place, detail }),
            Some(Cause::TooLarge(detail)) => Err(Error::TooLarge { place, detail }),
            None => result,
        }
    }
}

/// How many bytes passed a [`Meter`], and how many may.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    passed: Rc<Cell<u64>>,
    until: Rc<Cell<u64>>,
}

impl Gauge {
    /// Bytes so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed.get()
    }

    /// Lets `more` bytes pass from here on.
    pub(super) fn allow(&self, more: u64) {
        self.until.set(self.passed.get().saturating_add(more));
    }

    /// Whether nothing more may pass.
    pub(super) fn is_spent(&self) -> bool {
        self.passed.get() >= self.until.get()
    }
}

/// Counts what is read, and ends where its gauge says so.
pub(super) struct Meter<R> {
    inner: R,
    gauge: Gauge,
}

impl<R> Meter<R> {
    /// Without a limit at first.
    pub(super) fn new(inner: R) -> (Self, Gauge) {
        let gauge = Gauge { passed: Rc::default(), until: Rc::new(Cell::new(u64::MAX)) };
        (Self { inner, gauge: gauge.clone() }, gauge)
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.gauge.is_spent() {
            return Err(io::Error::other("too many bytes that are no data"));
        }
        let left = self.gauge.until.get() - self.gauge.passed();
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.gauge.passed.set(self.gauge.passed().saturating_add(count as u64));
        Ok(count)
    }
}

impl<R: Seek> Seek for Meter<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Ends a stream that grows too large, and notes why a stream ended.
pub(super) struct Guard<R> {
    inner: R,
    bounds: Bounds,
    failure: Failure,
    passed: u64,
    /// What is consumed below, from how much on, and what all layers made of it.
    ratio: Option<(Gauge, u64, Total)>,
}

impl<R> Guard<R> {
    /// Of a file as it lies there.
    pub(super) fn of_file(inner: R, bounds: Bounds, failure: &Failure) -> Self {
        Self { inner, bounds, failure: failure.clone(), passed: 0, ratio: None }
    }

    /// Of what is decompressed out of the bytes that `consumed` counts, those before now apart.
    pub(super) fn of_decompressed(inner: R, consumed: Gauge, total: Total, guard: (Bounds, &Failure)) -> Self {
        let before = consumed.passed();
        let (bounds, failure) = guard;
        Self { inner, bounds, failure: failure.clone(), passed: 0, ratio: Some((consumed, before, total)) }
    }

    /// What is too much about the bytes that passed, if anything is.
    fn excess(&self) -> Option<String> {
        if self.passed > self.bounds.stream_bytes {
            return Some(format!("it has more than {} bytes", self.bounds.stream_bytes));
        }
        let (consumed, before, total) = self.ratio.as_ref()?;
        if self.passed > self.bounds.allowed(consumed.passed() - before) {
            return Some(format!("it unpacks to more than {} times its size", self.bounds.ratio));
        }
        (total.passed.get() > total.limit)
            .then(|| format!("with what was unpacked before it, it comes to more than {} bytes", total.limit))
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.inner.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failure.note(cause_of(&error));
                return Err(error);
            }
        };
        self.passed += count as u64;
        if let Some((_, _, total)) = &self.ratio {
            total.passed.set(total.passed.get() + count as u64);
        }
        if let Some(excess) = self.excess() {
            self.failure.note(Cause::TooLarge(excess.clone()));
            return Err(io::Error::other(excess));
        }
        Ok(count)
    }
}

/// What a decoder's error means.
fn cause_of(error: &io::Error) -> Cause {
    let lzma = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    match (error.kind(), lzma) {
        (io::ErrorKind::UnexpectedEof, _) => Cause::Damaged("it ends too early".into()),
        (_, Some(liblzma::stream::Error::MemLimit)) => {
            Cause::TooLarge(format!("to unpack it takes more than {} MiB of memory", XZ_MEMORY_BYTES >> 20))
        }
        _ => Cause::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds { stream_bytes: 100, archive_bytes: 150, ratio: 10, ratio_free_bytes: 20, members: 3 };

    fn read_all(mut reader: impl Read) -> io::Result<usize> {
        let mut all = Vec::new();
        reader.read_to_end(&mut all)
    }

    fn said(failure: &Failure) -> String {
        failure.or(Ok(()), "here").unwrap_err().to_string()
    }

    #[test]
    fn a_file_ends_at_the_limit_of_a_stream() {
        let failure = Failure::default();
        assert_eq!(read_all(Guard::of_file(&[0; 100][..], SMALL, &failure)).unwrap(), 100);
        assert!(failure.or(Ok(()), "here").is_ok());
        assert!(read_all(Guard::of_file(&[0; 101][..], SMALL, &failure)).is_err());
        assert!(said(&failure).starts_with("`here` is too large: it has more than 100 bytes"));
    }

    #[test]
    fn only_bytes_that_were_consumed_since_count_for_the_ratio() {
        let failure = Failure::default();
        let (mut stored, gauge) = Meter::new(&[0; 64][..]);
        let total = Total::new(64, &SMALL);
        read_all((&mut stored).take(10)).unwrap();
        let guard = Guard::of_decompressed(&[0; 50][..], gauge.clone(), total.clone(), (SMALL, &failure));
        assert!(read_all(guard).is_err(), "ten bytes were consumed before, none since");
        assert!(said(&failure).contains("more than 10 times its size"));
        let guard = Guard::of_decompressed(&[0; 50][..], gauge, total, (SMALL, &failure));
        read_all((&mut stored).take(5)).unwrap();
        assert_eq!(read_all(guard).unwrap(), 50);
    }

    #[test]
    fn many_small_streams_are_too_much_together() {
        let failure = Failure::default();
        let (_, gauge) = Meter::new(io::empty());
        let total = Total::new(5, &SMALL);
        let read = |count: usize| {
            let bytes = vec![0; count];
            read_all(Guard::of_decompressed(&bytes[..], gauge.clone(), total.clone(), (SMALL, &failure)))
        };
        assert!(read(20).is_ok() && read(20).is_ok() && read(10).is_ok());
        assert!(read(1).is_err());
        assert!(said(&failure).contains("more than 50 bytes"));
    }

    #[test]
    fn a_meter_stops_where_its_gauge_says() {
        let (mut meter, gauge) = Meter::new(&[7; 50][..]);
        gauge.allow(10);
        assert!(read_all(&mut meter).is_err() && gauge.is_spent());
        gauge.allow(40);
        assert!(read_all(&mut meter).is_err(), "the limit is reached before the end is seen");
        assert_eq!(gauge.passed(), 50);
        gauge.allow(1);
        assert_eq!(read_all(&mut meter).unwrap(), 0);
    }
}
