//! A small reader of Rust source: what is code, what is comment or text, where functions and test modules lie.
//!
//! It does not parse; it knows comments, strings, characters and braces, which is enough to count lines. A real parser
//! would be a dependency whose features change how all the derive macros of the workspace are built.

use std::ops::Range;

/// A function's name and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// Lines with code from its `fn` to its closing brace.
    pub code_lines: usize,
}

/// A source with comments blanked out and texts replaced by `"`; lines stay where they were.
#[derive(Debug, Clone)]
pub struct Scanned {
    code: String,
    /// Byte ranges of `#[cfg(test)]` modules.
    tests: Vec<Range<usize>>,
}

impl Scanned {
    /// Reads a source file.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let code = blanked(source);
        let tests = test_modules(&code);
        Self { code, tests }
    }

    /// The code alone.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Lines with code outside test modules.
    #[must_use]
    pub fn code_lines(&self) -> usize {
        let inside: usize = self.tests.iter().map(|range| count(&self.code[range.clone()])).sum();
        count(&self.code) - inside
    }

    /// Whether a byte of the code lies in a test module.
    #[must_use]
    pub fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// All functions that have a body, nested ones too.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for at in words(&self.code, "fn") {
            let rest = &self.code[at + 2..];
            let name: String = rest.trim_start().chars().take_while(|&c| is_word(c)).collect();
            let Some(open) = body_start(rest).filter(|_| !name.is_empty()) else {
                continue;
            };
            let end = closing(&self.code, at + 2 + open);
            functions.push(Function { name, line: self.line_of(at), code_lines: count(&self.code[at..end]) });
        }
        functions
    }

    /// The line of a byte, from 1.
    #[must_use]
    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn count(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands by itself.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// From behind `fn`: where the body's brace opens; `None` for a declaration or a function type.
fn body_start(rest: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' | '}' if depth <= 0 => return None,
            _ if depth < 0 => return None,
            _ => {}
        }
    }
    None
}

/// Behind the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn test_modules(code: &str) -> Vec<Range<usize>> {
    let mut modules: Vec<Range<usize>> = Vec::new();
    for (at, mark) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at + mark.len()..];
        let head = rest.find(['{', ';']).map_or(rest, |end| &rest[..=end]);
        let nested = modules.last().is_some_and(|module| module.contains(&at));
        if nested || !head.ends_with('{') || words(head, "mod").next().is_none() {
            continue;
        }
        modules.push(at..closing(code, at + mark.len() + head.len() - 1));
    }
    modules
}

/// Comments to spaces, insides of strings and characters to `"`; line breaks stay.
fn blanked(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let (len, fill) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (line_comment(&bytes[at..]), ' '),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (block_comment(&bytes[at..]), ' '),
            b'r' | b'b' | b'c' if !ends_in_word(&out) => (prefixed_string(&bytes[at..]), '"'),
            b'"' => (quoted(&bytes[at..], b'"'), '"'),
            b'\'' => (character(&bytes[at..]), '"'),
            _ => (0, ' '),
        };
        if len == 0 {
            let c = source[at..].chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
            continue;
        }
        out.extend(source[at..at + len].chars().map(|c| if c == '\n' { c } else { fill }));
        at += len;
    }
    out
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(is_word)
}

fn line_comment(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len())
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; 0 for a plain word.
fn prefixed_string(bytes: &[u8]) -> usize {
    let prefix = bytes.iter().take_while(|&&b| matches!(b, b'r' | b'b' | b'c')).count();
    let hashes = bytes[prefix..].iter().take_while(|&&b| b == b'#').count();
    let start = prefix + hashes;
    let raw = bytes[..prefix].contains(&b'r');
    match bytes.get(start) {
        _ if prefix > 2 => 0,
        Some(b'"') if raw => {
            let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
            let found = bytes[start + 1..].windows(end.len()).position(|window| window == end);
            found.map_or(bytes.len(), |at| start + 1 + at + end.len())
        }
        Some(quote @ (b'"' | b'\'')) if hashes == 0 && !raw => prefix + quoted(&bytes[prefix..], *quote),
        _ => 0,
    }
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a character literal; 0 for a lifetime.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return quoted(bytes, b'\'');
    }
    let text = String::from_utf8_lossy(&bytes[1..bytes.len().min(6)]).into_owned();
    let width = text.chars().next().map_or(0, char::len_utf8);
    if bytes.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r##"//! fn in_comment() {
/* fn { /* nested } */ { */
fn one<'a>(x: &'a str, f: fn(u8) -> u8) -> char {
    let _ = r#"fn text() { "#;

    // nothing
    let _ = ("{", b'{', '{', '\'', "\"{", br"\");
    'x'
}

trait T { fn declared(&self) -> [u8; 3]; }

#[cfg(test)]
mod tests {
    fn inner() {
    }
}
"##;

    #[test]
    fn functions_are_found_with_their_lines_of_code() {
        let functions = Scanned::new(SOURCE).functions();
        let found: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.line, f.code_lines)).collect();
        assert_eq!(found, [("one", 3, 5), ("inner", 15, 2)]);
    }

    #[test]
    fn test_modules_are_not_counted() {
        let scanned = Scanned::new(SOURCE);
        assert_eq!(scanned.code_lines(), 6);
        assert!(scanned.is_test(scanned.code().find("inner").unwrap()));
        assert!(!scanned.is_test(scanned.code().find("one").unwrap()));
    }

    #[test]
    fn a_module_in_another_file_is_no_test_module_here() {
        let scanned = Scanned::new("#[cfg(test)]\nmod testing;\nfn a() {\n}\n");
        assert_eq!(scanned.code_lines(), 4);
    }

    #[test]
    fn strange_sources_do_not_panic() {
        for source in ["'", "r#\"", "b'", "/*", "fn", "fn a(", "\"\\", "fn ü() { 'ü' }", "#[cfg(test)]", "'\\"] {
            let _ = Scanned::new(source).functions();
        }
    }
}
