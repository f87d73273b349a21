//! JSON lines for other trainers: `{"messages": […]}` as TRL, Axolotl and OpenAI's fine-tuning read it, `{"text": …}`
//! where examples are plain documents. One file a task and split.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use wardsmith_records::conversation::{Message, Role};
use wardsmith_records::dataset::{Dataset, Example};

use crate::error::{Error, Result};
use crate::examples::completion;
use crate::folder::{Exported, Folder};
use crate::licences;
use crate::share::Tally;

/// One line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Chat { messages: &'a [Message] },
    Text { text: &'a str },
}

impl<'a> Line<'a> {
    fn of(example: &'a Example) -> Self {
        let messages = example.conversation.messages.as_slice();
        match messages {
            [only] if only.role == Role::Document => Self::Text { text: completion(&example.conversation) },
            messages => Self::Chat { messages },
        }
    }
}

/// Writes `<task>-<split>.jsonl` for every task and split of `dataset` that has examples, `LICENSES.md` and
/// `wardsmith-export.json` into a new folder `out`. Private examples stay behind, and weights are not told, as these
/// formats have none.
///
/// # Errors
/// Where every example is private, `out` exists and may not be overwritten, or the disk refuses.
pub fn export_chat(dataset: &Dataset, out: &Path, overwrite: bool) -> Result<Exported> {
    let mut folder = Folder::create(out, overwrite)?;
    let mut tally = Tally::default();
    for task in &dataset.manifest.tasks {
        for (split, examples) in tally.open_task(dataset, task)? {
            write_lines(&mut folder, &format!("{task}-{split}.jsonl"), &examples)?;
        }
    }
    tally.check(dataset)?;
    let manifest = tally.public_manifest(&dataset.manifest);
    let inputs = tally.shared_inputs(&manifest);
    folder.write("LICENSES.md", licences::page(&inputs).as_bytes())?;
    folder.finish(tally.statement("chat", dataset)?)
}

fn write_lines(folder: &mut Folder, name: &str, examples: &[Example]) -> Result<()> {
    let mut file = folder.open(name)?;
    let path = file.path.clone();
    for example in examples {
        serde_json::to_writer(&mut file, &Line::of(example))
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(Error::io("write", &path))?;
    }
    folder.take(file, name, Some(examples.len() as u64)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::files_in;
    use crate::share::tests::{Privates, dataset};

    #[test]
    fn each_task_and_split_is_a_file_of_lines_without_private_ones() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::Some);
        let out = place.path().join("out");
        let exported = export_chat(&dataset, &out, false).unwrap();
        let files = files_in(&out);
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let data = ["cwe_classify-test.jsonl", "cwe_classify-train.jsonl", "document-train.jsonl"];
        assert_eq!(names, [&["LICENSES.md"][..], &data, &["wardsmith-export.json"]].concat());
        let train = std::str::from_utf8(&files[data[1]]).unwrap();
        let first = r#"{"messages":[{"role":"user","content":"Which weakness?\n\nKettle CVE-2024-0000 boils over."},{"role":"assistant","content":"CWE-79"}]}"#;
        assert_eq!((train.lines().count(), train.lines().next()), (6, Some(first)));
        assert!(std::str::from_utf8(&files[data[2]]).unwrap().starts_with(r##"{"text":"# Kettles\n\nA"##));
        assert_eq!(exported.statement.files[data[1]].rows, Some(6));
        assert_eq!(exported.statement.withheld_private_examples, 6);
    }

    #[test]
    fn a_dataset_of_private_examples_alone_is_not_exported() {
        let place = tempfile::tempdir().unwrap();
        let dataset = dataset(&place.path().join("set"), Privates::All);
        let out = place.path().join("out");
        let message = export_chat(&dataset, &out, false).unwrap_err().to_string();
        assert!(message.contains("18 examples are private"), "{message}");
        assert!(!out.exists());
    }
}
