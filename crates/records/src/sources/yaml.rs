//! YAML by foreign hands as plain values, within a budget: no alias bombs, no depths, no second document.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::clean::one_line;
use crate::record::RejectReason;

/// How deep lists and mappings may be nested. Rules reach six.
const MAX_DEPTH: usize = 24;
/// How many lists, mappings and scalars a document may have. Rules reach some 2,000.
const MAX_NODES: usize = 100_000;
/// How often a document may refer to another place in it. No rule does; sixteen cannot multiply much.
const MAX_ALIASES: usize = 16;

/// A value. Scalars are kept as text, because nothing is calculated with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Scalar(String),
    List(Vec<Self>),
    /// In the order of the document.
    Map(Vec<(String, Self)>),
}

/// The one document in `text`; nothing at all is [`Node::Null`].
pub(super) fn parse(text: &str) -> Result<Node, RejectReason> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_NODES,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // YAML 1.2: `on` and `no` are words.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|_| RejectReason::Malformed)
}

impl Node {
    /// What stands under `key`, where this is a mapping that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == key).map(|(_, value)| value).filter(|value| **value != Self::Null)
    }

    /// The scalar under `key`; empty where there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Self::Scalar(text)) => text,
            _ => "",
        }
    }

    /// The scalars in the list under `key`, or the one scalar there.
    pub(super) fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key) {
            Some(Self::Scalar(text)) => vec![text],
            Some(Self::List(items)) => items.iter().filter_map(Self::scalar).collect(),
            _ => Vec::new(),
        }
    }

    fn scalar(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// It as indented lines, much as it was written.
    pub(super) fn lines(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.truncate(out.trim_end().len());
        out
    }

    /// Writes lines that begin at `indent`; the first one goes on where `out` stands. As deep as the parser allows.
    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::Null => out.push_str("null\n"),
            Self::Scalar(text) => {
                let line = one_line(text);
                out.push_str(if line.is_empty() { "''" } else { &line });
                out.push('\n');
            }
            Self::List(items) if items.is_empty() => out.push_str("[]\n"),
            Self::Map(entries) if entries.is_empty() => out.push_str("{}\n"),
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    start_line(out, indent, at);
                    out.push_str("- ");
                    item.write(out, indent + 2);
                }
            }
            Self::Map(entries) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    start_line(out, indent, at);
                    out.push_str(&one_line(key));
                    out.push(':');
                    value.write_under_key(out, indent + 2);
                }
            }
        }
    }

    fn write_under_key(&self, out: &mut String, indent: usize) {
        let is_nested = match self {
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            _ => false,
        };
        if is_nested {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        } else {
            out.push(' ');
        }
        self.write(out, indent);
    }
}

/// Indents a line, except the first, whose place is taken by what stands before it.
fn start_line(out: &mut String, indent: usize, at: usize) {
    if at > 0 {
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Node>()? {
            let key = match key {
                Node::Scalar(text) => text,
                Node::Null => "null".into(),
                Node::List(_) | Node::Map(_) => return Err(A::Error::custom("a key is no scalar")),
            };
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_order_and_written_as_lines() {
        let text = "b:\n    EventID: 4768\n    on: no\n    'x|re':\n        - '0x10'\n        - \"two\\nlines\"\n    e: ''\na:\n- k: 1.5\n  l: ~\n- - x\n- []\n";
        let node = parse(text).unwrap();
        let want = "b:\n  EventID: 4768\n  on: no\n  x|re:\n    - 0x10\n    - two lines\n  e: ''\na:\n  - k: 1.5\n    l: null\n  - - x\n  - []";
        assert_eq!(node.lines(), want);
        assert_eq!(node.get("b").unwrap().texts("x|re"), ["0x10", "two\nlines"]);
        assert_eq!(node.get("b").unwrap().texts("EventID"), ["4768"]);
        assert_eq!((node.text("a"), node.get("l")), ("", None));
        assert_eq!(parse("").unwrap(), Node::Null);
    }

    #[test]
    fn bombs_depths_and_doubles_are_refused() {
        let mut laughs = "a: &a [x, x, x]\n".to_owned();
        for (from, to) in "abcdefghijkl".chars().zip("bcdefghijklm".chars()) {
            laughs += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(", "));
        }
        let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
        let block: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        let many = "- x\n".repeat(MAX_NODES + 1);
        for text in [&laughs, &deep, &block, &many, "a: 1\na: 2", "a: 1\n--- \nb: 2", "? [a]\n: b", "a: [", "a: &x *x"]
        {
            assert_eq!(parse(text), Err(RejectReason::Malformed), "{:.40}", text);
        }
    }

    #[test]
    fn a_large_text_referred_to_as_often_as_allowed_stays_small() {
        let mut text = format!("a: &a {}\n", "x".repeat(1 << 16));
        for (from, to) in "abcde".chars().zip("bcdef".chars()) {
            text += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 3].join(", "));
        }
        assert!(parse(&text).unwrap().lines().len() < 32 << 20);
    }
}
