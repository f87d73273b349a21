//! Web pages: their own text, without what stands around it.
//!
//! Tags are read one after the other and never become a tree ([`token`] says why), so nesting costs nothing. What is
//! in `main` or `article` is preferred; menus, footers, forms, boxes about cookies and everything hidden is left out,
//! unless that leaves next to nothing: then the page was made of them, and all that can be seen is taken.

mod element;
mod token;

use crate::charset;
use crate::error::Result;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::text::{BREAK, Composer, Scope, Shape, Text, iso_day, push_cell};
use element::Role;
use token::{Tag, Token, Tokens, decoded, push_decoded};

/// A page with less text than this may have been taken for furniture.
const FEW_BYTES: usize = 200;
/// How far into a page its charset is looked for; the standard asks for 1024 bytes, and templates miss it.
const CHARSET_BYTES: usize = 4096;
/// Names under which pages state their day.
const DATE_NAMES: &[&str] =
    &["article:published_time", "date", "dc.date", "dcterms.date", "dcterms.created", "pubdate", "publish-date"];

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    charset::check_text(bytes, Kind::Html)?;
    let page = charset::decode(bytes, stated_charset(bytes).as_deref());
    let own = extract(&page, Take::Own, limits)?;
    if own.len() < FEW_BYTES {
        let seen = extract(&page, Take::Seen, limits)?;
        if seen.len() > 4 * own.len() {
            return Ok(seen.finish());
        }
    }
    Ok(own.finish())
}

fn extract(page: &str, take: Take, limits: &Limits) -> Result<Composer> {
    let mut composer = Composer::new(Kind::Html, limits.output_bytes);
    Extractor::new(&mut composer, take).run(page)?;
    Ok(composer)
}

/// Where a piece of HTML comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// From a larger text.
    Piece,
    /// From a message; what it quotes is left out.
    Mail,
}

/// Hands everything that can be seen of a piece of HTML to `composer`.
///
/// # Errors
/// Where the text grows beyond the limit.
pub(crate) fn compose_fragment(html: &str, fragment: Fragment, composer: &mut Composer) -> Result<()> {
    Extractor::new(composer, Take::Fragment(fragment)).run(html)
}

/// What a single tag means inside a line of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inline {
    /// A line break.
    Break,
    /// Text that stands for it.
    Text(String),
    /// Nothing.
    Markup,
    /// It only looks like a tag.
    Foreign,
}

/// What the tag at the beginning of `html` means inside a line.
pub(crate) fn inline(html: &str) -> Inline {
    match Tokens::new(html).next() {
        Some(Token::Start(tag) | Token::Raw(tag, _)) => match element::role(tag.name) {
            Some(Role::Break) => Inline::Break,
            Some(Role::Picture) => Inline::Text(alternative(tag)),
            Some(_) => Inline::Markup,
            None => Inline::Foreign,
        },
        Some(Token::End(name)) if element::role(name).is_none() => Inline::Foreign,
        Some(Token::Text(_)) => Inline::Foreign,
        _ => Inline::Markup,
    }
}

/// What a picture says in words; programs put the name of its file there.
fn alternative(picture: Tag<'_>) -> String {
    let text = picture.attribute("alt").unwrap_or_default();
    let ending = text.trim().rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_file =
        ["png", "jpg", "jpeg", "gif", "svg", "webp", "bmp"].iter().any(|kind| ending.eq_ignore_ascii_case(kind));
    if is_file { String::new() } else { text }
}

/// The charset that a `meta` element or an XML declaration near the beginning names.
fn stated_charset(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(CHARSET_BYTES)]);
    if let Some(declaration) = head.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split("?>").next())
        && let Some((_, value)) = declaration.split_once("encoding")
    {
        return label(value);
    }
    Tokens::new(&head).find_map(|token| match token {
        Token::Start(tag) if tag.name.eq_ignore_ascii_case("meta") => tag.attribute("charset").or_else(|| {
            let content = tag.attribute("content").filter(|_| tag.attribute("http-equiv").is_some())?;
            let at = content.to_ascii_lowercase().find("charset")?;
            label(&content[at + "charset".len()..])
        }),
        _ => None,
    })
}

/// The word behind `=` and a quote.
fn label(text: &str) -> Option<String> {
    let value = text.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';')).next().map(str::to_owned)
}

/// How much of a page is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    /// Its own text.
    Own,
    /// All that can be seen.
    Seen,
    /// All that can be seen, and no statements about a page.
    Fragment(Fragment),
}

/// An element that is open; only its own name is counted, so that nothing else needs to be closed rightly.
#[derive(Debug)]
struct Region {
    name: String,
    open: usize,
}

impl Region {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), open: 1 }
    }

    fn start(&mut self, name: &str) {
        self.open += usize::from(self.name.eq_ignore_ascii_case(name));
    }

    /// Whether this end tag closes the region.
    fn end(&mut self, name: &str) -> bool {
        self.open -= usize::from(self.name.eq_ignore_ascii_case(name));
        self.open == 0
    }
}

/// Turns tokens into blocks.
struct Extractor<'a> {
    composer: &'a mut Composer,
    take: Take,
    /// The text of the block or cell that is open.
    inline: String,
    /// What is being left out.
    skipped: Option<Region>,
    main: Option<Region>,
    article: Option<Region>,
    heading: Option<u8>,
    lists: u8,
    /// Whether the next block is the first one of an item.
    item_due: bool,
    /// Preformatted elements around the place.
    preformatted: u32,
    /// The finished cells of the row that is open.
    row: Option<Vec<String>>,
    in_cell: bool,
}

impl<'a> Extractor<'a> {
    fn new(composer: &'a mut Composer, take: Take) -> Self {
        Self {
            composer,
            take,
            inline: String::new(),
            skipped: None,
            main: None,
            article: None,
            heading: None,
            lists: 0,
            item_due: false,
            preformatted: 0,
            row: None,
            in_cell: false,
        }
    }

    fn run(mut self, page: &str) -> Result<()> {
        for token in Tokens::new(page) {
            match token {
                Token::Text(text) if self.skipped.is_none() => push_decoded(&mut self.inline, text),
                Token::Text(_) => {}
                Token::Start(tag) => self.start(tag)?,
                Token::End(name) => self.end(name)?,
                Token::Raw(tag, content) => self.raw(tag, content)?,
            }
        }
        self.preformatted = 0;
        self.end_row()?;
        self.flush()
    }

    fn start(&mut self, tag: Tag<'_>) -> Result<()> {
        let role = element::role(tag.name).unwrap_or(Role::Inline);
        let has_content =
            !tag.closes_itself() && !matches!(role, Role::Void | Role::Meta | Role::Break | Role::Picture);
        if has_content {
            let regions = [&mut self.skipped, &mut self.main, &mut self.article];
            regions.into_iter().flatten().for_each(|region| region.start(tag.name));
        }
        if self.skipped.is_some() {
            return Ok(());
        }
        if self.is_left_out(role, tag) {
            if has_content {
                self.skipped = Some(Region::new(tag.name));
            }
            return self.boundary_of(role);
        }
        if self.take == Take::Own && has_content {
            self.open_region(role, tag)?;
        }
        match role {
            Role::Meta | Role::Root => self.state(tag),
            Role::Break if self.preformatted > 0 => self.inline.push('\n'),
            Role::Break => self.inline.push(BREAK),
            Role::Picture => self.inline.push_str(&alternative(tag)),
            Role::Inline | Role::Void | Role::Hidden => {}
            _ => return self.start_block(role),
        }
        Ok(())
    }

    /// A menu ends the paragraph before it; a hidden word inside a sentence does not.
    fn boundary_of(&mut self, role: Role) -> Result<()> {
        if matches!(role, Role::Inline | Role::Void | Role::Hidden | Role::Picture | Role::Break) {
            return Ok(());
        }
        self.boundary()
    }

    fn is_left_out(&self, role: Role, tag: Tag<'_>) -> bool {
        match role {
            Role::Hidden => true,
            // A page that hides its root shows it later by script.
            Role::Root | Role::Main | Role::Article => false,
            _ if self.take == Take::Fragment(Fragment::Mail) => element::is_quote(tag),
            _ if self.take != Take::Own => false,
            Role::Furniture => true,
            Role::Header if self.main.is_none() && self.article.is_none() => true,
            _ => element::is_set_aside(tag),
        }
    }

    fn open_region(&mut self, role: Role, tag: Tag<'_>) -> Result<()> {
        let is_main = role == Role::Main || tag.attribute("role").is_some_and(|role| role.eq_ignore_ascii_case("main"));
        if is_main && self.main.is_none() {
            self.flush()?;
            self.main = Some(Region::new(tag.name));
        } else if role == Role::Article && self.article.is_none() {
            self.flush()?;
            self.article = Some(Region::new(tag.name));
        }
        Ok(())
    }

    fn start_block(&mut self, role: Role) -> Result<()> {
        match role {
            Role::Row => {
                self.end_row()?;
                self.flush()?;
                self.row = Some(Vec::new());
            }
            Role::Cell if self.row.is_some() => self.end_cell(),
            Role::Heading(_) | Role::List | Role::Table | Role::Preformatted => {
                self.break_row()?;
                self.flush()?;
            }
            _ => self.boundary()?,
        }
        match role {
            Role::Cell => self.in_cell = self.row.is_some(),
            Role::Heading(level) => self.heading = Some(level),
            Role::List => self.lists = self.lists.saturating_add(1),
            Role::Item => self.item_due = self.row.is_none(),
            Role::Preformatted => self.preformatted = self.preformatted.saturating_add(1),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<()> {
        if let Some(region) = &mut self.skipped
            && region.end(name)
        {
            self.skipped = None;
            return self.close_regions(name);
        }
        if self.skipped.is_some() {
            return self.close_regions(name);
        }
        match element::role(name).unwrap_or(Role::Inline) {
            Role::Inline | Role::Break | Role::Picture | Role::Meta | Role::Void | Role::Hidden => {}
            Role::Row | Role::Table => self.end_row()?,
            Role::Cell => self.end_cell(),
            Role::Preformatted => self.end_preformatted()?,
            Role::List => {
                self.flush()?;
                self.lists = self.lists.saturating_sub(1);
            }
            Role::Item => {
                self.boundary()?;
                self.item_due = false;
            }
            _ => self.boundary()?,
        }
        self.close_regions(name)
    }

    /// The text before the end of a region belongs into it.
    fn close_regions(&mut self, name: &str) -> Result<()> {
        let main_ends = self.main.as_mut().is_some_and(|region| region.end(name));
        let article_ends = self.article.as_mut().is_some_and(|region| region.end(name));
        if main_ends || article_ends {
            self.end_row()?;
            self.flush()?;
        }
        if main_ends {
            self.main = None;
        }
        if article_ends {
            self.article = None;
        }
        Ok(())
    }

    fn raw(&mut self, tag: Tag<'_>, content: &str) -> Result<()> {
        if self.skipped.is_some() {
            return Ok(());
        }
        if tag.name.eq_ignore_ascii_case("title")
            && !matches!(self.take, Take::Fragment(_))
            && self.composer.title.is_empty()
        {
            self.composer.title = decoded(content);
        }
        if tag.name.eq_ignore_ascii_case("xmp") {
            self.break_row()?;
            self.flush()?;
            return self.composer.push(Shape::Code, content);
        }
        Ok(())
    }

    /// Takes what a `meta` or `html` element states.
    fn state(&mut self, tag: Tag<'_>) {
        if matches!(self.take, Take::Fragment(_)) {
            return;
        }
        if let Some(language) = tag.attribute("lang").or_else(|| tag.attribute("xml:lang")) {
            self.composer.language.get_or_insert(language);
        }
        let name = tag.attribute("property").or_else(|| tag.attribute("name"));
        let (Some(name), Some(content)) = (name, tag.attribute("content")) else {
            return;
        };
        if self.composer.date.is_none() && DATE_NAMES.iter().any(|date| date.eq_ignore_ascii_case(&name)) {
            self.composer.date = iso_day(&content);
        }
    }

    /// A block begins or ends here. Inside a cell that is only a blank.
    fn boundary(&mut self) -> Result<()> {
        if self.preformatted > 0 {
            if !self.inline.is_empty() && !self.inline.ends_with('\n') {
                self.inline.push('\n');
            }
            return Ok(());
        }
        if self.row.is_some() {
            self.inline.push(' ');
            return Ok(());
        }
        self.flush()
    }

    /// Hands over the open block.
    fn flush(&mut self) -> Result<()> {
        self.composer.scope = match (&self.main, &self.article) {
            (Some(_), _) => Scope::Main,
            (None, Some(_)) => Scope::Article,
            (None, None) => Scope::Page,
        };
        if self.preformatted > 0 {
            return self.push_block(Shape::Code);
        }
        let heading = self.heading.take();
        if self.inline.trim().is_empty() {
            self.inline.clear();
            return Ok(());
        }
        let is_item = std::mem::take(&mut self.item_due);
        match heading {
            Some(level) => {
                // Links to the heading itself.
                let end = self.inline.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '¶' | '#')).len();
                self.inline.truncate(end);
                self.push_block(Shape::Heading(level))
            }
            None if is_item => self.push_block(Shape::Item(self.lists.saturating_sub(1))),
            None => self.push_block(Shape::Paragraph),
        }
    }

    fn push_block(&mut self, shape: Shape) -> Result<()> {
        self.composer.push(shape, &self.inline)?;
        self.inline.clear();
        Ok(())
    }

    fn end_preformatted(&mut self) -> Result<()> {
        if self.preformatted == 1 {
            self.flush()?;
            self.item_due = false;
        }
        self.preformatted = self.preformatted.saturating_sub(1);
        Ok(())
    }

    fn end_cell(&mut self) {
        if let Some(cells) = &mut self.row
            && self.in_cell
        {
            push_cell(cells, std::mem::take(&mut self.inline));
            self.in_cell = false;
        }
    }

    fn end_row(&mut self) -> Result<()> {
        self.end_cell();
        match self.row.take() {
            Some(cells) => {
                self.flush()?;
                self.composer.push_row(&cells)
            }
            None => Ok(()),
        }
    }

    /// A heading or a table inside a cell: the table only sets out the page, and its cells are blocks.
    fn break_row(&mut self) -> Result<()> {
        self.in_cell = false;
        let text = std::mem::take(&mut self.inline);
        for cell in self.row.take().unwrap_or_default() {
            self.inline = cell;
            self.flush()?;
        }
        self.inline = text;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn text(page: &str) -> Text {
        read(page.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn the_text_of_a_page_is_read_without_its_furniture() {
        let page = "<!doctype html><html lang=en><head><title>The &amp; Title</title>
<meta property='article:published_time' content='2024-05-06T10:00Z'><style>p{}</style></head><body>
<header><h1>Site</h1></header><nav><ul><li>Home</li></ul></nav>
<div id=cookie-notice><p>We use cookies.</p></div>
<main><article><header><h1>Heading<a class=headerlink href=#h>¶</a></h1></header>
<p>First <a href='https://example.org'>link</a>,<br>second <img src=x alt='a picture'>.</p>
<ul><li>one<li><p>two</p><ol><li>inner</ol></ul>
<pre><code class=x>
  if a &lt; b:
    c()
</code></pre>
<table><tr><th>a<th>b<tr><td><p>1</p><td>2<br>3</table>
<aside>Read also</aside><form><input> <button>Send</button></form><script>x()</script>
<p hidden>gone</p></article></main><footer>(c)</footer></body></html>";
        let text = text(page);
        let expected = "Heading\n\nFirst link,\nsecond a picture.\n\n- one\n- two\n  - inner\n\n```\n  if a < b:\n    c()\n```\n\na | b\n1 | 2 3";
        assert_eq!(text.body, expected);
        assert_eq!(text.title, "The & Title");
        assert_eq!((text.date.as_deref(), text.language_stated.as_deref()), (Some("2024-05-06"), Some("en")));
    }

    #[test]
    fn a_page_made_of_a_form_or_of_a_layout_table_is_still_read() {
        assert_eq!(text("<body><form id=all><h1>A</h1><p>Text in a form.</p></form>").body, "A\n\nText in a form.");
        let page = "<table><tr><td>Left<td><h2>B</h2><p>Right</p><table><tr><td>x<td>y</table></table>After";
        assert_eq!(text(page).body, "Left\n\nB\n\nRight\n\nx | y\n\nAfter");
        assert_eq!(text("<nav>Never closed <p>but all there is").body, "Never closed\n\nbut all there is");
    }

    #[test]
    fn articles_are_preferred_where_there_is_no_main() {
        let page = "<p>Around</p><article><p>One</p></article><p>Between</p><article><p>Two</p></article>";
        assert_eq!(text(page).body, "One\n\nTwo");
        assert_eq!(text("<p>a<div role=main><div>b</div>c</div>d").body, "b\n\nc");
    }

    #[test]
    fn the_charset_is_found_where_pages_state_it() {
        let cases: &[&[u8]] = &[
            b"<meta charset='iso-8859-2'><p>\xb1",
            b"<meta http-equiv=Content-Type content='text/html; charset=ISO-8859-2'><p>\xb1",
            b"<?xml version='1.0' encoding=\"iso-8859-2\"?><p>\xb1",
        ];
        for page in cases {
            assert_eq!(read(page, &Limits::default()).unwrap().body, "ą");
        }
        assert_eq!(read(b"<p>\x80 caf\xe9", &Limits::default()).unwrap().body, "€ café");
    }

    #[test]
    fn a_single_tag_is_told_from_a_placeholder() {
        assert_eq!(inline("<br/>"), Inline::Break);
        assert_eq!(inline("</b>"), Inline::Markup);
        assert_eq!(inline("<!-- x -->"), Inline::Markup);
        assert_eq!(inline("<img alt=x>"), Inline::Text("x".into()));
        assert_eq!(inline("<img alt='a1b2.PNG'>"), Inline::Text(String::new()));
        for foreign in ["<user>", "</user>", "<target-host>"] {
            assert_eq!(inline(foreign), Inline::Foreign);
        }
    }

    #[test]
    fn a_million_open_elements_take_no_stack_and_no_quadratic_time() {
        for unit in [
            "<div>",
            "<b x=1>",
            "<table><tr><td>",
            "<ul><li>",
            "<main>",
            "<nav>",
            "<pre>",
            "</div>",
            "<a ",
            "<!--",
            "&amp",
            "<p",
            "<script>",
        ] {
            let begin = Instant::now();
            let page = unit.repeat(if unit == "<div>" { 1_000_000 } else { 200_000 }) + "end";
            let result = read(page.as_bytes(), &Limits::default());
            assert!(begin.elapsed().as_secs() < 20, "{unit} took {:?}", begin.elapsed());
            assert!(result.is_ok(), "{unit}: {:?}", result.err());
        }
        let tag = format!("<p {}>end", "a b=c ".repeat(1_000_000));
        let begin = Instant::now();
        assert_eq!(text(&tag).body, "end");
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
