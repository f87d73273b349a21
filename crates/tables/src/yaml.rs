//! Just enough YAML to write the head of a dataset card: what JSON can say, in block style.
//!
//! Texts are bare only where YAML 1.1 and 1.2 both read them as that text, and otherwise quoted as JSON quotes them,
//! which every YAML parser reads.

use serde_json::Value;

/// `value` as YAML, with a line break at its end.
pub(crate) fn to_string(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Words that are bare and not texts in YAML 1.1.
const RESERVED: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// A list or mapping at `indent`, or a scalar at the end of the current line. Depth is that of a value we made.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, inner) in entries {
                pad(out, indent);
                out.push_str(&scalar(key));
                out.push(':');
                nested(out, inner, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for inner in items {
                pad(out, indent);
                out.push('-');
                item(out, inner, indent);
            }
        }
        other => out.push_str(&flat(other)),
    }
}

/// What follows a key.
fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent);
        }
        other => {
            out.push(' ');
            out.push_str(&flat(other));
            out.push('\n');
        }
    }
}

/// What follows a dash: the first key of a mapping stands on its line.
fn item(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let mut inner = String::new();
            block(&mut inner, value, indent + 2);
            out.push(' ');
            out.push_str(inner.trim_start_matches(' '));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        other => {
            out.push(' ');
            out.push_str(&flat(other));
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// What has no lines of its own.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(_) => "[]".into(),
        Value::Object(_) => "{}".into(),
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_bare)
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if bare { text.into() } else { quoted(text) }
}

/// As JSON quotes it, and what JSON leaves as it is but YAML does not print, as a number.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let needs_number =
        |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let write = |c: char| if needs_number(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "language": ["en"],
            "license": "other",
            "empty": {"list": [], "map": {}, "text": ""},
            "configs": [
                {"config_name": "cwe_classify", "data_files": [{"split": "train", "path": ["a-00000-of-00001.parquet"]}]},
                {"config_name": "no", "data_files": []},
            ],
            "lists": [[1, 2], [], [["x"]], [{"a": [1], "b": {"c": null}}]],
            "size_categories": ["100K<n<1M", "n<1K"],
            "odd": ["yes", "Off", "null", "~", "1e3", "0x10", "1_000", "12:30:00", "- a", "a: b", "# c", " d ", "e\n\tf", "\"g\"",
                "'h'", "\\i", "ü 漢 🦀", "\u{7f}\u{85}\u{2028}\u{feff}\u{0}\u{1f}", "2024-01-01", "=", "<<", "&a", "*a", "!a", "%a", "@a", "`a", "{a", "[a", "?", "nan"],
            "numbers": [0, -1, 18446744073709551615u64, 1.5],
            "flags": [true, false, null],
            "key: with # signs": 1, "yes": 2, "": 3,
        });
        let text = to_string(&value);
        let back: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(back, value, "{text}");
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let value = json!({"configs": [{"config_name": "a", "data_files": [{"split": "train", "path": "b.parquet"}]}], "language": ["en"]});
        let want =
            "configs:\n- config_name: a\n  data_files:\n  - split: train\n    path: b.parquet\nlanguage:\n- en\n";
        assert_eq!(to_string(&value), want);
    }
}
