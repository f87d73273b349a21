//! The formats, and how to tell them apart by their first bytes.

use std::fmt;

use crate::charset;

/// A format of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// CommonMark with the usual additions (tables, footnotes, task lists, front matter).
    Markdown,
    /// A web page.
    Html,
    /// Text without markup.
    Plain,
    /// Portable Document Format, ISO 32000.
    Pdf,
    /// Office Open XML text document, ECMA-376.
    Docx,
    /// One message, RFC 5322 and MIME.
    Mail,
    /// Several messages in one file, RFC 4155.
    Mbox,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Markdown, Self::Html, Self::Plain, Self::Pdf, Self::Docx, Self::Mail, Self::Mbox];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::Html => "HTML",
            Self::Plain => "text",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
            Self::Mail => "mail",
            Self::Mbox => "mbox",
        }
    }

    /// The endings of file names that stand for it, in lower case.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Markdown => &["md", "markdown", "mdown", "mkd"],
            Self::Html => &["html", "htm", "xhtml"],
            Self::Plain => &["txt", "text", "asc", "rst", "adoc", "log"],
            Self::Pdf => &["pdf"],
            Self::Docx => &["docx", "docm"],
            Self::Mail => &["eml"],
            Self::Mbox => &["mbox"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much of a file is looked at.
const HEAD_BYTES: usize = 4096;
/// Header fields of which a message has at least one; anybody writes `Title:` or `Date:` over a text.
const MAIL_FIELDS: &[&str] = &["from", "received", "return-path", "message-id", "delivered-to"];

/// What a document is, by its first bytes (some KiB are enough); its name decides only between formats that are text.
///
/// `None` where it is none of them: other archives, pictures, and text whose name ends like data or code (`.json`).
/// Text whose name has no ending is [`Kind::Plain`].
#[must_use]
pub fn kind_of(head: &[u8], name: &str) -> Option<Kind> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let extension = extension(name);
    let named = Kind::ALL.into_iter().find(|kind| kind.extensions().contains(&extension.as_str()));
    // Readers look for it in the first KiB; but texts about PDF have it there too.
    let is_binary = charset::control_characters(head) > 0;
    let is_pdf = (is_binary || named == Some(Kind::Pdf)) && contains(&head[..head.len().min(1024)], b"%PDF-");
    if is_pdf || head.trim_ascii_start().starts_with(b"%PDF-") {
        return Some(Kind::Pdf);
    }
    if head.starts_with(b"PK\x03\x04") {
        let is_text = contains(head, b"word/") || named == Some(Kind::Docx);
        return (is_text && !contains(head, b"xl/") && !contains(head, b"ppt/")).then_some(Kind::Docx);
    }
    if is_binary {
        return None;
    }
    let text = charset::decode(head, None);
    if let Some(kind) = kind_of_text(&text) {
        return Some(kind);
    }
    match named {
        // Their bytes would have told.
        Some(Kind::Pdf | Kind::Docx) => None,
        Some(kind) => Some(kind),
        None => extension.is_empty().then_some(Kind::Plain),
    }
}

/// What follows the last dot of the last part of a path, in lower case.
fn extension(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// What the beginning of a text says beyond doubt.
fn kind_of_text(text: &str) -> Option<Kind> {
    let start = text.trim_start();
    let lower: String = start.chars().take(512).collect::<String>().to_ascii_lowercase();
    let begins = ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag));
    if begins || (lower.starts_with("<?xml") && lower.contains("<html")) {
        return Some(Kind::Html);
    }
    if let Some(rest) = text.strip_prefix("From ") {
        let second = rest.split_once('\n').map_or("", |(_, rest)| rest);
        return (count_fields(second).0 > 0).then_some(Kind::Mbox);
    }
    let (fields, of_mail) = count_fields(text);
    (fields >= 2 && of_mail >= 1).then_some(Kind::Mail)
}

/// How many header fields a text begins with, and how many of them only a message has.
fn count_fields(text: &str) -> (usize, usize) {
    let (mut fields, mut of_mail) = (0, 0);
    for line in text.lines().take(64) {
        if line.starts_with([' ', '\t']) && fields > 0 {
            continue;
        }
        let Some((name, _)) = line.split_once(':').filter(|(name, _)| is_field_name(name)) else {
            break;
        };
        fields += 1;
        of_mail += usize::from(MAIL_FIELDS.contains(&name.to_ascii_lowercase().as_str()));
    }
    (fields, of_mail)
}

/// Whether a word may stand before the colon of a header field, RFC 5322 §2.2.
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 76 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let cases: &[(&[u8], &str, Option<Kind>)] = &[
            (b"%PDF-1.7\n", "a.txt", Some(Kind::Pdf)),
            (b"junk\n%PDF-1.4", "a.pdf", Some(Kind::Pdf)),
            (b"junk\0%PDF-1.4", "", Some(Kind::Pdf)),
            (b"It begins with `%PDF-1.4`.", "a.md", Some(Kind::Markdown)),
            (b"PK\x03\x04..word/document.xml", "a.zip", Some(Kind::Docx)),
            (b"PK\x03\x04..[Content_Types].xml", "a.docx", Some(Kind::Docx)),
            (b"PK\x03\x04..xl/workbook.xml", "a.docx", None),
            (b"PK\x03\x04..a.txt", "a.zip", None),
            (b"\n<!DOCTYPE HTML PUBLIC", "a.txt", Some(Kind::Html)),
            (b"<?xml version='1.0'?><html>", "", Some(Kind::Html)),
            (b"From a@b.c Mon\nSubject: x\n\nhello", "", Some(Kind::Mbox)),
            (b"From here on, all is text.\nReally.", "a.txt", Some(Kind::Plain)),
            (b"Received: by x\n\tfor y\nSubject: x\n\nhello", "a.txt", Some(Kind::Mail)),
            (b"Title: x\nDate: today\n\nhello", "a.md", Some(Kind::Markdown)),
            (b"\x1f\x8b\x08\0", "a.md", None),
            (b"\x89PNG\r\n\x1a\n\0", "a.txt", None),
        ];
        for (head, name, kind) in cases {
            assert_eq!(kind_of(head, name), *kind, "{:?} {name}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn the_name_decides_between_texts() {
        for kind in [Kind::Markdown, Kind::Html, Kind::Plain, Kind::Mail, Kind::Mbox] {
            for extension in kind.extensions() {
                assert_eq!(kind_of(b"# Hello\n\nworld", &format!("a/b.c.{extension}")), Some(kind));
                assert_eq!(kind_of(b"# Hello", &format!("A.{}", extension.to_uppercase())), Some(kind));
            }
        }
        assert_eq!(kind_of(b"# Hello", "LICENSE"), Some(Kind::Plain));
        assert_eq!(kind_of(b"# Hello", ".gitignore"), Some(Kind::Plain));
        assert_eq!(kind_of(b"{}", "a.json"), None);
        assert_eq!(kind_of(b"plain", "a.pdf"), None);
        assert_eq!(kind_of("\u{feff}h\u{e9}".as_bytes(), "a.txt"), Some(Kind::Plain));
        assert_eq!(kind_of(b"\xff\xfeh\0e\0", "a.txt"), Some(Kind::Plain));
        assert_eq!(kind_of(b"", ""), Some(Kind::Plain));
    }

    #[test]
    fn no_two_kinds_share_an_extension() {
        let mut all: Vec<&str> = Kind::ALL.iter().flat_map(|kind| kind.extensions()).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
