//! The files of a dataset as they lie on disk: plain, or sealed with a key; digested either way.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wardsmith_vault::{EXTENSION, Key, Sealing};

use super::Example;
use crate::digest::Digesting;
use crate::error::{Error, Result};
use crate::manifest::FileSummary;

/// What a file called `name` is called where it is sealed.
pub(super) fn sealed_name(name: &str) -> String {
    format!("{name}.{EXTENSION}")
}

/// A file that is being written.
pub(super) struct Out {
    path: PathBuf,
    end: BufWriter<End>,
}

enum End {
    Plain(Digesting<File>),
    /// Digested before it is sealed and after.
    Sealed(Digesting<Sealing<Digesting<File>>>),
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(end) => end.write(bytes),
            Self::Sealed(end) => end.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(end) => end.flush(),
            Self::Sealed(end) => end.flush(),
        }
    }
}

impl Out {
    /// A new file at `path`, sealed where there is a key.
    pub(super) fn create(path: PathBuf, key: Option<&Key>) -> Result<Self> {
        let file = Digesting::new(File::create(&path).map_err(Error::io("create", &path))?);
        let end = match key {
            None => End::Plain(file),
            Some(key) => {
                let sealing = key.seal(file).map_err(|source| Error::Sealed { path: path.clone(), source })?;
                End::Sealed(Digesting::new(sealing))
            }
        };
        Ok(Self { end: BufWriter::with_capacity(1 << 18, end), path })
    }

    /// One example a line.
    pub(super) fn lines<'a>(mut self, mut examples: impl Iterator<Item = &'a Example>) -> Result<FileSummary> {
        examples
            .try_for_each(|one| {
                serde_json::to_writer(&mut self.end, one).map_err(io::Error::from)?;
                self.end.write_all(b"\n")
            })
            .map_err(Error::io("write", &self.path))?;
        self.close()
    }

    /// One JSON value for people to read.
    pub(super) fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<FileSummary> {
        serde_json::to_writer_pretty(&mut self.end, value)
            .map_err(io::Error::from)
            .and_then(|()| self.end.write_all(b"\n"))
            .map_err(Error::io("write", &self.path))?;
        self.close()
    }

    /// These bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Result<FileSummary> {
        self.end.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.close()
    }

    /// Empties the buffer, waits for the disk, and tells what was written.
    fn close(self) -> Result<FileSummary> {
        let Self { path, end } = self;
        let failed = |error| Error::io("write", &path)(error);
        let (file, plain) = match end.into_inner().map_err(|error| failed(error.into_error()))? {
            End::Plain(file) => (file, None),
            End::Sealed(digesting) => {
                let (sealing, plain) = digesting.into_parts();
                (sealing.finish().map_err(failed)?, Some(plain.sha256))
            }
        };
        file.get_ref().sync_all().map_err(failed)?;
        Ok(FileSummary { plain_sha256: plain, ..file.finish() })
    }
}

/// A file that is being read; what passes is the plain text, and so is its digest.
pub(super) type In = Digesting<Box<dyn Read>>;

/// The file at `path`, opened with the key where it is sealed.
pub(super) fn open(path: &Path, is_sealed: bool, key: Option<&Key>) -> Result<In> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    if !is_sealed {
        return Ok(Digesting::new(Box::new(file)));
    }
    let key = key.ok_or_else(|| Error::NoKey { path: path.to_path_buf() })?;
    let opening = key.open(BufReader::new(file));
    let opening = opening.map_err(|source| Error::Sealed { path: path.to_path_buf(), source })?;
    Ok(Digesting::new(Box::new(opening)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Conversation;
    use crate::dataset::{Dataset, DatasetWriter, LabelInfo, Split};
    use crate::hierarchy::Hierarchy;
    use crate::manifest::{Manifest, Report};

    const MARKER: &str = "zanzibarquokka";

    fn key(folder: &Path) -> Key {
        let path = folder.join("key.txt");
        std::fs::write(&path, Key::generate_text().as_bytes()).unwrap();
        Key::from_file(&path).unwrap()
    }

    fn example(id: &str) -> Example {
        Example {
            id: id.into(),
            task: "qa".into(),
            published: String::new(),
            group: 1,
            sources: vec!["documents".into()],
            weight: 1.0,
            private: true,
            conversation: Conversation::question(format!("what of the {MARKER}?"), "CWE-79"),
            gold: Some(MARKER.into()),
        }
    }

    fn write(target: &Path, key: Option<&Key>) -> Dataset {
        let mut writer = DatasetWriter::create(target, true).unwrap().sealed_with(key.cloned());
        let label = LabelInfo { name: MARKER.into(), title: String::new(), train_count: 1, ancestors: Vec::new() };
        let examples: Vec<_> = (0..2000).map(|at| (Split::Train, example(&format!("d{at}")))).collect();
        writer.write_task("qa", &examples, &[label]).unwrap();
        writer.write_file("bias/bias.json", MARKER.as_bytes()).unwrap();
        let manifest = Manifest::new(vec!["qa".into()], serde_json::Value::Null, Report::default());
        writer.finish(manifest, &Hierarchy::default()).unwrap()
    }

    /// Every file below `folder`.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_sealed_dataset_holds_no_plain_text_and_is_read_with_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (key(folder.path()), key(folder.path()));
        let target = folder.path().join("set");
        let written = write(&target, Some(&own));
        for path in files(&target) {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()), "{}", path.display());
        }
        let opened = Dataset::open_with(&target, Some(&own)).unwrap();
        assert_eq!((opened.is_sealed(), &opened.labels), (true, &written.labels));
        assert_eq!(opened.examples("qa", Split::Train).unwrap().len(), 2000);
        assert_eq!(opened.manifest.encryption.as_deref(), Some("age"));
        let message = Dataset::open(&target).unwrap_err().to_string();
        assert!(message.contains("is encrypted, and no key is given\nhint: "), "{message}");
        let message = Dataset::open_with(&target, Some(&other)).unwrap_err().to_string();
        assert!(message.contains("labels.json.age`: it is sealed for another key"), "{message}");
    }

    #[test]
    fn what_is_inside_has_the_same_digest_sealed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let own = key(folder.path());
        let plain = write(&folder.path().join("plain"), None).manifest;
        let (one, two) = (
            write(&folder.path().join("one"), Some(&own)).manifest,
            write(&folder.path().join("two"), Some(&own)).manifest,
        );
        for name in ["qa/train.jsonl", "qa/labels.json", "bias/bias.json"] {
            let (first, second) = (&one.files[&sealed_name(name)], &two.files[&sealed_name(name)]);
            assert_eq!(first.plain_sha256.as_deref(), Some(plain.files[name].sha256.as_str()));
            assert_eq!(first.plain_sha256, second.plain_sha256);
            assert_ne!(first.sha256, second.sha256, "no file key is used twice");
        }
        assert_eq!(one.files["hierarchy.json"], plain.files["hierarchy.json"]);
        assert!(!serde_json::to_string(&plain).unwrap().contains("encryption"));
    }

    #[test]
    fn a_sealed_file_that_was_cut_or_changed_gives_no_examples() {
        let folder = tempfile::tempdir().unwrap();
        let own = key(folder.path());
        let target = folder.path().join("set");
        let dataset = write(&target, Some(&own));
        let path = target.join("qa/train.jsonl.age");
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        let chunk = whole.len() - (whole.len() % (1 << 16));
        for bytes in [&whole[..whole.len() - 1], &whole[..chunk], &whole[..200], &flipped, &[]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(dataset.examples("qa", Split::Train).is_err());
        }
        // Another file of the same key is whole, but not the one that belongs here.
        std::fs::copy(target.join("qa/test.jsonl.age"), &path).unwrap();
        let message = dataset.examples("qa", Split::Train).unwrap_err().to_string();
        assert!(message.contains("its SHA-256 is not the one in manifest.json"), "{message}");
    }
}
