//! Who seals and who opens. Secrets are kept in memory that is wiped when it is given back, and never shown.

use std::fmt;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};
use age::{scrypt, x25519};

use crate::error::{Error, Result};
use crate::stream::{Opening, Sealing};

/// The variable that holds recipients, `age1…`, with blanks or commas between them.
pub const RECIPIENTS_VARIABLE: &str = "WARDSMITH_AGE_RECIPIENTS";
/// The variable that holds the path of a key file, as `age-keygen` makes it.
pub const IDENTITY_FILE_VARIABLE: &str = "WARDSMITH_AGE_IDENTITY_FILE";
/// The variable that holds a passphrase.
pub const PASSPHRASE_VARIABLE: &str = "WARDSMITH_AGE_PASSPHRASE";

/// No key file is near this size.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;
/// Base-2 logarithm of the work of sealing by a passphrase: about a second, and 256 MiB. Fixed, so that what one machine
/// seals another can open.
const WORK: u8 = if cfg!(test) { 4 } else { 18 };
/// More work, and memory (1 GiB), is refused: the number comes from the file.
const MOST_WORK: u8 = 20;

/// For whom things are sealed, and who opens them.
#[derive(Clone)]
pub struct Key(Arc<Inner>);

enum Inner {
    Passphrase(SecretString),
    Pairs { recipients: Vec<x25519::Recipient>, identities: Vec<x25519::Identity> },
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(…)")
    }
}

impl Key {
    /// The key that the environment names, if it names one: recipients, a key file, or a passphrase alone.
    ///
    /// # Errors
    /// Where a variable is empty or holds no key, or where a passphrase is named beside others.
    pub fn from_env() -> Result<Option<Self>> {
        let read = |name| match std::env::var(name) {
            Ok(value) => Ok(Some(SecretString::from(value))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(Error::NoText(name)),
        };
        let recipients = read(RECIPIENTS_VARIABLE)?;
        let file = std::env::var_os(IDENTITY_FILE_VARIABLE);
        match (read(PASSPHRASE_VARIABLE)?, recipients, file) {
            (None, None, None) => Ok(None),
            (Some(passphrase), None, None) => Self::from_passphrase(passphrase.expose_secret()).map(Some),
            (Some(_), _, _) => Err(Error::Mixed),
            (None, recipients, file) => {
                let recipients = recipients.map(|text| recipients_in(text.expose_secret())).transpose()?;
                let identities = file.map(|path| identities_in(Path::new(&path))).transpose()?;
                Ok(Some(Self::from_pairs(recipients, identities.unwrap_or_default())))
            }
        }
    }

    /// The key in a file of identities, as `age-keygen` makes it: it seals for them and opens what is sealed for them.
    ///
    /// # Errors
    /// Where it cannot be read or holds anything else.
    pub fn from_file(path: &Path) -> Result<Self> {
        Ok(Self::from_pairs(None, identities_in(path)?))
    }

    /// A key that seals for `recipients`, `age1…` with blanks or commas between them, and opens nothing.
    ///
    /// # Errors
    /// Where one of them is no recipient, or there is none.
    pub fn from_recipients(recipients: &str) -> Result<Self> {
        Ok(Self::from_pairs(Some(recipients_in(recipients)?), Vec::new()))
    }

    /// A key that is a passphrase; each file that is sealed or opened by it costs about a second, by scrypt.
    ///
    /// # Errors
    /// Where it is empty.
    pub fn from_passphrase(passphrase: &str) -> Result<Self> {
        match passphrase {
            "" => Err(Error::Empty("passphrase")),
            text => Ok(Self(Arc::new(Inner::Passphrase(text.to_owned().into())))),
        }
    }

    /// A new identity as the text of a key file; the caller's to keep secret.
    #[must_use]
    pub fn generate_text() -> String {
        x25519::Identity::generate().to_string().expose_secret().to_owned()
    }

    fn from_pairs(recipients: Option<Vec<x25519::Recipient>>, identities: Vec<x25519::Identity>) -> Self {
        let own = || identities.iter().map(x25519::Identity::to_public).collect();
        let recipients = recipients.unwrap_or_else(own);
        Self(Arc::new(Inner::Pairs { recipients, identities }))
    }

    /// Seals what is written, into `out`. [`Sealing::finish`] must be called in the end.
    ///
    /// # Errors
    /// Where the key has no recipient, or `out` refuses the head.
    pub fn seal<W: Write>(&self, out: W) -> Result<Sealing<W>> {
        let encryptor = match &*self.0 {
            Inner::Passphrase(passphrase) => {
                let mut recipient = scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK);
                age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
            Inner::Pairs { recipients, .. } => {
                age::Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn age::Recipient))
            }
        };
        let encryptor = encryptor.map_err(|_| Error::CannotSeal)?;
        Ok(Sealing::new(encryptor.wrap_output(out)?))
    }

    /// Opens what `input` holds sealed.
    ///
    /// # Errors
    /// Where it is sealed for another key, is not sealed, or its head is damaged.
    pub fn open<R: Read>(&self, input: R) -> Result<Opening<R>> {
        let decryptor = age::Decryptor::new_buffered(BufReader::new(input)).map_err(told)?;
        let reader = match &*self.0 {
            Inner::Passphrase(passphrase) => {
                let mut identity = scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(MOST_WORK);
                decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
            }
            Inner::Pairs { identities, .. } if identities.is_empty() => return Err(Error::CannotOpen),
            Inner::Pairs { identities, .. } => {
                decryptor.decrypt(identities.iter().map(|one| one as &dyn age::Identity))
            }
        };
        Ok(Opening::new(reader.map_err(told)?))
    }
}

/// An error of the format in this crate's words.
fn told(error: age::DecryptError) -> Error {
    use age::DecryptError as Age;
    match error {
        Age::NoMatchingKeys | Age::DecryptionFailed | Age::KeyDecryptionFailed => Error::WrongKey,
        Age::ExcessiveWork { required, .. } => Error::TooMuchWork(required),
        Age::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Error::Io(error),
        _ => Error::Damaged,
    }
}

fn recipients_in(text: &str) -> Result<Vec<x25519::Recipient>> {
    let parts = text.split([',', ' ', '\t', '\n', '\r']).filter(|part| !part.is_empty());
    let parse = |(at, part): (usize, &str)| part.parse().map_err(|_| Error::NoRecipient(at + 1));
    let recipients: Vec<x25519::Recipient> = parts.enumerate().map(parse).collect::<Result<_>>()?;
    if recipients.is_empty() { Err(Error::Empty("list of recipients")) } else { Ok(recipients) }
}

fn identities_in(path: &Path) -> Result<Vec<x25519::Identity>> {
    let unreadable = |source| Error::KeyFile { path: path.to_path_buf(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    let text = SecretString::from(text);
    let lines = text.expose_secret().lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let wrong = |line| Error::NoIdentity { path: path.to_path_buf(), line };
    let parse = |(at, line): (usize, &str)| line.parse().map_err(|_| wrong(at + 1));
    let identities: Vec<x25519::Identity> = lines.map(parse).collect::<Result<_>>()?;
    if identities.is_empty() { Err(wrong(0)) } else { Ok(identities) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn no_secret_is_shown_and_no_error_quotes_one() {
        let secret = Key::generate_text();
        let key = Key::from_file(file(&format!("# made\n{secret}\n")).path()).unwrap();
        assert_eq!(format!("{key:?} {:?}", Key::from_passphrase("open sesame").unwrap()), "Key(…) Key(…)");
        let spoilt = format!("# made\n{}X\n", &secret[..secret.len() - 1]);
        let error = Key::from_file(file(&spoilt).path()).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("line 2 is no identity") && !told.contains(&secret[20..40]), "{told}");
        let error = Key::from_recipients(&format!("age1kettle {secret}")).unwrap_err().to_string();
        assert!(error.starts_with("recipient 1 is none") && !error.contains("kettle"), "{error}");
    }

    #[test]
    fn what_is_empty_or_missing_is_said() {
        assert!(matches!(Key::from_passphrase(""), Err(Error::Empty("passphrase"))));
        assert!(matches!(Key::from_recipients(" , "), Err(Error::Empty(_))));
        assert!(matches!(Key::from_file(file("# nothing\n").path()), Err(Error::NoIdentity { line: 0, .. })));
        assert!(matches!(Key::from_file(Path::new("no such file")), Err(Error::KeyFile { .. })));
    }
}
