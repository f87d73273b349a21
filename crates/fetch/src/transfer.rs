//! One attempt to bring one file: asks, resumes, copies, holds it against what is known, and gives it its name.
//!
//! What has arrived lies in a hidden sibling, `.NAME.part`, and what is known of it in `.NAME.part.json`. A file has its
//! name only once it is whole and checked.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use url::Url;

use crate::checksum::Stated;
use crate::error::{Error, Trouble};
use crate::http::{Answer, Client, Request, Secret};
use crate::lock::LockedFile;
use crate::mirror::Place;
use crate::part::{Part, PartState};
use crate::shape::Shape;

/// What [`copy`] hands over at once, at most.
const PIECE_BYTES: usize = 1 << 16;

/// Looks into a whole file; an error says what is wrong with it.
pub(crate) type Inspect = fn(&Path) -> Result<(), String>;

/// A file that a feed wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Its original address.
    pub(crate) url: Url,
    /// Where it goes, below the folder that is fetched into.
    pub(crate) path: String,
    /// It may have so many bytes.
    pub(crate) max_bytes: u64,
    /// What it must look like.
    pub(crate) shape: Shape,
    /// What its publisher states about it.
    pub(crate) stated: Stated,
    /// What an index says of this version.
    pub(crate) listed_as: Option<String>,
    /// A header for the original server alone.
    pub(crate) secret: Option<Secret>,
    /// A further check.
    pub(crate) inspect: Option<Inspect>,
}

impl Wanted {
    /// A file of which nothing more is known.
    pub(crate) fn new(url: Url, path: impl Into<String>, shape: Shape, max_bytes: u64) -> Self {
        let stated = Stated::default();
        Self { url, path: path.into(), max_bytes, shape, stated, listed_as: None, secret: None, inspect: None }
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// The file that is there is still the newest.
    Unchanged,
    /// It has its name now.
    New(NewFile),
}

/// What is known of a file that arrived.
#[derive(Debug)]
pub(crate) struct NewFile {
    /// Where it came from.
    pub(crate) final_url: String,
    /// What the server said of it.
    pub(crate) state: PartState,
    /// Its length.
    pub(crate) bytes: u64,
    /// Its SHA-256.
    pub(crate) sha256: String,
}

/// One file on its way. Lives as long as the attempts for it.
pub(crate) struct Transfer<'t> {
    /// The HTTP client.
    pub(crate) client: &'t Client,
    /// Where to get it.
    pub(crate) place: Place,
    /// What to get.
    pub(crate) wanted: &'t Wanted,
    /// Where it goes.
    pub(crate) target: &'t Path,
    /// What the lock file says of the file that is there, where that is true.
    pub(crate) known: Option<&'t LockedFile>,
    /// The SHA-256 that it must have.
    pub(crate) must_be: Option<&'t str>,
    /// Whether the server counts requests.
    pub(crate) is_paced: bool,
    /// Whether to stop.
    pub(crate) stopped: &'t dyn Fn() -> bool,
    /// Bytes that came, in all attempts.
    pub(crate) transferred: u64,
    /// Whether a part of an earlier attempt was used.
    pub(crate) resumed: bool,
}

/// Hears how many bytes are there, and how many there will be.
pub(crate) type Report<'a> = &'a mut dyn FnMut(u64, Option<u64>);

impl Transfer<'_> {
    /// One attempt.
    pub(crate) fn attempt(&mut self, report: Report<'_>) -> Result<Arrived, Trouble> {
        let mut part = Part::of(self.target)?;
        let source = match self.place.clone() {
            Place::File(file) => self.copy_file(&file, &mut part, report)?,
            Place::Remote(url) => match self.download(&url, &mut part, report)? {
                Some(source) => source,
                None => return Ok(Arrived::Unchanged),
            },
        };
        self.finish(part, source)
    }

    /// From a folder. There is nothing to resume.
    fn copy_file(&mut self, file: &Path, part: &mut Part, report: Report<'_>) -> Result<String, Trouble> {
        let url = self.wanted.url.to_string();
        let mut source = match std::fs::File::open(file) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotInMirror { url, path: file.to_path_buf() }.into());
            }
            Err(error) => return Err(Error::io("read", file)(error).into()),
        };
        let total = source.metadata().map_err(Error::io("read", file))?.len();
        part.restart(PartState { url, expected_bytes: Some(total), ..PartState::default() }, &self.wanted.stated)?;
        self.fill(&mut source, part, report)?;
        Ok(file.display().to_string())
    }

    /// From a server; nothing where the file that is there is still the newest, else where it came from.
    fn download(&mut self, url: &Url, part: &mut Part, report: Report<'_>) -> Result<Option<String>, Trouble> {
        let resume = part.resume(url.as_str(), &self.wanted.stated, self.stopped)?;
        if resume && part.is_whole() {
            self.resumed = true;
            return Ok(Some(url.to_string()));
        }
        let request = Request {
            headers: self.headers(resume.then_some(&*part)),
            secret: self.wanted.secret.as_ref().filter(|_| *url == self.wanted.url),
            is_paced: self.is_paced,
        };
        let mut answer = self.client.get(url, &request)?;
        match answer.status {
            304 if self.known.is_some() && !resume => return Ok(None),
            206 if resume => {
                part.accept_rest(&answer, self.is_plain(&answer))?;
                self.resumed = true;
            }
            200 => self.begin(url, &answer, part)?,
            status => {
                part.discard()?;
                return Err(Trouble::Wrong(format!("it answers with status {status}, which was not asked for")));
            }
        }
        let (encoding, is_plain) = (answer.encoding(), self.is_plain(&answer));
        let mut body = std::mem::replace(&mut answer.body, Box::new(std::io::empty()));
        match encoding.as_str() {
            _ if is_plain => {}
            "gzip" | "x-gzip" => body = Box::new(MultiGzDecoder::new(body)),
            _ => {
                part.discard()?;
                return Err(unknown_encoding(url, &encoding));
            }
        }
        self.fill(&mut body, part, report)?;
        Ok(Some(without_query(&answer.url, url)))
    }

    fn headers(&self, resume: Option<&Part>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Accept-Encoding", "identity".to_owned())];
        if let Some(part) = resume {
            headers.push(("Range", format!("bytes={}-", part.bytes())));
            headers.extend(part.state().validator().map(|validator| ("If-Range", validator.to_owned())));
        } else if let Some(known) = self.known {
            headers.extend(known.etag.clone().map(|etag| ("If-None-Match", etag)));
            headers.extend(known.last_modified.clone().map(|date| ("If-Modified-Since", date)));
        }
        headers
    }

    /// Whether the bytes that come are those of the file. Some servers call a file that is gzip encoded with gzip; then
    /// they are.
    fn is_plain(&self, answer: &Answer) -> bool {
        match answer.encoding().as_str() {
            "identity" | "" => true,
            "gzip" | "x-gzip" => self.wanted.shape.is_gzip(),
            _ => false,
        }
    }

    /// A whole body comes: begins the part anew.
    fn begin(&self, url: &Url, answer: &Answer, part: &mut Part) -> Result<(), Trouble> {
        let is_plain = self.is_plain(answer);
        let header = |name| answer.header(name).map(str::to_owned);
        let state = PartState {
            url: url.to_string(),
            etag: header("etag"),
            last_modified: header("last-modified"),
            expected_bytes: answer.content_length().filter(|_| is_plain),
            is_encoded: !is_plain,
        };
        if state.expected_bytes.is_some_and(|bytes| bytes > self.wanted.max_bytes) {
            return Err(self.too_large().into());
        }
        Ok(part.restart(state, &self.wanted.stated)?)
    }

    /// Copies a body to the end of the part. What has arrived stays, whatever goes wrong.
    fn fill(&mut self, body: &mut dyn Read, part: &mut Part, report: Report<'_>) -> Result<(), Trouble> {
        let (max_bytes, total) = (self.wanted.max_bytes, part.state().expected_bytes);
        let mut too_large = false;
        let result = copy(body, self.stopped, &mut |piece| {
            self.transferred += piece.len() as u64;
            if part.bytes() + piece.len() as u64 > max_bytes {
                too_large = true;
                return Err(self.too_large().into());
            }
            part.append(piece)?;
            report(part.bytes(), total);
            Ok(())
        });
        if too_large {
            part.discard()?;
            return result;
        }
        part.sync()?;
        result?;
        match total {
            Some(total) if part.bytes() < total => {
                Err(Trouble::again(format!("it ends after {} of {total} bytes", part.bytes())))
            }
            Some(total) if part.bytes() > total => {
                part.discard()?;
                Err(Trouble::Wrong(format!("it has more than the {total} bytes that were stated")))
            }
            _ => Ok(()),
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { url: self.wanted.url.to_string(), max_bytes: self.wanted.max_bytes }
    }

    /// Holds the part against all that is known, and gives it its name.
    fn finish(&self, mut part: Part, final_url: String) -> Result<Arrived, Trouble> {
        let bytes = part.bytes();
        let sha256 = match self.check(&mut part)? {
            Ok(sha256) => sha256,
            Err(problem) => {
                part.discard()?;
                return Err(Trouble::Wrong(problem));
            }
        };
        if let Some(expected) = self.must_be.filter(|expected| **expected != sha256) {
            part.discard()?;
            if self.resumed {
                return Err(Trouble::Wrong("it was put together from two versions".into()));
            }
            let (url, expected) = (self.wanted.url.to_string(), expected.to_owned());
            return Err(Error::NotAsLocked { url, expected, found: sha256 }.into());
        }
        let state = part.state().clone();
        part.rename(self.target)?;
        Ok(Arrived::New(NewFile { final_url, state, bytes, sha256 }))
    }

    /// The SHA-256 of the part, or what is wrong with it.
    fn check(&self, part: &mut Part) -> Result<Result<String, String>, Error> {
        let stated = &self.wanted.stated;
        let sha256 = match part.finish_digests(stated) {
            Ok(sha256) => sha256,
            Err(problem) => return Ok(Err(problem)),
        };
        let path = part.path();
        let shape = self.wanted.shape.check(path, stated.unpacked_sha256.as_deref());
        if let Err(problem) = shape.map_err(Error::io("read", path))? {
            return Ok(Err(problem));
        }
        Ok(self.wanted.inspect.map_or(Ok(()), |inspect| inspect(path)).map(|()| sha256))
    }
}

fn unknown_encoding(url: &Url, encoding: &str) -> Trouble {
    let detail = format!("it is encoded as `{}`, which was not asked for", encoding.escape_debug());
    Error::Unreadable { url: url.to_string(), wanted: "a plain file", detail }.into()
}

/// Where a file came from; what a redirect added as a query may be a signature that is nobody's business later.
fn without_query(at: &Url, asked: &Url) -> String {
    let mut at = at.clone();
    if at != *asked {
        at.set_query(None);
    }
    at.set_fragment(None);
    at.to_string()
}

/// Reads `body` to its end and hands it to `each`, piece by piece, unless asked to stop.
pub(crate) fn copy(
    body: &mut dyn Read,
    stopped: &dyn Fn() -> bool,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        if stopped() {
            return Err(Error::Stopped.into());
        }
        match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::again(format!("it broke off: {error}"))),
        }
    }
}
