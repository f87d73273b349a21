//! Fonts, as far as text needs them: what their codes mean, ISO 32000-1 §9.5 to §9.10.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_16BE};
use lopdf::{Dictionary, Document, Object};

use super::cmap::CMap;
use super::file::File;
use super::name;
use super::width::Widths;
use crate::error::Result;

/// What a font costs beside its bytes: names of glyphs are looked up in a long list.
const FONT_WORK: usize = 20_000;
/// What a text in a map costs: it takes memory as long as the document is read.
const TEXT_WORK: usize = 500;

/// A font.
#[derive(Debug)]
pub(super) struct Font {
    map: Option<CMap>,
    codes: Codes,
    widths: Widths,
    /// Whether all letters are equally wide, as in code.
    pub(super) is_fixed: bool,
}

/// How codes are written, and what they mean where no map tells.
#[derive(Debug)]
enum Codes {
    /// One byte; 256 texts.
    Single(Vec<String>),
    /// One byte or more, in a charset of East Asia or UTF-16.
    Charset(&'static Encoding),
    /// Mostly two bytes, meaning glyphs.
    Glyphs,
}

/// Text, and how far it moved the pen.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// In thousandths of the font's size.
    pub(super) width: f32,
    pub(super) codes: usize,
    /// Single bytes 32, which word spacing widens.
    pub(super) blanks: usize,
}

impl Font {
    /// Reads a font from its dictionary.
    pub(super) fn read(file: &File<'_>, font: &Dictionary) -> Result<Self> {
        file.spend(FONT_WORK)?;
        let map = match font.get(b"ToUnicode").and_then(Object::as_reference) {
            Ok((id, _)) => file.stream(id)?.map(|bytes| CMap::read(&bytes)).filter(|map| map.texts() > 0),
            Err(_) => None,
        };
        file.spend(map.as_ref().map_or(0, CMap::texts) * TEXT_WORK)?;
        let is_fixed = is_fixed(file, font)?;
        if name(font, b"Subtype") == Some(b"Type0") {
            let encoding = file.entry(font, b"Encoding")?;
            let encoding = encoding.as_ref().and_then(|encoding| encoding.as_name().ok()).unwrap_or_default();
            let codes = charset_of(encoding).map_or(Codes::Glyphs, Codes::Charset);
            return Ok(Self { map, codes, widths: Widths::composite(file, font)?, is_fixed });
        }
        let codes = Codes::Single(texts_of_codes(file, font)?);
        Ok(Self { map, codes, widths: Widths::simple(file, font)?, is_fixed })
    }

    /// What a string shows.
    pub(super) fn show(&self, string: &[u8]) -> Shown {
        let mut shown = Shown::default();
        let mut rest = string;
        while !rest.is_empty() {
            let length = self.code_length(rest).clamp(1, rest.len());
            let (bytes, after) = rest.split_at(length);
            rest = after;
            let code = bytes.iter().fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
            let before = shown.text.len();
            self.push(code, bytes, &mut shown.text);
            shown.width += self.widths.of(code, &shown.text[before..]);
            shown.codes += 1;
            shown.blanks += usize::from(bytes == b" ");
        }
        shown
    }

    fn code_length(&self, bytes: &[u8]) -> usize {
        match (&self.codes, &self.map) {
            (Codes::Single(_), _) => 1,
            (Codes::Charset(encoding), _) if *encoding != UTF_16BE => 1 + usize::from(bytes[0] >= 0x80),
            (_, Some(map)) => map.code_length(bytes),
            _ => 2,
        }
    }

    fn push(&self, code: u32, bytes: &[u8], out: &mut String) {
        let begin = out.len();
        if !self.map.as_ref().is_some_and(|map| map.push(code, out)) {
            match &self.codes {
                Codes::Single(texts) => out.push_str(texts.get(code as usize).map_or("", String::as_str)),
                Codes::Charset(encoding) => out.push_str(&encoding.decode_without_bom_handling(bytes).0),
                Codes::Glyphs => {}
            }
        }
        if !out.is_ascii() && out[begin..].contains(is_special) {
            let text = out.split_off(begin);
            text.chars().for_each(|c| push_plain(c, out));
        }
    }
}

/// What the names of fonts for code have in them; their descriptors often say nothing.
const FIXED_NAMES: &[&str] = &["courier", "mono", "consolas", "typewriter", "cmtt", "lettergothic", "menlo", "fixed"];

/// Whether a font is one for code, by its name or its descriptor's flags, ISO 32000-1 table 123.
fn is_fixed(file: &File<'_>, font: &Dictionary) -> Result<bool> {
    let base = String::from_utf8_lossy(name(font, b"BaseFont").unwrap_or_default()).to_ascii_lowercase();
    if FIXED_NAMES.iter().any(|part| base.contains(part)) {
        return Ok(true);
    }
    let Some(Object::Dictionary(descriptor)) = file.entry(font, b"FontDescriptor")? else {
        return Ok(false);
    };
    let flags = file.entry(&descriptor, b"Flags")?.and_then(|flags| flags.as_i64().ok());
    Ok(flags.is_some_and(|flags| flags & 1 == 1))
}

/// Ligatures, and characters for private use.
fn is_special(c: char) -> bool {
    matches!(c, '\u{fb00}'..='\u{fb06}' | '\u{e000}'..='\u{f8ff}')
}

/// Adds ligatures as their letters, the bullet of the Symbol font as a bullet, other private characters as nothing.
fn push_plain(c: char, out: &mut String) {
    match c {
        '\u{fb00}' => out.push_str("ff"),
        '\u{fb01}' => out.push_str("fi"),
        '\u{fb02}' => out.push_str("fl"),
        '\u{fb03}' => out.push_str("ffi"),
        '\u{fb04}' => out.push_str("ffl"),
        '\u{fb05}' | '\u{fb06}' => out.push_str("st"),
        '\u{f0a7}' | '\u{f0b7}' => out.push('•'),
        c if is_special(c) => {}
        c => out.push(c),
    }
}

/// The charset of a predefined map of codes, ISO 32000-1 table 118.
fn charset_of(encoding: &[u8]) -> Option<&'static Encoding> {
    let has = |part: &str| encoding.windows(part.len()).any(|window| window == part.as_bytes());
    match () {
        () if has("UCS2") || has("UTF16") => Some(UTF_16BE),
        () if has("RKSJ") => Some(SHIFT_JIS),
        () if has("GBK") || has("GB-EUC") => Some(GBK),
        () if has("B5") => Some(BIG5),
        () if has("KSC") => Some(EUC_KR),
        () => None,
    }
}

/// What each of the 256 codes of a simple font means, by its encoding and the differences from it.
fn texts_of_codes(file: &File<'_>, font: &Dictionary) -> Result<Vec<String>> {
    // Without an encoding, TrueType fonts mostly follow Windows.
    let usual: &[u8] =
        if name(font, b"Subtype") == Some(b"TrueType") { b"WinAnsiEncoding" } else { b"StandardEncoding" };
    match file.entry(font, b"Encoding")? {
        Some(Object::Name(base)) => Ok(base_texts(&base)),
        Some(Object::Dictionary(encoding)) => {
            let mut texts = base_texts(name(&encoding, b"BaseEncoding").unwrap_or(usual));
            if let Some(Object::Array(differences)) = file.entry(&encoding, b"Differences")? {
                apply_differences(&mut texts, &differences);
            }
            Ok(texts)
        }
        _ => Ok(base_texts(usual)),
    }
}

/// The texts of a named encoding; `lopdf` knows them, and shows them only through a font.
fn base_texts(encoding: &[u8]) -> Vec<String> {
    let known: [&[u8]; 4] = [b"WinAnsiEncoding", b"MacRomanEncoding", b"MacExpertEncoding", b"StandardEncoding"];
    let encoding = known.into_iter().find(|name| *name == encoding).unwrap_or(b"StandardEncoding");
    let texts = texts_of(Object::Name(encoding.to_vec()), 0..=255);
    if texts.len() == 256 { texts } else { vec![String::new(); 256] }
}

/// The texts of codes in a font with this `Encoding` entry.
fn texts_of(encoding: Object, codes: std::ops::RangeInclusive<u8>) -> Vec<String> {
    let mut font = Dictionary::new();
    font.set("Type", Object::Name(b"Font".to_vec()));
    font.set("Encoding", encoding);
    let document = Document::new();
    let Ok(encoding) = font.get_font_encoding_with_limit(&document, 0) else {
        return Vec::new();
    };
    codes.map(|code| encoding.bytes_to_string(&[code]).unwrap_or_default()).collect()
}

fn apply_differences(texts: &mut [String], differences: &[Object]) {
    let mut code = 0_usize;
    for object in differences.iter().take(1024) {
        match object {
            Object::Integer(first) => code = usize::try_from(*first).unwrap_or(usize::MAX),
            Object::Name(glyph) => {
                if let Some(text) = texts.get_mut(code) {
                    *text = glyph_text(glyph);
                }
                code = code.saturating_add(1);
            }
            _ => {}
        }
    }
}

/// The text of a glyph by its name, after the Adobe Glyph List's specification; empty where the name says nothing.
fn glyph_text(glyph: &[u8]) -> String {
    let name = String::from_utf8_lossy(glyph);
    let base = name.split('.').next().unwrap_or_default();
    base.split('_').take(8).map(glyph_part).collect()
}

fn glyph_part(name: &str) -> String {
    let hexadecimal = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    if let Some(digits) = name.strip_prefix("uni").filter(|digits| digits.len() == 4)
        && let Some(c) = hexadecimal(digits)
    {
        return c.to_string();
    }
    if let Some(digits) = name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len()))
        && let Some(c) = hexadecimal(digits)
    {
        return c.to_string();
    }
    let mut encoding = Dictionary::new();
    encoding.set("Differences", Object::Array(vec![Object::Integer(0), Object::Name(name.as_bytes().to_vec())]));
    texts_of(Object::Dictionary(encoding), 0..=0).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(encoding: &[Object]) -> Font {
        let mut texts = base_texts(b"WinAnsiEncoding");
        apply_differences(&mut texts, encoding);
        Font { map: None, codes: Codes::Single(texts), widths: Widths::Guessed, is_fixed: false }
    }

    #[test]
    fn glyph_names_are_read_in_all_their_forms() {
        let cases = [
            ("A", "A"),
            ("eacute", "é"),
            ("fi", "fi"),
            ("f_f_i", "ffi"),
            ("uni20AC", "€"),
            ("u1F600", "😀"),
            ("a.alt", "a"),
            ("g123", ""),
        ];
        for (name, text) in cases {
            let plain: String = glyph_text(name.as_bytes()).replace('\u{fb01}', "fi");
            assert_eq!(plain, text, "{name}");
        }
    }

    #[test]
    fn codes_are_shown_by_encoding_and_differences() {
        let font = simple(&[Object::Integer(65), Object::Name(b"fi".to_vec()), Object::Name(b"bullet".to_vec())]);
        let shown = font.show(b"ABC \x80");
        assert_eq!(shown.text, "fi•C €");
        assert_eq!((shown.codes, shown.blanks), (5, 1));
        assert_eq!(base_texts(b"StandardEncoding")[0x27], "’");
    }

    #[test]
    fn charsets_of_east_asia_are_known() {
        let font = |codes| Font { map: None, codes, widths: Widths::Guessed, is_fixed: false };
        assert_eq!(font(Codes::Charset(SHIFT_JIS)).show(b"\x93\xfaA").text, "日A");
        assert_eq!(font(Codes::Charset(UTF_16BE)).show(b"\x65\xe5").text, "日");
        assert_eq!(font(Codes::Glyphs).show(b"\0\x01\0").text, "");
        assert_eq!(charset_of(b"Identity-H"), None);
        assert_eq!(charset_of(b"UniJIS-UCS2-H"), Some(UTF_16BE));
    }
}
