//! CyberMetric (Tihanyi et al. 2024): multiple choice with four answers and one right. The file has no prompt; asked is as its
//! authors ask, the question, the options and the wish for a letter.

use super::Benchmark;
use super::rows::json;
use crate::item::{Asked, Item};

pub(super) static ALL: &[Benchmark] = &[Benchmark {
    name: "cybermetric",
    about: "multiple choice on all of security",
    shape: "CyberMetric's JSON has a list `questions` of objects with `question`, `answers` and `solution`",
    read,
}];

fn read(text: &str) -> Result<Vec<Item>, String> {
    let item = |row: &super::rows::Row| {
        let answers = row.object("answers")?;
        let letter = |name: &str| name.chars().next().filter(|c| c.is_ascii_uppercase() && name.len() == 1);
        let options: Option<Vec<char>> = answers.iter().map(|(name, _)| letter(name)).collect();
        let options = options.filter(|letters| !letters.is_empty()).ok_or_else(|| row.wrong("answers"))?;
        let gold = letter(row.text("solution")?.trim());
        if gold.is_some_and(|gold| !options.contains(&gold)) {
            return Err(row.wrong("solution"));
        }
        let listed: Vec<String> = answers.iter().map(|(letter, text)| format!("{letter}) {text}")).collect();
        let question = row.text("question")?;
        Ok(Item {
            id: String::new(),
            system: None,
            prompt: format!("{question}\n{}\nAnswer with the letter of the right option only.", listed.join("\n")),
            subject: Some(question),
            group: String::new(),
            asked: Asked::Letter { options, gold },
        })
    };
    json(text, "questions")?.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_letters() {
        let text = r#"{"questions": [{"question": "Q?", "answers": {"A": "x", "B": "y"}, "solution": "B"}]}"#;
        let items = read(text).unwrap();
        assert_eq!(items[0].prompt, "Q?\nA) x\nB) y\nAnswer with the letter of the right option only.");
        assert_eq!(items[0].asked, Asked::Letter { options: vec!['A', 'B'], gold: Some('B') });
        assert!(read(&text.replace("\"B\"}]", "\"C\"}]")).unwrap_err().contains("solution"));
    }
}
