//! Reads typed values out of a recipe's tree and collects what is wrong instead of stopping at it.
//!
//! A [`Reader`] stands for one table. Each getter names its key, so that the reader knows all keys when
//! [`Reader::finish`] looks at what nobody asked for. A getter always gives a value; it is only used if no mistake was
//! noted anywhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use wardsmith_model::adapter::Modules;
use wardsmith_records::record::Published;
use wardsmith_records::sampling::Sampling;

use super::Paths;
use super::mistake::{Mistake, Place, Wrong, suggest};
use super::tree::{Node, Table, Value};

/// What a check says of a value.
pub(super) type Checked = Result<(), Wrong>;

/// A type that a TOML value can be read as.
pub(super) trait Read: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;

    fn read(value: &Value) -> Option<Self>;
}

impl Read for u64 {
    const EXPECTED: &'static str = "a whole number, not negative";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => (*number).try_into().ok(),
            _ => None,
        }
    }
}

impl Read for usize {
    const EXPECTED: &'static str = u64::EXPECTED;

    fn read(value: &Value) -> Option<Self> {
        u64::read(value)?.try_into().ok()
    }
}

impl Read for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(*number as Self),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl Read for String {
    const EXPECTED: &'static str = "text in quotes";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Read for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(Self::from)
    }
}

impl Read for Paths {
    const EXPECTED: &'static str = "a path in quotes, or a list of paths";

    fn read(value: &Value) -> Option<Self> {
        let one = PathBuf::read(value).map(|path| vec![path]);
        let several = || Vec::<String>::read(value).map(|paths| paths.into_iter().map(PathBuf::from).collect());
        one.or_else(several).map(Self)
    }
}

impl Read for Sampling {
    const EXPECTED: &'static str = "none, square_root, balanced, { cap = 2000 } or { effective_number = 0.999 }";

    fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.to_json()?).ok()
    }
}

impl Read for Published {
    const EXPECTED: &'static str = "a day such as \"2024-01-31\"";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(date) | Value::Date(date) => date.parse().ok().filter(|day: &Self| day.is_day()),
            _ => None,
        }
    }
}

impl Read for Vec<String> {
    const EXPECTED: &'static str = "a list of texts, such as [\"a\", \"b\"]";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::List(nodes) => nodes.iter().map(|node| String::read(&node.value)).collect(),
            _ => None,
        }
    }
}

impl Read for Modules {
    const EXPECTED: &'static str = "a list of names, or a pattern in quotes";

    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(Self::Pattern).or_else(|| Vec::<String>::read(value).map(Self::Names))
    }
}

/// A table of any keys.
pub(super) struct Any(pub(super) serde_json::Map<String, serde_json::Value>);

impl Read for Any {
    const EXPECTED: &'static str = "a table of finite values";

    fn read(value: &Value) -> Option<Self> {
        match (value, value.to_json()?) {
            (Value::Table(_), serde_json::Value::Object(map)) => Some(Self(map)),
            _ => None,
        }
    }
}

/// One table that is being read.
pub(super) struct Reader<'a> {
    table: Table,
    path: String,
    place: Place,
    /// Every key that was asked for, in the order of asking.
    known: Vec<&'static str>,
    /// Where the keys stand that were found.
    places: BTreeMap<&'static str, Place>,
    mistakes: &'a RefCell<Vec<Mistake>>,
}

impl<'a> Reader<'a> {
    /// Reads the whole recipe; mistakes go to `mistakes`.
    pub(super) fn new(table: Table, mistakes: &'a RefCell<Vec<Mistake>>) -> Self {
        Self { table, path: String::new(), place: Place::Whole, known: Vec::new(), places: BTreeMap::new(), mistakes }
    }

    /// The value of `key`, if it is there, of the right type and approved by `check`.
    pub(super) fn optional<T: Read>(&mut self, key: &'static str, check: impl Fn(&T) -> Checked) -> Option<T> {
        let node = self.take(key)?;
        let wrong = match T::read(&node.value) {
            Some(value) => match check(&value) {
                Ok(()) => return Some(value),
                Err(wrong) => wrong,
            },
            None => type_error::<T>(&node.value),
        };
        self.note(key, wrong);
        None
    }

    /// The value of `key`, or `default` where the recipe is silent.
    pub(super) fn or<T: Read>(&mut self, key: &'static str, default: T, check: impl Fn(&T) -> Checked) -> T {
        self.optional(key, check).unwrap_or(default)
    }

    /// The value of `key`; a mistake where the recipe is silent.
    pub(super) fn required<T: Read + Default>(
        &mut self,
        key: &'static str,
        hint: &str,
        check: impl Fn(&T) -> Checked,
    ) -> T {
        if !self.has(key) {
            self.note(key, Wrong::new("is missing", hint));
        }
        self.or(key, T::default(), check)
    }

    /// The one of `choices` that `key` names, or the first one where the recipe is silent.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> T {
        let first = choices[0].1;
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let known = |given: &String| match names.contains(&given.as_str()) {
            true => Ok(()),
            false => {
                Err(Wrong::new(format!("{} is no choice here", super::tree::shown(given)), suggest(given, &names)))
            }
        };
        let Some(given) = self.optional(key, known) else {
            return first;
        };
        let found = choices.iter().find(|(name, _)| *name == given);
        found.map_or(first, |(_, value)| *value)
    }

    /// The table called `key`, if it is there.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        let node = self.take(key)?;
        match node.value {
            Value::Table(table) => Some(Self {
                table,
                path: self.path_of(key),
                place: node.place,
                known: Vec::new(),
                places: BTreeMap::new(),
                mistakes: self.mistakes,
            }),
            other => {
                let what = format!("expected a table, found {}", other.describe());
                self.note(key, Wrong::new(what, format!("write `[{key}]` on a line")));
                None
            }
        }
    }

    /// All entries, each read as a `T` and approved by `check` (which is given its key too); for tables of free keys.
    pub(super) fn entries<T: Read>(mut self, check: impl Fn(&str, &T) -> Checked) -> BTreeMap<String, T> {
        let mut entries = BTreeMap::new();
        for (key, node) in std::mem::take(&mut self.table) {
            let checked = match T::read(&node.value) {
                Some(value) => check(&key, &value).map(|()| value),
                None => Err(type_error::<T>(&node.value)),
            };
            match checked {
                Ok(value) => drop(entries.insert(key, value)),
                Err(wrong) => self.note_at(node.place, &key, wrong),
            }
        }
        entries
    }

    /// Of two keys that exclude one another at most one is left: an override displaces what the recipe says, and two
    /// of the same rank are a mistake. Says whether any was given.
    pub(super) fn at_most_one(&mut self, first: &'static str, second: &'static str) -> bool {
        let place = |key| self.table.get(key).map(|node: &Node| node.place.clone());
        match (place(first), place(second)) {
            (None, None) => return false,
            (Some(left), Some(right)) => {
                let displaced = match (left.is_set(), right.is_set()) {
                    (true, false) => second,
                    (false, true) => first,
                    _ => {
                        let what = format!("contradicts `{first}`, which is given too");
                        self.places.insert(second, right);
                        self.note(second, Wrong::new(what, "keep one of the two"));
                        second
                    }
                };
                self.table.remove(displaced);
            }
            _ => {}
        }
        true
    }

    /// Whether the recipe gives `key` (and no getter took it yet).
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether nothing is left to read.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes a mistake about `key`; at its place if it was found, otherwise at the table's.
    pub(super) fn note(&self, key: &str, wrong: Wrong) {
        let place = self.places.get(key).unwrap_or(&self.place).clone();
        self.note_at(place, key, wrong);
    }

    /// Flags every key that no getter asked for.
    pub(super) fn finish(mut self) {
        for (key, node) in std::mem::take(&mut self.table) {
            let wrong = Wrong::new("is not a key of a recipe", suggest(&key, &self.known));
            self.note_at(node.place, &key, wrong);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let node = self.table.remove(key)?;
        self.places.insert(key, node.place.clone());
        Some(node)
    }

    fn note_at(&self, place: Place, key: &str, wrong: Wrong) {
        self.mistakes.borrow_mut().push(Mistake { place, key: self.path_of(key), what: wrong.what, hint: wrong.hint });
    }

    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}

fn type_error<T: Read>(found: &Value) -> Wrong {
    Wrong::new(
        format!("expected {}, found {}", T::EXPECTED, found.describe()),
        match found {
            Value::Float(number) if number.fract() == 0.0 && T::EXPECTED == u64::EXPECTED => {
                format!("write {number:.0}")
            }
            Value::Integer(_) | Value::Float(_) if T::EXPECTED == String::EXPECTED => "put it in quotes".into(),
            _ => String::new(),
        },
    )
}
