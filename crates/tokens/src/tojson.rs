//! JSON in and out of templates. The `tojson` filter is as Transformers defines it: Python's `json.dumps(value, ensure_ascii=False)`,
//! no HTML escapes.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Deeper values come from no real template.
const MAX_DEPTH: usize = 64;

/// How Python's `json.dumps` is asked to write.
pub(crate) struct Style {
    indent: Option<usize>,
    item: String,
    key: String,
    sort_keys: bool,
}

impl Style {
    /// `", "` and `": "` between items, or one item a line with `indent` spaces, unless two `separators` say otherwise.
    pub(crate) fn new(indent: Option<usize>, separators: Option<&[String]>, sort_keys: bool) -> Self {
        let usual = if indent.is_some() { "," } else { ", " };
        let (item, key) = match separators {
            Some([item, key]) => (item.clone(), key.clone()),
            _ => (usual.to_owned(), ": ".to_owned()),
        };
        Self { indent: indent.map(|spaces| spaces.min(16)), item, key, sort_keys }
    }
}

/// JSON as a template sees it.
///
/// # Errors
/// It is nested too deep.
pub(crate) fn from_json(json: &serde_json::Value) -> crate::Result<Value> {
    convert(json, 0).ok_or_else(|| crate::Error::Template {
        place: "as a whole".to_owned(),
        reason: format!("was given messages or tools that are nested more than {MAX_DEPTH} deep"),
        hint: "no chat needs so much; look at what made them",
    })
}

fn convert(json: &serde_json::Value, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::from(number.as_f64()?),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(list) => {
            Value::from(list.iter().map(|item| convert(item, depth + 1)).collect::<Option<Vec<_>>>()?)
        }
        serde_json::Value::Object(object) => {
            let pairs = object.iter().map(|(key, item)| Some((key.as_str(), convert(item, depth + 1)?)));
            Value::from_pairs(pairs.collect::<Option<Vec<_>>>()?)
        }
    })
}

/// `value` as Python writes it.
pub(crate) fn to_json(value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    write_value(&mut out, value, style, 0)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::BadSerialization, "the value is nested too deep for JSON"));
    }
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(out, value),
        ValueKind::String => write_string(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_list(out, ('[', ']'), items.len(), style, depth, |out, i| {
                write_value(out, &items[i], style, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            write_list(out, ('{', '}'), keys.len(), style, depth, |out, i| {
                write_string(out, &keys[i].to_string());
                out.push_str(&style.key);
                write_value(out, &value.get_item(&keys[i])?, style, depth + 1)
            })?;
        }
        kind => {
            return Err(Error::new(ErrorKind::BadSerialization, format!("a {kind} cannot be JSON")));
        }
    }
    Ok(())
}

/// Brackets, commas and line breaks around `len` items.
fn write_list(
    out: &mut String,
    (open, close): (char, char),
    len: usize,
    style: &Style,
    depth: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(open);
    for i in 0..len {
        if i > 0 {
            out.push_str(&style.item);
        }
        break_line(out, style.indent, depth + 1);
        item(out, i)?;
    }
    if len > 0 {
        break_line(out, style.indent, depth);
    }
    out.push(close);
    Ok(())
}

fn break_line(out: &mut String, indent: Option<usize>, depth: usize) {
    if let Some(spaces) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', spaces * depth));
    }
}

fn write_number(out: &mut String, value: &Value) {
    // Both write integers plainly and floats with a point.
    let _ = write!(out, "{value}");
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample() -> Value {
        let list: Value = vec![Value::from(1), Value::from(2.5), Value::from(()), Value::from(true)].into();
        let empty = Value::from(Vec::<Value>::new());
        Value::from(BTreeMap::from([("a", list), ("b<&>", Value::from("é \"x\"\n\u{1}")), ("c", empty)]))
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        let text = to_json(&sample(), &Style::new(None, None, false)).unwrap();
        assert_eq!(text, r#"{"a": [1, 2.5, null, true], "b<&>": "é \"x\"\n\u0001", "c": []}"#);
    }

    #[test]
    fn separators_and_sorting_are_as_asked() {
        let value = from_json(&serde_json::json!({"b": [1, 2], "a": null})).unwrap();
        let tight = Style::new(None, Some(&[",".to_owned(), ":".to_owned()]), true);
        assert_eq!(to_json(&value, &tight).unwrap(), r#"{"a":null,"b":[1,2]}"#);
    }

    #[test]
    fn json_comes_back_as_it_was_unless_it_is_too_deep() {
        let text = r#"{"z": [1, -2, 18446744073709551615, 2.5, true, null], "a": {"é": "x"}}"#;
        let value = from_json(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(to_json(&value, &Style::new(None, None, false)).unwrap(), text);
        let deep = (0..100).fold(serde_json::Value::Null, |inside, _| serde_json::json!([inside]));
        assert!(from_json(&deep).unwrap_err().to_string().contains("nested"));
    }

    #[test]
    fn an_indent_puts_one_item_a_line() {
        let value = Value::from(BTreeMap::from([("a", vec![1, 2])]));
        assert_eq!(to_json(&value, &Style::new(Some(2), None, false)).unwrap(), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    }
}
