//! Documents of any common format as plain text, from bytes that nobody vouches for.
//!
//! [`kind_of`] tells what a document is, [`read`] gives its text. Bytes in, [`Text`] out: no records, no network, no
//! clock, no file paths. Every format is one file; what they share is the composer in `text.rs`, which sets blocks out,
//! and the limits. The way of a document: [`read`] → a thread of its own → its format → [`Text`].

mod charset;
mod docx;
mod error;
mod guard;
mod html;
mod kind;
mod limits;
mod mail;
mod markdown;
mod pdf;
mod plain;
mod text;

pub use error::{Error, Result};
pub use kind::{Kind, kind_of};
pub use limits::Limits;
pub use text::{Section, Text};

/// Reads a document of a known kind: one text, or one a message for [`Kind::Mbox`].
///
/// The same bytes give the same texts, whatever the machine. A panic in a foreign parser is [`Error::Broken`]; so that
/// it is not printed as well, the first call wraps the process's panic hook into one that passes over our threads.
///
/// # Errors
/// Where the bytes are damaged, encrypted, refused, no text at all, or pass one of the `limits`.
pub fn read(bytes: &[u8], kind: Kind, limits: &Limits) -> Result<Vec<Text>> {
    if bytes.len() > limits.input_bytes {
        return Err(Error::too_many_bytes("the document", limits.input_bytes));
    }
    guard::on_own_stack(kind, || match kind {
        Kind::Markdown => markdown::read(bytes, limits).map(one),
        Kind::Html => html::read(bytes, limits).map(one),
        Kind::Plain => plain::read(bytes, limits).map(one),
        Kind::Pdf => pdf::read(bytes, limits).map(one),
        Kind::Docx => docx::read(bytes, limits).map(one),
        Kind::Mail => mail::read(bytes, limits).map(one),
        Kind::Mbox => mail::read_mailbox(bytes, limits),
    })
}

fn one(text: Text) -> Vec<Text> {
    vec![text]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_beyond_the_limit_is_refused_whatever_it_is() {
        let limits = Limits { input_bytes: 3, ..Limits::default() };
        for kind in Kind::ALL {
            assert!(matches!(read(b"four", kind, &limits), Err(Error::TooLarge { limit: 3, .. })), "{kind}");
        }
    }
}
