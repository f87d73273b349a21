//! Everything that can go wrong with fetching, each with the address or file it happened to and a hint.

use std::path::{Path, PathBuf};

/// Why a feed could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {source}\nhint: check the path, its permissions and the space on the disk")]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A feed name that is not in the table.
    #[error("there is no feed `{name}`\nhint: the feeds are {known}")]
    UnknownFeed {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// Options that make no sense.
    #[error("{problem}\nhint: {hint}")]
    Options {
        /// What is wrong.
        problem: String,
        /// What would be right.
        hint: &'static str,
    },
    /// An address that is not followed.
    #[error("`{url}` is not followed: {reason}\nhint: only http and https are, and never from https to http")]
    BadUrl {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server answered with a status that another attempt will not change.
    #[error("`{url}` answers with status {status}\nhint: {hint}")]
    Refused {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// All attempts failed.
    #[error("`{url}` could not be fetched in {attempts} attempts; the last one: {detail}\nhint: {hint}")]
    GaveUp {
        /// The address.
        url: String,
        /// How many were made.
        attempts: u32,
        /// What went wrong the last time.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// The connection could not be made safe.
    #[error(
        "`{url}` cannot be reached safely: {detail}\nhint: if a proxy here signs for others, name its certificates in SSL_CERT_FILE"
    )]
    Tls {
        /// The address.
        url: String,
        /// What the TLS library said.
        detail: String,
    },
    /// More bytes than a file of this feed may have.
    #[error(
        "`{url}` has more than {max_bytes} bytes\nhint: no real file of this feed is so large; look at what the server sends"
    )]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        max_bytes: u64,
    },
    /// An answer that is not of the expected form.
    #[error(
        "`{url}` is not {wanted}: {detail}\nhint: the server may have shown a page of its own, or the format has changed"
    )]
    Unreadable {
        /// The address.
        url: String,
        /// What it should have been.
        wanted: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A name from a server that must not become a file.
    #[error("`{name}` is refused as the name of a file: {reason}\nhint: `{origin}` names it; tell its publisher")]
    UnsafeName {
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
        /// Where it stood.
        origin: String,
    },
    /// Content that differs from the one in the lock file.
    #[error(
        "`{url}` is not what the lock file says: SHA-256 is {found}, not {expected}\nhint: the server has other content now; use --mirror with a copy of that time, or fetch without --locked"
    )]
    NotAsLocked {
        /// The address.
        url: String,
        /// SHA-256 in the lock file.
        expected: String,
        /// SHA-256 of what came.
        found: String,
    },
    /// A lock file that cannot be used.
    #[error(
        "`{path}` is not a lock file that can be read: {detail}\nhint: `wardsmith fetch` writes it; restore it, or delete it and fetch again"
    )]
    BadLock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A mirror that is a folder does not hold the file.
    #[error(
        "`{url}` is not in the mirror: there is no `{path}`\nhint: a mirror holds each file under HOST/PATH of its address"
    )]
    NotInMirror {
        /// The original address.
        url: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process is at work in the folder.
    #[error("`{0}` is being fetched into by another process\nhint: wait for it, or use another folder")]
    Busy(PathBuf),
    /// So many files failed one after the other that the rest was not tried.
    #[error("{count} files of feed `{feed}` failed one after the other; the last one: {last}")]
    TooManyFailures {
        /// The feed.
        feed: &'static str,
        /// How many.
        count: usize,
        /// The last error, with its hint.
        last: Box<Self>,
    },
    /// It was asked to stop; what has arrived is kept for the next time.
    #[error("stopped\nhint: the same command goes on where it stopped")]
    Stopped,
}

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an error of the operating system: `.map_err(Error::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the other files of a feed will fail as well.
    pub(crate) fn ends_the_feed(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Stopped | Self::BadLock { .. } | Self::TooManyFailures { .. })
    }

    /// The answer of a server with a status that is final.
    pub(crate) fn refused(url: &str, status: u16) -> Self {
        let hint = match status {
            401 | 403 => "the server refuses this client; try again later, or use --mirror with a copy",
            404 | 410 => "the address may have moved; a newer Wardsmith may know it, or use --mirror with a copy",
            _ => "try again later, or use --mirror with a copy",
        };
        Self::Refused { url: url.into(), status, hint }
    }
}

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another attempt would fail as well.
    Fatal(Error),
    /// The network or the server; what has arrived is kept.
    Again {
        /// What went wrong.
        detail: String,
        /// Until when the server wants to be left alone.
        after: Option<RetryAfter>,
    },
    /// What arrived is not what was promised; it is thrown away.
    Wrong(String),
}

/// A server's wish, as the header `Retry-After` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    /// So many seconds.
    Seconds(u64),
    /// Until then.
    At(std::time::SystemTime),
}

impl Trouble {
    /// Something passing.
    pub(crate) fn again(detail: impl Into<String>) -> Self {
        Self::Again { detail: detail.into(), after: None }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}
