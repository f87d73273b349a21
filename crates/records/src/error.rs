//! Everything that can go wrong with records and datasets, each with the thing it happened to and a hint.

use std::path::{Path, PathBuf};

/// Why records could not be read or a dataset not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {source}\nhint: {}", io_hint(source))]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Compressed input that ends too early or is damaged.
    #[error("`{place}` is damaged: {detail}\nhint: the download is incomplete or broken; fetch it again")]
    Damaged {
        /// The file, and the member in it.
        place: String,
        /// What the decoder said.
        detail: String,
    },
    /// Input larger than is sane.
    #[error(
        "`{place}` is too large: {detail}\nhint: this looks like a decompression bomb; if it is real data, unpack and split it first"
    )]
    TooLarge {
        /// The file, and the member in it.
        place: String,
        /// Which limit was passed.
        detail: String,
    },
    /// A compression or archive that is not read.
    #[error("`{place}` is {looks_like}, which is not read\nhint: unpack it first, or use .gz, .xz, .zip or .tar")]
    UnsupportedContainer {
        /// The file.
        place: String,
        /// What its first bytes say.
        looks_like: &'static str,
    },
    /// A file of another format than the source reads.
    #[error("`{place}` looks like {looks_like}, not like {wanted}\nhint: {hint}")]
    WrongFormat {
        /// The file, and the member in it.
        place: String,
        /// What it looks like.
        looks_like: &'static str,
        /// What the source reads.
        wanted: &'static str,
        /// What to do.
        hint: String,
    },
    /// A file that begins right and is then broken beyond one record.
    #[error("`{place}` cannot be read as {wanted}: {detail}\nhint: the file is broken; fetch it again")]
    Broken {
        /// The file, and the member in it.
        place: String,
        /// What the source reads.
        wanted: &'static str,
        /// What the parser said, with line and column.
        detail: String,
    },
    /// A folder or archive without a single file to read.
    #[error("`{0}` holds no file to read\nhint: name a folder or archive with files in it that the source reads")]
    Empty(PathBuf),
    /// A source name that is not in the table.
    #[error("there is no source `{name}`\nhint: the sources are {known}")]
    UnknownSource {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A task name that is not in the table.
    #[error("there is no task `{name}`\nhint: the tasks are {known}")]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// More broken records than is acceptable.
    #[error("{rejected} of {records} records of source `{name}` were rejected ({}), more than {:.2} %; first: {first}\nhint: check that the input is complete, or raise the accepted share", percent(*rejected, *records), max_rate * 100.0)]
    TooManyRejects {
        /// The source.
        name: String,
        /// Broken records.
        rejected: u64,
        /// All records.
        records: u64,
        /// The accepted share, 0..=1.
        max_rate: f64,
        /// Place and reason of the first one.
        first: String,
    },
    /// Options that make no sense together.
    #[error("{problem}\nhint: {hint}")]
    Options {
        /// What is wrong.
        problem: String,
        /// What would be right.
        hint: String,
    },
    /// Something stands where the dataset should go.
    #[error("`{path}` exists already{what}\nhint: {hint}")]
    OutputExists {
        /// The output.
        path: PathBuf,
        /// ` and is not a Wardsmith dataset`, or nothing.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A folder that is not a dataset, or one that was changed or is of another version.
    #[error("`{path}` is not a dataset that can be read: {detail}\nhint: make it with `wardsmith prepare`")]
    BadDataset {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A sealed file, and nobody to open it.
    #[error(
        "`{path}` is encrypted, and no key is given\nhint: name a key file with `--key`, or set WARDSMITH_AGE_IDENTITY_FILE or WARDSMITH_AGE_PASSPHRASE"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be sealed or opened.
    #[error("`{path}`: {source}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: wardsmith_vault::Error,
    },
    /// A task that needs something which no source gave.
    #[error("task `{task}` needs {what}\nhint: {hint}")]
    Needs {
        /// The task.
        task: &'static str,
        /// What is missing.
        what: String,
        /// How to give it.
        hint: &'static str,
    },
}

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an error of the operating system: `.map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// A hint for the common causes.
fn io_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "check the path",
        Kind::PermissionDenied => "check the permissions",
        Kind::StorageFull | Kind::QuotaExceeded => "the disk is full; free some space or write elsewhere",
        Kind::ReadOnlyFilesystem => "the disk is read-only; write elsewhere",
        _ => "check the path and the disk",
    }
}

/// A share in words.
fn percent(part: u64, whole: u64) -> String {
    format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let message = Error::io("write", Path::new("out/train.jsonl"))(source).to_string();
        assert!(message.starts_with("cannot write `out/train.jsonl`: "), "{message}");
        assert!(message.contains("hint: the disk is full"), "{message}");
    }

    #[test]
    fn the_share_of_rejects_is_told_with_its_limit() {
        let error = Error::TooManyRejects {
            name: "nvd".into(),
            rejected: 3,
            records: 100,
            max_rate: 0.01,
            first: "a.json record 7: bad id".into(),
        };
        let message = error.to_string();
        assert!(
            message.contains("3 of 100 records of source `nvd` were rejected (3.00 %), more than 1.00 %"),
            "{message}"
        );
    }
}
