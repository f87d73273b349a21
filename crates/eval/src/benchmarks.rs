//! Published benchmarks: their files → [`Item`]s, one file here for each family. The user brings the files.
//!
//! A file may be compressed; what it holds is pinned by the SHA-256 of its bytes, which the report states. Prompts are the
//! benchmark's own where its file has them; what is added elsewhere is written in the adapter. No item is left out: a file of
//! 1,000 rows gives 1,000 items.

mod athenabench;
mod ctibench;
mod cybermetric;
mod cyberseceval;
mod rows;
mod seceval;
mod secure;
mod sven;

use std::io::Read as _;
use std::path::Path;

use wardsmith_records::input::{self, Input};
use wardsmith_records::manifest::InputSummary;

use crate::item::Item;

/// No benchmark's file is larger, decompressed.
const MAX_BYTES: u64 = 256 << 20;
/// No benchmark has more items.
const MAX_ITEMS: usize = 1_000_000;

/// Why a benchmark's file was not read.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// There is no benchmark of this name.
    #[error("no benchmark is called `{name}`\nhint: known are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What could be asked for.
        known: String,
    },
    /// The file cannot be opened or decompressed.
    #[error(transparent)]
    Input(#[from] wardsmith_records::Error),
    /// The file is larger than any benchmark.
    #[error(
        "`{place}` is larger than {MAX_BYTES} bytes or has more than {MAX_ITEMS} items\nhint: name the benchmark's own file"
    )]
    TooLarge {
        /// The file.
        place: String,
    },
    /// The file is of another shape.
    #[error("`{place}` is no file of `{benchmark}`: {detail}\nhint: {hint}")]
    Broken {
        /// The file.
        place: String,
        /// The benchmark that it should be.
        benchmark: &'static str,
        /// What is wrong, with the row where it is one.
        detail: String,
        /// What its file looks like.
        hint: &'static str,
    },
}

/// A benchmark: one shape of file and one way to ask.
pub struct Benchmark {
    /// Stable name, as `--benchmark NAME=FILE` has it.
    pub name: &'static str,
    /// One line on what is asked.
    pub about: &'static str,
    /// What its file looks like.
    pub shape: &'static str,
    /// What is wrong with a text, or its items.
    read: fn(&str) -> Result<Vec<Item>, String>,
}

/// Every benchmark.
pub static ALL: &[&[Benchmark]] =
    &[ctibench::ALL, athenabench::ALL, cybermetric::ALL, seceval::ALL, secure::ALL, cyberseceval::ALL, sven::ALL];

/// Every benchmark, one after the other.
pub fn all() -> impl Iterator<Item = &'static Benchmark> {
    ALL.iter().copied().flatten()
}

/// The benchmark called `name`.
///
/// # Errors
/// Where there is none.
pub fn by_name(name: &str) -> Result<&'static Benchmark, BenchmarkError> {
    all().find(|benchmark| benchmark.name == name).ok_or_else(|| BenchmarkError::Unknown {
        name: name.into(),
        known: all().map(|benchmark| format!("`{}`", benchmark.name)).collect::<Vec<_>>().join(", "),
    })
}

impl Benchmark {
    /// The items of the file at `path`, in its order, with what pins the file.
    ///
    /// # Errors
    /// Where the file cannot be read, is too large or of another shape. Of a file nothing is left out: one row that cannot be
    /// read is an error.
    pub fn open(&self, path: &Path) -> Result<(InputSummary, Vec<Item>), BenchmarkError> {
        let Input { summary, units } = Input::open(path, &holds_items)?;
        let mut items = Vec::new();
        let mut failure = None;
        for unit in &units {
            input::read(unit, &holds_items, &mut |reader, place| {
                let mut bytes = Vec::new();
                let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|source| wardsmith_records::Error::Damaged {
                    place: place.into(),
                    detail: source.to_string(),
                })?;
                match self.parse(&bytes, place) {
                    Ok(more) => items.extend(more),
                    Err(error) => failure = failure.take().or(Some(error)),
                }
                Ok(())
            })?;
        }
        match failure {
            Some(error) => Err(error),
            None if items.len() > MAX_ITEMS => Err(BenchmarkError::TooLarge { place: path.display().to_string() }),
            None => Ok((summary, numbered(items))),
        }
    }

    /// The items of a file's bytes.
    fn parse(&self, bytes: &[u8], place: &str) -> Result<Vec<Item>, BenchmarkError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(BenchmarkError::TooLarge { place: place.into() });
        }
        let broken =
            |detail| BenchmarkError::Broken { place: place.into(), benchmark: self.name, detail, hint: self.shape };
        let text = std::str::from_utf8(bytes).map_err(|error| broken(format!("it is not UTF-8 ({error})")))?;
        let items = (self.read)(text.trim_start_matches('\u{feff}')).map_err(broken)?;
        if items.is_empty() { Err(broken("it holds no item".into())) } else { Ok(items) }
    }
}

/// Whether a file of a folder or archive holds items: it is none of those that tell of the others.
fn holds_items(place: &str) -> bool {
    let name = place.rsplit('/').next().unwrap_or_default().to_uppercase();
    !["README", "LICENSE", "COPYING", "CITATION", "."].iter().any(|head| name.starts_with(head))
}

/// Items without an ID of their own are numbered from 1; an ID that occurs again gets a number behind it.
fn numbered(mut items: Vec<Item>) -> Vec<Item> {
    let mut seen = std::collections::HashMap::new();
    for (number, item) in (1..).zip(&mut items) {
        if item.id.is_empty() {
            item.id = number.to_string();
        }
        let times: &mut usize = seen.entry(item.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            item.id = format!("{}#{times}", item.id);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_a_name_of_its_own_and_refuses_what_is_none() {
        for benchmark in all() {
            assert_eq!(by_name(benchmark.name).unwrap().name, benchmark.name);
            assert_eq!(all().filter(|other| other.name == benchmark.name).count(), 1);
            for text in ["", "[]", "{}", "\u{0}", "a\tb\n1\t2", "[1, 2]", "null", "{\"questions\": 3}"] {
                let error = benchmark.parse(text.as_bytes(), "x").unwrap_err().to_string();
                assert!(error.contains(benchmark.name) && error.contains("hint:"), "{text}: {error}");
            }
            assert!(benchmark.parse(b"\xff\xfe", "x").is_err());
        }
        assert!(by_name("trivia").err().unwrap().to_string().contains("`cti-mcq`"));
    }

    #[test]
    fn repeated_and_missing_ids_become_different_ones() {
        let item = |id: &str| Item {
            id: id.into(),
            system: None,
            prompt: String::new(),
            subject: None,
            group: String::new(),
            asked: crate::item::Asked::Help,
        };
        let ids: Vec<String> = numbered(vec![item("a"), item(""), item("a")]).into_iter().map(|item| item.id).collect();
        assert_eq!(ids, ["a", "2", "a#2"]);
    }
}
