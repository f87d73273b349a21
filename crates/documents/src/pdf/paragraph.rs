//! Paragraphs out of lines.
//!
//! A PDF says where text is drawn and not what belongs together. Lines at the usual distance are a paragraph; larger
//! ones are headings; those in fonts for code are code. Columns are taken in the order in which they are drawn, which
//! is nearly always the order of reading.

use std::collections::BTreeMap;

use super::furniture;
use super::layout::Line;
use crate::error::Result;
use crate::text::{Composer, Shape};

/// Hands the paragraphs of all pages to `composer`.
///
/// # Errors
/// Where the text grows beyond the limit.
pub(super) fn compose(mut pages: Vec<Vec<Line>>, composer: &mut Composer) -> Result<()> {
    let has_text = pages.iter().flatten().any(|line| !line.is_artifact && !line.is_blank());
    for page in &mut pages {
        page.retain(|line| !line.is_blank() && (!line.is_artifact || !has_text));
    }
    furniture::drop_from(&mut pages);
    let fonts = Fonts::of(&pages);
    let mut paragraph = Paragraph { composer, text: String::new(), shape: Shape::Paragraph, last: None, left: 0.0 };
    for page in pages {
        let frame = Frame::of(&page);
        let mut is_first = true;
        for line in page {
            paragraph.add(line, &Place { frame: &frame, fonts: &fonts, is_first })?;
            is_first = false;
        }
    }
    paragraph.flush()
}

/// How much larger than the text a heading is, at least.
const HEADING: f32 = 1.12;
/// A longer line is no heading.
const MAX_HEADING_CHARS: usize = 200;

/// The sizes of a document, in half points, and what its fonts for code are for.
#[derive(Debug)]
struct Fonts {
    body: i64,
    /// Larger ones, the largest first.
    headings: Vec<i64>,
    /// Whether most of the text is in them, as in typescripts.
    fixed_is_text: bool,
}

impl Fonts {
    fn of(pages: &[Vec<Line>]) -> Self {
        let mut bytes: BTreeMap<i64, usize> = BTreeMap::new();
        let (mut fixed, mut all) = (0, 0);
        for line in pages.iter().flatten() {
            *bytes.entry(half_points(line.size)).or_default() += line.text.len();
            all += line.text.len();
            fixed += if line.is_fixed { line.text.len() } else { 0 };
        }
        let body = bytes.iter().max_by_key(|(_, bytes)| **bytes).map_or(0, |(size, _)| *size);
        let larger = bytes.keys().rev().filter(|size| **size as f32 >= body as f32 * HEADING);
        Self { body, headings: larger.copied().collect(), fixed_is_text: fixed * 2 > all }
    }

    /// The level of a line that is a heading by its size.
    fn level(&self, line: &Line) -> Option<u8> {
        let size = half_points(line.size);
        // From the largest to the smallest; a hostile file may have as many sizes as lines.
        let place = self.headings.binary_search_by(|heading| size.cmp(heading)).ok()?;
        let is_short = line.text.chars().count() <= MAX_HEADING_CHARS && line.text.chars().any(char::is_alphabetic);
        (self.body > 0 && is_short).then(|| u8::try_from(place + 1).unwrap_or(6).min(6))
    }

    fn shape(&self, line: &Line) -> Shape {
        match self.level(line) {
            _ if line.is_fixed && !self.fixed_is_text => Shape::Code,
            _ if leader(&line.text).is_some() => Shape::Lines,
            Some(level) => Shape::Heading(level),
            None if bullet(&line.text).is_some() => Shape::Item(0),
            None => Shape::Paragraph,
        }
    }
}

fn half_points(size: f32) -> i64 {
    (size * 2.0).round() as i64
}

/// What is usual on a page.
#[derive(Debug)]
struct Frame {
    /// From line to line, in sizes; 0 where there is only one.
    leading: f32,
    /// Where the longest line ends, and the width of the text.
    right: f32,
    width: f32,
}

impl Frame {
    fn of(page: &[Line]) -> Self {
        let steps = page.windows(2).map(|pair| (pair[0].height - pair[1].height) / pair[0].size.max(0.01));
        let mut steps: Vec<f32> = steps.filter(|step| (0.5..3.0).contains(step)).collect();
        steps.sort_by(f32::total_cmp);
        let right = page.iter().map(|line| line.end).fold(f32::NEG_INFINITY, f32::max);
        let left = page.iter().map(|line| line.begin).fold(f32::INFINITY, f32::min);
        Self { leading: steps.get(steps.len() / 2).copied().unwrap_or(0.0), right, width: right - left }
    }
}

/// Where a line stands.
struct Place<'a> {
    frame: &'a Frame,
    fonts: &'a Fonts,
    /// Whether it is the first one of its page.
    is_first: bool,
}

/// The paragraph that is open.
struct Paragraph<'a> {
    composer: &'a mut Composer,
    text: String,
    shape: Shape,
    last: Option<Line>,
    /// Where its first line begins.
    left: f32,
}

impl Paragraph<'_> {
    fn add(&mut self, line: Line, place: &Place<'_>) -> Result<()> {
        let shape = place.fonts.shape(&line);
        if self.last.as_ref().is_none_or(|last| self.ends(last, &line, shape, place)) {
            self.flush()?;
            self.shape = shape;
            self.left = line.begin;
        }
        match self.shape {
            Shape::Code => self.add_code(&line, place),
            Shape::Lines => {
                let (before, after) = leader(&line.text).unwrap_or((&line.text, ""));
                self.text.extend([before.trim(), " ", after.trim(), "\n"]);
            }
            Shape::Item(_) => join(&mut self.text, bullet(&line.text).unwrap_or(&line.text)),
            _ => join(&mut self.text, &line.text),
        }
        self.last = Some(line);
        Ok(())
    }

    /// Adds a line of code, indented as it is drawn; its letters are about six tenths of their size wide.
    fn add_code(&mut self, line: &Line, place: &Place<'_>) {
        let step = self.last.as_ref().map_or(0.0, |last| last.height - line.height) / line.size.max(0.01);
        if step > 1.9 && !place.is_first && !self.text.is_empty() {
            self.text.push('\n');
        }
        let indent = ((line.begin - self.left) / (0.6 * line.size.max(0.01))).round().clamp(0.0, 60.0);
        self.text.extend(std::iter::repeat_n(' ', indent as usize));
        self.text.push_str(line.text.trim_end());
        self.text.push('\n');
    }

    /// Whether the paragraph ends before `line`.
    fn ends(&self, last: &Line, line: &Line, shape: Shape, place: &Place<'_>) -> bool {
        let size = last.size.max(0.01);
        let step = (last.height - line.height) / size;
        if !last.runs_like(line) {
            return true;
        }
        match (self.shape, shape) {
            (Shape::Code, Shape::Code) => !place.is_first && !(-0.5..3.5).contains(&step),
            (Shape::Lines, Shape::Lines) => false,
            (Shape::Heading(before), Shape::Heading(level)) => {
                before != level || place.is_first || !(-0.1..2.0).contains(&step)
            }
            (Shape::Paragraph | Shape::Item(_), Shape::Paragraph) => ends_before(last, line, step, place),
            _ => true,
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.composer.push(self.shape, &self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// Whether a paragraph ends between two lines of text that stand `step` sizes apart.
fn ends_before(last: &Line, line: &Line, step: f32, place: &Place<'_>) -> bool {
    let ending = last.text.trim_end();
    let is_sentence = ending.ends_with(['.', '!', '?', ':', '”', ')']);
    // A new column or page goes on with the sentence, if the last one was left open.
    if place.is_first || !(-0.5..8.0).contains(&step) {
        let starts_low = line.text.trim_start().starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
        return is_sentence || !(starts_low || ending.ends_with(['-', ',']));
    }
    if step <= 0.5 {
        return false;
    }
    let usual = if place.frame.leading > 0.0 { place.frame.leading } else { 1.2 };
    let is_short = place.frame.right - last.end > 0.2 * place.frame.width;
    let other_size = (line.size / last.size.max(0.01) - 1.0).abs() > 0.25;
    step > usual * 1.3 + 0.1 || (is_sentence && is_short) || other_size
}

/// What lists begin their items with.
const BULLETS: &[char] = &['•', '▪', '‣', '●', '■', '◦', '–', '-', '*', '·', '➢', '✓'];

/// What follows the bullet of an item.
fn bullet(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix(BULLETS)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
}

/// So many points lead from a title to its page.
const LEADER_POINTS: usize = 5;

/// What stands before and after the points of a line of a table of contents.
fn leader(text: &str) -> Option<(&str, &str)> {
    let (mut points, mut begin, mut point) = (0, 0, ' ');
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            continue;
        }
        if points > 0 && c == point {
            points += 1;
        } else if points >= LEADER_POINTS {
            return Some((&text[..begin], &text[at..]));
        } else {
            points = usize::from(matches!(c, '.' | ':' | '…' | '_' | '·'));
            (begin, point) = (at, c);
        }
    }
    (points >= LEADER_POINTS).then(|| (&text[..begin], ""))
}

/// Adds a line to a paragraph; a word that was hyphenated at the end of the line before becomes whole again.
fn join(paragraph: &mut String, line: &str) {
    let line = line.trim();
    let kept = paragraph.trim_end().len();
    paragraph.truncate(kept);
    let mut ending = paragraph.chars().rev();
    let (last, before) = (ending.next(), ending.next());
    let is_hyphen = matches!(last, Some('-' | '\u{ad}' | '\u{2010}')) && before.is_some_and(char::is_alphanumeric);
    match line.chars().next() {
        // `vulner-` and `ability` lose their hyphen, `CVE-` and `2024` keep it.
        Some(first) if is_hyphen && (last == Some('\u{ad}') || first.is_lowercase()) => {
            paragraph.pop();
        }
        Some(_) if !paragraph.is_empty() && !is_hyphen => paragraph.push(' '),
        _ => {}
    }
    paragraph.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Lines, Stroke};
    use super::*;
    use crate::kind::Kind;

    fn stroke(x: f32, y: f32, width: f32, size: f32) -> Stroke {
        Stroke { begin: (x, y), end: (x + width, y), direction: (1.0, 0.0), size, is_artifact: false, is_fixed: false }
    }

    fn page(lines: &[(&str, f32, f32)]) -> Vec<Line> {
        let mut page = Lines::default();
        for (text, y, size) in lines {
            page.draw(text, &stroke(0.0, *y, text.len() as f32 * size * 0.5, *size));
        }
        page.finish()
    }

    fn body(pages: Vec<Vec<Line>>) -> String {
        let mut composer = Composer::new(Kind::Pdf, 1 << 20);
        compose(pages, &mut composer).unwrap();
        composer.finish().body
    }

    #[test]
    fn paragraphs_headings_items_and_hyphens_are_found() {
        let page = page(&[
            ("The Heading", 700.0, 18.0),
            ("A paragraph of some length with a vulner-", 670.0, 10.0),
            ("ability, CVE-", 658.0, 10.0),
            ("2024-1 that goes on and on and on and on and on", 646.0, 10.0),
            ("and ends.", 634.0, 10.0),
            ("Another paragraph, which is close to the first one", 622.0, 10.0),
            ("• an item of two", 610.0, 10.0),
            ("lines", 598.0, 10.0),
            ("Far below stands one more.", 560.0, 10.0),
        ]);
        let expected = "The Heading\n\nA paragraph of some length with a vulnerability, CVE-2024-1 that goes on and on and on and on and on and ends.\n\nAnother paragraph, which is close to the first one\n\n- an item of two lines\n\nFar below stands one more.";
        assert_eq!(body(vec![page]), expected);
    }

    #[test]
    fn running_heads_and_page_numbers_go() {
        let pages: Vec<Vec<Line>> = (1..=5)
            .map(|number| {
                let (head, foot) = (format!("Report {number} of 5"), format!("{number}"));
                let text = format!(
                    "Page {} says this and goes on until the end of its line.",
                    ["one", "two", "three", "four", "five"][number - 1]
                );
                page(&[
                    (&head, 800.0, 8.0),
                    (&text, 700.0, 10.0),
                    ("Nothing more is said.", 688.0, 10.0),
                    (&foot, 20.0, 8.0),
                ])
            })
            .collect();
        let body = body(pages);
        assert!(!body.contains("Report") && !body.contains('5'), "{body}");
        assert!(body.contains("Page five says this"), "{body}");
    }

    #[test]
    fn a_sentence_goes_on_over_a_page() {
        let one = page(&[("It begins on one page and", 700.0, 10.0)]);
        let two = page(&[("ends on the next.", 700.0, 10.0), ("Then another.", 650.0, 10.0)]);
        assert_eq!(body(vec![one, two]), "It begins on one page and ends on the next.\n\nThen another.");
    }

    #[test]
    fn code_keeps_its_lines_and_its_indent() {
        let mut lines = Lines::default();
        for (text, x, y, is_fixed) in [
            ("See this text, which is longer than the code:", 0.0, 700.0, false),
            ("if a {", 20.0, 686.0, true),
            ("b();", 32.0, 674.0, true),
            ("}", 20.0, 650.0, true),
            ("That was it, and nothing else was it ever.", 0.0, 636.0, false),
        ] {
            lines.draw(text, &Stroke { is_fixed, ..stroke(x, y, 100.0, 10.0) });
        }
        let expected = "See this text, which is longer than the code:\n\n```\nif a {\n  b();\n\n}\n```\n\nThat was it, and nothing else was it ever.";
        assert_eq!(body(vec![lines.finish()]), expected);
    }

    #[test]
    fn tables_of_contents_lose_their_points() {
        assert_eq!(leader("1 One . . . . . . 7"), Some(("1 One ", "7")));
        assert_eq!(leader("a... b"), None);
        assert_eq!(leader("a:::::"), Some(("a", "")));
        let page =
            page(&[("1 One ........... 7", 700.0, 10.0), ("2 Two : : : : : : 8", 688.0, 10.0), ("Text", 676.0, 10.0)]);
        assert_eq!(body(vec![page]), "1 One 7\n2 Two 8\n\nText");
    }
}
