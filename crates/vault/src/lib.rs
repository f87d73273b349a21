//! Encryption at rest by the age format, version 1 (<https://age-encryption.org/v1>): files that the `age` tool reads.
//!
//! A [`Key`] says for whom things are sealed and who opens them; [`Key::seal`] and [`Key::open`] wrap a writer and a
//! reader. Both stream, in authenticated chunks of 64 KiB: what was changed, cut off or lengthened is an error where it
//! shows, and never a shorter result. Nothing here knows what is sealed.

mod error;
mod key;
mod stream;

pub use error::{Error, Result};
pub use key::{IDENTITY_FILE_VARIABLE, Key, PASSPHRASE_VARIABLE, RECIPIENTS_VARIABLE};
pub use stream::{Opening, Sealing};

/// What a sealed file's name ends with.
pub const EXTENSION: &str = "age";
/// What sealed files are called in manifests.
pub const FORMAT: &str = "age";
