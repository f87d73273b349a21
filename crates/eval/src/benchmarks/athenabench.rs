//! AthenaBench (2025), the successor of CTIBench: JSON Lines with `prompt` and `answer`, a file a task.

use super::Benchmark;
use super::ctibench::{Key, actor, letter, techniques, vector, weakness};
use super::rows::{Row, json_lines};
use crate::extract;
use crate::item::{Asked, Item};

const SHAPE: &str = "AthenaBench's files are JSON Lines with `prompt` and `answer`";

pub(super) static ALL: &[Benchmark] = &[
    Benchmark {
        name: "athena-ckt",
        about: "multiple choice on threat intelligence",
        shape: SHAPE,
        read: |text| read(text, letter),
    },
    Benchmark {
        name: "athena-rcm",
        about: "the CWE of a CVE description",
        shape: SHAPE,
        read: |text| read(text, weakness),
    },
    Benchmark {
        name: "athena-vsp",
        about: "the CVSS vector of a CVE description",
        shape: SHAPE,
        read: |text| read(text, vector),
    },
    Benchmark {
        name: "athena-ate",
        about: "the ATT&CK techniques of a behaviour",
        shape: SHAPE,
        read: |text| read(text, techniques),
    },
    Benchmark {
        name: "athena-taa",
        about: "the threat actor behind a report",
        shape: SHAPE,
        read: |text| read(text, actor),
    },
    Benchmark {
        name: "athena-rms",
        about: "the ATT&CK mitigations for a scenario",
        shape: SHAPE,
        read: |text| read(text, mitigations),
    },
];

fn read(text: &str, asked: Key) -> Result<Vec<Item>, String> {
    json_lines(text)?.iter().map(|row| item(row, asked)).collect()
}

fn item(row: &Row, asked: Key) -> Result<Item, String> {
    let key = row.list("answer").map(|list| list.join(", ")).or_else(|_| row.text("answer"))?;
    Ok(Item {
        id: row.any(&["id", "question_id"]).unwrap_or_default(),
        system: row.any(&["system", "system_prompt"]).ok().filter(|text| !text.is_empty()),
        prompt: row.text("prompt")?,
        subject: row.any(&["description", "text"]).ok(),
        group: row.any(&["category", "platform"]).unwrap_or_default(),
        asked: asked(key.trim()).ok_or_else(|| row.wrong("answer"))?,
    })
}

fn mitigations(key: &str) -> Option<Asked> {
    let golds = extract::mitigations(&key.replace('\n', " "));
    (!golds.is_empty()).then_some(Asked::Mitigations(golds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_texts_are_keys() {
        let text = "{\"prompt\": \"Which?\", \"answer\": [\"M1036\", \"M1049\"]}\n\n{\"prompt\": \"W\", \"answer\": \"M1036\"}\n";
        let items = read(text, mitigations).unwrap();
        assert_eq!(items[0].asked, Asked::Mitigations(vec!["M1036".into(), "M1049".into()]));
        assert!(items[0].grade("M1049, M1036").is_correct() && !items[1].grade("M1036, M1049").is_correct());
        assert!(read("{\"prompt\": \"x\"}", letter).unwrap_err().contains("answer"));
        assert!(read("not json", letter).unwrap_err().contains("line 1"));
    }
}
