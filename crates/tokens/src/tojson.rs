//! The `tojson` filter as Transformers defines it: Python's `json.dumps(value, ensure_ascii=False)`, no HTML escapes.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Deeper values come from no real template.
const MAX_DEPTH: usize = 64;

/// `value` as Python writes it: `", "` and `": "` between items, or one item a line with `indent` spaces.
pub(crate) fn to_json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let mut out = String::new();
    let indent = indent.map(|spaces| spaces.min(16));
    write_value(&mut out, value, indent, 0)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value, indent: Option<usize>, depth: usize) -> Result<(), Error> {
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
            write_list(out, ('[', ']'), items.len(), indent, depth, |out, i| {
                write_value(out, &items[i], indent, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            write_list(out, ('{', '}'), keys.len(), indent, depth, |out, i| {
                write_string(out, &keys[i].to_string());
                out.push_str(": ");
                write_value(out, &value.get_item(&keys[i])?, indent, depth + 1)
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
    indent: Option<usize>,
    depth: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(open);
    for i in 0..len {
        if i > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        break_line(out, indent, depth + 1);
        item(out, i)?;
    }
    if len > 0 {
        break_line(out, indent, depth);
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
        let text = to_json(&sample(), None).unwrap();
        assert_eq!(text, r#"{"a": [1, 2.5, null, true], "b<&>": "é \"x\"\n\u0001", "c": []}"#);
    }

    #[test]
    fn an_indent_puts_one_item_a_line() {
        let value = Value::from(BTreeMap::from([("a", vec![1, 2])]));
        assert_eq!(to_json(&value, Some(2)).unwrap(), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    }
}
