//! A TOML document as a tree that remembers where everything was written, so that text and overrides merge into one.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place};

/// Keys with their values.
pub(super) type Table = BTreeMap<String, Node>;

/// One value and where its key (or it itself, in a list) stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A TOML value; integers beyond 64 bits and dates are kept as they were written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Date(String),
    Integer(i64),
    HugeInteger(String),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The value with its kind, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("text {}", shown(text)),
            Self::Date(date) => format!("the date `{date}`"),
            Self::Integer(number) => format!("the number `{number}`"),
            Self::HugeInteger(number) => format!("the number `{number}`, beyond 64 bits"),
            Self::Float(number) => format!("the number `{number:?}`"),
            Self::Boolean(truth) => format!("`{truth}`"),
            Self::List(_) => "a list".into(),
            Self::Table(_) => "a table".into(),
        }
    }

    /// The same value as JSON; `None` where JSON cannot hold it (`nan`, `inf`, huge integers).
    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Text(text) | Self::Date(text) => text.clone().into(),
            Self::Integer(number) => (*number).into(),
            Self::HugeInteger(_) => return None,
            Self::Float(number) => serde_json::Number::from_f64(*number)?.into(),
            Self::Boolean(truth) => (*truth).into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.to_json()).collect::<Option<_>>()?,
            Self::Table(table) => {
                table.iter().map(|(key, node)| Some((key.clone(), node.value.to_json()?))).collect::<Option<_>>()?
            }
        })
    }
}

/// Text in backticks, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}…`", text[..end].escape_debug()),
        None => format!("`{}`", text.escape_debug()),
    }
}

/// The tree of a TOML document, or all its errors of syntax.
pub(super) fn parse(text: &str) -> Result<Table, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let place = |offset| Place::at(text, offset);
        return Ok(table(document.get_ref(), &place));
    }
    let mistake = |error: &toml::de::Error| Mistake {
        place: error.span().map_or(Place::Whole, |span| Place::at(text, span.start)),
        key: String::new(),
        what: error.message().to_owned(),
        hint: String::new(),
    };
    let mut mistakes: Vec<_> = errors.iter().map(mistake).collect();
    mistakes.sort_by(|left, right| left.place.cmp(&right.place));
    if let Some(last) = mistakes.last_mut() {
        last.hint = "the keys and values are checked once this is TOML".into();
    }
    Err(mistakes)
}

/// The tree of `from`, with the place of each key by its byte offset.
pub(super) fn table(from: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        let node = Node { place: place(key.span().start), value: self::value(value.get_ref(), place) };
        (key.get_ref().to_string(), node)
    };
    from.iter().map(entry).collect()
}

/// The tree of one value.
pub(super) fn value(from: &DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    match from {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::HugeInteger(number.to_string()), Value::Integer),
        // The parser accepts no number that is not one; `nan` fails every check of a range.
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Array(values) => Value::List(
            values
                .iter()
                .map(|value| Node { place: place(value.span().start), value: self::value(value.get_ref(), place) })
                .collect(),
        ),
        DeValue::Table(entries) => Value::Table(table(entries, place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_syntax_is_reported_with_its_place() {
        let mistakes = parse("a = \nb = 1\nc = [1, \n").unwrap_err();
        assert!(mistakes.len() >= 2, "{mistakes:?}");
        let lines = mistakes.iter().map(|mistake| match mistake.place {
            Place::At { line, .. } => line,
            _ => 0,
        });
        assert!(lines.clone().eq([1, 3]), "{mistakes:?}");
    }

    #[test]
    fn numbers_of_every_notation_are_read() {
        let table = parse("a = 1_000\nb = 0x1F\nc = -3\nd = 1_0.5e1\ne = 99999999999999999999\n").unwrap();
        assert!(matches!(table["a"].value, Value::Integer(1000)));
        assert!(matches!(table["b"].value, Value::Integer(31)));
        assert!(matches!(table["c"].value, Value::Integer(-3)));
        assert!(matches!(table["d"].value, Value::Float(105.0)));
        assert!(matches!(table["e"].value, Value::HugeInteger(_)));
    }
}
