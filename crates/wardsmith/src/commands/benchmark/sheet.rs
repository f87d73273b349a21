//! The answers of one system to one benchmark on disk, kept as they come: an evaluation that was stopped goes on where it was,
//! and ends with the bytes that it would have had.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use wardsmith_eval::metric::Answer;
use wardsmith_model::weights::write_atomically;

use crate::say;

/// Everything that answers depend on; the first line of a file of answers that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// The program and its version.
    pub(super) made_by: String,
    /// The benchmark's name.
    pub(super) benchmark: String,
    /// SHA-256 of its file.
    pub(super) sha256: String,
    /// SHA-256 of the system's weights.
    pub(super) system: String,
    /// How it answers.
    pub(super) method: String,
    /// The rules by which answers are read.
    pub(super) rules: String,
    /// The longest answer.
    pub(super) max_new_tokens: usize,
    /// Items that are asked.
    pub(super) items: usize,
}

/// An open file of answers.
pub(super) struct Sheet {
    finished: PathBuf,
    part: PathBuf,
    file: File,
    /// What was answered so far, in order.
    pub(super) answers: Vec<Answer>,
}

impl Sheet {
    /// The answers of `system` in `folder`: those of a run with the same settings that was stopped, or none yet.
    pub(super) fn open(folder: &Path, system: &str, settings: &Settings) -> Result<Self> {
        let finished = folder.join(format!("answers-{system}.jsonl"));
        let part = folder.join(format!("answers-{system}.part.jsonl"));
        let answers = read(&part, settings).unwrap_or_default();
        if !answers.is_empty() {
            say::note(format_args!("going on behind {} answers of {system}", say::count(answers.len() as u64)));
        }
        // Written anew, so that a line which was cut off in the middle is gone.
        let mut text = serde_json::to_vec(settings)?;
        text.push(b'\n');
        for answer in &answers {
            line(&mut text, answer)?;
        }
        write_atomically(&part, &text)?;
        let file = OpenOptions::new().append(true).open(&part);
        let file = file.with_context(|| format!("cannot write `{}`", part.display()))?;
        Ok(Self { finished, part, file, answers })
    }

    /// Keeps more answers.
    pub(super) fn add(&mut self, answers: Vec<Answer>) -> Result<()> {
        let mut text = Vec::new();
        for answer in &answers {
            line(&mut text, answer)?;
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.flush());
        written.with_context(|| format!("cannot write `{}`", self.part.display()))?;
        self.answers.extend(answers);
        Ok(())
    }

    /// All answers, now in their final file.
    pub(super) fn finish(self) -> Result<Vec<Answer>> {
        let mut text = Vec::new();
        for answer in &self.answers {
            line(&mut text, answer)?;
        }
        write_atomically(&self.finished, &text)
            .with_context(|| format!("cannot write `{}`", self.finished.display()))?;
        fs::remove_file(&self.part).with_context(|| format!("cannot remove `{}`", self.part.display()))?;
        Ok(self.answers)
    }
}

fn line(text: &mut Vec<u8>, answer: &Answer) -> Result<()> {
    serde_json::to_writer(&mut *text, answer)?;
    text.push(b'\n');
    Ok(())
}

/// The whole lines of an unfinished file with the same settings; `None` where there is none.
fn read(part: &Path, settings: &Settings) -> Option<Vec<Answer>> {
    let mut lines = BufReader::new(File::open(part).ok()?).lines();
    let found: Settings = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    if found != *settings {
        say::note("an unfinished evaluation with other settings lies here; it begins anew");
        return None;
    }
    let answer = |line: std::io::Result<String>| serde_json::from_str(&line.ok()?).ok();
    Some(lines.map_while(answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(items: usize) -> Settings {
        let text = String::new;
        Settings {
            made_by: text(),
            benchmark: "x".into(),
            sha256: text(),
            system: text(),
            method: text(),
            rules: text(),
            max_new_tokens: 8,
            items,
        }
    }

    fn answer(id: &str) -> Answer {
        Answer { id: id.into(), text: Some("t".into()), ranked: vec![("a".into(), -0.1)], ..Answer::default() }
    }

    #[test]
    fn a_torn_line_is_asked_again_and_the_end_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let whole = |name: &str| {
            let mut sheet = Sheet::open(folder.path(), name, &settings(3)).unwrap();
            sheet.add(vec![answer("1"), answer("2")]).unwrap();
            sheet.add(vec![answer("3")]).unwrap();
            sheet.finish().unwrap();
            fs::read(folder.path().join(format!("answers-{name}.jsonl"))).unwrap()
        };
        let expected = whole("a");
        let mut sheet = Sheet::open(folder.path(), "b", &settings(3)).unwrap();
        sheet.add(vec![answer("1"), answer("2")]).unwrap();
        drop(sheet);
        let part = folder.path().join("answers-b.part.jsonl");
        let bytes = fs::read(&part).unwrap();
        fs::write(&part, &bytes[..bytes.len() - 5]).unwrap();
        let mut sheet = Sheet::open(folder.path(), "b", &settings(3)).unwrap();
        assert_eq!(sheet.answers.len(), 1);
        sheet.add(vec![answer("2"), answer("3")]).unwrap();
        sheet.finish().unwrap();
        assert_eq!(fs::read(folder.path().join("answers-b.jsonl")).unwrap(), expected);
        assert!(!part.exists());
    }

    #[test]
    fn other_settings_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut sheet = Sheet::open(folder.path(), "a", &settings(3)).unwrap();
        sheet.add(vec![answer("1")]).unwrap();
        drop(sheet);
        assert!(Sheet::open(folder.path(), "a", &settings(4)).unwrap().answers.is_empty());
    }
}
