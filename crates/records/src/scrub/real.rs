//! All real descriptions and notes beside the repository, where they are there: counts by kind and the speed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use rayon::prelude::*;

use super::{Counts, hits, scrub};
use crate::record::Record;
use crate::source::by_name;

/// Set to a number to see so many hits of each kind with the words around them.
const SHOW: &str = "WARDSMITH_SHOW_HITS";

/// The folder of real data, or a word that it is not there.
pub(crate) fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    data.exists().then_some(data)
}

/// The descriptions of the CVEs of one source's folder.
pub(crate) fn descriptions(data: &Path, source: &str) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(data.join(source)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "gz"));
    files.sort();
    let parse = |path: &PathBuf| {
        let mut texts = Vec::new();
        let mut sink = |one| {
            if let Ok(Record::Vulnerability(record)) = one {
                let record: Box<crate::record::Vulnerability> = record;
                texts.push(record.description);
            }
        };
        let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path).unwrap()));
        by_name(source).unwrap().parse(&mut reader, "here", &mut sink).unwrap();
        texts
    };
    files.par_iter().flat_map_iter(parse).collect()
}

/// Every string of a file of JSON lines.
pub(crate) fn strings(path: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for line in BufReader::new(MultiGzDecoder::new(File::open(path).unwrap())).lines() {
        let mut open = vec![serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap()];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::String(text) => texts.push(text),
                serde_json::Value::Array(values) => open.extend(values),
                serde_json::Value::Object(fields) => open.extend(fields.into_iter().map(|(_, value)| value)),
                _ => {}
            }
        }
    }
    texts
}

/// Runs since a moment: of this thread's own time where the system tells it, else of the wall's.
pub(crate) struct Stopwatch(Instant, Option<f64>);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now(), thread_s())
    }

    /// Megabytes a second for `bytes` since the start.
    pub(crate) fn mb_per_s(&self, bytes: usize) -> f64 {
        let own_s = self.1.zip(thread_s()).map(|(from, to)| to - from);
        bytes as f64 / 1e6 / own_s.unwrap_or_else(|| self.0.elapsed().as_secs_f64())
    }
}

/// Seconds that this thread has been on a core, as Linux counts them.
fn thread_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
}

fn aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Up to `limit` hits of each kind, evenly taken, with the words around them.
fn show(texts: &[String], limit: usize) {
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for text in texts {
        for hit in hits(text) {
            let from = text.floor_char_boundary(hit.range.start.saturating_sub(50));
            let to = text.ceil_char_boundary((hit.range.end + 40).min(text.len()));
            let line =
                format!("{}⟦{}⟧{}", &text[from..hit.range.start], &text[hit.range.clone()], &text[hit.range.end..to]);
            seen.entry(hit.kind.name).or_default().push(line.replace('\n', "⏎"));
        }
    }
    for (kind, lines) in seen {
        for line in lines.iter().step_by(lines.len().div_ceil(limit)) {
            aloud(&format!("{kind}: {line}"));
        }
    }
}

/// How many texts each kind's matcher has to look at, and how fast they are told.
fn triggers(texts: &[String]) -> String {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let watch = Stopwatch::start();
    for text in texts {
        for at in &super::TRIGGERS.matches(text.as_bytes()) {
            *seen.entry(super::ALL[at].name).or_default() += 1;
        }
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    format!("triggers {:.0} MB/s {seen:?}", watch.mb_per_s(bytes))
}

fn measure(name: &str, texts: &[String]) -> Counts {
    let bytes: usize = texts.iter().map(String::len).sum();
    let watch = Stopwatch::start();
    let mut counts = Counts::default();
    let mut with_hits = 0;
    for text in texts {
        let scrubbed = scrub(text);
        with_hits += usize::from(scrubbed.counts.total() > 0);
        counts.add(&scrubbed.counts);
    }
    let mb_per_s = watch.mb_per_s(bytes);
    aloud(&format!(
        "ran: scrub {name}: {} texts, {with_hits} with hits, {mb_per_s:.0} MB/s, {:?}",
        texts.len(),
        counts.0
    ));
    aloud(&triggers(texts));
    if let Some(limit) = std::env::var(SHOW).ok().and_then(|limit| limit.parse().ok()) {
        show(texts, limit);
    }
    counts
}

#[test]
fn real_texts_hold_few_secrets_and_those_are_replaced() {
    let Some(data) = data() else {
        aloud("skipped: scrubbing of real texts; needs ../shared/data");
        return;
    };
    let nvd = descriptions(&data, "nvd");
    let counts = measure("nvd", &nvd);
    assert!(nvd.len() > 150_000 && counts.total() < nvd.len() as u64 / 200, "{counts:?}");
    measure("cvelist", &descriptions(&data, "cvelist"));
    let notes = strings(&data.join("reports/certcc-vu/certcc-vu-notes.jsonl.gz"));
    let counts = measure("certcc-vu", &notes);
    assert!(counts.0["person"] > 1_000, "{counts:?}");
    measure("cisa-csaf", &strings(&data.join("reports/cisa-csaf/cisa-csaf-2024-10-24.jsonl.gz")));
}
