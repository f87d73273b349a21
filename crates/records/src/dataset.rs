//! A dataset on disk: a folder with `manifest.json`, `hierarchy.json` and a folder a task, which holds `labels.json` and
//! one JSON-lines file a split.
//!
//! It is written to a sibling folder and renamed when complete, so that a dataset that exists is whole. Its manifest
//! holds the SHA-256 of every file, and reading checks it.
//!
//! With a key ([`wardsmith_vault`]) every file but `manifest.json` and `hierarchy.json` is sealed and called `….age`;
//! the manifest then holds the digests of what is inside too, which are what determinism is checked by.

mod stored;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wardsmith_vault::Key;

use self::stored::{Out, sealed_name};
use crate::conversation::Conversation;
use crate::digest::sha256_of_file;
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::manifest::{FORMAT, FORMAT_VERSION, FileSummary, Manifest};

const MANIFEST: &str = "manifest.json";
const LABELS: &str = "labels.json";
const HIERARCHY: &str = "hierarchy.json";
/// No manifest, label list or hierarchy is larger.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// Which part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What a model learns from.
    Train,
    /// What training is watched with.
    Validation,
    /// What is measured once.
    Test,
}

impl Split {
    /// All of them, in the order of time.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name, as in file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    fn file_name(self) -> String {
        format!("{}.jsonl", self.name())
    }
}

impl fmt::Display for Split {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One line of a split's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// CVE ID, or the ID of a document.
    pub id: String,
    /// The task that made it.
    pub task: String,
    /// Day or year of publication.
    pub published: String,
    /// Its group of near-duplicates: no group has members in two splits.
    pub group: u64,
    /// The sources that it is made of, such as `nvd`.
    pub sources: Vec<String>,
    /// How often it counts in training, where 1 is once.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub weight: f64,
    /// It may teach, but is never exported or quoted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// What is asked and answered.
    pub conversation: Conversation,
    /// The right label, such as `CWE-79`; `None` for documents.
    #[serde(default)]
    pub gold: Option<String>,
}

fn once() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_once(weight: &f64) -> bool {
    *weight == once()
}

/// One label of the label set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelInfo {
    /// The label, such as `CWE-79`.
    pub name: String,
    /// Its name in words.
    pub title: String,
    /// Training examples that have it.
    pub train_count: usize,
    /// Its ancestors in views 1000 and 1003, nearest first, each once.
    pub ancestors: Vec<String>,
}

/// A dataset that was opened: everything but the examples, which are read by [`Dataset::examples`].
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder.
    pub path: PathBuf,
    /// How it was made.
    pub manifest: Manifest,
    /// The label set of each task that has one, most frequent first.
    pub labels: BTreeMap<String, Vec<LabelInfo>>,
    /// View 1000, for hierarchical grades; empty where no catalogue was read.
    pub hierarchy: Hierarchy,
    /// What sealed files are opened with.
    key: Option<Key>,
}

impl Dataset {
    /// Opens the dataset in the folder `path`.
    ///
    /// # Errors
    /// Where it is no dataset, of another format version, or its label files differ from its manifest.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, None)
    }

    /// As [`Dataset::open`], with the key of a sealed dataset; a plain one needs none.
    ///
    /// # Errors
    /// As [`Dataset::open`]; where the dataset is sealed and the key is none or another's.
    pub fn open_with(path: &Path, key: Option<&Key>) -> Result<Self> {
        if !path.join(MANIFEST).exists() {
            let detail = format!("there is no {MANIFEST} in it");
            return Err(Error::BadDataset { path: path.to_path_buf(), detail });
        }
        let manifest: Manifest = read_json(&path.join(MANIFEST))?;
        let bad = |detail: String| Error::BadDataset { path: path.to_path_buf(), detail };
        if manifest.format != FORMAT {
            return Err(bad(format!("its format is `{}`", manifest.format)));
        }
        if manifest.format_version != FORMAT_VERSION {
            let found = manifest.format_version;
            return Err(bad(format!("its format version is {found}, not {FORMAT_VERSION}")));
        }
        if let Some(other) = manifest.encryption.as_deref().filter(|format| *format != wardsmith_vault::FORMAT) {
            return Err(bad(format!("it is encrypted by `{}`", other.chars().take(40).collect::<String>())));
        }
        verify(path, &manifest, HIERARCHY, &sha256_of_file(&path.join(HIERARCHY))?.sha256)?;
        let hierarchy = read_json(&path.join(HIERARCHY))?;
        let mut opened =
            Self { labels: BTreeMap::new(), hierarchy, path: path.to_path_buf(), manifest, key: key.cloned() };
        for task in opened.manifest.tasks.clone() {
            let name = opened.stored(in_task(&task, LABELS)?);
            if opened.manifest.files.contains_key(&name) {
                let labels = opened.read_labels(&name)?;
                opened.labels.insert(task, labels);
            }
        }
        Ok(opened)
    }

    /// Whether its files are sealed, so that what is made of them should not lie about plain.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.manifest.encryption.is_some()
    }

    /// What the file `name` is called on disk.
    fn stored(&self, name: String) -> String {
        if self.is_sealed() { sealed_name(&name) } else { name }
    }

    fn reader(&self, name: &str) -> Result<stored::In> {
        stored::open(&self.path.join(name), self.is_sealed(), self.key.as_ref())
    }

    fn read_labels(&self, name: &str) -> Result<Vec<LabelInfo>> {
        let path = self.path.join(name);
        let bad = |detail: String| Error::BadDataset { path: path.clone(), detail };
        let mut bytes = Vec::new();
        let mut reader = self.reader(name)?;
        reader.by_ref().take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        if bytes.len() as u64 > MAX_JSON_BYTES {
            return Err(bad(format!("it is larger than {MAX_JSON_BYTES} bytes")));
        }
        verify(&self.path, &self.manifest, name, &reader.finish().sha256)?;
        serde_json::from_slice(&bytes).map_err(|source| bad(source.to_string()))
    }

    /// The label set of `task`, most frequent first; empty where its answers are no labels.
    #[must_use]
    pub fn labels(&self, task: &str) -> &[LabelInfo] {
        self.labels.get(task).map_or(&[], Vec::as_slice)
    }

    /// The task called `wanted`, or the only one where nothing is wanted.
    ///
    /// # Errors
    /// Where the dataset has no such task, or several and none is wanted.
    pub fn task(&self, wanted: Option<&str>) -> Result<&str> {
        let tasks = &self.manifest.tasks;
        let names = || tasks.iter().map(|task| format!("`{task}`")).collect::<Vec<_>>().join(", ");
        match (wanted, tasks.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::Options {
                problem: format!("`{}` holds several tasks", self.path.display()),
                hint: format!("name one of {}", names()),
            }),
            (Some(wanted), tasks) => {
                tasks.iter().find(|task| *task == wanted).map(String::as_str).ok_or_else(|| Error::Options {
                    problem: format!("`{}` holds no task `{wanted}`", self.path.display()),
                    hint: format!("it holds {}", names()),
                })
            }
        }
    }

    /// The examples of `task` in `split`, in the file's order.
    ///
    /// # Errors
    /// Where a line is no example, or the file's digest is not the manifest's.
    pub fn examples(&self, task: &str, split: Split) -> Result<Vec<Example>> {
        let name = self.stored(in_task(task, &split.file_name())?);
        let path = self.path.join(&name);
        let mut reader = BufReader::new(self.reader(&name)?);
        let mut examples = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).map_err(Error::io("read", &path))? == 0 {
                break;
            }
            let example = serde_json::from_str(&line).map_err(|source| Error::BadDataset {
                path: path.clone(),
                detail: format!("line {} is no example: {source}", examples.len() + 1),
            })?;
            examples.push(example);
        }
        let summary = reader.into_inner().finish();
        verify(&self.path, &self.manifest, &name, &summary.sha256)?;
        Ok(examples)
    }
}

/// The path of a task's file from the manifest on. Task names come from a file, so only plain ones make a path.
fn in_task(task: &str, file: &str) -> Result<String> {
    let plain = !task.is_empty() && task.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain {
        return Ok(format!("{task}/{file}"));
    }
    let detail = format!("`{}` is no name of a task", task.chars().take(40).collect::<String>());
    Err(Error::BadDataset { path: file.into(), detail })
}

/// Whether `name` is one or two parts of small letters, digits, `.`, `_` and `-`, none of which is hidden.
fn is_plain_path(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    name.len() <= 120 && name.split('/').count() <= 2 && name.split('/').all(part)
}

/// Holds the digest of a file's plain text against the manifest's.
fn verify(path: &Path, manifest: &Manifest, name: &str, sha256: &str) -> Result<()> {
    let stated = manifest.files.get(name).map(|file| file.plain_sha256.as_ref().unwrap_or(&file.sha256).as_str());
    if stated == Some(sha256) {
        return Ok(());
    }
    Err(Error::BadDataset {
        path: path.join(name),
        detail: "its SHA-256 is not the one in manifest.json, so it was changed after it was made".into(),
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bad = |detail: String| Error::BadDataset { path: path.to_path_buf(), detail };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    if bytes > MAX_JSON_BYTES {
        return Err(bad(format!("{bytes} bytes are more than {MAX_JSON_BYTES}")));
    }
    serde_json::from_reader(BufReader::new(file)).map_err(|source| bad(source.to_string()))
}

/// Writes a dataset into a sibling folder, which becomes the dataset in [`DatasetWriter::finish`] and is removed
/// where that never comes.
#[derive(Debug)]
pub struct DatasetWriter {
    target: PathBuf,
    partial: PathBuf,
    files: BTreeMap<String, FileSummary>,
    labels: BTreeMap<String, Vec<LabelInfo>>,
    key: Option<Key>,
}

impl DatasetWriter {
    /// Begins a dataset that will stand at `target`.
    ///
    /// # Errors
    /// Where `target` exists and `overwrite` is not set or it is no dataset, or where the disk refuses.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self> {
        check_target(target, overwrite)?;
        let name = target.file_name().ok_or_else(|| Error::Options {
            problem: format!("`{}` is no name for a dataset", target.display()),
            hint: "name a folder that does not exist yet".into(),
        })?;
        let hidden = format!(".{}.partial-{}", name.to_string_lossy(), std::process::id());
        let partial = target.with_file_name(hidden);
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(Error::io("clear", &partial))?;
        }
        fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
        let target = target.to_path_buf();
        Ok(Self { target, partial, files: BTreeMap::new(), labels: BTreeMap::new(), key: None })
    }

    /// Seals all files with data from now on.
    #[must_use]
    pub fn sealed_with(mut self, key: Option<Key>) -> Self {
        self.key = key;
        self
    }

    /// A file of data, with the name that the manifest lists it by.
    fn out(&self, name: &str) -> Result<(String, Out)> {
        let name = if self.key.is_some() { sealed_name(name) } else { name.to_owned() };
        let out = Out::create(self.partial.join(&name), self.key.as_ref())?;
        Ok((name, out))
    }

    /// Writes all examples of a task, in their order, and its label set, where it has one.
    ///
    /// # Errors
    /// Where the name is none of a task, or the disk refuses.
    pub fn write_task(&mut self, task: &str, examples: &[(Split, Example)], labels: &[LabelInfo]) -> Result<()> {
        let folder = self.partial.join(in_task(task, "")?);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        for split in Split::ALL {
            let of_split = examples.iter().filter(|(own, _)| *own == split).map(|(_, example)| example);
            let (name, out) = self.out(&in_task(task, &split.file_name())?)?;
            self.files.insert(name, out.lines(of_split)?);
        }
        if !labels.is_empty() {
            let (name, out) = self.out(&in_task(task, LABELS)?)?;
            self.files.insert(name, out.json(labels)?);
            self.labels.insert(task.into(), labels.to_vec());
        }
        Ok(())
    }

    /// Writes a file that goes with the dataset, such as `bias/bias.json`; the manifest lists it as it lists all others.
    ///
    /// # Errors
    /// Where the name leaves the folder or is taken, or the disk refuses.
    pub fn write_file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !is_plain_path(name) || [MANIFEST, HIERARCHY].contains(&name) || self.files.contains_key(name) {
            let detail = format!("`{}` is no free name of a file in it", name.chars().take(80).collect::<String>());
            return Err(Error::BadDataset { path: self.target.clone(), detail });
        }
        let path = self.partial.join(name);
        let folder = path.parent().expect("it lies in the dataset");
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let (name, out) = self.out(name)?;
        self.files.insert(name, out.bytes(bytes)?);
        Ok(())
    }

    /// Writes the rest, puts the dataset in its place and opens it. `manifest.files` is filled in here.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn finish(mut self, mut manifest: Manifest, hierarchy: &Hierarchy) -> Result<Dataset> {
        manifest.files = std::mem::take(&mut self.files);
        let labels = std::mem::take(&mut self.labels);
        manifest.encryption = self.key.as_ref().map(|_| wardsmith_vault::FORMAT.into());
        let plain = |name| Out::create(self.partial.join(name), None);
        manifest.files.insert(HIERARCHY.into(), plain(HIERARCHY)?.json(hierarchy)?);
        plain(MANIFEST)?.json(&manifest)?;
        self.put_in_place()?;
        let key = self.key.clone();
        Ok(Dataset { path: self.target.clone(), manifest, labels, hierarchy: hierarchy.clone(), key })
    }

    /// Renames the finished folder to the target; an older dataset there steps aside first and is removed last.
    fn put_in_place(&self) -> Result<()> {
        let aside = self.partial.with_extension("replaced");
        let replaces = self.target.exists();
        if replaces {
            if aside.exists() {
                // Left by a run that was cut off between the renames below.
                fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
            }
            fs::rename(&self.target, &aside).map_err(Error::io("move aside", &self.target))?;
        }
        fs::rename(&self.partial, &self.target).map_err(Error::io("rename to", &self.target))?;
        if replaces {
            fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
        }
        Ok(())
    }
}

impl Drop for DatasetWriter {
    fn drop(&mut self) {
        // After `finish` the folder has another name; before it, what is half written is of no use to anybody.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Refuses a target that must not be replaced.
pub fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    let exists = |what, hint| Err(Error::OutputExists { path: target.to_path_buf(), what, hint });
    if !target.exists() {
        return Ok(());
    }
    if Dataset::open(target).is_err() && !is_older_dataset(target) {
        return exists(" and is not a Wardsmith dataset", "name a folder that does not exist yet");
    }
    if !overwrite {
        return exists("", "name another folder, or allow it to be overwritten");
    }
    Ok(())
}

/// Whether `path` holds a manifest of ours, though perhaps of a version that is no longer read.
fn is_older_dataset(path: &Path) -> bool {
    let manifest: Result<serde_json::Value> = read_json(&path.join(MANIFEST));
    manifest.is_ok_and(|manifest| manifest["format"] == FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Report;
    use crate::record::CweId;

    fn example(id: &str) -> Example {
        Example {
            id: id.into(),
            task: "cwe_classify".into(),
            published: "2024-01-02".into(),
            group: 7,
            sources: vec!["nvd".into()],
            weight: 1.0,
            private: false,
            conversation: Conversation::question("what?\n\u{2028}", "CWE-79"),
            gold: Some("CWE-79".into()),
        }
    }

    fn write(target: &Path, overwrite: bool, id: &str) -> Result<Dataset> {
        let mut writer = DatasetWriter::create(target, overwrite)?;
        let label = LabelInfo {
            name: "CWE-79".into(),
            title: "Cross-site Scripting".into(),
            train_count: 1,
            ancestors: vec!["CWE-74".into()],
        };
        let hierarchy = Hierarchy { view: 1000, parents: [(CweId(79), vec![CweId(74)])].into() };
        let manifest = Manifest::new(vec!["cwe_classify".into()], serde_json::Value::Null, Report::default());
        let examples = [(Split::Train, example(id)), (Split::Test, example("CVE-2024-0002"))];
        writer.write_task("cwe_classify", &examples, &[label])?;
        writer.finish(manifest, &hierarchy)
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_dataset_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/set");
        let written = write(&target, false, "CVE-2024-0001").unwrap();
        let opened = Dataset::open(&target).unwrap();
        assert_eq!(opened.manifest, written.manifest);
        assert_eq!((&opened.labels, &opened.hierarchy), (&written.labels, &written.hierarchy));
        assert_eq!(opened.examples("cwe_classify", Split::Train).unwrap(), [example("CVE-2024-0001")]);
        assert!(opened.examples("cwe_classify", Split::Validation).unwrap().is_empty());
        assert_eq!(names_in(&target), ["cwe_classify", "hierarchy.json", "manifest.json"]);
        assert_eq!(
            names_in(&target.join("cwe_classify")),
            ["labels.json", "test.jsonl", "train.jsonl", "validation.jsonl"]
        );
        assert_eq!(names_in(target.parent().unwrap()), ["set"], "nothing is left beside it");
    }

    #[test]
    fn an_existing_output_is_kept_unless_it_is_a_dataset_that_may_be_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set");
        write(&target, false, "CVE-2024-0001").unwrap();
        let message = write(&target, false, "CVE-2024-0009").unwrap_err().to_string();
        assert!(message.contains("exists already\nhint:"), "{message}");
        write(&target, true, "CVE-2024-0009").unwrap();
        let dataset = Dataset::open(&target).unwrap();
        assert_eq!(dataset.examples("cwe_classify", Split::Train).unwrap()[0].id, "CVE-2024-0009");
        let other = folder.path().join("precious");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.txt"), "years of work").unwrap();
        let message = write(&other, true, "CVE-2024-0001").unwrap_err().to_string();
        assert!(message.contains("is not a Wardsmith dataset"), "{message}");
        assert_eq!(names_in(folder.path()), ["precious", "set"]);
    }

    #[test]
    fn a_file_beside_the_tasks_is_listed_with_its_digest_and_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set");
        let mut writer = DatasetWriter::create(&target, false).unwrap();
        writer.write_file("bias/bias.md", b"abc").unwrap();
        for name in ["", "../x", "/x", "a/b/c", "a//b", ".x", "a/.x", "A", "manifest.json", "bias/bias.md"] {
            let error = writer.write_file(name, b"x").unwrap_err().to_string();
            assert!(error.contains("is no free name"), "{name}: {error}");
        }
        let manifest = Manifest::new(Vec::new(), serde_json::Value::Null, Report::default());
        let dataset = writer.finish(manifest, &Hierarchy::default()).unwrap();
        assert_eq!(fs::read(target.join("bias/bias.md")).unwrap(), b"abc");
        let summary = &dataset.manifest.files["bias/bias.md"];
        assert_eq!((summary.bytes, &summary.sha256[..8]), (3, "ba7816bf"));
        Dataset::open(&target).unwrap();
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = DatasetWriter::create(&folder.path().join("set"), false).unwrap();
        writer.write_task("document", &[(Split::Train, example("CVE-2024-0001"))], &[]).unwrap();
        drop(writer);
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn a_dataset_that_was_changed_or_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set");
        write(&target, false, "CVE-2024-0001").unwrap();
        let train = target.join("cwe_classify/train.jsonl");
        let text = fs::read_to_string(&train).unwrap();
        fs::write(&train, text.replace("CWE-79", "CWE-80")).unwrap();
        let dataset = Dataset::open(&target).unwrap();
        let message = dataset.examples("cwe_classify", Split::Train).unwrap_err().to_string();
        assert!(message.contains("train.jsonl") && message.contains("was changed"), "{message}");
        fs::write(&train, "{\"id\":1}\n").unwrap();
        assert!(
            dataset.examples("cwe_classify", Split::Train).unwrap_err().to_string().contains("line 1 is no example")
        );
        fs::write(target.join("cwe_classify/labels.json"), "[]").unwrap();
        assert!(matches!(Dataset::open(&target), Err(Error::BadDataset { .. })));
        fs::write(target.join("manifest.json"), "{}").unwrap();
        assert!(matches!(Dataset::open(&target), Err(Error::BadDataset { .. })));
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("there is no manifest.json") && message.contains("hint:"), "{message}");
    }

    #[test]
    fn a_task_whose_name_leaves_the_folder_is_refused_and_a_wanted_task_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = write(&folder.path().join("set"), false, "CVE-2024-0001").unwrap();
        for name in ["..", "a/b", "", "/etc"] {
            assert!(dataset.examples(name, Split::Train).unwrap_err().to_string().contains("is no name of a task"));
        }
        assert_eq!(dataset.task(None).unwrap(), "cwe_classify");
        assert!(dataset.task(Some("severity")).unwrap_err().to_string().contains("it holds `cwe_classify`"));
    }

    #[test]
    fn another_format_version_is_refused_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set");
        write(&target, false, "CVE-2024-0001").unwrap();
        let path = target.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"format_version\": 2", "\"format_version\": 99");
        fs::write(&path, text).unwrap();
        let message = Dataset::open(&target).unwrap_err().to_string();
        assert!(message.contains("its format version is 99, not 2"), "{message}");
        write(&target, true, "CVE-2024-0001").expect("an older dataset may be overwritten");
    }
}
