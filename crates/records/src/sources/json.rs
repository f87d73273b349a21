//! JSON that is too large for memory: the elements of one big array, each handed out as its own text.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::RejectReason;
use crate::source::MAX_RECORD_BYTES;

/// Calls `each` with the text of every element of a top-level array, or of the arrays under `keys` in a top-level
/// object. Returns how many such arrays there were.
pub(crate) fn elements(
    reader: &mut dyn BufRead,
    keys: &[&str],
    each: &mut dyn FnMut(&str),
) -> serde_json::Result<usize> {
    let budget = Rc::new(Cell::new(MAX_RECORD_BYTES));
    let metered = Metered { inner: reader, budget: Rc::clone(&budget) };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, metered));
    let mut arrays = 0;
    let top = Top { keys, budget: &budget, each, arrays: &mut arrays };
    json.deserialize_any(top)?;
    json.end()?;
    Ok(arrays)
}

/// Lets through `budget` more bytes, which the array's visitor renews at every element.
struct Metered<'a> {
    inner: &'a mut dyn BufRead,
    budget: Rc<Cell<usize>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.budget.get().checked_sub(count) {
            Some(left) => self.budget.set(left),
            None => {
                let message = format!("one record has more than {MAX_RECORD_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        Ok(count)
    }
}

/// The top-level value.
struct Top<'a> {
    keys: &'a [&'a str],
    budget: &'a Cell<usize>,
    each: &'a mut dyn FnMut(&str),
    arrays: &'a mut usize,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.budget.set(MAX_RECORD_BYTES);
            if self.keys.contains(&key.as_str()) {
                *self.arrays += 1;
                map.next_value_seed(Elements { budget: self.budget, each: &mut *self.each })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        *self.arrays += 1;
        Elements { budget: self.budget, each: self.each }.visit_seq(seq)
    }
}

/// The big array.
struct Elements<'a> {
    budget: &'a Cell<usize>,
    each: &'a mut dyn FnMut(&str),
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<Box<RawValue>>()? {
            (self.each)(element.get());
            self.budget.set(MAX_RECORD_BYTES);
        }
        Ok(())
    }
}

/// One record out of its text.
pub(crate) fn record<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, RejectReason> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => RejectReason::WrongShape,
        _ => RejectReason::Malformed,
    })
}

/// A field that may be `null`, which is as if it were missing.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A timestamp such as `2024-09-20T17:15:15.240` as the number `20240920171515`; 0 where it is none.
pub(crate) fn timestamp(text: Option<&str>) -> u64 {
    let digits = text.unwrap_or_default().bytes().filter(u8::is_ascii_digit).take(14);
    let (number, count) =
        digits.fold((0u64, 0), |(number, count), digit| (number * 10 + u64::from(digit - b'0'), count + 1));
    // Feeds that state no seconds must compare with those that do.
    number * 10u64.pow(14 - count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(text: &str) -> serde_json::Result<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let arrays = elements(&mut text.as_bytes(), &["items"], &mut |one| found.push(one.to_owned()))?;
        Ok((arrays, found))
    }

    #[test]
    fn the_elements_of_the_named_array_are_handed_out_as_text() {
        let (arrays, found) = collect(r#"{"a":[1,2],"items":[{"b": [3]}, "x"],"c":{"items":[9]}}"#).unwrap();
        assert_eq!((arrays, found), (1, vec![r#"{"b": [3]}"#.to_owned(), "\"x\"".to_owned()]));
        assert_eq!(collect("[1, 2]").unwrap(), (1, vec!["1".into(), "2".into()]));
        assert_eq!(collect("{}").unwrap().0, 0);
    }

    #[test]
    fn what_ends_early_or_goes_on_too_long_is_an_error() {
        for text in [r#"{"items":[1"#, r#"{"items":[1]} {"#, r#"{"items":7}"#, "7", "[1,]"] {
            assert!(collect(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_larger_than_a_record_may_be_ends_the_file() {
        // The limit is checked a buffer at a time, so it is passed by more than a buffer.
        let text = format!("{{\"items\":[\"{}\"]}}", "x".repeat(MAX_RECORD_BYTES + (1 << 20)));
        let message = collect(&text).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("one record has more than"), "{message}");
        let many = format!("{{\"items\":[{}1]}}", format!("\"{}\",", "x".repeat(1 << 20)).repeat(40));
        assert_eq!(collect(&many).unwrap().1.len(), 41, "the limit is one record's, not the file's");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = collect(&deep);
        let _ = collect(&format!("{{\"items\":[{deep}]}}"));
        assert!(record::<Vec<String>>(&deep).is_err());
    }

    #[test]
    fn timestamps_of_different_precision_compare() {
        assert_eq!(timestamp(Some("2024-09-20T17:15:15.240")), 20_240_920_171_515);
        assert_eq!(timestamp(Some("2021-08-23T17:59Z")), 20_210_823_175_900);
        assert_eq!((timestamp(None), timestamp(Some("never"))), (0, 0));
    }
}
