//! CTIBench (Alam et al., "CTIBench: a benchmark for evaluating LLMs in cyber threat intelligence", 2024): a tab-separated
//! file a task, with the published `Prompt` and the key `GT`.
//!
//! CTI-VSP's published scorer leaves out what it cannot read; here it counts ([`crate::metrics::cvss`]). CTI-TAA's key is the
//! actor's name; aliases behind commas count as the same actor, which its published scorer calls correct too, while
//! its "plausible" answers (related actors) have no part here.

use wardsmith_records::record::{CvssVector, CvssVersion};

use super::Benchmark;
use super::rows::{Row, tsv};
use crate::extract;
use crate::item::{Asked, Item};

const SHAPE: &str = "CTIBench's tab-separated files have a head with `Prompt` and `GT`";

pub(super) static ALL: &[Benchmark] = &[
    Benchmark {
        name: "cti-mcq",
        about: "multiple choice on threat intelligence",
        shape: SHAPE,
        read: |text| read(text, letter),
    },
    Benchmark {
        name: "cti-rcm",
        about: "the CWE of a CVE description",
        shape: SHAPE,
        read: |text| read(text, weakness),
    },
    Benchmark {
        name: "cti-rcm-2021",
        about: "the CWE of a CVE description of 2021",
        shape: SHAPE,
        read: |text| read(text, weakness),
    },
    Benchmark {
        name: "cti-vsp",
        about: "the CVSS 3.1 vector of a CVE description",
        shape: SHAPE,
        read: |text| read(text, vector),
    },
    Benchmark {
        name: "cti-ate",
        about: "the ATT&CK techniques of a behaviour",
        shape: SHAPE,
        read: |text| read(text, techniques),
    },
    Benchmark {
        name: "cti-taa",
        about: "the threat actor behind a report",
        shape: SHAPE,
        read: |text| read(text, actor),
    },
];

/// What a key says.
pub(super) type Key = fn(&str) -> Option<Asked>;

fn read(text: &str, asked: Key) -> Result<Vec<Item>, String> {
    tsv(text)?.iter().map(|row| item(row, asked)).collect()
}

fn item(row: &Row, asked: Key) -> Result<Item, String> {
    Ok(Item {
        id: String::new(),
        system: None,
        prompt: row.text("Prompt")?,
        subject: row.any(&["Description", "Text", "Question"]).ok(),
        group: row.any(&["Platform"]).unwrap_or_default(),
        asked: asked(row.text("GT")?.trim()).ok_or_else(|| row.wrong("GT"))?,
    })
}

pub(super) fn letter(key: &str) -> Option<Asked> {
    let gold = key.chars().next().filter(|letter| ('A'..='E').contains(letter) && key.len() == 1)?;
    let last = if gold == 'E' { 'E' } else { 'D' };
    Some(Asked::Letter { options: ('A'..=last).collect(), gold: Some(gold) })
}

pub(super) fn weakness(key: &str) -> Option<Asked> {
    extract::weakness(key).map(Asked::Weakness)
}

pub(super) fn vector(key: &str) -> Option<Asked> {
    let stated: Option<CvssVector> =
        extract::cvss(key, CvssVersion::V3_1).or_else(|| extract::cvss(key, CvssVersion::V4_0));
    stated.map(Asked::Vector)
}

pub(super) fn techniques(key: &str) -> Option<Asked> {
    let golds = extract::techniques(&key.replace('\n', " "));
    (!golds.is_empty()).then_some(Asked::Techniques(golds))
}

pub(super) fn actor(key: &str) -> Option<Asked> {
    let names: Vec<String> =
        key.split([',', '|']).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then_some(Asked::Name(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_quoted_and_hold_tabs_and_lines() {
        let text = "URL\tDescription\tPrompt\tGT\nu\t\"a\tb\nc\"\t\"Which CWE? \"\"x\"\"\"\tCWE-79\n";
        let items = read(text, weakness).unwrap();
        assert_eq!(items[0].subject.as_deref(), Some("a\tb\nc"));
        assert_eq!(items[0].prompt, "Which CWE? \"x\"");
        assert_eq!(items[0].asked, Asked::Weakness("CWE-79".into()));
    }

    #[test]
    fn a_key_of_another_task_is_an_error_with_its_row() {
        let text = "URL\tPrompt\tGT\nu\tp\tCWE-79\nu\tp\tB\n";
        assert!(read(text, weakness).unwrap_err().contains("row 2"));
        assert!(read(text, letter).unwrap_err().contains("row 1"));
        assert!(read("URL\tPrompt\nu\tp\n", letter).unwrap_err().contains("`GT`"));
    }

    #[test]
    fn keys_of_each_task() {
        assert_eq!(techniques("T1059, T1071.001"), Some(Asked::Techniques(vec!["T1059".into(), "T1071".into()])));
        assert!(matches!(vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"), Some(Asked::Vector(_))));
        assert_eq!(actor("APT29, Cozy Bear"), Some(Asked::Name(vec!["APT29".into(), "Cozy Bear".into()])));
        assert_eq!(letter("E"), Some(Asked::Letter { options: vec!['A', 'B', 'C', 'D', 'E'], gold: Some('E') }));
        assert_eq!(letter("AB"), None);
    }
}
