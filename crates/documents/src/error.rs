//! Why a document could not be read, each with a hint.

use crate::kind::Kind;

/// Why a document gave no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit of [`Limits`](crate::Limits) was passed.
    #[error(
        "{what} passes the limit of {limit} {unit}\nhint: this looks like a decompression bomb or a hostile file; if it is a real document, split it or raise the limit"
    )]
    TooLarge {
        /// What grew too large, such as `the text`.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What the limit counts, such as `bytes`.
        unit: &'static str,
    },
    /// Bytes that begin right and are then damaged beyond reading.
    #[error("the {kind} document is broken: {detail}\nhint: the file is damaged or incomplete; fetch it again")]
    Broken {
        /// What it was read as.
        kind: Kind,
        /// What the parser said.
        detail: String,
    },
    /// Something that the format allows and that is not read because it is a door for attacks.
    #[error("the {kind} document holds {what}, which is refused\nhint: save it anew from a program that you trust")]
    Refused {
        /// What it was read as.
        kind: Kind,
        /// What was found, such as `a document type declaration`.
        what: &'static str,
    },
    /// A password is needed.
    #[error("the {kind} document is encrypted: {detail}\nhint: remove the password in a reader and save it again")]
    Encrypted {
        /// What it was read as.
        kind: Kind,
        /// What the decryption said.
        detail: String,
    },
    /// Bytes of a text format that are no text.
    #[error(
        "the {kind} document is not text: it has {controls} control characters in {bytes} bytes\nhint: look what the file is; a picture or an archive is not read"
    )]
    NotText {
        /// What it was to be read as.
        kind: Kind,
        /// How many control characters stand in it.
        controls: usize,
        /// Its size.
        bytes: usize,
    },
    /// A document of pictures.
    #[error(
        "the {kind} document has {pages} pages and no text\nhint: it seems to be scanned; run text recognition over it first"
    )]
    NoText {
        /// What it was read as.
        kind: Kind,
        /// How many pages it has.
        pages: usize,
    },
    /// The operating system gave no thread to read on.
    #[error("cannot start a thread: {0}\nhint: too many programs are running, or memory is short")]
    Thread(#[source] std::io::Error),
}

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A broken document of `kind`.
    pub(crate) fn broken(kind: Kind, detail: impl Into<String>) -> Self {
        Self::Broken { kind, detail: detail.into() }
    }

    /// Something with more bytes than allowed.
    pub(crate) fn too_many_bytes(what: &'static str, limit: usize) -> Self {
        Self::TooLarge { what, limit: limit as u64, unit: "bytes" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_ends_with_a_hint() {
        let kind = Kind::Pdf;
        let errors = [
            Error::too_many_bytes("the text", 7),
            Error::broken(kind, "no pages"),
            Error::Refused { kind, what: "a document type declaration" },
            Error::Encrypted { kind, detail: "wrong password".into() },
            Error::NotText { kind: Kind::Plain, controls: 3, bytes: 4 },
            Error::NoText { kind, pages: 2 },
            Error::Thread(std::io::Error::from(std::io::ErrorKind::OutOfMemory)),
        ];
        for error in errors {
            let message = error.to_string();
            assert!(message.contains("\nhint: "), "{message}");
            assert!(message.starts_with(char::is_lowercase), "{message}");
        }
        assert!(Error::too_many_bytes("the text", 7).to_string().starts_with("the text passes the limit of 7 bytes"));
    }
}
