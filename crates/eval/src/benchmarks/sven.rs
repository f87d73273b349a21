//! SVEN (He and Vechev 2023) as an examination: is this function vulnerable? Each pair of a fix gives two items, the function
//! before it (`yes`) and after it (`no`), so that a constant answer is right for half of them.

use super::Benchmark;
use super::rows::{Row, json_lines};
use crate::item::{Asked, Item};

pub(super) static ALL: &[Benchmark] = &[Benchmark {
    name: "sven",
    about: "is a function vulnerable, before and after its fix",
    shape: "SVEN's files are JSON Lines with `func_src_before`, `func_src_after`, `vul_type` and `file_name`",
    read,
}];

fn read(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for row in json_lines(text)? {
        items.push(item(&row, "func_src_before", true)?);
        items.push(item(&row, "func_src_after", false)?);
    }
    Ok(items)
}

fn item(row: &Row, function: &str, vulnerable: bool) -> Result<Item, String> {
    let code = row.text(function)?;
    let name = row.text("file_name")?;
    let ending = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    // It becomes part of a file's name.
    let plain = !ending.is_empty() && ending.len() <= 8 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let language = if plain { ending } else { "txt".to_owned() };
    Ok(Item {
        id: String::new(),
        system: None,
        prompt: format!("Is the following function vulnerable? Answer yes or no.\n\n{code}"),
        subject: Some(code),
        group: row.text("vul_type")?.to_uppercase(),
        asked: Asked::Vulnerable { gold: vulnerable, language },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_questions() {
        let code = r#""func_src_before": "gets(s);", "func_src_after": "fgets(s, n, f);""#;
        let items = read(&format!(r#"{{{code}, "vul_type": "cwe-120", "file_name": "a/b.C"}}"#)).unwrap();
        assert!(items[0].grade("yes").is_correct() && items[1].grade("No.").is_correct());
        assert_eq!(items[0].asked, Asked::Vulnerable { gold: true, language: "c".into() });
        assert_eq!((items.len(), items[0].group.as_str()), (2, "CWE-120"));
    }
}
