//! What a paragraph is, by the name of its style.

use std::collections::BTreeMap;

use super::xml::{self, Node};
use crate::error::Result;

/// How many styles are followed from one to the one it is based on; they may lead round in a circle.
const MAX_BASES: usize = 16;

/// What a style makes of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Of level 1 to 6.
    Heading(u8),
    Item,
    Code,
}

/// The styles of a document.
#[derive(Debug, Default)]
pub(super) struct Styles {
    by_id: BTreeMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    style: Option<Style>,
    based_on: Option<String>,
}

impl Styles {
    /// Reads `word/styles.xml`.
    pub(super) fn read(xml: &str) -> Result<Self> {
        let mut styles = Self::default();
        let mut id = None;
        let mut entry = Entry::default();
        xml::each(xml, &mut |node| {
            match node {
                Node::Start(start) => match start.local_name().as_ref() {
                    "style" => {
                        id = xml::attribute(start, "styleId");
                        entry = Entry::default();
                    }
                    "name" => {
                        entry.style = xml::attribute(start, "val").and_then(|name| of_name(&name)).or(entry.style)
                    }
                    "basedOn" => entry.based_on = xml::attribute(start, "val"),
                    "numPr" => entry.style = entry.style.or(Some(Style::Item)),
                    "outlineLvl" => entry.style = outline(start).or(entry.style),
                    _ => {}
                },
                Node::End("style") => {
                    if let Some(id) = id.take() {
                        styles.by_id.insert(id, std::mem::take(&mut entry));
                    }
                }
                Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        Ok(styles)
    }

    /// What the style of this identifier makes of a paragraph.
    pub(super) fn of(&self, id: &str) -> Option<Style> {
        let mut id = id;
        for _ in 0..MAX_BASES {
            let Some(entry) = self.by_id.get(id) else {
                // Without its entry the identifier is all there is, and it is mostly the name without blanks.
                return of_name(id);
            };
            if entry.style.is_some() {
                return entry.style;
            }
            id = entry.based_on.as_deref()?;
        }
        None
    }
}

/// Built-in styles have the same English names in every language, ECMA-376 part 1 §17.7.4.9.
fn of_name(name: &str) -> Option<Style> {
    let name = name.to_ascii_lowercase().replace([' ', '-'], "");
    if let Some(level) = name.strip_prefix("heading") {
        return level
            .parse()
            .ok()
            .filter(|level| (1..=9).contains(level))
            .map(|level: u8| Style::Heading(level.min(6)));
    }
    match name.as_str() {
        "title" => Some(Style::Heading(1)),
        "listbullet" | "listnumber" => Some(Style::Item),
        "htmlpreformatted" | "sourcecode" | "code" | "codeblock" | "macrotext" => Some(Style::Code),
        _ => None,
    }
}

/// The level of an outline, 0 for the topmost heading to 8; 9 is text.
pub(super) fn outline(start: &quick_xml::events::BytesStart<'_>) -> Option<Style> {
    let level: u8 = xml::attribute(start, "val")?.parse().ok()?;
    (level <= 8).then(|| Style::Heading((level + 1).min(6)))
}
