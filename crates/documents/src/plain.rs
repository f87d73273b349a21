//! Text without markup: paragraphs between empty lines, and hard-wrapped lines joined where they are plainly prose.

use crate::charset;
use crate::error::Result;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::text::{Composer, Shape, Text, one_line};

/// A first line longer than this is no title.
const MAX_TITLE_CHARS: usize = 120;
/// Lines of prose that were wrapped by hand or by a program are about so long.
const WRAPPED_CHARS: std::ops::RangeInclusive<usize> = 45..=110;
/// How list items begin.
const BULLETS: &[&str] = &["- ", "* ", "+ ", "• ", "o "];

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    charset::check_text(bytes, Kind::Plain)?;
    let text = charset::decode(bytes, None);
    let mut composer = Composer::new(Kind::Plain, limits.output_bytes);
    composer.title = title(&text);
    compose(&text, &mut composer)?;
    Ok(composer.finish())
}

/// The first line, where an empty line follows it and it is no sentence.
fn title(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let first = one_line(lines.next().unwrap_or_default());
    let stands_alone = lines.next().is_none_or(|line| line.trim().is_empty() || is_underline(line));
    let is_title = stands_alone && first.chars().count() <= MAX_TITLE_CHARS && !first.ends_with(['.', ',', ';', ':']);
    if is_title { first } else { String::new() }
}

/// A row of `=` or `-`, as it stands below headings.
fn is_underline(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'))
}

/// Hands the paragraphs of `text` to `composer`.
///
/// # Errors
/// Where the text grows beyond the limit.
pub(crate) fn compose(text: &str, composer: &mut Composer) -> Result<()> {
    let mut paragraph: Vec<&str> = Vec::new();
    let mut bytes = 0;
    // A form feed ends a page, and with it a paragraph.
    for line in text.split(['\n', '\u{c}']).map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        if line.trim().is_empty() {
            compose_paragraph(&paragraph, composer)?;
            paragraph.clear();
            bytes = 0;
        } else {
            bytes += line.len();
            composer.check_room(bytes)?;
            paragraph.push(line);
        }
    }
    compose_paragraph(&paragraph, composer)
}

fn compose_paragraph(lines: &[&str], composer: &mut Composer) -> Result<()> {
    if lines.first().is_some_and(|line| is_item(line)) && lines.iter().all(|line| is_item(line) || is_indented(line)) {
        return compose_items(lines, composer);
    }
    if is_wrapped_prose(lines) {
        return composer.push(Shape::Paragraph, &lines.join(" "));
    }
    // Indented or spaced out by hand: pictures of tables, code, addresses.
    let is_set_out = lines.iter().skip(1).any(|line| is_indented(line) || line.trim().contains("   "));
    composer.push(if is_set_out { Shape::Code } else { Shape::Lines }, &lines.join("\n"))
}

fn compose_items(lines: &[&str], composer: &mut Composer) -> Result<()> {
    let mut item = String::new();
    for line in lines {
        match bullet(line) {
            Some(rest) => {
                composer.push(Shape::Item(0), &item)?;
                item = rest.to_owned();
            }
            None => {
                item.push(' ');
                item.push_str(line);
            }
        }
    }
    composer.push(Shape::Item(0), &item)
}

/// What follows a bullet.
fn bullet(line: &str) -> Option<&str> {
    let line = line.trim_start();
    BULLETS.iter().find_map(|bullet| line.strip_prefix(bullet))
}

fn is_item(line: &str) -> bool {
    bullet(line).is_some()
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// Whether lines are one sentence after the other, wrapped: all but the last about full, none set out by hand.
fn is_wrapped_prose(lines: &[&str]) -> bool {
    let Some((last, full)) = lines.split_last() else {
        return false;
    };
    let is_prose = |line: &&str| {
        !is_indented(line)
            && !is_item(line)
            && !line.contains("   ")
            && !line.starts_with(['>', '|', '#', '$', '+', '='])
    };
    let is_full = |line: &&str| WRAPPED_CHARS.contains(&line.chars().count());
    full.iter().all(|line| is_prose(line) && is_full(line)) && is_prose(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> String {
        read(text.as_bytes(), &Limits::default()).unwrap().body
    }

    #[test]
    fn wrapped_prose_is_joined_and_everything_else_stays() {
        let text = "A Title\r\n\r\nThis paragraph was wrapped by somebody at sixty\r\ncharacters or so, and goes on here.\r\n\r\n\r\nShort\r\nlines stay\r\n";
        assert_eq!(
            body(text),
            "A Title\n\nThis paragraph was wrapped by somebody at sixty characters or so, and goes on here.\n\nShort\nlines stay"
        );
        assert_eq!(read(text.as_bytes(), &Limits::default()).unwrap().title, "A Title");
    }

    #[test]
    fn lists_and_what_is_set_out_by_hand_keep_their_form() {
        assert_eq!(body("- one\n* two\n  goes on\n"), "- one\n- two goes on");
        assert_eq!(body("key     value\nname    x\n"), "```\nkey     value\nname    x\n```");
        assert_eq!(body("if x:\n    y()\n"), "```\nif x:\n    y()\n```");
    }

    #[test]
    fn a_sentence_is_no_title() {
        for text in ["It is so.\n\nReally.", "One\ntwo\n\nthree", ""] {
            assert_eq!(read(text.as_bytes(), &Limits::default()).unwrap().title, "", "{text}");
        }
        assert_eq!(read(b"Heading\n=======\ntext", &Limits::default()).unwrap().title, "Heading");
    }

    #[test]
    fn a_picture_is_no_text() {
        let error = read(&[0, 1, 2, 3].repeat(50), &Limits::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("the text document is not text: it has 200 control characters"),
            "{error}"
        );
    }
}
