//! Markdown: CommonMark with tables, footnotes, task lists and front matter, through the events of `pulldown-cmark`.
//!
//! Links become their text, pictures their alternative text, HTML blocks what `html.rs` makes of them. Placeholders in
//! angle brackets (`<target>`) look like HTML and are not; they stay.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::charset;
use crate::error::{Error, Result};
use crate::html;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::text::{BREAK, Composer, Shape, Text, iso_day, push_cell};

/// Front matter is not searched for its end further than this.
const MAX_FRONT_MATTER_BYTES: usize = 64 << 10;

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    if bytes.len() > limits.markdown_bytes {
        return Err(Error::too_many_bytes("the document", limits.markdown_bytes));
    }
    charset::check_text(bytes, Kind::Markdown)?;
    let text = charset::decode(bytes, None);
    let mut composer = Composer::new(Kind::Markdown, limits.output_bytes);
    let text = match front_matter(&text) {
        Some((matter, rest)) => {
            read_front_matter(matter, &mut composer);
            rest
        }
        None => &text,
    };
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_GFM;
    let mut reader = Reader::new(composer);
    for event in Parser::new_ext(text, options) {
        reader.event(event)?;
    }
    reader.flush()?;
    Ok(reader.composer.finish())
}

/// The lines between `---` and `---` at the very beginning, and what follows them.
fn front_matter(text: &str) -> Option<(&str, &str)> {
    let body =
        text.strip_prefix("---").and_then(|rest| rest.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n'))?;
    let mut end = 0;
    for line in body.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            let matter = &body[..end];
            // A rule over a paragraph looks the same, but says nothing of the form `key: value`.
            let is_matter = matter.trim().is_empty() || matter.lines().any(|line| key_and_value(line).is_some());
            return is_matter.then(|| (matter, &body[end + line.len()..]));
        }
        end += line.len();
        if end > MAX_FRONT_MATTER_BYTES {
            return None;
        }
    }
    None
}

/// `key: value` of a line that is not indented.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let value = value.trim();
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    is_key.then(|| (key, quoted.unwrap_or(value)))
}

/// Takes title, date and language; the rest of the front matter is for the site's generator.
fn read_front_matter(matter: &str, composer: &mut Composer) {
    for (key, value) in matter.lines().filter_map(key_and_value) {
        match key.to_ascii_lowercase().as_str() {
            "title" if composer.title.is_empty() => value.clone_into(&mut composer.title),
            "date" if composer.date.is_none() => composer.date = iso_day(value),
            "lang" | "language" if composer.language.is_none() => composer.language = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// Turns events into blocks.
struct Reader {
    composer: Composer,
    /// The text of the block that is open.
    inline: String,
    /// Lists around the place.
    lists: u8,
    /// Whether the next block is the first one of an item.
    item_due: bool,
    heading: Option<u8>,
    cells: Vec<String>,
    /// Whether the text is code or HTML that is kept as it is.
    verbatim: bool,
}

impl Reader {
    fn new(composer: Composer) -> Self {
        Self {
            composer,
            inline: String::new(),
            lists: 0,
            item_due: false,
            heading: None,
            cells: Vec::new(),
            verbatim: false,
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Start(tag) => return self.start(&tag),
            Event::End(tag) => return self.end(tag),
            Event::Text(text) if self.verbatim => self.inline.push_str(&text),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.inline.push_str(&text);
            }
            Event::Html(html) => self.inline.push_str(&html),
            Event::InlineHtml(html) => self.inline_html(&html),
            Event::SoftBreak => self.inline.push(' '),
            Event::HardBreak => self.inline.push(BREAK),
            Event::Rule => return self.flush(),
            Event::TaskListMarker(done) => self.inline.push_str(if done { "[x] " } else { "[ ] " }),
            Event::FootnoteReference(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<()> {
        match tag {
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => self.flush()?,
            Tag::Heading { level, .. } => {
                self.flush()?;
                self.heading = Some(*level as u8);
            }
            Tag::CodeBlock(_) | Tag::HtmlBlock => {
                self.flush()?;
                self.verbatim = true;
            }
            Tag::List(_) => {
                self.flush()?;
                self.lists = self.lists.saturating_add(1);
            }
            Tag::Item => {
                self.flush()?;
                self.item_due = true;
            }
            Tag::TableHead | Tag::TableRow => {
                self.flush()?;
                self.cells.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<()> {
        match tag {
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition => self.flush(),
            TagEnd::CodeBlock => {
                self.verbatim = false;
                self.item_due = false;
                let code = std::mem::take(&mut self.inline);
                self.composer.push(Shape::Code, &code)
            }
            TagEnd::HtmlBlock => {
                self.verbatim = false;
                let block = std::mem::take(&mut self.inline);
                html::compose_fragment(&block, html::Fragment::Piece, &mut self.composer)
            }
            TagEnd::Item => {
                self.flush()?;
                self.item_due = false;
                Ok(())
            }
            TagEnd::List(_) => {
                self.flush()?;
                self.lists = self.lists.saturating_sub(1);
                Ok(())
            }
            TagEnd::TableCell => {
                push_cell(&mut self.cells, std::mem::take(&mut self.inline));
                Ok(())
            }
            TagEnd::TableHead | TagEnd::TableRow => self.composer.push_row(&std::mem::take(&mut self.cells)),
            _ => Ok(()),
        }
    }

    /// Hands over the open block.
    fn flush(&mut self) -> Result<()> {
        let heading = self.heading.take();
        if self.inline.trim().is_empty() {
            self.inline.clear();
            return Ok(());
        }
        let is_item = std::mem::take(&mut self.item_due);
        let shape = match heading {
            Some(level) => Shape::Heading(level),
            None if is_item => Shape::Item(self.lists.saturating_sub(1)),
            None => Shape::Paragraph,
        };
        self.composer.push(shape, &self.inline)?;
        self.inline.clear();
        Ok(())
    }

    /// Keeps a line break, a picture's alternative text, and what is no HTML at all.
    fn inline_html(&mut self, tag: &str) {
        match html::inline(tag) {
            html::Inline::Break => self.inline.push(BREAK),
            html::Inline::Text(text) => self.inline.push_str(&text),
            html::Inline::Markup => {}
            html::Inline::Foreign => self.inline.push_str(tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn text(markdown: &str) -> Text {
        read(markdown.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn every_element_is_read() {
        let markdown = "\
# Top *level* {#anchor}

A [link](https://example.org/a) and <https://example.org/b>, `code()`,
![a picture](p.png) and a\\
break. &amp; &eacute;[^1]

> quoted
> text

1. one
2. two
   - inner

     further
- [x] done

```sh
run --now
```

    indented

| a | b |
|---|---|
| 1 | [x](y) |

***

[^1]: A note.

[ref]: https://example.org
";
        let expected = "\
Top level

A link and https://example.org/b, code(), a picture and a
break. & é

quoted text

- one
- two
  - inner

further

- [x] done

```
run --now
```

```
indented
```

a | b
1 | x

A note.";
        let text = text(markdown);
        assert_eq!(text.body, expected);
        assert_eq!(text.title, "Top level");
        assert_eq!(text.sections.len(), 1);
    }

    #[test]
    fn front_matter_is_taken_and_a_rule_is_not() {
        let with = text("---\ntitle: \"The Title\"\ndate: 2024-05-06 07:08\nlang: en\ntags: [a]\n---\n# Other\n");
        assert_eq!((with.title.as_str(), with.date.as_deref()), ("The Title", Some("2024-05-06")));
        assert_eq!((with.body.as_str(), with.language_stated.as_deref()), ("Other", Some("en")));
        assert_eq!(text("---\n\nno matter\n\n---\n").body, "no matter");
        assert_eq!(text("---\nkey: value\n").body, "key: value");
    }

    #[test]
    fn html_is_read_and_placeholders_stay() {
        let markdown = "Ask <user> for <b>all</b><br/>that.\n\n<details>\n<summary>More</summary>\n<p>Inside</p>\n</details>\n\n<!-- gone -->\n<script>gone()</script>\n";
        assert_eq!(text(markdown).body, "Ask <user> for all\nthat.\n\nMore\n\nInside");
        assert_eq!(text("a <img src=x alt=\"b &amp; c\"> d").body, "a b & c d");
    }

    #[test]
    fn sections_follow_the_headings() {
        let text = text("before\n\n# A\n\none\n\n## B\n\n### C\n\ntwo");
        let sections: Vec<(u8, &str, &str)> =
            text.sections.iter().map(|part| (part.level, part.heading.as_str(), part.body.as_str())).collect();
        assert_eq!(sections, [(0, "", "before"), (1, "A", "one"), (2, "B", ""), (3, "C", "two")]);
    }

    #[test]
    fn what_takes_other_parsers_quadratic_time_is_read_at_once() {
        let count = 50_000;
        for unit in ["[", "> ", "- ", "*a_ ", "`", "![[", "<a ", "[a](", "| ", "&", "[^a]: ", "<!--", "a\n===\n"] {
            let begin = Instant::now();
            let result = read(unit.repeat(count).as_bytes(), &Limits::default());
            assert!(begin.elapsed().as_secs() < 20, "{unit:?} took {:?}", begin.elapsed());
            assert!(result.is_ok() || unit.contains("==="), "{unit:?}: {:?}", result.err());
        }
    }
}
