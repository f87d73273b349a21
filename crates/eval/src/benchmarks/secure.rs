//! SECURE (Bhusal et al., "SECURE: Benchmarking large language models for cybersecurity advisory", 2024): a tab-separated file a
//! task, with the published `Prompt` and a key. `X` stands for "I do not know" and is an option like others: in VOOD, which asks
//! about CVEs that no model can know, it is the right one.

use super::Benchmark;
use super::rows::{Row, tsv};
use crate::item::{Asked, Item};

const SHAPE: &str = "SECURE's tab-separated files have a head with `Prompt` and `Correct Answer`";

pub(super) static ALL: &[Benchmark] = &[
    Benchmark {
        name: "secure-cwet",
        about: "multiple choice on weaknesses",
        shape: SHAPE,
        read: |text| read(text, abcd),
    },
    Benchmark { name: "secure-maet", about: "multiple choice on ATT&CK", shape: SHAPE, read: |text| read(text, abcd) },
    Benchmark {
        name: "secure-kcv",
        about: "true or false, by a CVE record that is given",
        shape: SHAPE,
        read: |text| read(text, truth),
    },
    Benchmark {
        name: "secure-vood",
        about: "true or false, where not knowing is right",
        shape: SHAPE,
        read: |text| read(text, truth),
    },
    Benchmark {
        name: "secure-rert",
        about: "the risk of an advisory in a sentence",
        shape: SHAPE,
        read: |text| read(text, sentence),
    },
    Benchmark {
        name: "secure-cpst",
        about: "the CVSS score of a vector",
        shape: SHAPE,
        read: |text| read(text, score),
    },
];

fn read(text: &str, asked: fn(&str) -> Option<Asked>) -> Result<Vec<Item>, String> {
    let item = |row: &Row| {
        Ok(Item {
            id: String::new(),
            system: None,
            prompt: row.text("Prompt")?,
            subject: row.any(&["Question", "vulnerability-overview", "CVSS v3 Vector String"]).ok(),
            group: String::new(),
            asked: asked(row.text("Correct Answer")?.trim()).ok_or_else(|| row.wrong("Correct Answer"))?,
        })
    };
    tsv(text)?.iter().map(item).collect()
}

fn one_of(options: &[char], key: &str) -> Option<Asked> {
    let gold = key.chars().next();
    let fits = key.len() <= 1 && gold.is_none_or(|gold| options.contains(&gold));
    fits.then(|| Asked::Letter { options: options.to_vec(), gold })
}

fn abcd(key: &str) -> Option<Asked> {
    one_of(&['A', 'B', 'C', 'D', 'X'], key)
}

fn truth(key: &str) -> Option<Asked> {
    one_of(&['T', 'F', 'X'], key)
}

fn sentence(key: &str) -> Option<Asked> {
    (!key.is_empty()).then(|| Asked::Text(key.to_owned()))
}

fn score(key: &str) -> Option<Asked> {
    key.parse().ok().filter(|score| (0.0..=10.0).contains(score)).map(Asked::Score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_knowing_is_an_answer() {
        let items = read("Prompt\tQuestion\tCorrect Answer\np\tq\tX\np\tq\t\n", truth).unwrap();
        assert!(items[0].grade("X").is_correct() && !items[0].grade("T").is_correct());
        assert!(!items[1].grade("X").is_correct(), "an empty key");
        assert!(read("Prompt\tCorrect Answer\np\tB\n", truth).unwrap_err().contains("row 1"));
    }

    #[test]
    fn scores_and_sentences() {
        let scores = read("Prompt\tCorrect Answer\np\t7.8\n", score).unwrap();
        assert!(scores[0].grade("7.8").is_correct() && !scores[0].grade("7.9").is_correct());
        assert!(read("Prompt\tCorrect Answer\np\t78\n", score).is_err());
        assert_eq!(sentence(""), None);
    }
}
