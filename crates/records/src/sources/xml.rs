//! XML read entry by entry: each chosen element becomes a small tree, and nothing else is held.
//!
//! No document type and no entity but the five predefined ones and character references is accepted, so that nothing
//! expands; depth and size are bounded.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// No document of the kind is near this size.
pub(crate) const MAX_XML_BYTES: u64 = 512 << 20;
/// Nor this deep.
const MAX_DEPTH: usize = 64;

/// An element with all that is in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// Its name without prefix.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Child>,
}

#[derive(Debug)]
enum Child {
    Element(Element),
    Text(String),
}

impl Element {
    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The child elements called `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(move |child| match child {
            Child::Element(element) if element.name == name => Some(element),
            _ => None,
        })
    }

    /// The first child element called `name`.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.all(name).next()
    }

    /// The elements called `inner` in the child elements called `outer`.
    pub(crate) fn all_in(&self, outer: &str, inner: &str) -> impl Iterator<Item = &Self> {
        self.all(outer).flat_map(move |element| element.all(inner))
    }

    /// The plain text of the first child called `name`; empty where there is none.
    pub(crate) fn text_of(&self, name: &str) -> String {
        self.child(name).map(Self::text).unwrap_or_default()
    }

    /// The plain texts of the children called `name`.
    pub(crate) fn texts_of(&self, name: &str) -> Vec<String> {
        self.all(name).map(Self::text).filter(|text| !text.is_empty()).collect()
    }

    /// All text in it, a line a block: XHTML's paragraphs and list items begin lines, its other markup is dropped.
    pub(crate) fn text(&self) -> String {
        let mut raw = String::new();
        self.add_text(&mut raw);
        let lines = raw.split(BLOCK).map(crate::clean::one_line);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty() && line != "-").collect();
        lines.join("\n")
    }

    fn add_text(&self, raw: &mut String) {
        let block = matches!(self.name.as_str(), "p" | "div" | "li" | "br" | "ul" | "ol" | "tr" | "table" | "pre");
        if block {
            raw.push(BLOCK);
        }
        if self.name == "li" {
            raw.push_str("- ");
        }
        for child in &self.children {
            match child {
                Child::Text(text) => raw.push_str(text),
                Child::Element(element) => element.add_text(raw),
            }
        }
        if block {
            raw.push(BLOCK);
        }
    }
}

/// Stands between blocks while text is collected; no XML document may contain it.
const BLOCK: char = '\u{1}';

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("at byte {at}: {source}")]
    Syntax { at: u64, source: quick_xml::Error },
    #[error("at byte {at}: {what}")]
    Refused { at: u64, what: String },
}

/// Calls `each` for every element that is a child of a child of the root, with the root's attributes.
pub(crate) fn entries(reader: &mut dyn BufRead, each: &mut dyn FnMut(&Element, Element)) -> Result<(), XmlError> {
    let limited = std::io::Read::take(reader, MAX_XML_BYTES);
    let mut stream =
        Stream { reader: Reader::from_reader(limited), buffer: Vec::new(), root: Element::default(), open: Vec::new() };
    while stream.step(each)? {}
    Ok(())
}

/// What is read and what is open.
struct Stream<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    root: Element,
    open: Vec<Element>,
}

impl<R: BufRead> Stream<R> {
    /// Reads one event; `false` at the end.
    fn step(&mut self, each: &mut dyn FnMut(&Element, Element)) -> Result<bool, XmlError> {
        self.buffer.clear();
        let at = self.reader.buffer_position();
        let refuse = |what: String| Err(XmlError::Refused { at, what });
        let event = self.reader.read_event_into(&mut self.buffer);
        let event = event.map_err(|source| XmlError::Syntax { at, source })?;
        match event {
            Event::Start(start) => {
                let element = element(&start).map_err(|source| XmlError::Syntax { at, source })?;
                self.open.push(element);
                if self.open.len() > MAX_DEPTH {
                    return refuse(format!("elements are nested deeper than {MAX_DEPTH}"));
                }
            }
            Event::Empty(start) => {
                let element = element(&start).map_err(|source| XmlError::Syntax { at, source })?;
                close(&mut self.open, &mut self.root, element, each);
            }
            Event::End(_) => match self.open.pop() {
                Some(element) => close(&mut self.open, &mut self.root, element, each),
                None => return refuse("an element ends that never began".into()),
            },
            Event::Text(text) => add_text(&mut self.open, &text.xml10_content()),
            Event::CData(text) => add_text(&mut self.open, &text.xml10_content()),
            Event::GeneralRef(name) => match resolve(&name) {
                Some(text) => add_text(&mut self.open, &text),
                None => {
                    return refuse(format!("entity `{}` is not predefined, and none is expanded", &*name));
                }
            },
            Event::DocType(_) => {
                return refuse("it declares a document type, which is not read".into());
            }
            Event::Eof if !self.open.is_empty() => {
                return refuse("it ends within an element".into());
            }
            Event::Eof => return Ok(false),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
        }
        Ok(true)
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, quick_xml::Error> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute?;
        let name = attribute.key.local_name().as_ref().to_owned();
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0)?;
        attributes.push((name, value.into_owned()));
    }
    Ok(Element { name: start.local_name().as_ref().to_owned(), attributes, children: Vec::new() })
}

/// Hands out a finished entry, or hangs a finished element into the one around it.
fn close(open: &mut [Element], root: &mut Element, element: Element, each: &mut dyn FnMut(&Element, Element)) {
    match open {
        [] => *root = element,
        [_] => {}
        [outer, _] => each(outer, element),
        [.., parent] => parent.children.push(Child::Element(element)),
    }
}

/// Hangs text into the element that is open; between entries it is only white space.
fn add_text(open: &mut [Element], text: &str) {
    if open.len() < 3 {
        return;
    }
    if let Some(parent) = open.last_mut() {
        match parent.children.last_mut() {
            Some(Child::Text(known)) => known.push_str(text),
            _ => parent.children.push(Child::Text(text.replace(BLOCK, " "))),
        }
    }
}

/// A character reference or a predefined entity.
fn resolve(name: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    match name.resolve_char_ref() {
        Ok(Some(c)) => Some(c.to_string()),
        Ok(None) => resolve_predefined_entity(name).map(str::to_owned),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Result<Vec<String>, XmlError> {
        let mut found = Vec::new();
        entries(&mut xml.as_bytes(), &mut |_, entry| found.push(entry.text()))?;
        Ok(found)
    }

    #[test]
    fn entries_are_handed_out_with_the_roots_attributes() {
        let xml = r#"<?xml version="1.0"?><r Date="2024-01-02"><a><e ID="1">x</e><e ID="2"/></a><b/></r>"#;
        let mut found = Vec::new();
        entries(&mut xml.as_bytes(), &mut |root, entry| {
            found.push((root.attribute("Date").unwrap().to_owned(), entry.attribute("ID").unwrap().to_owned()));
        })
        .unwrap();
        assert_eq!(found, [("2024-01-02".to_owned(), "1".to_owned()), ("2024-01-02".into(), "2".into())]);
    }

    #[test]
    fn markup_becomes_lines_and_references_characters() {
        let xml = "<r><a><e>One &lt;b&gt; &#65;&amp;\n <x:b>bold</x:b>.<x:p>Two</x:p><x:ul><x:li>three</x:li>\
                   <x:li><x:p>four</x:p></x:li></x:ul></e></a></r>";
        assert_eq!(texts(xml).unwrap(), ["One <b> A& bold.\nTwo\n- three\nfour"]);
    }

    #[test]
    fn nothing_expands() {
        let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><r><a><e>&b;</e></a></r>";
        assert!(texts(bomb).unwrap_err().to_string().contains("document type"));
        assert!(texts("<r><a><e>&b;</e></a></r>").unwrap_err().to_string().contains("entity `b`"));
        assert!(texts("<r><a><e x='&b;'/></a></r>").is_err());
    }

    #[test]
    fn what_is_too_deep_or_breaks_off_is_an_error() {
        assert!(texts(&"<a>".repeat(1000)).unwrap_err().to_string().contains("deeper than"));
        for xml in ["<r><a><e>", "<r><a></r>", "</r>", "<r", "<r><a><e x=></e></a></r>", "<r>&#xFFFFFFFF;</r>"] {
            assert!(texts(xml).is_err(), "{xml}");
        }
    }
}
