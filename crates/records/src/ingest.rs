//! All sources read side by side, gathered in a fixed order into one [`Knowledge`].
//!
//! Between [`crate::input`], which opens files, and [`crate::knowledge`], which joins records. The result does not depend
//! on the number of threads: files are read in any order and heard in the order of their names.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::input::{Input, Unit, read};
use crate::knowledge::{Gathering, Knowledge};
use crate::manifest::{InputSummary, MergeCounts, SourceCounts};
use crate::record::{Record, Reject};
use crate::source::{self, Source};
use crate::wanted::{Said, Wanted};

/// How many rejects the manifest tells by their place.
const FIRST_REJECTS: usize = 5;

/// Everything that the sources say.
#[derive(Debug)]
pub struct Ingested {
    /// What was read, with digests.
    pub inputs: Vec<InputSummary>,
    /// What each source's files held.
    pub counts: BTreeMap<String, SourceCounts>,
    /// What became of the CVEs.
    pub merge: MergeCounts,
    /// All records, joined and in order.
    pub knowledge: Knowledge,
    /// Each source's own word on the one thing that was wanted, in the order in which they came; empty where none was.
    pub said: Vec<Said>,
}

/// How sources are heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hearing<'a> {
    /// The sources that are private; see [`crate::merge`].
    pub private: &'a [String],
    /// The one thing whose every record is kept beside the joined ones.
    pub wanted: Option<&'a Wanted>,
}

/// Reads all `sources`, pairs of a source's name and a path. `progress` hears of stored bytes, read and all.
///
/// # Errors
/// Where a source is unknown, an input cannot be read, or a source has more broken records than `max_reject_rate`.
pub fn ingest(
    sources: &[(String, PathBuf)],
    max_reject_rate: f64,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Ingested> {
    ingest_as(sources, max_reject_rate, Hearing::default(), progress)
}

/// As [`ingest`], with all sources heard as `hearing` says.
///
/// # Errors
/// As [`ingest`].
pub fn ingest_as(
    sources: &[(String, PathBuf)],
    max_reject_rate: f64,
    hearing: Hearing<'_>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Ingested> {
    let mut inputs = Vec::new();
    let mut work: Vec<(&dyn Source, Unit)> = Vec::new();
    for (name, path) in sources {
        let source = source::by_name(name)?;
        let Input { mut summary, units } = Input::open(path, &|place| source.wants(place))?;
        summary.source = source.name().into();
        summary.licence = source.licence().into();
        inputs.push(summary);
        work.extend(units.into_iter().map(|unit| (source, unit)));
    }
    let mut counts: BTreeMap<String, SourceCounts> = BTreeMap::new();
    let mut gathering = Gathering::new(hearing.private);
    let mut said = Vec::new();
    for ((source, _), parsed) in work.iter().zip(parse_all(&work, progress)) {
        let parsed = parsed?;
        add_counts(counts.entry(source.name().into()).or_default(), parsed.counts);
        if let Some(wanted) = hearing.wanted {
            said.extend(wanted.heard(source.name(), &parsed.records));
        }
        parsed.records.into_iter().for_each(|record| gathering.add(record));
    }
    check_reject_rate(&counts, max_reject_rate)?;
    let (knowledge, merge) = gathering.finish();
    Ok(Ingested { inputs, counts, merge, knowledge, said })
}

/// What one unit held.
#[derive(Debug, Default)]
struct Parsed {
    records: Vec<Record>,
    counts: SourceCounts,
}

/// Parses every unit, the largest first so that no thread is left alone with it; results in the order of `work`.
fn parse_all(work: &[(&dyn Source, Unit)], progress: &(dyn Fn(u64, u64) + Sync)) -> Vec<Result<Parsed>> {
    let total: u64 = work.iter().map(|(_, unit)| unit.stored_bytes()).sum();
    let done = AtomicU64::new(0);
    let slots: Vec<Mutex<Option<Result<Parsed>>>> = work.iter().map(|_| Mutex::new(None)).collect();
    let mut order: Vec<usize> = (0..work.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(work[at].1.stored_bytes()));
    rayon::scope_fifo(|scope| {
        for at in order {
            let (slots, done) = (&slots, &done);
            scope.spawn_fifo(move |_| {
                let (source, unit) = &work[at];
                *slots[at].lock().expect("no thread panics with it") = Some(parse(*source, unit));
                let bytes = unit.stored_bytes();
                progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
            });
        }
    });
    let take =
        |slot: Mutex<Option<_>>| slot.into_inner().expect("no thread panics with it").expect("the scope ran all");
    slots.into_iter().map(take).collect()
}

fn parse(source: &dyn Source, unit: &Unit) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut visit = |reader: &mut dyn BufRead, place: &str| source.parse(reader, place, &mut |one| parsed.add(one));
    read(unit, &|place| source.wants(place), &mut visit)?;
    parsed.records.shrink_to_fit();
    Ok(parsed)
}

impl Parsed {
    fn add(&mut self, one: Result<Record, Reject>) {
        match one {
            Ok(record) => {
                self.counts.records += 1;
                self.count(&record);
                self.records.push(record);
            }
            Err(reject) => self.reject(&reject),
        }
    }

    fn count(&mut self, record: &Record) {
        *self.counts.kinds.entry(record.kind().into()).or_default() += 1;
        if let Record::Withdrawn(one) = record {
            *self.counts.withdrawn.entry(one.state).or_default() += 1;
        }
    }

    fn reject(&mut self, reject: &Reject) {
        let counts = &mut self.counts;
        if reject.reason.sets_aside() {
            counts.records += 1;
            *counts.set_aside.entry(reject.reason).or_default() += 1;
            return;
        }
        if reject.reason.loses_record() {
            counts.records += 1;
            *counts.rejected.entry(reject.reason).or_default() += 1;
        } else {
            *counts.labels_rejected.entry(reject.reason).or_default() += 1;
        }
        if counts.first_rejects.len() < FIRST_REJECTS {
            counts.first_rejects.push(format!("{}: {}", reject.place, reject.reason));
        }
    }
}

fn add_counts(sum: &mut SourceCounts, part: SourceCounts) {
    sum.records += part.records;
    part.kinds.into_iter().for_each(|(kind, count)| *sum.kinds.entry(kind).or_default() += count);
    part.withdrawn.into_iter().for_each(|(state, count)| *sum.withdrawn.entry(state).or_default() += count);
    part.rejected.into_iter().for_each(|(reason, count)| *sum.rejected.entry(reason).or_default() += count);
    part.set_aside.into_iter().for_each(|(reason, count)| *sum.set_aside.entry(reason).or_default() += count);
    for (reason, count) in part.labels_rejected {
        *sum.labels_rejected.entry(reason).or_default() += count;
    }
    sum.first_rejects.extend(part.first_rejects);
    sum.first_rejects.truncate(FIRST_REJECTS);
}

fn check_reject_rate(counts: &BTreeMap<String, SourceCounts>, max_rate: f64) -> Result<()> {
    for (name, source) in counts {
        let rejected: u64 = source.rejected.values().sum();
        if rejected as f64 > max_rate * source.records as f64 {
            return Err(Error::TooManyRejects {
                name: name.clone(),
                rejected,
                records: source.records,
                max_rate,
                first: source.first_rejects.first().cloned().unwrap_or_default(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    fn sources(names: &[(&str, &str)]) -> Vec<(String, PathBuf)> {
        names.iter().map(|(source, file)| ((*source).to_owned(), fixture(file))).collect()
    }

    #[test]
    fn all_sources_come_together_and_everything_is_counted() {
        let named = sources(&[
            ("nvd", "nvd-feed-1.1.json"),
            ("nvd", "nvd-api-2.0.json"),
            ("cvelist", "cve-records-5.jsonl"),
            ("cwe", "cwe.xml"),
        ]);
        let found = ingest(&named, 1.0, &|_, _| {}).unwrap();
        assert_eq!(found.inputs.len(), 4);
        assert!(found.inputs.iter().all(|input| input.sha256.len() == 64 && !input.licence.is_empty()));
        assert_eq!(found.merge.described, 5);
        assert_eq!(found.counts["nvd"].records, 7);
        assert_eq!(found.counts["nvd"].rejected.values().sum::<u64>(), 2);
        assert_eq!(found.counts["nvd"].labels_rejected.values().sum::<u64>(), 1);
        assert_eq!(found.counts["cwe"].kinds["weaknesses"], 4);
        assert!(found.knowledge.vulnerabilities.is_sorted_by_key(|one| one.id));
        assert!(!found.knowledge.catalogue.is_empty());
    }

    #[test]
    fn more_broken_records_than_allowed_is_an_error_that_names_the_first() {
        let named = sources(&[("nvd", "nvd-feed-1.1.json")]);
        let message = ingest(&named, 0.01, &|_, _| {}).unwrap_err().to_string();
        assert!(
            message.contains("2 of 5 records of source `nvd`") && message.contains("record 3: bad id"),
            "{message}"
        );
    }

    #[test]
    fn progress_ends_at_all_bytes() {
        let last = Mutex::new((0, 0));
        let named = sources(&[("nvd", "nvd-api-2.0.json"), ("cwe", "cwe.xml")]);
        ingest(&named, 1.0, &|done, total| {
            let mut last = last.lock().unwrap();
            *last = (last.0.max(done), total);
        })
        .unwrap();
        let last = last.into_inner().unwrap();
        assert!(last.0 == last.1 && last.1 > 0, "{last:?}");
    }
}
