//! The objects of PDF, ISO 32000-1 §7.2 and §7.3, read from bytes; content streams are written the same way.

use lopdf::{Dictionary, Object, StringFormat};

/// Nesting of arrays and dictionaries beyond this is damage or malice.
const MAX_DEPTH: usize = 64;
/// How many values one top-level object may have. Each takes some hundred bytes.
const MAX_VALUES: usize = 200_000;
/// Longer names are cut.
const MAX_NAME_BYTES: usize = 1024;

/// What comes next in the bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Item<'a> {
    Object(Object),
    /// An operator of a content stream, or a word such as `endobj`.
    Word(&'a [u8]),
    /// No more bytes, or more values than an object may have.
    End,
}

/// Whether `1 0 R` is a reference. In content streams there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    Read,
    None,
}

/// Reads objects one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    /// Where the next byte stands.
    pub(super) at: usize,
    references: References,
    values: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize, references: References) -> Self {
        Self { bytes, at: at.min(bytes.len()), references, values: 0 }
    }

    /// The next object or word.
    pub(super) fn next(&mut self) -> Item<'a> {
        self.values = 0;
        self.item(0)
    }

    /// The next object, if it is one.
    pub(super) fn object(&mut self) -> Option<Object> {
        match self.next() {
            Item::Object(object) => Some(object),
            Item::Word(_) | Item::End => None,
        }
    }

    /// Steps over white space and comments.
    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'%' => self.at += run(&self.bytes[self.at..], |byte| !matches!(byte, b'\r' | b'\n')),
                byte if is_space(*byte) => self.at += 1,
                _ => return,
            }
        }
    }

    fn item(&mut self, depth: usize) -> Item<'a> {
        self.skip_space();
        self.values += 1;
        let rest = &self.bytes[self.at..];
        let (Some(first), true) = (rest.first(), self.values <= MAX_VALUES) else {
            return Item::End;
        };
        match (first, rest.get(1)) {
            (b'/', _) => Item::Object(Object::Name(self.name())),
            (b'(', _) => Item::Object(self.literal_string()),
            (b'<', Some(b'<')) => self.dictionary(depth),
            (b'<', _) => Item::Object(self.hexadecimal_string()),
            (b'[', _) => self.array(depth),
            (b'0'..=b'9' | b'+' | b'-' | b'.', _) => Item::Object(self.number_or_reference()),
            (b'>', Some(b'>')) => self.word(2),
            (b']' | b'>' | b')' | b'{' | b'}', _) => self.word(1),
            _ => {
                let length = run(rest, is_regular).max(1);
                match self.word(length) {
                    Item::Word(b"true") => Item::Object(Object::Boolean(true)),
                    Item::Word(b"false") => Item::Object(Object::Boolean(false)),
                    Item::Word(b"null") => Item::Object(Object::Null),
                    word => word,
                }
            }
        }
    }

    fn word(&mut self, length: usize) -> Item<'a> {
        let word = &self.bytes[self.at..self.at + length];
        self.at += length;
        Item::Word(word)
    }

    fn name(&mut self) -> Vec<u8> {
        self.at += 1;
        let length = run(&self.bytes[self.at..], is_regular);
        let raw = &self.bytes[self.at..self.at + length];
        self.at += length;
        let mut name = Vec::with_capacity(length.min(MAX_NAME_BYTES));
        let mut rest = &raw[..raw.len().min(MAX_NAME_BYTES)];
        while let Some((byte, after)) = rest.split_first() {
            let escaped = (*byte == b'#').then(|| Some((digit(*after.first()?)?, digit(*after.get(1)?)?))).flatten();
            match escaped {
                Some((high, low)) => {
                    name.push(high << 4 | low);
                    rest = &after[2..];
                }
                None => {
                    name.push(*byte);
                    rest = after;
                }
            }
        }
        name
    }

    /// A string in parentheses, which may hold balanced ones; it never fails, and may end with the bytes.
    fn literal_string(&mut self) -> Object {
        let mut string = Vec::new();
        let mut open = 0_usize;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            self.at += 1;
            match byte {
                b'(' => {
                    open += 1;
                    if open > 1 {
                        string.push(byte);
                    }
                }
                b')' => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                    string.push(byte);
                }
                b'\\' => self.escape(&mut string),
                b'\r' => {
                    self.at += usize::from(self.bytes.get(self.at) == Some(&b'\n'));
                    string.push(b'\n');
                }
                _ => string.push(byte),
            }
        }
        Object::String(string, StringFormat::Literal)
    }

    /// What stands behind a backslash.
    fn escape(&mut self, string: &mut Vec<u8>) {
        let rest = &self.bytes[self.at..];
        let digits = run(&rest[..rest.len().min(3)], |byte| (b'0'..=b'7').contains(&byte));
        if digits > 0 {
            let code = rest[..digits].iter().fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
            // The specification has the overflow of three digits ignored.
            string.push((code & 0xff) as u8);
            self.at += digits;
            return;
        }
        let Some(byte) = rest.first() else {
            return;
        };
        self.at += 1;
        match byte {
            b'n' => string.push(b'\n'),
            b'r' => string.push(b'\r'),
            b't' => string.push(b'\t'),
            b'b' => string.push(8),
            b'f' => string.push(12),
            // A line break that is none.
            b'\r' => self.at += usize::from(rest.get(1) == Some(&b'\n')),
            b'\n' => {}
            other => string.push(*other),
        }
    }

    fn hexadecimal_string(&mut self) -> Object {
        self.at += 1;
        let mut string = Vec::new();
        let mut high = None;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            self.at += 1;
            if byte == b'>' {
                break;
            }
            let Some(digit) = digit(byte) else {
                continue;
            };
            match high.take() {
                Some(high) => string.push(high << 4 | digit),
                None => high = Some(digit),
            }
        }
        string.extend(high.map(|high| high << 4));
        Object::String(string, StringFormat::Hexadecimal)
    }

    fn array(&mut self, depth: usize) -> Item<'a> {
        self.at += 1;
        let mut array = Vec::new();
        if depth >= MAX_DEPTH {
            return Item::End;
        }
        loop {
            match self.item(depth + 1) {
                Item::Object(object) => array.push(object),
                Item::Word(b"]") => return Item::Object(Object::Array(array)),
                // The end of the object around it: the array was never closed.
                Item::Word(b"endobj" | b"obj" | b"stream" | b"endstream") | Item::End => return Item::End,
                Item::Word(_) => {}
            }
        }
    }

    fn dictionary(&mut self, depth: usize) -> Item<'a> {
        self.at += 2;
        let mut dictionary = Dictionary::new();
        if depth >= MAX_DEPTH {
            return Item::End;
        }
        loop {
            match self.item(depth + 1) {
                Item::Object(Object::Name(key)) => match self.item(depth + 1) {
                    Item::Object(value) => dictionary.set(key, value),
                    Item::Word(b">>") => return Item::Object(Object::Dictionary(dictionary)),
                    Item::Word(b"endobj" | b"obj" | b"stream" | b"endstream") | Item::End => return Item::End,
                    Item::Word(_) => {}
                },
                Item::Word(b">>") => return Item::Object(Object::Dictionary(dictionary)),
                Item::Word(b"endobj" | b"obj" | b"stream" | b"endstream") | Item::End => return Item::End,
                // A value without a key.
                Item::Object(_) | Item::Word(_) => {}
            }
        }
    }

    fn number_or_reference(&mut self) -> Object {
        let number = self.number();
        let (Object::Integer(id), References::Read) = (&number, self.references) else {
            return number;
        };
        self.reference(*id).unwrap_or(number)
    }

    /// The rest of `1 0 R`, if it is one.
    fn reference(&mut self, id: i64) -> Option<Object> {
        let id = u32::try_from(id).ok()?;
        let rest = &self.bytes[self.at..];
        let blanks = run(rest, is_space);
        let digits = run(&rest[blanks..], |byte| byte.is_ascii_digit());
        if blanks == 0 || !(1..=5).contains(&digits) {
            return None;
        }
        let generation: u16 = std::str::from_utf8(&rest[blanks..blanks + digits]).ok()?.parse().ok()?;
        let more = &rest[blanks + digits..];
        let blanks_more = run(more, is_space);
        let is_reference = blanks_more > 0
            && more.get(blanks_more) == Some(&b'R')
            && more.get(blanks_more + 1).is_none_or(|byte| !is_regular(*byte));
        if !is_reference {
            return None;
        }
        self.at += blanks + digits + blanks_more + 1;
        Some(Object::Reference((id, generation)))
    }

    /// A number; where it is written wrongly, as much of it as is right, and at least one byte is taken.
    fn number(&mut self) -> Object {
        let rest = &self.bytes[self.at..];
        let length = run(rest, |byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.'));
        self.at += length.max(1);
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        if let Ok(integer) = text.parse::<i64>() {
            return Object::Integer(integer);
        }
        // Some programs write `--5` and `0.00-4`.
        let sign = if text.starts_with('-') { "-" } else { "" };
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').take(40).collect();
        let real = format!("{sign}{digits}").parse::<f32>().unwrap_or(0.0);
        Object::Real(real)
    }
}

/// How many bytes from the beginning on are of a kind.
pub(super) fn run(bytes: &[u8], is_of: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_of(*byte)).unwrap_or(bytes.len())
}

/// White space, ISO 32000-1 table 1.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | 12 | b'\r' | b' ')
}

/// Neither white space nor a delimiter.
pub(super) fn is_regular(byte: u8) -> bool {
    !is_space(byte) && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Lexer::new(text.as_bytes(), 0, References::Read).object().unwrap()
    }

    fn string(bytes: &[u8]) -> Object {
        Object::String(bytes.to_vec(), StringFormat::Literal)
    }

    #[test]
    fn every_kind_of_object_is_read() {
        assert_eq!(object("% comment\n -12 "), Object::Integer(-12));
        assert_eq!(object("+.5"), Object::Real(0.5));
        assert_eq!(object("--5"), Object::Real(-5.0));
        assert_eq!(object("99999999999999999999"), Object::Real(1e20));
        assert_eq!(object("/A#42c#"), Object::Name(b"ABc#".to_vec()));
        assert_eq!(object("(a(b)\\)\\101\\n\\\r\nc\r\nd)"), string(b"a(b))A\nc\nd"));
        assert_eq!(object("(never ends"), string(b"never ends"));
        assert_eq!(object("<48 6 >"), Object::String(b"H`".to_vec(), StringFormat::Hexadecimal));
        assert_eq!(object("12 3 R"), Object::Reference((12, 3)));
        assert_eq!(object("[1 0 R 2 3 null true]"), {
            let reference = Object::Reference((1, 0));
            Object::Array(vec![reference, Object::Integer(2), Object::Integer(3), Object::Null, Object::Boolean(true)])
        });
        let Object::Dictionary(dictionary) = object("<</A 1/B<</C(d)>>/E[]>>") else { panic!("a dictionary") };
        assert_eq!(dictionary.len(), 3);
        assert_eq!(dictionary.get(b"E").unwrap(), &Object::Array(Vec::new()));
    }

    #[test]
    fn words_and_references_are_told_apart() {
        let mut lexer = Lexer::new(b"1 0 RG (a)' ]", 0, References::Read);
        let words: Vec<Item<'_>> =
            std::iter::from_fn(|| Some(lexer.next()).filter(|item| *item != Item::End)).collect();
        let expected = [
            Item::Object(Object::Integer(1)),
            Item::Object(Object::Integer(0)),
            Item::Word(b"RG"),
            Item::Object(string(b"a")),
            Item::Word(b"'"),
            Item::Word(b"]"),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn what_is_never_closed_ends_with_the_object_around_it() {
        let mut lexer = Lexer::new(b"<</A [1 2 endobj 7", 0, References::Read);
        assert_eq!(lexer.next(), Item::End);
        assert_eq!(lexer.object(), Some(Object::Integer(7)));
        for unit in ["[", "<<", "<</A", "(", "<", "[<<", "\\", "1 0 ", "/", "#", "%"] {
            let text = unit.repeat(300_000);
            let mut lexer = Lexer::new(text.as_bytes(), 0, References::Read);
            let mut last = lexer.at;
            while lexer.next() != Item::End || lexer.at > last {
                last = lexer.at;
            }
        }
    }

    #[test]
    fn an_object_has_no_more_values_than_allowed() {
        let text = format!("[{}]", "0 ".repeat(MAX_VALUES + 1));
        assert_eq!(Lexer::new(text.as_bytes(), 0, References::Read).next(), Item::End);
    }
}
