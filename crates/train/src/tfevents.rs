//! `events.out.tfevents.*` beside `metrics.jsonl`: the same curves as TensorBoard reads them.
//!
//! A file is a row of TFRecords (`tensorflow/core/lib/io/record_writer.h`): length, masked CRC-32C of the length, data,
//! masked CRC-32C of the data. The data is a protobuf `Event` (`tensorflow/core/util/event.proto`) with a `Summary` of
//! scalars, a few fields that are written out here. The file's name keeps when the run began, and an event's time is that
//! plus the seconds of training, so that a resumed run writes the same bytes again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use wardsmith_model::weights::write_atomically;

use crate::error::{Error, Result};
use crate::progress::Line;

/// How the names of such files begin.
const PREFIX: &str = "events.out.tfevents.";
/// And how ours end.
const SUFFIX: &str = ".wardsmith";

/// The event file of one run.
pub struct EventFile {
    path: PathBuf,
    file: File,
    began_s: u64,
    last: (f64, u64),
}

impl EventFile {
    /// Writes the events of `lines` anew (a run that was cut off may have written more) and stays open for more.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(run: &Path, lines: &[Line]) -> Result<Self> {
        let began_s = began(run).unwrap_or_else(|| {
            let elapsed = lines.last().map_or(0.0, |line| line.elapsed_s) as u64;
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()).saturating_sub(elapsed)
        });
        let path = run.join(format!("{PREFIX}{began_s:010}{SUFFIX}"));
        let mut content = record(&version(began_s as f64));
        let mut last = (0.0, 0);
        for line in lines {
            content.extend(record(&event(began_s, line, &mut last)));
        }
        write_atomically(&path, &content)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok(Self { path, file, began_s, last })
    }

    /// Adds one line's scalars.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&mut self, line: &Line) -> Result<()> {
        let event = record(&event(self.began_s, line, &mut self.last));
        self.file.write_all(&event).map_err(|e| Error::io("write", &self.path, e))
    }
}

/// When the run began, by the name of the file that is there.
fn began(run: &Path) -> Option<u64> {
    let names = std::fs::read_dir(run).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let seconds = |name: String| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok();
    names.filter_map(seconds).min()
}

/// The first event of every file.
fn version(time_s: f64) -> Vec<u8> {
    let mut event = double(1, time_s);
    event.extend(bytes(3, b"brain.Event:2"));
    event
}

/// One line as an event. `last` holds seconds and tokens of the line before.
fn event(began_s: u64, line: &Line, last: &mut (f64, u64)) -> Vec<u8> {
    let (seconds, tokens) = (line.elapsed_s - last.0, line.tokens.saturating_sub(last.1));
    *last = (line.elapsed_s, line.tokens);
    let rate = (line.loss_nats.is_some() && seconds > 0.0).then(|| tokens as f64 / seconds);
    let scalars = [
        ("loss/train", line.loss_nats),
        ("loss/validation", line.validation_loss_nats),
        ("learning_rate", line.learning_rate),
        ("gradient_norm", line.grad_norm),
        ("tokens_per_second", rate),
        ("epoch", line.loss_nats.map(|_| line.epoch)),
    ];
    let mut summary = Vec::new();
    for (tag, value) in scalars.into_iter().filter_map(|(tag, value)| Some((tag, value?))) {
        let mut scalar = bytes(1, tag.as_bytes());
        scalar.extend(float(2, value as f32));
        summary.extend(bytes(1, &scalar));
    }
    let mut event = double(1, began_s as f64 + line.elapsed_s);
    event.extend(varint(2 << 3));
    event.extend(varint(line.step));
    event.extend(bytes(5, &summary));
    event
}

/// Base 128, the lowest seven bits first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field of wire type 1.
fn double(field: u64, value: f64) -> Vec<u8> {
    [varint(field << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

/// A field of wire type 5.
fn float(field: u64, value: f32) -> Vec<u8> {
    [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

/// A field of wire type 2: text or a message.
fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, &masked(&length)[..], data, &masked(data)].concat()
}

/// A CRC that is stored beside its data is turned and moved, so that a CRC over both is not degenerate.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: an event has some hundred bytes.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !data.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_s() {
        // The check value of the catalogue of CRCs, and the vector of RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    /// A reader of its own: records, then fields.
    fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !file.is_empty() {
            let (length, rest) = file.split_at(8);
            assert_eq!(masked(length), rest[..4]);
            let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let data = &rest[4..4 + n];
            assert_eq!(masked(data), rest[4 + n..8 + n]);
            found.push(data.to_vec());
            file = &rest[8 + n..];
        }
        found
    }

    fn read_varint(data: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = data[0];
            *data = &data[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn fields(mut data: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        while !data.is_empty() {
            let key = read_varint(&mut data);
            let n = match key & 7 {
                0 => {
                    let value = read_varint(&mut data);
                    found.push((key >> 3, value.to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => read_varint(&mut data) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            found.push((key >> 3, data[..n].to_vec()));
            data = &data[n..];
        }
        found
    }

    fn scalars(event: &[u8]) -> (f64, u64, Vec<(String, f32)>) {
        let fields_of = fields(event);
        let field = |number| fields_of.iter().find(|(n, _)| *n == number).map(|(_, value)| value.clone()).unwrap();
        let scalar = |(_, value): (u64, Vec<u8>)| {
            let parts = fields(&value);
            let tag = String::from_utf8(parts[0].1.clone()).unwrap();
            (tag, f32::from_le_bytes(parts[1].1.clone().try_into().unwrap()))
        };
        let time = f64::from_le_bytes(field(1).try_into().unwrap());
        let step = u64::from_le_bytes(field(2).try_into().unwrap());
        (time, step, fields(&field(5)).into_iter().map(scalar).collect())
    }

    fn line(step: u64) -> Line {
        let (tokens, elapsed_s) = (step * 1000, step as f64 * 0.5);
        let (loss_nats, learning_rate, grad_norm) = (Some(2.5), Some(1e-3), Some(0.7));
        Line { step, tokens, elapsed_s, loss_nats, learning_rate, grad_norm, epoch: 0.25, validation_loss_nats: None }
    }

    #[test]
    fn what_is_written_reads_back_and_a_resumed_run_writes_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let validation = Line {
            loss_nats: None,
            learning_rate: None,
            grad_norm: None,
            validation_loss_nats: Some(2.0),
            ..line(300)
        };
        let lines = [line(299), line(300), validation];
        let mut events = EventFile::open(folder.path(), &[]).unwrap();
        lines.iter().for_each(|line| events.append(line).unwrap());
        events.append(&line(301)).unwrap();
        let path = events.path.clone();
        let written = std::fs::read(&path).unwrap();
        let records = records(&written);
        assert_eq!(fields(&records[0])[1], (3, b"brain.Event:2".to_vec()));
        let (time, step, found) = scalars(&records[2]);
        assert_eq!((time, step), (events.began_s as f64 + 150.0, 300));
        let expected = [
            ("loss/train", 2.5),
            ("learning_rate", 1e-3),
            ("gradient_norm", 0.7),
            ("tokens_per_second", 2000.0),
            ("epoch", 0.25),
        ];
        assert_eq!(found, expected.map(|(tag, value)| (tag.to_owned(), value)));
        assert_eq!(scalars(&records[3]).2, [("loss/validation".to_owned(), 2.0)]);
        // The last line belonged to a session that was cut off.
        let mut resumed = EventFile::open(folder.path(), &lines).unwrap();
        resumed.append(&line(301)).unwrap();
        assert_eq!(resumed.path, path);
        assert_eq!(std::fs::read(&path).unwrap(), written);
    }
}
