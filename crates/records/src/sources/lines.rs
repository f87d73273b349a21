//! Records one after the other: JSON Lines, one big array, or one record over a whole file.

use std::io::{self, BufRead, Read};

use serde::de::IgnoredAny;

use crate::error::Result;
use crate::record::{Reject, RejectReason};
use crate::source::{MAX_RECORD_BYTES, Sink, Source, broken};
use crate::sources::json::elements;

/// Reads one record into a sink, out of its text and with its place; an error is why the whole record is lost.
pub(crate) type ReadRecord = fn(&str, &dyn Fn() -> String, Sink<'_>) -> Result<(), RejectReason>;

/// Reads every record of `reader` with `read`.
pub(crate) fn records(
    source: &dyn Source,
    reader: &mut dyn BufRead,
    place: &str,
    read: ReadRecord,
    sink: Sink<'_>,
) -> Result<()> {
    let head = reader.fill_buf().map_err(|error| broken(source, place, &error))?;
    let bom = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let is_array = head[bom..].trim_ascii_start().first() == Some(&b'[');
    reader.consume(bom);
    let file = File { source, place, read };
    if is_array { file.array(reader, sink) } else { file.lines(reader, sink) }
}

/// Hands a record to `sink`, or why it is none.
pub(crate) fn read_or_reject(read: ReadRecord, text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) {
    if let Err(reason) = read(text, place, sink) {
        sink(Err(Reject { place: place(), reason }));
    }
}

struct File<'a> {
    source: &'a dyn Source,
    place: &'a str,
    read: ReadRecord,
}

impl File<'_> {
    fn array(&self, reader: &mut dyn BufRead, sink: Sink<'_>) -> Result<()> {
        let mut number = 0;
        let mut each = |text: &str| {
            number += 1;
            read_or_reject(self.read, text, &|| format!("{} record {number}", self.place), sink);
        };
        elements(reader, &[], &mut each).map_err(|error| broken(self.source, self.place, &error))?;
        Ok(())
    }

    /// JSON Lines; or, where the first line that is not blank is no whole value, one record over many lines.
    fn lines(&self, reader: &mut dyn BufRead, sink: Sink<'_>) -> Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        let mut first = true;
        while read_line(reader, &mut line, MAX_RECORD_BYTES).map_err(|error| broken(self.source, self.place, &error))? {
            number += 1;
            let place_of_line = || format!("{} line {number}", self.place);
            if line.len() > MAX_RECORD_BYTES {
                sink(Err(Reject { place: place_of_line(), reason: RejectReason::TooLarge }));
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if first && is_cut_off(text) {
                return self.single(line, reader, sink);
            }
            first = false;
            match std::str::from_utf8(text) {
                Ok(text) => read_or_reject(self.read, text, &place_of_line, sink),
                Err(_) => sink(Err(Reject { place: place_of_line(), reason: RejectReason::Malformed })),
            }
        }
        Ok(())
    }

    /// One record, of which `start` was read already.
    fn single(&self, start: Vec<u8>, reader: &mut dyn BufRead, sink: Sink<'_>) -> Result<()> {
        let broken = |error: &dyn std::fmt::Display| broken(self.source, self.place, error);
        let mut bytes = start;
        let mut limited = reader.take(MAX_RECORD_BYTES as u64 + 1);
        limited.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(broken(&format!("one record has more than {MAX_RECORD_BYTES} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| broken(&error))?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| broken(&error))?;
        read_or_reject(self.read, text, &|| self.place.to_owned(), sink);
        Ok(())
    }
}

/// Reads a line into `line`; of a line of more than `max` bytes only so much that it is seen to be too long, though
/// all of it is passed over. `false` at the end.
pub(crate) fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(available.len(), |end| end + 1);
        let room = (max + 1).saturating_sub(line.len());
        line.extend_from_slice(&available[..part.min(room)]);
        reader.consume(part);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Whether a JSON text is right as far as it goes, but goes on.
fn is_cut_off(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_line_that_is_too_long_only_the_beginning_is_held() {
        let mut text = std::io::BufReader::new(std::io::repeat(b'x').take(1 << 20).chain(&b"\nshort\n\nlast"[..]));
        let mut line = Vec::new();
        let mut found = Vec::new();
        while read_line(&mut text, &mut line, 100).unwrap() {
            found.push(line.len());
        }
        assert_eq!(found, [101, 6, 1, 4]);
        assert!(line.capacity() < 1 << 12);
    }
}
