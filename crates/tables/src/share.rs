//! What of a dataset may leave the house: everything but private examples, and a manifest without places on a disk.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wardsmith_records::dataset::{Dataset, Example, Split};
use wardsmith_records::manifest::{InputSummary, Manifest};

use crate::error::{Error, Result};
use crate::folder::Statement;

/// Stands for the name of an input of which private examples were made.
const WITHHELD: &str = "(name withheld)";

/// What was exported and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Exported examples by task and split; no entry where there is none.
    pub(crate) examples: BTreeMap<String, BTreeMap<Split, u64>>,
    /// Private examples by task.
    pub(crate) withheld: BTreeMap<String, u64>,
    /// The sources of exported examples.
    pub(crate) sources: BTreeSet<String>,
    /// The sources of private examples.
    pub(crate) private_sources: BTreeSet<String>,
}

impl Tally {
    /// The examples of `task` that may be exported, by split; splits without any are not among them.
    pub(crate) fn open_task(&mut self, dataset: &Dataset, task: &str) -> Result<Vec<(Split, Vec<Example>)>> {
        let mut splits = Vec::new();
        for split in Split::ALL {
            let mut examples = dataset.examples(task, split)?;
            examples.retain(|one| self.may_leave(task, one));
            if !examples.is_empty() {
                let counts = self.examples.entry(task.into()).or_default();
                counts.insert(split, examples.len() as u64);
                splits.push((split, examples));
            }
        }
        Ok(splits)
    }

    fn may_leave(&mut self, task: &str, one: &Example) -> bool {
        let sources = if one.private { &mut self.private_sources } else { &mut self.sources };
        for source in &one.sources {
            if !sources.contains(source) {
                sources.insert(source.clone());
            }
        }
        if one.private {
            *self.withheld.entry(task.into()).or_default() += 1;
        }
        !one.private
    }

    /// All private examples.
    pub(crate) fn all_withheld(&self) -> u64 {
        self.withheld.values().sum()
    }

    /// An error where nothing was exported.
    pub(crate) fn check(&self, dataset: &Dataset) -> Result<()> {
        if self.examples.is_empty() {
            return Err(Error::NothingToShare { path: dataset.path.clone(), withheld: self.all_withheld() });
        }
        Ok(())
    }

    /// The statement of an export with these counts.
    pub(crate) fn statement(&self, kind: &str, dataset: &Dataset) -> Result<Statement> {
        let path = dataset.path.join("manifest.json");
        let manifest = std::fs::read(&path).map_err(Error::io("read", &path))?;
        Ok(Statement {
            dataset_manifest_sha256: Some(crate::folder::sha256(&manifest)),
            withheld_private_examples: self.all_withheld(),
            examples: self.examples.clone(),
            ..Statement::new(kind)
        })
    }

    /// Whether every example of `source` is private.
    pub(crate) fn is_private(&self, source: &str) -> bool {
        self.private_sources.contains(source) && !self.sources.contains(source)
    }

    /// The inputs of `manifest` that something exported may be made of: all but those of wholly private sources.
    pub(crate) fn shared_inputs(&self, manifest: &Manifest) -> Vec<InputSummary> {
        manifest.report.inputs.iter().filter(|input| !self.is_private(&input.source)).cloned().collect()
    }

    /// The manifest without places: no folders, no names of files within inputs, no rejected records, and no names of
    /// inputs that private examples are made of.
    pub(crate) fn public_manifest(&self, manifest: &Manifest) -> Manifest {
        let mut public = manifest.clone();
        if public.encryption.take().is_some() {
            // The sealed files are not here, and their digests say nothing to anybody else.
            public.files.clear();
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for input in &mut public.report.inputs {
            input.members.clear();
            input.skipped.clear();
            if self.private_sources.contains(&input.source) {
                names.insert(std::mem::replace(&mut input.name, WITHHELD.into()));
            }
        }
        for counts in public.report.sources.values_mut() {
            counts.first_rejects.clear();
        }
        public.options = without_places(&public.options, &names);
        public
    }
}

/// `value` with absolute paths cut to their last part and `names` replaced. What is deeper than any recipe is dropped.
fn without_places(value: &Value, names: &BTreeSet<String>) -> Value {
    fn walk(value: &Value, names: &BTreeSet<String>, depth: usize) -> Value {
        match value {
            _ if depth > 32 => Value::Null,
            Value::Array(items) => items.iter().map(|one| walk(one, names, depth + 1)).collect(),
            Value::Object(entries) => {
                Value::Object(entries.iter().map(|(key, one)| (key.clone(), walk(one, names, depth + 1))).collect())
            }
            Value::String(text) => {
                let is_path = text.starts_with(['/', '\\', '~', '.']) || text.get(1..3) == Some(":\\");
                let last = text.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(text);
                json!(if names.contains(last) {
                    WITHHELD
                } else if is_path {
                    last
                } else {
                    text
                })
            }
            other => other.clone(),
        }
    }
    walk(value, names, 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::examples::tests::{document, question};
    use std::path::Path;
    use wardsmith_records::dataset::{DatasetWriter, LabelInfo};
    use wardsmith_records::hierarchy::Hierarchy;
    use wardsmith_records::manifest::{FileSummary, Report, SourceCounts, TaskCounts};

    fn input(source: &str, licence: &str, name: &str) -> InputSummary {
        InputSummary {
            source: source.into(),
            licence: licence.into(),
            name: name.into(),
            sha256: "ab".repeat(32),
            bytes: 1234,
            files: 2,
            members: [("secret-client.json".into(), FileSummary::default())].into(),
            skipped: vec!["secret-readme".into()],
        }
    }

    fn report() -> Report {
        let mut report = Report {
            inputs: vec![
                input("nvd", "US government work (NVD)", "feeds"),
                input("owasp", "CC BY-SA 4.0", "cheatsheets.tar.xz"),
                input("notes", "yours", "acme-bank-pentest"),
            ],
            ..Report::default()
        };
        let counts = SourceCounts {
            records: 40,
            rejected: [(wardsmith_records::record::RejectReason::BadId, 2)].into(),
            first_rejects: vec!["secret-client.json record 3: bad id".into()],
            ..SourceCounts::default()
        };
        report.sources.insert("nvd".into(), counts);
        report.refine.scrubbed.insert("email".into(), 1200);
        report.split.validation_from = "2023-01-01".parse().ok();
        report.split.test_from = "2024-01-01".parse().ok();
        report.split.placed.insert("vulnerabilities".into(), [(Split::Train, 9), (Split::Test, 1)].into());
        report.split.left_out.insert("vulnerabilities".into(), [("younger_than_its_group".into(), 3)].into());
        report.tasks.insert("cwe_classify".into(), TaskCounts { labels: 1, ..TaskCounts::default() });
        report
    }

    /// How many examples are private.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Privates {
        None,
        /// Every third.
        Some,
        All,
    }

    /// A dataset with a task of questions and one of texts.
    pub(crate) fn dataset(at: &Path, privates: Privates) -> Dataset {
        let private = |n: usize| privates == Privates::All || (privates == Privates::Some && n % 3 == 2);
        let split = |n: usize| if n < 9 { Split::Train } else { Split::Test };
        let questions: Vec<(Split, Example)> = (0..12)
            .map(|n| (split(n), Example { private: private(n), ..question(&format!("CVE-2024-{n:04}")) }))
            .collect();
        let from = |n| if private(n) { "notes" } else { "owasp" };
        let text =
            |n: usize| Example { private: private(n), sources: vec![from(n).into()], ..document(&format!("d{n}")) };
        let texts: Vec<(Split, Example)> = (0..6).map(|n| (Split::Train, text(n))).collect();
        let label = LabelInfo {
            name: "CWE-79".into(),
            title: "Cross-site Scripting".into(),
            train_count: 9,
            ancestors: vec!["CWE-74".into()],
        };
        let options = json!({
            "sources": [["nvd", "/srv/somebody/feeds"], ["notes", "acme-bank-pentest"], ["owasp", "../x/cheatsheets.tar.xz"]],
            "validation_from": "2023-01-01",
        });
        let tasks = vec!["cwe_classify".to_owned(), "document".to_owned()];
        let manifest = Manifest::new(tasks, options, report());
        let mut writer = DatasetWriter::create(at, true).unwrap();
        writer.write_task("cwe_classify", &questions, &[label]).unwrap();
        writer.write_task("document", &texts, &[]).unwrap();
        writer.finish(manifest, &Hierarchy::default()).unwrap()
    }

    #[test]
    fn private_examples_stay_and_are_counted() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let mut tally = Tally::default();
        let splits = tally.open_task(&dataset, "cwe_classify").unwrap();
        assert!(splits.iter().flat_map(|(_, examples)| examples).all(|one| !one.private));
        assert_eq!(tally.examples["cwe_classify"], [(Split::Train, 6), (Split::Test, 2)].into());
        tally.open_task(&dataset, "document").unwrap();
        assert_eq!((tally.all_withheld(), tally.withheld["document"]), (6, 2));
        assert!(tally.is_private("notes") && !tally.is_private("nvd") && !tally.is_private("owasp"));
    }

    #[test]
    fn the_public_manifest_tells_no_places() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let mut tally = Tally::default();
        tally.open_task(&dataset, "document").unwrap();
        let text = serde_json::to_string(&tally.public_manifest(&dataset.manifest)).unwrap();
        for secret in ["secret", "somebody", "acme", "..", "/home"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for kept in ["feeds", "cheatsheets.tar.xz", "2023-01-01", WITHHELD, &"ab".repeat(32)] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
