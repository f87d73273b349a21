//! XML as a stream of elements and text, without document types, entities or endless nesting.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::error::{Error, Result};
use crate::kind::Kind;

/// Elements nested deeper than this were not written by a word processor.
const MAX_DEPTH: usize = 1_000;

/// What comes next.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// An element begins; one without content ends at once.
    Start(&'a BytesStart<'a>),
    /// The local name of an element that ends.
    End(&'a str),
    /// Text, references resolved.
    Text(&'a str),
}

/// Hands every node to `visit`, in order.
///
/// # Errors
/// What is not well-formed, declares a document type, refers to an entity, or is nested too deeply; and those of `visit`.
pub(super) fn each(xml: &str, visit: &mut dyn FnMut(Node<'_>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_str(xml);
    let mut depth = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| Error::broken(Kind::Docx, error.to_string()))?;
        match event {
            Event::Start(start) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Error::broken(Kind::Docx, format!("elements are nested deeper than {MAX_DEPTH}")));
                }
                visit(Node::Start(&start))?;
            }
            Event::Empty(start) => {
                visit(Node::Start(&start))?;
                visit(Node::End(start.local_name().as_ref()))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Node::End(end.local_name().as_ref()))?;
            }
            Event::Text(text) => visit(Node::Text(&text.xml10_content()))?,
            Event::CData(text) => visit(Node::Text(&text.xml10_content()))?,
            Event::GeneralRef(name) => {
                let text = resolve(&name).ok_or(Error::Refused { kind: Kind::Docx, what: "an entity" })?;
                visit(Node::Text(&text))?;
            }
            Event::DocType(_) => {
                return Err(Error::Refused { kind: Kind::Docx, what: "a document type declaration" });
            }
            Event::Eof if depth > 0 => return Err(Error::broken(Kind::Docx, "it ends within an element")),
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
        }
    }
}

/// A character reference or one of the five predefined entities.
fn resolve(name: &BytesRef<'_>) -> Option<String> {
    match name.resolve_char_ref() {
        Ok(Some(c)) => Some(c.to_string()),
        Ok(None) => resolve_predefined_entity(name).map(str::to_owned),
        Err(_) => None,
    }
}

/// The value of an attribute, by its local name. Values with references are names and numbers to nobody.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = start.attributes();
    // Looking for duplicates compares each attribute with all others.
    let found = attributes.with_checks(false).flatten().find(|attribute| attribute.key.local_name().as_ref() == name);
    found.map(|attribute| attribute.value.into_owned())
}
