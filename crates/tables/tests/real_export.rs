//! The whole way on real feeds: records, a dataset, an export that holds every row.

use std::io::Write;
use std::path::Path;

use wardsmith_records::dataset::{Example, Split};
use wardsmith_records::prepare::{PrepareOptions, prepare};
use wardsmith_tables::chat::export_chat;
use wardsmith_tables::examples::from_batch;
use wardsmith_tables::hub::{ExportOptions, export};
use wardsmith_tables::parquet_files::read;

fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{line}").expect("standard error takes a line");
}

#[test]
fn every_example_of_real_feeds_stands_in_the_export() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !data.join("cwe").exists() {
        say(format_args!("skipped: no real feeds beside the checkout"));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let sources = [("nvd", "nvd/nvdcve-1.1-2010.json.gz"), ("cwe", "cwe")];
    let sources = sources.map(|(name, path)| (name.to_owned(), data.join(path))).to_vec();
    let tasks = vec!["cwe_classify".to_owned(), "document".to_owned()];
    let day = |text: &str| text.parse().unwrap();
    let mut options = PrepareOptions::new(sources, tasks, day("2010-07-01"), day("2010-10-01"));
    options.min_train_examples = 10;
    let dataset = prepare(&options, &place.path().join("set"), false, &|_| {}).unwrap();
    let exported = export(&dataset, &place.path().join("hub"), &ExportOptions::default()).unwrap();
    let chat = export_chat(&dataset, &place.path().join("chat"), false).unwrap();
    for task in &dataset.manifest.tasks {
        for split in Split::ALL {
            let want = dataset.examples(task, split).unwrap();
            let stem = format!("data/{task}/{split}-");
            let files = exported.statement.files.keys().filter(|name| name.starts_with(&stem));
            let batches = files.flat_map(|name| read(&exported.path.join(name)).unwrap());
            let found: Vec<Example> = batches.flat_map(|batch| from_batch(&batch).unwrap()).collect();
            assert!(found == want, "{task}, {split}: rows differ");
            let lines = chat.statement.files.get(&format!("{task}-{split}.jsonl")).and_then(|file| file.rows);
            assert_eq!(lines.unwrap_or(0), want.len() as u64);
        }
    }
    let data = |name: &String| name.ends_with(".parquet");
    let files = exported.statement.files.iter().filter(|(name, _)| data(name));
    let (bytes, rows) = files.fold((0, 0), |sum, (_, one)| (sum.0 + one.bytes, sum.1 + one.rows.unwrap_or(0)));
    say(format_args!("ran: {rows} rows of real feeds in {bytes} bytes of Parquet"));
}
