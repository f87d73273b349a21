//! What can go wrong with keys and sealed streams. No message holds any part of a key.

use std::path::PathBuf;

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key file that cannot be read.
    #[error("cannot read the key file `{path}`: {source}\nhint: check the path and the permissions")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key file that holds something else.
    #[error("`{path}` is no key file: line {line} is no identity\nhint: make one with `age-keygen -o FILE`")]
    NoIdentity {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on; 0 where the file holds no identity at all.
        line: usize,
    },
    /// A recipient that is none.
    #[error("recipient {0} is none\nhint: recipients look like `age1…`; `age-keygen -y FILE` tells that of a key file")]
    NoRecipient(
        /// Its place in the list, from 1 on.
        usize,
    ),
    /// A passphrase beside recipients or identities.
    #[error(
        "both a passphrase and recipients or identities are given\nhint: age seals for the one or for the others; leave one out"
    )]
    Mixed,
    /// An empty passphrase or list of recipients.
    #[error("the {0} is empty\nhint: unset the variable, or give it a value")]
    Empty(&'static str),
    /// A variable that is no text.
    #[error("`{0}` is no text\nhint: set it to text, or unset it")]
    NoText(&'static str),
    /// A key without anybody to seal for.
    #[error("the key names nobody to seal for\nhint: give recipients, a key file or a passphrase")]
    CannotSeal,
    /// A key that can seal only.
    #[error("the key can seal but not open\nhint: give the identity that belongs to the recipients, in a key file")]
    CannotOpen,
    /// Sealed for somebody else.
    #[error("it is sealed for another key\nhint: use the key that it was made with")]
    WrongKey,
    /// No sealed file, or a damaged one.
    #[error("it is no sealed file, or its head is damaged\nhint: make it again")]
    Damaged,
    /// A passphrase file that would take too long to open.
    #[error("opening it would take 2^{0} units of work\nhint: this is no file of Wardsmith's; open it with `age`")]
    TooMuchWork(
        /// The logarithm of the work.
        u8,
    ),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
