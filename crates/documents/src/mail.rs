//! E-mail: one message (RFC 5322, MIME) or a mailbox of them (RFC 4155), as what its author wrote in it.
//!
//! Header fields and encodings are `mail-parser`'s work; the structure of a message is walked in [`mime`], where depth
//! and number of parts are bounded. Quoted replies, signatures, armour and footers of lists go ([`clean`]).
//! Attachments, forwarded messages among them, are counted and not read.

mod clean;
mod mime;

use crate::error::{Error, Result};
use crate::html::{self, Fragment};
use crate::kind::{self, Kind};
use crate::limits::Limits;
use crate::plain;
use crate::text::{Composer, Text, iso_day};
use mime::{Leaf, Message};

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    let begin = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len());
    let first = bytes[begin..].split(|byte| *byte == b':').next().unwrap_or_default();
    let name = std::str::from_utf8(first).unwrap_or_default();
    let is_envelope = name.starts_with("From ") || name.starts_with(">From ");
    if begin + first.len() == bytes.len() || !(is_envelope || kind::is_field_name(name.trim_end())) {
        return Err(Error::broken(Kind::Mail, "it does not begin with a header field"));
    }
    read_message(&bytes[begin..], Composer::new(Kind::Mail, limits.output_bytes), limits)
}

fn read_message(bytes: &[u8], mut composer: Composer, limits: &Limits) -> Result<Text> {
    let Message { head, leaves, attachments } = mime::read(bytes, limits)?;
    composer.title = head.subject;
    composer.date = head.date.as_deref().and_then(iso_day);
    composer.language = head.language;
    composer.attachments = attachments;
    for leaf in leaves {
        match leaf {
            Leaf::Plain { text, flow } => plain::compose(&clean::own_words(&text, flow), &mut composer)?,
            Leaf::Html(page) => html::compose_fragment(&page, Fragment::Mail, &mut composer)?,
        }
    }
    Ok(composer.finish())
}

/// Reads every message of a mailbox.
pub(crate) fn read_mailbox(bytes: &[u8], limits: &Limits) -> Result<Vec<Text>> {
    let starts = message_starts(bytes);
    if starts.is_empty() {
        return Err(Error::broken(Kind::Mbox, "it does not begin with a `From ` line"));
    }
    if starts.len() > limits.mail_parts {
        return Err(Error::TooLarge { what: "the mailbox", limit: limits.mail_parts as u64, unit: "messages" });
    }
    let mut left = limits.output_bytes;
    let mut texts = Vec::with_capacity(starts.len());
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(bytes.len());
        let message = unescaped(skip_line(&bytes[*start..end]));
        let text = read_message(&message, Composer::new(Kind::Mbox, left), limits);
        let text = text.map_err(|error| match error {
            // The limit is that of all messages, not what the last one still had of it.
            Error::TooLarge { what: "the text", .. } => Error::too_many_bytes("the text", limits.output_bytes),
            error => error,
        })?;
        left = left.saturating_sub(text.body.len());
        texts.push(text);
    }
    Ok(texts)
}

/// Where the `From ` lines are: first in the file or after an empty line, with a header field in the line below.
fn message_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut after_empty = true;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if after_empty && line.starts_with(b"From ") {
            let next = bytes[at + line.len()..].split(|byte| matches!(byte, b':' | b'\n')).next().unwrap_or_default();
            if std::str::from_utf8(next).is_ok_and(|name| kind::is_field_name(name.trim_start_matches('>'))) {
                starts.push(at);
            }
        }
        after_empty = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        at += line.len();
    }
    // What stands before the first message is no message.
    starts
}

fn skip_line(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &bytes[end + 1..])
}

/// Takes one `>` off lines like `>From`, which mailboxes put there.
fn unescaped(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let marks = line.iter().take_while(|byte| **byte == b'>').count();
        let is_escaped = marks > 0 && line[marks..].starts_with(b"From ");
        out.extend_from_slice(&line[usize::from(is_escaped)..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn text(message: &str) -> Text {
        read(message.as_bytes(), &Limits::default()).unwrap()
    }

    const SIMPLE: &str = "Received: by mx.example.org\r\n\tfor <list@example.org>\r\nFrom: A <a@example.org>\r\n\
Subject: =?utf-8?q?Buffer_overflow_in_M=C3=B6bius?=\r\nDate: Mon, 6 May 2024 23:59:00 -0700\r\n\
Content-Language: en\r\n\r\nHello,\r\n\r\nfound a bug.\r\n\r\n-- \r\nA\r\n";

    #[test]
    fn subject_day_and_words_are_taken() {
        let text = text(SIMPLE);
        assert_eq!(text.title, "Buffer overflow in Möbius");
        assert_eq!(text.date.as_deref(), Some("2024-05-06"));
        assert_eq!(text.language_stated.as_deref(), Some("en"));
        assert_eq!(text.body, "Hello,\n\nfound a bug.");
        assert_eq!((text.kind, text.attachments), (Kind::Mail, 0));
    }

    #[test]
    fn the_best_part_is_chosen_and_attachments_are_counted() {
        let message = "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"o\"\n\npreamble\n--o\n\
Content-Type: multipart/alternative; boundary=i\n\n--i\nContent-Type: text/html\n\n<p>as <b>page</b>\n--i\n\
Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nas t=E9xt, long=\ner\n--i--\n--o\n\
Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\nContent-Transfer-Encoding: base64\n\nAAAA\n--o\n\
Content-Type: message/rfc822\n\nSubject: inner\n\nforwarded\n--o\n\nlast\n--o--\nepilogue\n";
        let text = text(message);
        assert_eq!(text.body, "as téxt, longer\n\nlast");
        assert_eq!(text.attachments, 2);
    }

    #[test]
    fn a_page_is_read_where_there_is_no_plain_text() {
        let message = "Subject: x\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n\
PHA+SGk8L3A+PGJsb2NrcXVvdGUgdHlwZT0iY2l0ZSI+PHA+b2xkPC9wPjwvYmxvY2txdW90ZT48cD5ieWU8\nL3A+\n";
        assert_eq!(text(message).body, "Hi\n\nbye");
    }

    #[test]
    fn a_text_without_header_is_no_message() {
        for text in ["", "hello", "hello world: x\n", "no\nheader: here\n"] {
            assert!(read(text.as_bytes(), &Limits::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mailbox_gives_one_text_a_message() {
        let mut mailbox = String::new();
        for number in 0..10_000 {
            write!(
                mailbox,
                "From a@b Mon Jan  1 00:00:00 2024\nSubject: number {number}\n\nText {number}\n>From here.\n\n"
            )
            .unwrap();
        }
        let texts = read_mailbox(mailbox.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(texts.len(), 10_000);
        assert_eq!(texts[9_999].title, "number 9999");
        assert_eq!(texts[7].body, "Text 7\nFrom here.");
        let limits = Limits { mail_parts: 9_999, ..Limits::default() };
        assert!(read_mailbox(mailbox.as_bytes(), &limits).is_err());
        let limits = Limits { output_bytes: 1_000, ..Limits::default() };
        assert!(read_mailbox(mailbox.as_bytes(), &limits).is_err());
        assert!(read_mailbox(b"Subject: x\n\ny", &Limits::default()).is_err());
    }

    #[test]
    fn a_from_line_inside_a_message_does_not_cut_it() {
        let mailbox =
            "From a\nSubject: x\n\nfirst\n\nFrom here on it goes on.\nReally.\n\nFrom b\nSubject: y\n\nsecond\n";
        let texts = read_mailbox(mailbox.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].body.contains("From here on it goes on."), "{:?}", texts[0].body);
    }

    #[test]
    fn a_thousand_nested_parts_are_read_to_the_limit_and_no_further() {
        let mut nested = String::from("Subject: x\n");
        for number in 0..1_000 {
            write!(nested, "Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n").unwrap();
        }
        nested.push_str("Content-Type: text/plain\n\ndeep\n");
        assert_eq!(text(&nested).body, "");
        let flat = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n".to_owned() + &"--b\n\nx\n".repeat(1_000);
        assert_eq!(text(&flat).body.lines().count(), 1_999);
        let limits = Limits { mail_parts: 999, ..Limits::default() };
        assert!(read(flat.as_bytes(), &limits).is_err());
    }

    #[test]
    fn a_message_cut_anywhere_never_panics() {
        for end in 0..SIMPLE.len() {
            let _ = read(&SIMPLE.as_bytes()[..end], &Limits::default());
        }
    }
}
