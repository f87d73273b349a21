//! What the tests share: a folder, a server, a clock that waits for nobody, and small invented files.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256, Sha512};
use wardsmith_fetch::{Clock, Error, Fetcher, Lock, Mirror, Network, Options, Proxy, Summary, by_name};

use crate::server::Server;

/// A clock that jumps ahead instead of waiting.
pub(crate) struct FakeClock {
    now: Cell<Timestamp>,
    slept: RefCell<Vec<Duration>>,
}

impl FakeClock {
    /// How long it slept in all, in seconds.
    pub(crate) fn slept_s(&self) -> f64 {
        self.slept.borrow().iter().sum::<Duration>().as_secs_f64()
    }

    pub(crate) fn set(&self, time: &str) {
        self.now.set(time.parse().unwrap());
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn sleep(&self, duration: Duration) {
        self.slept.borrow_mut().push(duration);
        self.now.set(self.now.get() + jiff::SignedDuration::try_from(duration).unwrap());
    }
}

/// See the file's head.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) server: Server,
    pub(crate) clock: FakeClock,
    pub(crate) options: Options,
}

impl Bench {
    /// An empty folder and a server that knows nothing yet, on the first of May 2024.
    pub(crate) fn new() -> Self {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
        let mut options = Options::new(folder.path().join("feeds"));
        options.mirror = Some(Mirror::parse(&server.address()).unwrap());
        let read_timeout = Duration::from_millis(400);
        options.network = Network { read_timeout, proxy: Proxy::Never, ..Network::default() };
        let now = Cell::new("2024-05-01T12:00:00Z".parse().unwrap());
        let clock = FakeClock { now, slept: RefCell::default() };
        Self { folder, server, clock, options }
    }

    /// Fetches one feed.
    pub(crate) fn fetch(&self, feed: &str) -> Result<Summary, Error> {
        self.fetch_until(feed, &|_| false)
    }

    /// The same, and asks to stop once `enough` bytes of a file are there.
    pub(crate) fn fetch_until(&self, feed: &str, enough: &dyn Fn(u64) -> bool) -> Result<Summary, Error> {
        let stop = Cell::new(false);
        let stopped = || stop.get();
        let length = |file: &str| std::fs::metadata(self.target().join(file)).map(|metadata| metadata.len()).ok();
        let before: BTreeMap<String, Option<u64>> =
            self.visible().into_iter().map(|f| (f.clone(), length(&f))).collect();
        let mut fetcher = Fetcher::new(self.options.clone(), &self.clock, &stopped)?;
        fetcher.fetch(by_name(feed)?, &mut |progress| {
            assert!(progress.total_bytes.is_none_or(|total| progress.done_bytes <= total));
            // While a file is on its way, nothing or the old file has its name.
            assert_eq!(length(progress.file), before.get(progress.file).copied().flatten());
            if enough(progress.done_bytes) {
                stop.set(true);
            }
        })
    }

    /// A place in the folder of this test.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that is fetched into.
    pub(crate) fn target(&self) -> &Path {
        &self.options.into
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.target().join(path)).unwrap()
    }

    pub(crate) fn lock(&self) -> Lock {
        Lock::of_folder(self.target()).unwrap()
    }

    /// The visible files below the folder, with their paths.
    pub(crate) fn visible(&self) -> Vec<String> {
        files(self.target()).into_iter().filter(|path| !is_hidden(path)).collect()
    }

    /// The hidden ones, without the guard.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let guard = |path: &String| path == ".wardsmith-fetch";
        files(self.target()).into_iter().filter(|path| is_hidden(path) && !guard(path)).collect()
    }

    /// Every file is as the lock file says, and no other file is visible.
    pub(crate) fn is_true(&self) {
        let verified = wardsmith_fetch::verify(self.target()).unwrap();
        assert_eq!(verified.problems, [""; 0]);
        let mut expected: Vec<String> = self.lock().files.into_keys().collect();
        expected.push(wardsmith_fetch::LOCK_FILE.into());
        expected.sort();
        assert_eq!(self.visible(), expected);
    }
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// `bytes` compressed.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip without members, with a comment that makes it its own.
pub(crate) fn zip(comment: &str) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06".to_vec();
    bytes.extend([0; 16]);
    bytes.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
    bytes.extend(comment.as_bytes());
    bytes
}

/// A JSON document of some `kilobytes`, whose bytes differ from place to place.
pub(crate) fn json(kilobytes: usize, seed: u64) -> Vec<u8> {
    let numbers: Vec<String> = (0..kilobytes * 64).map(|i| format!("{:014}", i as u64 * 7919 + seed)).collect();
    format!("{{\"objects\":[\"{}\"]}}", numbers.join("\",\"")).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}
