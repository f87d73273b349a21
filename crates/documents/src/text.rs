//! A document as text, and the composer that all formats write it with.
//!
//! A format hands over blocks in reading order: headings, paragraphs, list items, code, rows of tables. How they are
//! set out is decided here alone: one blank line between blocks, items as `- `, code between fences, cells between ` | `.

use crate::error::{Error, Result};
use crate::kind::Kind;

/// A document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its title on one line: as stated, else its first heading, else empty.
    pub title: String,
    /// All of its text, headings included, without a line break at the end.
    pub body: String,
    /// The same text cut at the headings, in order; text before the first heading has level 0 and no heading.
    pub sections: Vec<Section>,
    /// What it was.
    pub kind: Kind,
    /// The day that it states for itself, `YYYY-MM-DD`; not checked against anything.
    pub date: Option<String>,
    /// The language tag that it states for itself, such as `en-GB`; not checked against the text.
    pub language_stated: Option<String>,
    /// How many attachments it came with. They are not read.
    pub attachments: usize,
}

/// A heading and what stands below it, up to the next heading of any level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// 1 for the topmost heading to 6; 0 for what stands before the first one.
    pub level: u8,
    /// The heading on one line.
    pub heading: String,
    /// The text below it, set out like [`Text::body`].
    pub body: String,
}

/// A forced line break inside a block. Any other line break there is white space.
pub(crate) const BREAK: char = '\u{2028}';
/// What a block costs of the output beside its text, so that millions of empty ones are not free.
const BLOCK_BYTES: usize = 16;
/// The deepest list that is indented further.
const MAX_INDENT: u8 = 8;

/// What a block of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Of level 1 to 6.
    Heading(u8),
    Paragraph,
    /// Of a list, with the lists around it, 0 for the outermost.
    Item(u8),
    /// Kept as it is.
    Code,
    /// Of a table, cells already joined.
    Row,
    /// Lines that belong together and stay lines.
    Lines,
}

/// Where in a page a block stood; a page's own text is preferred to what lies around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Page,
    Article,
    Main,
}

/// A block: its text lies in the composer's buffer.
#[derive(Debug, Clone, Copy)]
struct Block {
    shape: Shape,
    scope: Scope,
    start: usize,
    end: usize,
}

/// Collects blocks and sets them out.
#[derive(Debug)]
pub(crate) struct Composer {
    kind: Kind,
    buffer: String,
    blocks: Vec<Block>,
    limit_bytes: usize,
    /// Where the blocks that come next stand.
    pub(crate) scope: Scope,
    /// The stated title.
    pub(crate) title: String,
    /// The stated day.
    pub(crate) date: Option<String>,
    /// The stated language.
    pub(crate) language: Option<String>,
    /// Attachments seen.
    pub(crate) attachments: usize,
}

impl Composer {
    /// For a text of at most `limit_bytes`.
    pub(crate) fn new(kind: Kind, limit_bytes: usize) -> Self {
        Self {
            kind,
            buffer: String::new(),
            blocks: Vec::new(),
            limit_bytes,
            scope: Scope::Page,
            title: String::new(),
            date: None,
            language: None,
            attachments: 0,
        }
    }

    /// Adds a block, unless nothing of it can be seen.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where the text grows beyond the limit.
    pub(crate) fn push(&mut self, shape: Shape, text: &str) -> Result<()> {
        let start = self.buffer.len();
        match shape {
            Shape::Code => push_verbatim(&mut self.buffer, text),
            Shape::Lines => push_lines(&mut self.buffer, text),
            Shape::Paragraph | Shape::Item(_) => push_flow(&mut self.buffer, text, '\n'),
            Shape::Heading(_) | Shape::Row => push_flow(&mut self.buffer, text, ' '),
        }
        let end = self.buffer.len();
        if end > start {
            self.blocks.push(Block { shape, scope: self.scope, start, end });
        }
        if end + self.blocks.len() * BLOCK_BYTES > self.limit_bytes {
            return Err(Error::too_many_bytes("the text", self.limit_bytes));
        }
        Ok(())
    }

    /// Adds a row of a table, unless all its cells are empty.
    pub(crate) fn push_row<T: AsRef<str>>(&mut self, cells: &[T]) -> Result<()> {
        let cells: Vec<String> = cells.iter().map(|cell| one_line(cell.as_ref())).collect();
        let used = cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        self.push(Shape::Row, &cells[..used].join(" | "))
    }

    /// Whether so much more text could still be added.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where it could not; asked before text is collected that would be refused anyway.
    pub(crate) fn check_room(&self, bytes: usize) -> Result<()> {
        if self.buffer.len() + bytes > self.limit_bytes {
            return Err(Error::too_many_bytes("the text", self.limit_bytes));
        }
        Ok(())
    }

    /// How many bytes of text there are.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The finished text.
    pub(crate) fn finish(self) -> Text {
        let scope = self.best_scope();
        let blocks = || self.blocks.iter().filter(move |block| block.scope >= scope);
        let mut body = Page::default();
        let mut sections: Vec<(u8, String, Page)> = vec![(0, String::new(), Page::default())];
        for block in blocks() {
            let text = &self.buffer[block.start..block.end];
            body.add(block.shape, text);
            match (block.shape, sections.last_mut()) {
                (Shape::Heading(level), _) => sections.push((level, text.to_owned(), Page::default())),
                (shape, Some((_, _, page))) => page.add(shape, text),
                (_, None) => {}
            }
        }
        sections.retain(|(level, _, page)| *level > 0 || !page.text.is_empty());
        let mut title = one_line(&self.title);
        if title.is_empty() {
            let first = blocks().find(|block| matches!(block.shape, Shape::Heading(_)));
            title = first.map_or(String::new(), |block| self.buffer[block.start..block.end].to_owned());
        }
        let section = |(level, heading, page): (u8, String, Page)| Section { level, heading, body: page.text };
        Text {
            title,
            body: body.text,
            sections: sections.into_iter().map(section).collect(),
            kind: self.kind,
            date: self.date,
            language_stated: self.language.map(|tag| one_line(&tag)).filter(|tag| is_language_tag(tag)),
            attachments: self.attachments,
        }
    }

    /// The narrowest scope that holds at least a tenth of the text.
    fn best_scope(&self) -> Scope {
        let bytes_in = |scope| -> usize {
            let inside = self.blocks.iter().filter(|block| block.scope >= scope);
            inside.map(|block| block.end - block.start).sum()
        };
        let is_enough = |scope: &Scope| bytes_in(*scope) * 10 >= self.buffer.len().max(1);
        [Scope::Main, Scope::Article].into_iter().find(is_enough).unwrap_or(Scope::Page)
    }
}

/// Text being set out block by block.
#[derive(Debug, Default)]
struct Page {
    text: String,
    last: Option<Shape>,
}

impl Page {
    fn add(&mut self, shape: Shape, text: &str) {
        self.text.push_str(match (self.last, shape) {
            (None, _) => "",
            (Some(Shape::Item(_)), Shape::Item(_)) | (Some(Shape::Row), Shape::Row) => "\n",
            _ => "\n\n",
        });
        self.last = Some(shape);
        match shape {
            Shape::Item(depth) => self.add_item(depth, text),
            Shape::Code => self.add_code(text),
            _ => self.text.push_str(text),
        }
    }

    fn add_item(&mut self, depth: u8, text: &str) {
        let indent = usize::from(depth.min(MAX_INDENT)) * 2;
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.text.push('\n');
            }
            self.text.extend(std::iter::repeat_n(' ', indent));
            self.text.push_str(if number == 0 { "- " } else { "  " });
            self.text.push_str(line);
        }
    }

    /// The fence is longer than any run of backticks in the code.
    fn add_code(&mut self, text: &str) {
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(3.max(longest + 1));
        for part in [&fence, "\n", text, "\n", &fence] {
            self.text.push_str(part);
        }
    }
}

/// No table that people read is wider.
const MAX_CELLS: usize = 1_000;

/// Adds a cell to a row; those of a row that is too wide are joined to its last one.
pub(crate) fn push_cell(cells: &mut Vec<String>, cell: String) {
    if cells.len() < MAX_CELLS {
        cells.push(cell);
    } else if let Some(last) = cells.last_mut() {
        last.push(' ');
        last.push_str(&cell);
    }
}

/// `text` on one line: every run of white space becomes one blank, and what cannot be seen is dropped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    push_flow(&mut line, text, ' ');
    line
}

/// Adds `text` with single blanks; a [`BREAK`] becomes `forced`, and none stand at either end.
fn push_flow(out: &mut String, text: &str, forced: char) {
    let start = out.len();
    let mut due = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        // Nearly all text is words of visible ASCII, copied as a whole.
        let word = rest.bytes().take_while(u8::is_ascii_graphic).count();
        let length = word.max(c.len_utf8());
        let (piece, after) = rest.split_at(length);
        rest = after;
        if c == BREAK {
            due = Some(forced);
        } else if c.is_whitespace() || (c.is_control() && c != '\u{ad}') {
            due = due.or(Some(' '));
        } else if !is_invisible(c) {
            if let Some(blank) = due.take()
                && out.len() > start
            {
                out.push(blank);
            }
            out.push_str(piece);
        }
    }
}

/// Adds lines as they are: no blanks at their ends, no empty ones first or last, no control characters but tabs.
fn push_verbatim(out: &mut String, text: &str) {
    push_each_line(out, text, |out, line| match line.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        true => out.push_str(line),
        false => out.extend(line.chars().filter(|c| is_visible_or_tab(*c))),
    });
}

/// Adds lines, each with single blanks.
fn push_lines(out: &mut String, text: &str) {
    push_each_line(out, text, |out, line| push_flow(out, line, ' '));
}

fn push_each_line(out: &mut String, text: &str, push: impl Fn(&mut String, &str)) {
    let start = out.len();
    let mut breaks = 0;
    for line in text.lines() {
        if !line.chars().any(|c| is_visible_or_tab(c) && !c.is_whitespace()) {
            breaks += 1;
            continue;
        }
        // Empty lines are written only once something follows them.
        if out.len() > start {
            out.extend(std::iter::repeat_n('\n', breaks));
        }
        let before = out.len();
        push(out, line);
        out.truncate(before + out[before..].trim_end().len());
        breaks = 1;
    }
}

fn is_visible_or_tab(c: char) -> bool {
    c == '\t' || (!c.is_control() && !is_invisible(c))
}

/// Zero-width characters, soft hyphens, direction marks and the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The day that a text begins with, where it is one: `2024-05-06T07:08` gives `2024-05-06`.
pub(crate) fn iso_day(text: &str) -> Option<String> {
    let day = text.trim().get(..10)?;
    let bytes = day.as_bytes();
    let digits = |range: std::ops::Range<usize>| day.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let (year, month, of_month) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let month_is_right = ("01"..="12").contains(&month) && ("01"..="31").contains(&of_month);
    let goes_on = text.trim().as_bytes().get(10).is_some_and(u8::is_ascii_digit);
    (bytes[4] == b'-' && bytes[7] == b'-' && year > "0000" && month_is_right && !goes_on).then(|| day.to_owned())
}

/// Whether a text has the form of a language tag, RFC 5646.
fn is_language_tag(tag: &str) -> bool {
    let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    tag.len() <= 35 && tag.split(['-', '_']).all(part) && tag.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn composed(blocks: &[(Shape, &str)]) -> Text {
        let mut composer = Composer::new(Kind::Plain, 1 << 20);
        for (shape, text) in blocks {
            composer.push(*shape, text).unwrap();
        }
        composer.finish()
    }

    #[test]
    fn every_shape_is_set_out_in_its_way() {
        let text = composed(&[
            (Shape::Paragraph, " Before \n the\u{2028}first. "),
            (Shape::Heading(1), "Top"),
            (Shape::Item(0), "one"),
            (Shape::Item(1), "inner\u{2028}more"),
            (Shape::Code, "\n  a\t``b``\n\n\nc  \n\n"),
            (Shape::Heading(2), "Low\u{2028}er"),
            (Shape::Row, "a | b"),
            (Shape::Row, "c | d"),
            (Shape::Lines, "x  y\n\nz"),
            (Shape::Paragraph, " \u{200b} "),
        ]);
        let below = "- one\n  - inner\n    more\n\n```\n  a\t``b``\n\n\nc\n```";
        assert_eq!(text.body, format!("Before the\nfirst.\n\nTop\n\n{below}\n\nLow er\n\na | b\nc | d\n\nx y\n\nz"));
        assert_eq!(text.title, "Top");
        let section = |level, heading: &str, body: &str| Section { level, heading: heading.into(), body: body.into() };
        let expected = [
            section(0, "", "Before the\nfirst."),
            section(1, "Top", below),
            section(2, "Low er", "a | b\nc | d\n\nx y\n\nz"),
        ];
        assert_eq!(text.sections, expected);
    }

    #[test]
    fn a_fence_is_longer_than_the_backticks_inside() {
        assert_eq!(composed(&[(Shape::Code, "````\nx")]).body, "`````\n````\nx\n`````");
    }

    #[test]
    fn rows_lose_empty_cells_at_their_end() {
        let mut composer = Composer::new(Kind::Plain, 1 << 20);
        composer.push_row(&["a", " ", "b\nc", ""]).unwrap();
        composer.push_row(&["", " "]).unwrap();
        assert_eq!(composer.finish().body, "a | | b c");
    }

    #[test]
    fn the_main_part_is_preferred_where_it_holds_enough() {
        let of_lengths = |page: usize, article: usize, main: usize| {
            let mut composer = Composer::new(Kind::Html, 1 << 20);
            for (scope, letter, count) in
                [(Scope::Page, "p", page), (Scope::Article, "a", article), (Scope::Main, "m", main)]
            {
                composer.scope = scope;
                composer.push(Shape::Paragraph, &letter.repeat(count)).unwrap();
            }
            composer.finish().body
        };
        assert_eq!(of_lengths(5, 5, 5), "mmmmm");
        assert_eq!(of_lengths(5, 5, 0), "aaaaa");
        assert_eq!(of_lengths(2, 0, 0), "pp");
        assert_eq!(of_lengths(100, 0, 5).len(), 107);
    }

    #[test]
    fn a_text_beyond_the_limit_is_refused_and_empty_blocks_are_not_free() {
        let mut composer = Composer::new(Kind::Plain, 100);
        assert!(composer.push(Shape::Paragraph, &"x".repeat(84)).is_ok());
        assert!(composer.push(Shape::Paragraph, "y").is_err());
        let mut composer = Composer::new(Kind::Plain, 100);
        assert!((0..5).all(|_| composer.push(Shape::Paragraph, "x").is_ok()));
        assert!(composer.push(Shape::Paragraph, "x").is_err());
    }

    #[test]
    fn days_and_language_tags_are_looked_at() {
        assert_eq!(iso_day(" 2024-05-06T07:08").as_deref(), Some("2024-05-06"));
        for wrong in ["2024-13-01", "2024-1-01", "20240501", "2024-05-067", "é024-05-06", "", "2024/05/06"] {
            assert_eq!(iso_day(wrong), None, "{wrong}");
        }
        assert!(is_language_tag("en-GB") && is_language_tag("de"));
        assert!(!is_language_tag("") && !is_language_tag("en GB") && !is_language_tag("12"));
    }

    proptest! {
        #[test]
        fn blocks_come_out_without_blanks_at_their_ends(text in "[ \n\tab\u{2028}\u{200b}\u{0}`-]{0,40}", code in any::<bool>()) {
            let body = composed(&[(if code { Shape::Code } else { Shape::Paragraph }, &text)]).body;
            prop_assert!(body.lines().all(|line| line.trim_end() == line), "{body:?}");
            prop_assert!(code || body.trim_start() == body);
        }
    }
}
