//! SecEval (Li et al. 2023): multiple choice of which several may be right, with topics. A few keys are empty in the published
//! file; those questions are asked and cannot be answered rightly.

use super::Benchmark;
use super::rows::{Row, json, key, option_letters};
use crate::item::{Asked, Item};

pub(super) static ALL: &[Benchmark] = &[Benchmark {
    name: "seceval",
    about: "multiple choice on nine fields of security, several may be right",
    shape: "SecEval's JSON is a list of objects with `question`, `choices` and `answer`",
    read,
}];

fn read(text: &str) -> Result<Vec<Item>, String> {
    json(text, "questions")?.iter().map(item).collect()
}

fn item(row: &Row) -> Result<Item, String> {
    let (choices, options) = option_letters(row, "choices")?;
    let golds = key(&row.text("answer")?);
    if golds.iter().any(|gold| !options.contains(gold)) {
        return Err(row.wrong("answer"));
    }
    let question = row.text("question")?;
    Ok(Item {
        id: row.any(&["id"]).unwrap_or_default(),
        system: None,
        prompt: format!(
            "{question}\n{}\nOne or more options are right. Answer with their letters only, such as A or ACD.",
            choices.join("\n")
        ),
        subject: Some(question),
        group: row.list("topics").unwrap_or_default().first().cloned().unwrap_or_default(),
        asked: Asked::Letters { options, golds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sets_of_letters_and_may_be_empty() {
        let text = r#"[{"question": "Q?", "choices": ["A: x", "B: y", "C: z"], "answer": "CA", "topics": ["Web"]},
                       {"question": "Q?", "choices": ["A: x", "B: y"], "answer": ""}]"#;
        let items = read(text).unwrap();
        assert!(items[0].grade("A, C").is_correct() && !items[0].grade("A").is_correct());
        assert_eq!(items[0].group, "Web");
        assert!(!items[1].grade("A").is_correct());
        assert!(read(r#"[{"question": "Q?", "choices": ["x"], "answer": "A"}]"#).unwrap_err().contains("choices"));
        assert!(read(r#"[{"question": "Q?", "choices": ["A: x"], "answer": "D"}]"#).unwrap_err().contains("answer"));
    }
}
