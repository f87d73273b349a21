//! The text of a document: paragraphs, lists and tables of WordprocessingML, ECMA-376 part 1 §17.

use quick_xml::events::BytesStart;

use super::style::{self, Style, Styles};
use super::xml::{self, Node};
use crate::error::Result;
use crate::limits::Limits;
use crate::text::{BREAK, Composer, Shape, push_cell};

/// Elements whose content is there a second time, or was there before a change.
const SKIPPED: &[&str] = &["Fallback", "moveFrom", "pPrChange", "rPrChange", "tblPrChange"];

/// Hands the blocks of `word/document.xml` to `composer`.
pub(super) fn read(xml: &str, styles: &Styles, limits: &Limits, composer: &mut Composer) -> Result<()> {
    let mut body = Body {
        styles,
        composer,
        depth: limits.depth,
        skipped: 0,
        paragraphs: Vec::new(),
        in_text: false,
        tables: 0,
        cells: Vec::new(),
        code: String::new(),
    };
    xml::each(xml, &mut |node| match node {
        Node::Start(start) => {
            body.start(start);
            Ok(())
        }
        Node::End(name) => body.end(name),
        Node::Text(text) => {
            body.text(text);
            Ok(())
        }
    })?;
    body.flush_code()
}

/// A paragraph that is open.
#[derive(Debug, Default)]
struct Paragraph {
    text: String,
    style: Option<Style>,
    /// Whether numbering is turned on or off here, whatever the style says.
    numbered: Option<bool>,
    level: u8,
}

struct Body<'a> {
    styles: &'a Styles,
    composer: &'a mut Composer,
    /// How many paragraphs may be open: one, and those of text boxes in it.
    depth: usize,
    /// Elements around the place that are left out.
    skipped: usize,
    paragraphs: Vec<Paragraph>,
    in_text: bool,
    /// Tables around the place; a table in a cell is text of that cell.
    tables: usize,
    cells: Vec<String>,
    /// Lines of code, each of them a paragraph.
    code: String,
}

impl Body<'_> {
    fn start(&mut self, start: &BytesStart<'_>) {
        let name = start.local_name();
        let name = name.as_ref();
        self.skipped += usize::from(SKIPPED.contains(&name));
        if self.skipped > 0 {
            return;
        }
        match name {
            "p" if self.paragraphs.len() < self.depth => self.paragraphs.push(Paragraph::default()),
            "t" => self.in_text = true,
            "tbl" => self.tables += 1,
            "tr" if self.tables == 1 => self.cells.clear(),
            "tc" if self.tables == 1 => push_cell(&mut self.cells, String::new()),
            _ => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    of_paragraph(paragraph, name, start, self.styles);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut()
            && self.in_text
            && self.skipped == 0
        {
            paragraph.text.push_str(text);
        }
    }

    fn end(&mut self, name: &str) -> Result<()> {
        if self.skipped > 0 {
            self.skipped -= usize::from(SKIPPED.contains(&name));
            return Ok(());
        }
        match name {
            "t" => self.in_text = false,
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    return self.end_paragraph(&paragraph);
                }
            }
            "tbl" => self.tables = self.tables.saturating_sub(1),
            "tr" if self.tables == 1 => {
                self.flush_code()?;
                return self.composer.push_row(&std::mem::take(&mut self.cells));
            }
            _ => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self, paragraph: &Paragraph) -> Result<()> {
        if self.tables > 0 {
            if let Some(cell) = self.cells.last_mut() {
                cell.push(' ');
                cell.push_str(&paragraph.text);
            }
            return Ok(());
        }
        let is_item = paragraph.numbered.unwrap_or(paragraph.style == Some(Style::Item));
        let shape = match paragraph.style {
            Some(Style::Heading(level)) => Shape::Heading(level),
            Some(Style::Code) => {
                self.code.push_str(&paragraph.text.replace(BREAK, "\n"));
                self.code.push('\n');
                return Ok(());
            }
            _ if is_item => Shape::Item(paragraph.level),
            _ => Shape::Paragraph,
        };
        self.flush_code()?;
        self.composer.push(shape, &paragraph.text)
    }

    fn flush_code(&mut self) -> Result<()> {
        self.composer.push(Shape::Code, &std::mem::take(&mut self.code))
    }
}

/// Takes what an element says about the paragraph it stands in.
fn of_paragraph(paragraph: &mut Paragraph, name: &str, start: &BytesStart<'_>, styles: &Styles) {
    let number = || xml::attribute(start, "val").and_then(|value| value.parse::<u32>().ok());
    match name {
        "pStyle" => paragraph.style = xml::attribute(start, "val").and_then(|id| styles.of(&id)).or(paragraph.style),
        "outlineLvl" => paragraph.style = style::outline(start).or(paragraph.style),
        "numPr" => paragraph.numbered = Some(true),
        // List number 0 takes the numbering of the style away.
        "numId" => paragraph.numbered = Some(number() != Some(0)),
        "ilvl" => paragraph.level = number().and_then(|level| u8::try_from(level).ok()).unwrap_or(0),
        "tab" => paragraph.text.push('\t'),
        "br" | "cr" => paragraph.text.push(BREAK),
        "noBreakHyphen" => paragraph.text.push('-'),
        _ => {}
    }
}
