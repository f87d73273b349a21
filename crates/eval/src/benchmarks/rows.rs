//! Rows of a file as maps from names to texts, whatever its shape: what the adapters share.

use serde_json::{Map, Value};

/// One row: column or key → text.
pub(super) struct Row {
    /// From 1, for messages.
    number: usize,
    values: Map<String, Value>,
}

impl Row {
    /// The text of `name`; numbers and truth values as JSON writes them.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        match self.values.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(Value::Null) => Ok(String::new()),
            Some(_) => Err(format!("`{name}` of row {} is no text", self.number)),
            None => Err(format!("row {} has no `{name}`", self.number)),
        }
    }

    /// The first of several names that the row has.
    pub(super) fn any(&self, names: &[&str]) -> Result<String, String> {
        let found = names.iter().find(|name| self.values.contains_key(**name));
        found.map_or_else(
            || Err(format!("row {} has none of `{}`", self.number, names.join("`, `"))),
            |name| self.text(name),
        )
    }

    /// The list of texts of `name`; one text is a list of one.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, String> {
        match self.values.get(name) {
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned);
                items.iter().map(|item| text(item).ok_or_else(|| self.wrong(name))).collect()
            }
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            _ => Err(self.wrong(name)),
        }
    }

    /// The names and texts of the object `name`.
    pub(super) fn object(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let object = self.values.get(name).and_then(Value::as_object).ok_or_else(|| self.wrong(name))?;
        let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        object.iter().map(|one| pair(one).ok_or_else(|| self.wrong(name))).collect()
    }

    /// What is wrong with `name` here.
    pub(super) fn wrong(&self, name: &str) -> String {
        format!("`{name}` of row {} is missing or of another kind", self.number)
    }
}

/// Tab-separated values with a head, fields quoted or not.
pub(super) fn tsv(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let row = |(number, record): (usize, csv::Result<csv::StringRecord>)| {
        let record = record.map_err(|error| error.to_string())?;
        let pair = |(name, value): (&str, &str)| (name.trim().to_owned(), Value::String(value.to_owned()));
        Ok(Row { number, values: names.iter().zip(&record).map(pair).collect() })
    };
    (1..).zip(reader.records()).map(row).collect()
}

/// A list of objects, or the list at `key` of an object.
pub(super) fn json(text: &str, key: &str) -> Result<Vec<Row>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error})"))?;
    let items = match value {
        Value::Array(items) => items,
        Value::Object(mut object) => match object.remove(key) {
            Some(Value::Array(items)) => items,
            _ => return Err(format!("it has no list `{key}`")),
        },
        _ => return Err("it is no list".into()),
    };
    (1..).zip(items).map(row).collect()
}

/// An object a line.
pub(super) fn json_lines(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let value = |(number, line): (usize, &str)| {
        let value = serde_json::from_str(line).map_err(|error| format!("line {number} is not JSON ({error})"))?;
        row((number, value))
    };
    (1..).zip(lines).map(value).collect()
}

fn row((number, value): (usize, Value)) -> Result<Row, String> {
    match value {
        Value::Object(values) => Ok(Row { number, values }),
        _ => Err(format!("row {number} is no object")),
    }
}

/// The letter of an option such as `B: text`, `B. text` or `B) text`.
pub(super) fn option_letter(option: &str) -> Option<char> {
    let mut signs = option.trim().chars();
    let letter = signs.next().filter(char::is_ascii_uppercase)?;
    signs.next().filter(|sign| ":.)".contains(*sign)).map(|_| letter)
}

/// The letters of `options`, which must be different.
pub(super) fn option_letters(row: &Row, name: &str) -> Result<(Vec<String>, Vec<char>), String> {
    let options = row.list(name)?;
    let letters: Option<Vec<char>> = options.iter().map(|option| option_letter(option)).collect();
    let mut letters = letters.filter(|letters| !letters.is_empty()).ok_or_else(|| row.wrong(name))?;
    letters.sort_unstable();
    letters.dedup();
    Ok((options, letters))
}

/// The sorted letters of a key such as `AC`.
pub(super) fn key(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().filter(char::is_ascii_uppercase).collect();
    letters.sort_unstable();
    letters.dedup();
    letters
}
