//! Public feeds from their original servers or a mirror: resumable, verified, recorded in a lock file.
//!
//! This is the only crate of Wardsmith that opens a socket, and it knows nothing of records. The way of a file: a
//! [`feed`] says which files there are → `session` asks for each, in `retry`'s patience → `mirror` says where it is really
//! asked for → `transfer` brings it with `http`, resumes a `part`, holds it against `checksum` and `shape`, and gives it
//! its name → [`lock`] records it. Names from servers become files only where `safe_path` agrees.
//!
//! A feed named `nvd` goes into the subfolder `nvd`, which `wardsmith prepare --source nvd=DIR/nvd` reads as it is.
//!
//! # Mirrors
//! A [`Mirror`] stands in for all servers. It holds the file of `https://HOST/PATH` under `HOST/PATH`, whether it is a
//! server or a folder; addresses that stand in fetched documents are looked for in it as well. See `mirror.rs` for queries
//! and ports in folders. Secrets, such as an API key, never go to a mirror.

mod checksum;
mod clock;
mod error;
pub mod feed;
mod feeds;
mod fetcher;
mod http;
pub mod lock;
mod mirror;
mod part;
mod retry;
mod safe_path;
mod session;
mod shape;
mod transfer;

pub use clock::{Clock, SystemClock};
pub use error::{Error, Result};
pub use feed::{ALL, Feed, by_name};
pub use fetcher::{Failure, Fetcher, Options, Progress, Summary};
pub use http::{Network, Proxy};
pub use lock::{LOCK_FILE, Lock, LockedFile, Verified, verify};
pub use mirror::Mirror;
pub use retry::Patience;
pub use session::Session;
