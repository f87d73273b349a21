//! A Hugging Face dataset folder: Parquet shards by task and split, and a card that `datasets` and the Hub read.
//!
//! ```text
//! README.md                                    the card
//! bias/*.svg                                   pictures in it, where the dataset has a report on biases
//! LICENSES.md                                  the terms of every source
//! data/<task>/<split>-00000-of-0000N.parquet   the rows
//! labels/<task>.json                           the label sets
//! manifest.json                                how the dataset was made, without places on a disk
//! wardsmith-export.json                        the digest of every other file
//! ```

use std::fs;
use std::path::{Component, Path};

use wardsmith_records::dataset::{Dataset, Example, Split};

use crate::card::{Config, Facts};
use crate::error::{Error, Result};
use crate::examples::{batch, rows_of};
use crate::folder::{Exported, Folder, sha256};
use crate::licences;
use crate::parquet_files::{ShardLimits, ShardWriter, Shards};
use crate::schema::{self, Rows};
use crate::share::Tally;

/// Rows that are turned into columns at once.
const ROWS_AT_ONCE: usize = 1024;
/// No report on biases is larger.
const MAX_REPORT_BYTES: u64 = 1 << 20;
/// No picture in it is larger.
const MAX_PICTURE_BYTES: u64 = 8 << 20;
/// It has no more pictures.
const MAX_PICTURES: usize = 100;
/// The report on biases in a dataset's folder, where there is one, and where its pictures lie.
const BIASES: &str = "bias/bias.md";
const BIASES_FOLDER: &str = "bias";

/// How to export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Whether an older export at the output may be replaced.
    pub overwrite: bool,
    /// When a file is full.
    pub limits: ShardLimits,
    /// What the dataset is called; by default after its tasks.
    pub name: Option<String>,
}

/// Writes `dataset` as a Hugging Face dataset folder `out`. Private examples stay behind and are counted.
///
/// # Errors
/// Where every example is private, `out` exists and may not be overwritten, a file of the dataset is not as its manifest
/// says, or the disk refuses. Nothing is left at `out` then.
pub fn export(dataset: &Dataset, out: &Path, options: &ExportOptions) -> Result<Exported> {
    let mut folder = Folder::create(out, options.overwrite)?;
    let mut tally = Tally::default();
    let mut configs = Vec::new();
    for task in &dataset.manifest.tasks {
        let splits = tally.open_task(dataset, task)?;
        configs.extend(write_task(&mut folder, task, splits, options.limits)?);
    }
    tally.check(dataset)?;
    for config in &configs {
        let labels = dataset.labels(&config.task);
        if !labels.is_empty() {
            folder.write_json(&format!("labels/{}.json", config.task), labels)?;
        }
    }
    let manifest = tally.public_manifest(&dataset.manifest);
    folder.write_json("manifest.json", &manifest)?;
    folder.write("LICENSES.md", licences::page(&tally.shared_inputs(&manifest)).as_bytes())?;
    let biases = copy_biases(&mut folder, dataset, &tally)?;
    let name = options.name.clone().unwrap_or_else(|| default_name(&configs));
    let (tally, configs) = (&tally, configs.as_slice());
    let facts = Facts { name: &name, dataset, manifest: &manifest, tally, configs, biases: biases.as_deref() };
    folder.write("README.md", facts.page().as_bytes())?;
    folder.finish(tally.statement("hf", dataset)?)
}

fn default_name(configs: &[Config]) -> String {
    let tasks: Vec<&str> = configs.iter().map(|one| one.task.as_str()).collect();
    format!("Wardsmith security dataset: {}", tasks.join(", "))
}

/// The files of one task, or nothing where it has no rows.
fn write_task(
    folder: &mut Folder,
    task: &str,
    splits: Vec<(Split, Vec<Example>)>,
    limits: ShardLimits,
) -> Result<Option<Config>> {
    let Some(sample) = splits.first().and_then(|(_, examples)| examples.first()).cloned() else {
        return Ok(None);
    };
    let are_documents = splits.iter().all(|(_, examples)| rows_of(examples) == Rows::Documents);
    let rows = if are_documents { Rows::Documents } else { Rows::Conversations };
    let mut config = Config { task: task.into(), rows, splits: Vec::new(), sample };
    for (split, examples) in splits {
        let shards = write_split(folder, &format!("data/{task}/{split}"), rows, &examples, limits)?;
        config.splits.push((split, shards));
    }
    Ok(Some(config))
}

fn write_split(
    folder: &mut Folder,
    stem: &str,
    rows: Rows,
    examples: &[Example],
    limits: ShardLimits,
) -> Result<Shards> {
    let mut writer = ShardWriter::new(folder, stem, schema::examples(rows), limits);
    for part in examples.chunks(ROWS_AT_ONCE) {
        writer.write(&batch(part, rows)?)?;
    }
    writer.finish()
}

/// The report on biases of `dataset`, where it has one; its pictures go into the folder. It is left out where examples
/// are private, as it counts those too and names makers and products.
fn copy_biases(folder: &mut Folder, dataset: &Dataset, tally: &Tally) -> Result<Option<String>> {
    if tally.all_withheld() > 0 || !dataset.path.join(BIASES).is_file() {
        return Ok(None);
    }
    let bytes = companion(dataset, BIASES, MAX_REPORT_BYTES)?;
    let mut text = String::from_utf8(bytes).map_err(|_| bad_companion(dataset, BIASES, "it is no UTF-8"))?;
    let names: Vec<String> = pictures(&text).into_iter().map(str::to_owned).collect();
    for name in names {
        let path = format!("{BIASES_FOLDER}/{name}");
        folder.write(&path, &companion(dataset, &path, MAX_PICTURE_BYTES)?)?;
        text = text.replace(&format!("]({name})"), &format!("]({path})"));
    }
    Ok(Some(text))
}

/// A file that lies beside the dataset's own, held against the manifest where that knows it.
fn companion(dataset: &Dataset, name: &str, most_bytes: u64) -> Result<Vec<u8>> {
    let path = dataset.path.join(name);
    let about = fs::symlink_metadata(&path).map_err(Error::io("read", &path))?;
    if !about.is_file() || about.len() > most_bytes {
        return Err(bad_companion(dataset, name, "it is no plain file, or too large"));
    }
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    match dataset.manifest.files.get(name) {
        Some(stated) if stated.sha256 != sha256(&bytes) => {
            Err(bad_companion(dataset, name, "its SHA-256 is not the one in manifest.json"))
        }
        _ => Ok(bytes),
    }
}

fn bad_companion(dataset: &Dataset, name: &str, detail: &str) -> Error {
    Error::BadCompanion { path: dataset.path.join(name), detail: detail.into() }
}

/// The pictures that Markdown names and that lie beside it: `![…](name.svg)`, each once.
fn pictures(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for after in text.split("](").skip(1) {
        let name = after.split([')', ' ', '\n']).next().unwrap_or_default();
        let is_picture = name.to_ascii_lowercase().ends_with(".svg") && !name.contains([':', '\\', '%', '#', '?']);
        let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if is_picture && is_inside && !names.contains(&name) && names.len() < MAX_PICTURES {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::from_batch;
    use crate::folder::tests::files_in;
    use crate::parquet_files::read;
    use crate::share::tests::{Privates, dataset};
    use serde_json::Value;

    fn head_of(card: &str) -> Value {
        let head = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0;
        serde_saphyr::from_str(head).unwrap_or_else(|error| panic!("{error}\n{head}"))
    }

    #[test]
    fn every_public_example_stands_in_the_files_and_no_private_one() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let options = ExportOptions { limits: ShardLimits { rows: 4, ..ShardLimits::default() }, ..Default::default() };
        let exported = export(&dataset, &place.path().join("out"), &options).unwrap();
        for (task, splits) in &exported.statement.examples {
            for (split, rows) in splits {
                let mut want = dataset.examples(task, *split).unwrap();
                want.retain(|one| !one.private);
                let files: Vec<&String> = exported
                    .statement
                    .files
                    .keys()
                    .filter(|name| name.starts_with(&format!("data/{task}/{split}-")))
                    .collect();
                assert_eq!(files.len() as u64, rows.div_ceil(4));
                let batches = files.iter().flat_map(|name| read(&exported.path.join(name)).unwrap());
                let found: Vec<Example> = batches.flat_map(|batch| from_batch(&batch).unwrap()).collect();
                assert_eq!((found.len() as u64, found), (*rows, want));
            }
        }
        assert_eq!(exported.statement.withheld_private_examples, 6);
    }

    #[test]
    fn an_export_is_the_same_bytes_each_time_and_states_them() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let (one, two) = (place.path().join("one"), place.path().join("two"));
        let exported = export(&dataset, &one, &ExportOptions::default()).unwrap();
        export(&dataset, &two, &ExportOptions::default()).unwrap();
        let files = files_in(&one);
        assert_eq!(files, files_in(&two));
        assert_eq!(files.len(), exported.statement.files.len() + 1, "all but the statement itself");
        for (name, file) in &exported.statement.files {
            assert_eq!((file.sha256.as_str(), file.bytes), (sha256(&files[name]).as_str(), files[name].len() as u64));
        }
    }

    #[test]
    fn the_head_of_the_card_says_what_the_files_hold() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let exported = export(&dataset, &place.path().join("out"), &ExportOptions::default()).unwrap();
        let card = fs::read_to_string(exported.path.join("README.md")).unwrap();
        let head = head_of(&card);
        assert_eq!((&head["license"], &head["license_name"]), (&"other".into(), &"terms-by-source".into()));
        assert_eq!(head["size_categories"], serde_json::json!(["n<1K"]));
        for (config, info) in head["configs"].as_array().unwrap().iter().zip(head["dataset_info"].as_array().unwrap()) {
            let task = config["config_name"].as_str().unwrap();
            assert_eq!(info["config_name"], task);
            for (file, split) in config["data_files"].as_array().unwrap().iter().zip(info["splits"].as_array().unwrap())
            {
                let name: Split = serde_json::from_value(split["name"].clone()).unwrap();
                assert_eq!(split["num_examples"], exported.statement.examples[task][&name]);
                assert_eq!(file["path"], format!("data/{task}/{name}-*.parquet"));
            }
        }
    }

    #[test]
    fn the_card_keeps_secrets_and_tells_terms_counts_and_reasons() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let exported = export(&dataset, &place.path().join("out"), &ExportOptions::default()).unwrap();
        let files = files_in(&exported.path);
        for (name, bytes) in &files {
            for secret in ["acme-bank", "somebody", "secret-"] {
                assert!(!String::from_utf8_lossy(bytes).contains(secret), "{secret} in {name}");
            }
        }
        let card = std::str::from_utf8(&files["README.md"]).unwrap();
        for told in [
            "2 (5.000 %)",
            "bad id: 2",
            "2023-01-01",
            "CC BY-SA 4.0",
            "under the same licence",
            "No report on biases",
            "| email | 1,200 |",
            "2 of `document`",
            "labels/cwe_classify.json",
        ] {
            assert!(card.contains(told), "{told}: {card}");
        }
        assert!(files.contains_key("labels/cwe_classify.json") && !files.contains_key("labels/document.json"));
        assert!(!std::str::from_utf8(&files["LICENSES.md"]).unwrap().contains("## notes"));
    }

    fn with_biases(at: &Path, privates: Privates) -> Dataset {
        let dataset = dataset(at, privates);
        fs::create_dir(at.join("bias")).unwrap();
        fs::write(at.join("bias/years.svg"), "<svg/>").unwrap();
        let report = "# Biases\n![a](years.svg) ![b](years.svg) ![c](../../secret.svg) ![d](https://x/y.svg)";
        fs::write(at.join("bias/bias.md"), report).unwrap();
        dataset
    }

    #[test]
    fn a_report_on_biases_goes_along_with_its_pictures_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let dataset = with_biases(&place.path().join("set"), Privates::None);
        let exported = export(&dataset, &place.path().join("out"), &ExportOptions::default()).unwrap();
        let card = fs::read_to_string(exported.path.join("README.md")).unwrap();
        assert!(card.contains("## Known biases\n\n### Biases\n![a](bias/years.svg) ![b](bias/years.svg)"), "{card}");
        let pictures: Vec<&String> = exported.statement.files.keys().filter(|name| name.ends_with("svg")).collect();
        assert_eq!(pictures, ["bias/years.svg"]);
        fs::remove_file(dataset.path.join("bias/years.svg")).unwrap();
        let options = ExportOptions { overwrite: true, ..Default::default() };
        assert!(matches!(export(&dataset, &exported.path, &options), Err(Error::Io { .. })));
        assert!(exported.path.join("README.md").exists(), "the older export still stands");
    }

    #[test]
    fn a_report_on_biases_that_counts_private_examples_stays() {
        let place = tempfile::tempdir().unwrap();
        let dataset = with_biases(&place.path().join("set"), Privates::Some);
        let exported = export(&dataset, &place.path().join("out"), &ExportOptions::default()).unwrap();
        assert!(!exported.path.join("bias").exists());
    }

    #[test]
    fn a_dataset_of_private_examples_alone_is_not_exported() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::All);
        let message = export(&dataset, &place.path().join("out"), &ExportOptions::default()).unwrap_err().to_string();
        assert!(message.contains("18 examples are private") && message.contains("\nhint:"), "{message}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left");
    }
}
