//! Evaluation files of any common shape as rows of texts: JSON, JSON lines, tab- or comma-separated values, plain text.
//!
//! What a file is, its first bytes say, and where they do not, its name. The outermost list of a JSON file holds the items:
//! the file itself, or the lists of objects in an object, as `{"questions": [...]}`. Anything may be compressed
//! ([`crate::input`]).

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::input::{self, Input};
use crate::manifest::InputSummary;

/// All texts of one item.
pub(super) type Row = Vec<String>;

/// No evaluation file is larger, decompressed.
const MAX_BYTES: u64 = 256 << 20;
/// What is read of a JSON value that is nested deeper; the parser itself allows 128.
const MAX_DEPTH: usize = 32;

/// The items of the file, or of all files in the folder, at `path`.
pub(super) fn rows(path: &Path) -> Result<(InputSummary, Vec<Row>)> {
    let Input { summary, units } = Input::open(path, &is_data)?;
    let mut rows = Vec::new();
    for unit in &units {
        input::read(unit, &is_data, &mut |reader, place| {
            let mut bytes = Vec::new();
            let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
            read.map_err(|source| Error::Damaged { place: place.into(), detail: source.to_string() })?;
            if bytes.len() as u64 > MAX_BYTES {
                let detail = format!("more than {MAX_BYTES} bytes of an evaluation set");
                return Err(Error::TooLarge { place: place.into(), detail });
            }
            rows.extend(parse(&String::from_utf8_lossy(&bytes), place)?);
            Ok(())
        })?;
    }
    Ok((summary, rows))
}

/// Whether a file of a folder or archive holds items: it is none of those that tell of the others.
fn is_data(place: &str) -> bool {
    let name = place.rsplit('/').next().unwrap_or_default().to_uppercase();
    !["README", "LICENSE", "COPYING", "PROVENANCE", "CITATION", "."].iter().any(|head| name.starts_with(head))
}

fn parse(text: &str, place: &str) -> Result<Vec<Row>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let name = place.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let first_line = text.lines().next().unwrap_or_default();
    if text.starts_with(['[', '{']) {
        return json(text, place);
    }
    Ok(if name.ends_with(".tsv") || first_line.contains('\t') {
        table(text, '\t')
    } else if name.ends_with(".csv") {
        table(text, ',')
    } else {
        text.split("\n\n").map(|paragraph| vec![paragraph.to_owned()]).collect()
    })
}

/// A JSON file, or else one value a line.
fn json(text: &str, place: &str) -> Result<Vec<Row>> {
    let broken = |error: &serde_json::Error| Error::Broken {
        place: place.into(),
        wanted: "a JSON evaluation file",
        detail: error.to_string(),
    };
    let whole: std::result::Result<Value, _> = serde_json::from_str(text);
    match whole {
        Ok(value) => Ok(items(value).iter().map(texts).collect()),
        Err(error) => {
            let lines: std::result::Result<Vec<Value>, _> =
                text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect();
            // Where the first line is no value of its own, the file is no JSON lines.
            let lines =
                lines.map_err(|of_line| if of_line.line() == 1 && text.starts_with("{\n") { error } else { of_line });
            Ok(lines.map_err(|error| broken(&error))?.iter().map(texts).collect())
        }
    }
}

/// The items of a JSON file.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Object(fields) => {
            let (lists, rest): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(_, value)| value.is_array());
            if lists.is_empty()
                || lists.iter().all(|(_, list)| list.as_array().is_some_and(|list| list.iter().all(Value::is_string)))
            {
                return vec![Value::Object(lists.into_iter().chain(rest).collect())];
            }
            lists
                .into_iter()
                .flat_map(|(_, list)| items(list))
                .chain(rest.into_iter().map(|(_, value)| value))
                .collect()
        }
        other => vec![other],
    }
}

/// Every string in `value`.
fn texts(value: &Value) -> Row {
    let mut row = Vec::new();
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::String(text) => row.push(text.clone()),
            Value::Array(values) if depth < MAX_DEPTH => open.extend(values.iter().rev().map(|one| (one, depth + 1))),
            Value::Object(fields) if depth < MAX_DEPTH => {
                open.extend(fields.values().rev().map(|one| (one, depth + 1)))
            }
            _ => {}
        }
    }
    row
}

/// Rows of a table below its head; a field in quotes may hold anything, with doubled quotes for one.
fn table(text: &str, separator: char) -> Vec<Row> {
    let (mut rows, mut row, mut field) = (Vec::new(), Row::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c if c == separator && !quoted => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    row.push(field);
    rows.push(row);
    rows.into_iter().skip(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> Row {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn items_are_found_in_every_shape() {
        let want = [row(&["one", "x"]), row(&["two", "y"])];
        for (name, text) in [
            ("a.json", r#"[{"q":"one","o":{"A":"x"}},{"q":"two","o":["y"],"n":3}]"#),
            ("a.json", r#"{"questions":[["one","x"],["two","y"]]}"#),
            ("a.jsonl", "{\"q\":\"one\",\"o\":\"x\"}\n\n{\"q\":\"two\",\"o\":\"y\"}\n"),
            ("a.tsv", "q\to\none\tx\ntwo\ty\n"),
            ("a.tsv.gz", "q\to\n\"one\"\tx\ntwo\ty"),
            ("a.csv", "q,o\n\"one\",x\ntwo,\"y\"\n"),
        ] {
            let found = parse(text, name).unwrap();
            assert_eq!(found, want, "{name}: {text}");
        }
        assert_eq!(parse("one\nmore\n\ntwo", "a.txt").unwrap(), [row(&["one\nmore"]), row(&["two"])]);
        assert_eq!(parse(r#"{"q":"one","o":["x"]}"#, "a.json").unwrap(), [row(&["x", "one"])], "one item alone");
    }

    #[test]
    fn a_quoted_field_holds_separators_breaks_and_quotes() {
        assert_eq!(table("h,i\n\"a, \"\"b\"\"\nc\",d", ','), [row(&["a, \"b\"\nc", "d"])]);
        assert_eq!(table("h\n3\" pipe", ','), [row(&["3\" pipe"])]);
    }

    #[test]
    fn of_a_folder_all_files_are_read_but_those_that_tell_of_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a b.json", r#"["one"]"#), ("c.csv", "head\ntwo"), ("README.md", "three")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (summary, found) = rows(folder.path()).unwrap();
        assert_eq!(found, [row(&["one"]), row(&["two"])]);
        assert_eq!((summary.files, summary.sha256.len()), (2, 64));
    }

    #[test]
    fn broken_json_and_missing_files_are_told_and_nothing_panics() {
        let message = parse("{\n\"a\": ", "a.json").unwrap_err().to_string();
        assert!(message.contains("`a.json` cannot be read as a JSON evaluation file"), "{message}");
        assert!(rows(Path::new("nowhere.json")).is_err());
        for text in ["", "[", "{", "\"", "\t", ",\n\""] {
            let _ = parse(text, "a.csv");
        }
    }
}
