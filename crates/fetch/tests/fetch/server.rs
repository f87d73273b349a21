//! A web server on the loopback that follows a script: whole files with ranges and conditions, and everything that goes
//! wrong.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a file was changed at, unless a reply says otherwise.
const LAST_MODIFIED: &str = "Wed, 01 May 2024 00:00:00 GMT";

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether ranges and conditions are understood, by a tag.
    etag: Option<String>,
    ignore_if_range: bool,
    /// The body ends after so many bytes, though more were announced.
    cut_at: Option<usize>,
    /// Then nothing more comes, and the connection stays open.
    stalls: bool,
    /// No length is announced and the body is sent over and over.
    endless: bool,
}

impl Reply {
    fn new(status: u16, body: &[u8]) -> Self {
        let (headers, body) = (Vec::new(), body.to_vec());
        Self { status, headers, body, etag: None, ignore_if_range: false, cut_at: None, stalls: false, endless: false }
    }

    /// A file as a good server has it, with a tag that tells its content.
    pub(crate) fn file(body: &[u8]) -> Self {
        let sum = body.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        Self { etag: Some(format!("\"{sum:x}\"")), ..Self::new(200, body) }
    }

    /// A file of which nothing is known: no tag, no date, no ranges.
    pub(crate) fn plain(body: &[u8]) -> Self {
        Self::new(200, body)
    }

    /// A status with nothing to read.
    pub(crate) fn status(status: u16) -> Self {
        Self::new(status, b"not now")
    }

    /// A redirect.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::new(302, b"").header("Location", to)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Breaks off after so many bytes.
    pub(crate) fn cut_at(self, bytes: usize) -> Self {
        Self { cut_at: Some(bytes), ..self }
    }

    /// Sends so many bytes and then nothing.
    pub(crate) fn stall_at(self, bytes: usize) -> Self {
        Self { cut_at: Some(bytes), stalls: true, ..self }
    }

    /// Never ends.
    pub(crate) fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// Sends the rest of a file though its tag is another.
    pub(crate) fn ignore_if_range(self) -> Self {
        Self { ignore_if_range: true, ..self }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) path: String,
    /// Headers, their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// What was answered.
    pub(crate) status: u16,
    /// How many bytes of a body were sent.
    pub(crate) sent: usize,
}

#[derive(Default)]
struct State {
    scripts: BTreeMap<String, Vec<Reply>>,
    asked: Vec<Asked>,
}

/// The server; its threads end with the test.
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away is part of the play.
                std::thread::spawn(move || serve(stream, &shared).ok());
            }
        });
        Self { port, state }
    }

    /// Its address, as a mirror.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What an address is answered with, one reply after the other; the last one stays. Addresses are those of the
    /// original servers.
    pub(crate) fn on(&self, url: &str, replies: &[Reply]) {
        let path = url.strip_prefix("https://").unwrap_or(url);
        self.state.lock().unwrap().scripts.insert(format!("/{path}"), replies.to_vec());
    }

    /// All that was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut asked = read_request(&stream)?;
    let reply = {
        let mut state = state.lock().unwrap();
        match state.scripts.get_mut(&asked.path) {
            None => Reply::status(404),
            Some(script) if script.len() > 1 => script.remove(0),
            Some(script) => script[0].clone(),
        }
    };
    let (head, body) = compose(&reply, &asked);
    let sent = reply.cut_at.map_or(body.len(), |cut| cut.min(body.len()));
    (asked.status, asked.sent) = (head[9..12].parse().unwrap(), sent);
    state.lock().unwrap().asked.push(asked);
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..sent])?;
    if reply.endless {
        loop {
            stream.write_all(&body)?;
        }
    }
    if reply.stalls {
        std::thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

fn read_request(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut asked = Asked { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), ..Asked::default() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(asked)
}

/// Head and body of an answer.
fn compose(reply: &Reply, asked: &Asked) -> (String, Vec<u8>) {
    let (mut status, mut body) = (reply.status, reply.body.clone());
    let mut headers = reply.headers.clone();
    let mut add = |name: &str, value: String| {
        if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    };
    if let Some(etag) = &reply.etag {
        add("ETag", etag.clone());
        add("Last-Modified", LAST_MODIFIED.into());
        let range = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        let same = reply.ignore_if_range || asked.headers.get("if-range").is_none_or(|tag| tag == etag);
        if asked.headers.get("if-none-match") == Some(etag) {
            (status, body) = (304, Vec::new());
        } else if let Some(from) = range.filter(|_| same).and_then(|range| range.trim_end_matches('-').parse().ok()) {
            let from: usize = from;
            status = if from < body.len() { 206 } else { 416 };
            add("Content-Range", format!("bytes {from}-{}/{}", body.len().saturating_sub(1), body.len()));
            body.drain(..from.min(body.len()));
        }
    }
    if !reply.endless && status != 304 {
        add("Content-Length", body.len().to_string());
    }
    add("Connection", "close".into());
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    (format!("HTTP/1.1 {status} Said\r\n{headers}\r\n"), body)
}
