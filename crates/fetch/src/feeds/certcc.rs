//! CERT/CC's vulnerability notes, one JSON document each, through the API of their knowledge base.
//!
//! `/vuls/api/YEAR/summary/` lists the notes of a year as `VU#NUMBER`, `/vuls/api/NUMBER/` gives one. What does not exist
//! is answered with status 200 and an object with the key `error`. Notes of earlier years than the last are hardly ever
//! changed, so those that are there are not asked for again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use crate::error::Result;
use crate::feed::Feed;
use crate::session::{Session, known_address, unreadable};
use crate::shape::Shape;
use crate::transfer::Wanted;

const URL: &str = "https://kb.cert.org/vuls/api";
const FIRST_YEAR: i16 = 2000;
const MAX_SUMMARY_BYTES: u64 = 16 << 20;
/// A note with its vendors has less than 1 MB.
const MAX_BYTES: u64 = 64 << 20;
const WANTED: &str = "a list of CERT/CC's notes";

/// See the file's head.
pub(crate) struct CertCc;

impl Feed for CertCc {
    fn name(&self) -> &'static str {
        "certcc"
    }

    fn what(&self) -> &'static str {
        "CERT/CC vulnerability notes (JSON)"
    }

    fn licence(&self) -> &'static str {
        "CMU/SEI terms of use (CERT/CC)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    /// Nothing is stated; this is out of courtesy.
    fn pace(&self, _: bool) -> Option<(usize, Duration)> {
        Some((50, Duration::from_secs(10)))
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let this_year = session.year();
        let first = session.options().since_year.unwrap_or(FIRST_YEAR).clamp(FIRST_YEAR, this_year);
        for year in first..=this_year {
            let url = known_address(&format!("{URL}/{year}/summary/"));
            match notes(session, &url) {
                Ok(numbers) => fetch_notes(session, &numbers, year + 1 < this_year)?,
                Err(error) => session.failed(url.into(), error)?,
            }
        }
        Ok(())
    }
}

/// A year's list, or the word that there is none.
#[derive(Debug, Deserialize)]
struct Summary {
    #[serde(default)]
    notes: Vec<String>,
    error: Option<IgnoredAny>,
}

/// The numbers of a year's notes.
fn notes(session: &mut Session<'_, '_>, url: &Url) -> Result<Vec<String>> {
    let summary: Summary = session.json(url, MAX_SUMMARY_BYTES, WANTED)?;
    if summary.error.is_some() {
        return Ok(Vec::new());
    }
    summary.notes.iter().map(|note| number(note).map_err(|detail| unreadable(url, WANTED, detail))).collect()
}

/// `VU#123456` as `123456`.
fn number(note: &str) -> Result<String, String> {
    let digits = note.strip_prefix("VU#").unwrap_or(note);
    let good = (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if good { Ok(digits.to_owned()) } else { Err(format!("`{}` is no note", note.escape_debug())) }
}

fn fetch_notes(session: &mut Session<'_, '_>, numbers: &[String], is_settled: bool) -> Result<()> {
    for number in numbers {
        let path = format!("certcc/{number}.json");
        if is_settled && session.has(&path)? {
            continue;
        }
        let url = known_address(&format!("{URL}/{number}/"));
        let mut wanted = Wanted::new(url, path, Shape::Json, MAX_BYTES);
        wanted.inspect = Some(inspect);
        session.file(&wanted)?;
    }
    Ok(())
}

/// Whether a note is one.
fn inspect(path: &Path) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Note {
        error: Option<IgnoredAny>,
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let note: Note = serde_json::from_reader(BufReader::new(file)).map_err(|error| error.to_string())?;
    if note.error.is_some() { Err("it is no note but an error".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_a_number_and_nothing_else() {
        assert_eq!(number("VU#123456").unwrap(), "123456");
        assert_eq!(number("17").unwrap(), "17");
        for note in ["", "VU#", "VU#../a", "VU#1/2", "vu#1", "VU#1234567890123"] {
            assert!(number(note).is_err(), "{note}");
        }
    }
}
