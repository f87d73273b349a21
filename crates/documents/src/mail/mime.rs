//! The structure of a message: parts within parts, RFC 2045 and 2046, with bounded depth and number.

use std::cell::Cell;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{ContentType, HeaderName, MessageParser};

use super::clean::Flow;
use crate::charset;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// A header longer than this is cut; real ones have some KiB.
const MAX_HEAD_BYTES: usize = 256 << 10;
/// Nobody writes more into one part; what is larger is a file, and counted as an attachment.
const MAX_LEAF_BYTES: usize = 4 << 20;

/// What the header of a message states.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Decoded, or empty.
    pub(super) subject: String,
    /// `YYYY-MM-DD` in the sender's zone, unchecked.
    pub(super) date: Option<String>,
    pub(super) language: Option<String>,
}

/// A text in a message.
#[derive(Debug)]
pub(super) enum Leaf {
    Plain { text: String, flow: Flow },
    Html(String),
}

/// A message taken apart.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) head: Head,
    /// Its texts in order, the best of each choice.
    pub(super) leaves: Vec<Leaf>,
    pub(super) attachments: usize,
}

/// Takes a message apart.
///
/// # Errors
/// Where it has more parts than allowed.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Message> {
    let parser = MessageParser::new()
        .header_text(HeaderName::Subject)
        .header_date(HeaderName::Date)
        .header_text(HeaderName::ContentLanguage)
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
        .header_text(HeaderName::ContentTransferEncoding)
        .default_header_ignore();
    let walk = Walk { parser, limits, parts: Cell::new(0), attachments: Cell::new(0) };
    let (part, head) = walk.part(bytes);
    let leaves = walk.leaves(&part, 0)?;
    Ok(Message { head, leaves, attachments: walk.attachments.get() })
}

/// One part: what it is, and its content still encoded.
#[derive(Debug)]
struct Part<'a> {
    /// `type/subtype` in lower case.
    media: String,
    charset: Option<String>,
    boundary: Option<String>,
    flow: Flow,
    /// In lower case.
    encoding: String,
    is_attachment: bool,
    body: &'a [u8],
}

struct Walk<'a> {
    parser: MessageParser,
    limits: &'a Limits,
    parts: Cell<usize>,
    attachments: Cell<usize>,
}

impl Walk<'_> {
    /// Reads the header of a part or message.
    fn part<'b>(&self, bytes: &'b [u8]) -> (Part<'b>, Head) {
        let (head, body) = split_head(bytes);
        // Fields should be ASCII or UTF-8; older programs wrote their own charset.
        let head = charset::decode(head, None);
        let message = self.parser.parse_headers(&head);
        let header = |name: HeaderName<'static>| message.as_ref().and_then(|message| message.header(name));
        let text = |name| header(name).and_then(|value| value.as_text()).unwrap_or_default().trim().to_owned();
        let content = header(HeaderName::ContentType).and_then(|value| value.as_content_type());
        let attribute = |name| content.and_then(|content| content.attribute(name)).map(str::to_owned);
        let is = |name, wanted: &str| attribute(name).is_some_and(|value: String| value.eq_ignore_ascii_case(wanted));
        let disposition = header(HeaderName::ContentDisposition).and_then(|value| value.as_content_type());
        let part = Part {
            media: content.map_or("text/plain".into(), media),
            charset: attribute("charset"),
            boundary: attribute("boundary").filter(|boundary| !boundary.is_empty()),
            flow: match is("format", "flowed") {
                false => Flow::Fixed,
                true if is("delsp", "yes") => Flow::FlowedTight,
                true => Flow::Flowed,
            },
            encoding: text(HeaderName::ContentTransferEncoding).to_ascii_lowercase(),
            is_attachment: disposition.is_some_and(ContentType::is_attachment),
            body,
        };
        let date = message.as_ref().and_then(|message| message.date());
        let date = date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day));
        let language = Some(text(HeaderName::ContentLanguage)).filter(|language| !language.is_empty());
        (part, Head { subject: text(HeaderName::Subject), date, language })
    }

    /// The texts of a part, in order.
    fn leaves(&self, part: &Part<'_>, depth: usize) -> Result<Vec<Leaf>> {
        if let Some(kind) = part.media.strip_prefix("multipart/")
            && let Some(boundary) = &part.boundary
        {
            return self.leaves_of_children(part, boundary, kind == "alternative", depth);
        }
        let is_text = matches!(part.media.as_str(), "text/plain" | "text/html") || part.media.starts_with("multipart/");
        if part.is_attachment || !is_text {
            let is_signature = part.media.ends_with("-signature");
            self.attachments.set(self.attachments.get() + usize::from(!is_signature));
            return Ok(Vec::new());
        }
        let bytes = decoded(part);
        if bytes.len() > MAX_LEAF_BYTES {
            self.attachments.set(self.attachments.get() + 1);
            return Ok(Vec::new());
        }
        let text = match part.charset.as_deref() {
            // No web page may be in it any more, so the decoder for those does not know it.
            Some("utf-7" | "UTF-7") if let Some(decode) = charset_decoder(b"utf-7") => decode(&bytes),
            stated => charset::decode(&bytes, stated),
        };
        Ok(vec![match part.media.as_str() {
            "text/html" => Leaf::Html(text),
            _ => Leaf::Plain { text, flow: part.flow },
        }])
    }

    fn leaves_of_children(&self, part: &Part<'_>, boundary: &str, is_choice: bool, depth: usize) -> Result<Vec<Leaf>> {
        if depth >= self.limits.depth {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for child in self.split(part.body, boundary)? {
            let leaves = self.leaves(&self.part(child).0, depth + 1)?;
            if !is_choice {
                all.extend(leaves);
            } else if rank(&leaves) > rank(&all) {
                all = leaves;
            }
        }
        Ok(all)
    }

    /// The parts between the boundary lines, RFC 2046 §5.1.1; what stands before and after them is dropped.
    fn split<'b>(&self, body: &'b [u8], boundary: &str) -> Result<Vec<&'b [u8]>> {
        let mut parts = Vec::new();
        let mut begin = None;
        let mut at = 0;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let mark = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary.as_bytes()));
            let mark = mark.map(<[u8]>::trim_ascii_end).filter(|rest| rest.is_empty() || *rest == b"--");
            if let Some(end) = mark {
                if let Some(begin) = begin {
                    parts.push(&body[begin..at]);
                    self.count_part()?;
                }
                begin = Some(at + line.len());
                if end == b"--" {
                    return Ok(parts);
                }
            }
            at += line.len();
        }
        if let Some(begin) = begin {
            parts.push(&body[begin..]);
            self.count_part()?;
        }
        Ok(parts)
    }

    fn count_part(&self) -> Result<()> {
        let count = self.parts.get() + 1;
        self.parts.set(count);
        let limit = self.limits.mail_parts;
        if count > limit {
            return Err(Error::TooLarge { what: "the message", limit: limit as u64, unit: "parts" });
        }
        Ok(())
    }
}

/// How good a choice is: plain text before a page, and anything before nothing.
fn rank(leaves: &[Leaf]) -> u8 {
    let of_leaf = |leaf: &Leaf| match leaf {
        Leaf::Plain { text, .. } if !text.trim().is_empty() => 2,
        Leaf::Html(page) if !page.trim().is_empty() => 1,
        _ => 0,
    };
    leaves.iter().map(of_leaf).max().unwrap_or(0)
}

fn media(content: &ContentType<'_>) -> String {
    format!("{}/{}", content.ctype(), content.subtype().unwrap_or_default()).to_ascii_lowercase()
}

/// Header and body, cut at the first empty line.
fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            break;
        }
    }
    let (head, body) = bytes.split_at(at);
    (&head[..head.len().min(MAX_HEAD_BYTES)], body)
}

/// The content of a part without its transfer encoding; where that is broken, as it stands there.
fn decoded(part: &Part<'_>) -> Vec<u8> {
    let decoded = match part.encoding.as_str() {
        "base64" => {
            let is_kept = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            base64_decode(&part.body.iter().copied().filter(is_kept).collect::<Vec<u8>>())
        }
        "quoted-printable" => quoted_printable_decode(part.body),
        _ => None,
    };
    decoded.unwrap_or_else(|| part.body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_at_the_first_empty_line() {
        assert_eq!(split_head(b"a: b\r\n\r\nc\n\nd"), (&b"a: b\r\n\r\n"[..], &b"c\n\nd"[..]));
        assert_eq!(split_head(b"\nc"), (&b"\n"[..], &b"c"[..]));
        assert_eq!(split_head(b"a: b"), (&b"a: b"[..], &b""[..]));
    }

    #[test]
    fn old_charsets_are_read_in_fields_and_text() {
        let message = b"Subject: Fr\xf6sche\nContent-Type: text/plain; charset=utf-7\n\nFr+APY-sche";
        let mut message = read(message, &Limits::default()).unwrap();
        assert_eq!(message.head.subject, "Frösche");
        assert!(matches!(message.leaves.remove(0), Leaf::Plain { text, .. } if text == "Frösche"));
    }

    #[test]
    fn broken_encodings_are_kept_as_they_are() {
        let of = |encoding: &str, body: &str| {
            let message = format!("Subject: x\nContent-Transfer-Encoding: {encoding}\n\n{body}");
            match read(message.as_bytes(), &Limits::default()).unwrap().leaves.remove(0) {
                Leaf::Plain { text, .. } => text,
                Leaf::Html(page) => page,
            }
        };
        assert_eq!(of("base64", "aGk=\n!"), "hi");
        assert_eq!(of("BASE64", "aGk"), "hi");
        assert_eq!(of("quoted-printable", "a=3Db =ZZ"), "a=3Db =ZZ");
        assert_eq!(of("x-unknown", "a"), "a");
    }
}
