//! HTML as a stream of tags and text, in one pass and without a tree.
//!
//! After the tokenizer of the HTML standard (<https://html.spec.whatwg.org/multipage/parsing.html>, §13.2.5), as far as
//! text needs it. Why not a full parser: building the tree in the standard's way looks through all open elements for
//! each new one, and tokenizers compare each attribute of a tag with all others. `html5ever` 0.40 took 0.4 s for 10,000
//! open `div` and 8 s for 40,000. Here each byte is looked at once or twice, whatever the input.

use mail_parser::decoders::html::add_html_token;

/// A piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text with its character references still in it.
    Text(&'a str),
    /// A start tag.
    Start(Tag<'a>),
    /// The name of an end tag, in whatever case.
    End(&'a str),
    /// An element whose content is not markup, such as `script`: its tag, and the content.
    Raw(Tag<'a>, &'a str),
}

/// A start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// In whatever case.
    pub(super) name: &'a str,
    /// What stands between name and `>`.
    attributes: &'a str,
}

/// Elements whose content is text up to their end tag.
const RAW: &[&str] = &["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"];

/// The tokens of a page, in order.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(page: &'a str) -> Self {
        Self { rest: page }
    }

    /// Takes `count` bytes off the rest.
    fn take(&mut self, count: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    /// Takes what stands before `end`, and drops `end` itself; all of the rest where it never ends.
    fn take_past(&mut self, end: &str) -> &'a str {
        let at = self.rest.find(end).unwrap_or(self.rest.len());
        let taken = self.take(at);
        self.take(end.len().min(self.rest.len()));
        taken
    }

    /// Takes a tag that begins here with a letter after `skip` bytes, up to its `>`.
    fn take_tag(&mut self, skip: usize) -> Tag<'a> {
        let end = end_of_tag(self.rest.as_bytes());
        let inner = self.take(end).get(skip..).unwrap_or_default();
        let inner = inner.strip_suffix('>').unwrap_or(inner);
        let name = inner.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(inner.len());
        Tag { name: &inner[..name], attributes: &inner[name..] }
    }

    /// The content of an element like `script`, and drops its end tag.
    fn take_raw(&mut self, name: &str) -> &'a str {
        let bytes = self.rest.as_bytes();
        let ends_at = |at: &usize| {
            let after = at + 2 + name.len();
            bytes[at + 1] == b'/'
                && bytes.get(at + 2..after).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
                && bytes.get(after).is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
        };
        let mut brackets = self.rest.match_indices('<').map(|(at, _)| at).filter(|at| at + 1 < bytes.len());
        let end = brackets.find(ends_at).unwrap_or(bytes.len());
        let content = self.take(end);
        self.take(end_of_tag(self.rest.as_bytes()));
        content
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while !self.rest.is_empty() {
            let bytes = self.rest.as_bytes();
            if bytes[0] != b'<' {
                let end = self.rest.find('<').unwrap_or(bytes.len());
                return Some(Token::Text(self.take(end)));
            }
            match (bytes.get(1), bytes.get(2)) {
                (Some(first), _) if first.is_ascii_alphabetic() => {
                    let tag = self.take_tag(1);
                    return Some(match RAW.iter().find(|raw| raw.eq_ignore_ascii_case(tag.name)) {
                        Some(raw) => Token::Raw(tag, self.take_raw(raw)),
                        None => Token::Start(tag),
                    });
                }
                (Some(b'/'), Some(first)) if first.is_ascii_alphabetic() => {
                    return Some(Token::End(self.take_tag(2).name));
                }
                (Some(b'!'), _) if self.rest.starts_with("<!--") => self.skip_comment(),
                (Some(b'!' | b'?' | b'/'), _) => {
                    self.take_past(">");
                }
                _ => return Some(Token::Text(self.take(1))),
            }
        }
        None
    }
}

impl Tokens<'_> {
    fn skip_comment(&mut self) {
        self.take(4);
        // `<!-->` and `<!--->` are whole comments.
        for whole in [">", "->"] {
            if self.rest.starts_with(whole) {
                self.take(whole.len());
                return;
            }
        }
        self.take_past("-->");
    }
}

/// How many bytes a tag has, its `>` included; the whole rest where it never ends. Quotes count only after a `=`.
fn end_of_tag(bytes: &[u8]) -> usize {
    let mut quote = None;
    let mut after_equals = false;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if *byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') if after_equals => quote = Some(*byte),
            (None, _) => {}
        }
        after_equals = *byte == b'=' || (after_equals && byte.is_ascii_whitespace());
    }
    bytes.len()
}

impl<'a> Tag<'a> {
    /// The attributes in order, names in whatever case, values with their character references still in them.
    pub(super) fn attributes(self) -> Attributes<'a> {
        Attributes { rest: self.attributes }
    }

    /// The value of an attribute, decoded.
    pub(super) fn attribute(self, name: &str) -> Option<String> {
        let mut found = self.attributes().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| decoded(value))
    }

    /// Whether it ends with `/>`.
    pub(super) fn closes_itself(self) -> bool {
        self.attributes.ends_with('/')
    }
}

/// The attributes of a tag.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let is_space = |c: char| c.is_ascii_whitespace();
        let rest = self.rest.trim_start_matches(|c: char| is_space(c) || c == '/');
        if rest.is_empty() {
            self.rest = rest;
            return None;
        }
        // A name may begin with `=`, by the standard.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let ends = |c: char| is_space(c) || c == '/' || c == '=';
        let name_end = rest[first..].find(ends).map_or(rest.len(), |at| at + first);
        let (name, after) = rest.split_at(name_end);
        let Some(value) = after.trim_start_matches(is_space).strip_prefix('=') else {
            self.rest = after;
            return Some((name, ""));
        };
        let value = value.trim_start_matches(is_space);
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(is_space).unwrap_or(value.len())),
        };
        self.rest = after;
        Some((name, value))
    }
}

/// Longest name of a character reference that is looked up.
const MAX_REFERENCE_BYTES: usize = 32;

/// Adds `text` with its character references resolved, HTML standard §13.5; unknown ones stay as they are.
pub(super) fn push_decoded(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = push_reference(out, rest);
        rest = &rest[length..];
    }
    out.push_str(rest);
}

/// Adds what the `&` at the beginning of `text` stands for; how many bytes that took.
fn push_reference(out: &mut String, text: &str) -> usize {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    let name = text.as_bytes()[1..].iter().take(MAX_REFERENCE_BYTES).take_while(|byte| is_name(byte)).count();
    let end = 1 + name;
    if let Some(digits) = text[1..end].strip_prefix('#') {
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        };
        if let Some(code) = code {
            out.push(character(code));
            return end + usize::from(text.as_bytes().get(end) == Some(&b';'));
        }
    } else if name > 0 && text.as_bytes().get(end) == Some(&b';') {
        add_html_token(out, &text.as_bytes()[..=end], false);
        return end + 1;
    }
    out.push('&');
    1
}

/// The character of a number; the upper control characters mean those of windows-1252.
fn character(code: u32) -> char {
    if let 0x80..=0x9f = code {
        let byte = [u8::try_from(code).unwrap_or_default()];
        return encoding_rs::WINDOWS_1252.decode_without_bom_handling(&byte).0.chars().next().unwrap_or('\u{fffd}');
    }
    char::from_u32(code).filter(|c| *c != '\0').unwrap_or('\u{fffd}')
}

/// `text` with its character references resolved.
pub(super) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_decoded(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &str) -> Vec<String> {
        let show = |token| match token {
            Token::Text(text) => text.to_owned(),
            Token::Start(tag) => format!("<{}>", tag.name),
            Token::End(name) => format!("</{name}>"),
            Token::Raw(tag, content) => format!("[{}:{content}]", tag.name),
        };
        Tokens::new(page).map(show).collect()
    }

    #[test]
    fn tags_text_and_comments_are_told_apart() {
        assert_eq!(shown("a<b c='>'>d</B >e<br/>"), ["a", "<b>", "d", "</B>", "e", "<br>"]);
        assert_eq!(shown("<!doctype x>a<!-- <b> -->c<!-->d<!--->e<?x?>f</ g>h"), ["a", "c", "d", "e", "f", "h"]);
        assert_eq!(shown("1 < 2 <"), ["1 ", "<", " 2 ", "<"]);
        assert_eq!(shown("<script>if (a<b) '</scripty>'</SCRIPT x>y"), ["[script:if (a<b) '</scripty>']", "y"]);
        assert_eq!(shown("<title>a<b>c</title"), ["[title:a<b>c]"]);
        assert_eq!(shown("a<!-- never"), ["a"]);
        assert_eq!(shown("a<b c=\"never>"), ["a", "<b>"]);
        assert_eq!(shown("<i \">x"), ["<i>", "x"]);
        assert_eq!(shown("<script>x<"), ["[script:x<]"]);
    }

    #[test]
    fn attributes_are_read_however_they_are_written() {
        let page = "<a b c=d E = \"f&amp;g\"h='i'/j=/k =l>";
        let Some(Token::Start(tag)) = Tokens::new(page).next() else { panic!("a tag") };
        let all: Vec<(&str, &str)> = tag.attributes().collect();
        assert_eq!(all, [("b", ""), ("c", "d"), ("E", "f&amp;g"), ("h", "i"), ("j", "/k"), ("=l", "")]);
        assert_eq!(tag.attribute("e").as_deref(), Some("f&g"));
        assert_eq!(tag.attribute("x"), None);
    }

    #[test]
    fn character_references_are_resolved() {
        assert_eq!(
            decoded("a &lt;b&gt; &eacute;&#233;&#xE9; &#x93; &#0; &nope; & &amp"),
            "a <b> ééé “ \u{fffd} &nope; & &amp"
        );
        assert_eq!(decoded("&#x110000;&#99999999999;&#;"), "\u{fffd}&#99999999999;&#;");
    }
}
