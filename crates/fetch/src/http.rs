//! One request: redirects, limits of time, the meaning of a status. The only file that uses the HTTP client.
//!
//! Redirects are followed here and not by the client, because where they may lead is ours to say: http and https alone,
//! never from https to http, and a secret goes to the first host only.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use url::Url;

use crate::error::{Error, RetryAfter, Trouble};
use crate::mirror::web_address;

const USER_AGENT: &str = concat!("wardsmith/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 10;
/// Where the certificates that are trusted may be named, as for OpenSSL and curl.
const CERTIFICATES_VARIABLE: &str = "SSL_CERT_FILE";
/// A server that sends less than this in the time that one read may take is stalled.
const MIN_WINDOW_BYTES: u64 = 1024;

/// How long to wait for a server, and whom to ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// To a connection, with TLS.
    pub connect_timeout: Duration,
    /// To the headers of an answer, and between two pieces of its body.
    pub read_timeout: Duration,
    /// Whether the variables `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
    pub proxy: Proxy,
}

/// Whether to go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// As the environment says.
    FromEnvironment,
    /// Never.
    Never,
}

impl Default for Network {
    fn default() -> Self {
        let (connect_timeout, read_timeout) = (Duration::from_secs(30), Duration::from_secs(60));
        Self { connect_timeout, read_timeout, proxy: Proxy::FromEnvironment }
    }
}

/// A header that only the original server may see, such as an API key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    /// The header's name.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({}: …)", self.name)
    }
}

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    /// Headers by name.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// For the original server alone.
    pub(crate) secret: Option<&'a Secret>,
    /// Whether 403 means too many requests, as with NVD's API.
    pub(crate) is_paced: bool,
}

/// An answer with status 200, 206, 304 or 416.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    headers: HeaderMap,
    /// Where it came from, after redirects.
    pub(crate) url: Url,
    /// The bytes as they were sent, without `Transfer-Encoding`, with `Content-Encoding`.
    pub(crate) body: Box<dyn Read>,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The stated length of the body.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// How the body is encoded, in lower case.
    pub(crate) fn encoding(&self) -> String {
        self.header("content-encoding").unwrap_or("identity").trim().to_ascii_lowercase()
    }
}

/// The HTTP client.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    read_timeout: Duration,
}

impl Client {
    /// One that waits as `network` says.
    pub(crate) fn new(network: Network) -> Result<Self, Error> {
        let proxy = match network.proxy {
            Proxy::FromEnvironment => ureq::Proxy::try_from_env(),
            Proxy::Never => None,
        };
        let mut config = ureq::Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .timeout_resolve(Some(network.connect_timeout))
            .timeout_connect(Some(network.connect_timeout))
            .timeout_send_request(Some(network.read_timeout))
            .timeout_recv_response(Some(network.read_timeout))
            .timeout_per_read(Some(network.read_timeout));
        if let Some(certificates) = certificates()? {
            config = config.tls_config(TlsConfig::builder().root_certs(certificates).build());
        }
        Ok(Self { agent: config.build().new_agent(), read_timeout: network.read_timeout })
    }

    /// Asks for `url`, and for what it redirects to.
    pub(crate) fn get(&self, url: &Url, request: &Request<'_>) -> Result<Answer, Trouble> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let secret = request.secret.filter(|_| at.origin() == url.origin());
            let answer = self.get_once(&at, &request.headers, secret)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return understood(answer, request.is_paced);
            }
            at = redirected(&answer)?;
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(Error::BadUrl { url: url.to_string(), reason }.into())
    }

    fn get_once(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        secret: Option<&Secret>,
    ) -> Result<Answer, Trouble> {
        let mut builder = self.agent.get(url.as_str());
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        if let Some(secret) = secret {
            builder = builder.header(secret.name, &secret.value);
        }
        let response = builder.call().map_err(|error| classify(url, error))?;
        let status = response.status().as_u16();
        let (parts, body) = response.into_parts();
        // The caps are ours, on what is kept.
        let reader = body.into_with_config().limit(u64::MAX).reader();
        let body = Box::new(Hurried::new(reader, self.read_timeout));
        Ok(Answer { status, headers: parts.headers, url: url.clone(), body })
    }
}

/// The certificates that `SSL_CERT_FILE` names, where it is set.
fn certificates() -> Result<Option<RootCerts>, Error> {
    let Some(path) = std::env::var_os(CERTIFICATES_VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = std::path::PathBuf::from(path);
    let pem = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let found: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let problem = format!("`{}`, which {CERTIFICATES_VARIABLE} names, holds no certificate", path.display());
        return Err(Error::Options { problem, hint: "name a file of certificates in PEM form, or unset the variable" });
    }
    Ok(Some(RootCerts::new_with_certs(&found)))
}

/// What an error of the client means for another attempt.
fn classify(url: &Url, error: ureq::Error) -> Trouble {
    use ureq::Error as E;
    match error {
        E::Tls(_) | E::Rustls(_) | E::Pem(_) | E::TlsRequired => {
            Error::Tls { url: url.to_string(), detail: error.to_string() }.into()
        }
        E::Io(error) if error.to_string().contains("certificate") => {
            Error::Tls { url: url.to_string(), detail: error.to_string() }.into()
        }
        E::BadUri(_) | E::Http(_) => Error::BadUrl { url: url.to_string(), reason: error.to_string() }.into(),
        other => Trouble::again(other.to_string()),
    }
}

/// Where a redirect leads, if that may be followed.
fn redirected(answer: &Answer) -> Result<Url, Error> {
    let from = &answer.url;
    let bad = |reason: String| Error::BadUrl { url: from.to_string(), reason };
    let location = answer.header(header::LOCATION.as_str()).ok_or_else(|| bad("it redirects to nowhere".into()))?;
    let to = from.join(location).map_err(|error| bad(format!("it redirects to no address: {error}")))?;
    let to = web_address(to.as_str())?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(bad(format!("it redirects from https to `{to}`")));
    }
    Ok(to)
}

/// The answer, where its status is one that callers understand.
fn understood(answer: Answer, is_paced: bool) -> Result<Answer, Trouble> {
    let after = |answer: &Answer| answer.header("retry-after").and_then(retry_after);
    match answer.status {
        200 | 206 | 304 | 416 => Ok(answer),
        403 if is_paced || answer.header("retry-after").is_some() => Err(busy(403, after(&answer))),
        403 if answer.header("x-ratelimit-remaining") == Some("0") => {
            let hint = "GitHub answers only so many questions an hour from one address; try again in an hour";
            Err(Error::Refused { url: answer.url.to_string(), status: 403, hint }.into())
        }
        status @ (408 | 425 | 429 | 500..=599) => Err(busy(status, after(&answer))),
        status => Err(Error::refused(answer.url.as_str(), status).into()),
    }
}

fn busy(status: u16, after: Option<RetryAfter>) -> Trouble {
    Trouble::Again { detail: format!("it answers with status {status}"), after }
}

/// `Retry-After`: seconds or a date.
fn retry_after(value: &str) -> Option<RetryAfter> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(RetryAfter::Seconds(seconds));
    }
    httpdate::parse_http_date(value).ok().map(RetryAfter::At)
}

/// A reader that gives up where next to nothing comes, though each piece comes in time.
struct Hurried<R> {
    inner: R,
    window: Duration,
    begun: Instant,
    bytes: u64,
}

impl<R> Hurried<R> {
    fn new(inner: R, window: Duration) -> Self {
        Self { inner, window, begun: Instant::now(), bytes: 0 }
    }
}

impl<R: Read> Read for Hurried<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        if self.begun.elapsed() >= self.window {
            if count > 0 && self.bytes < MIN_WINDOW_BYTES {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it sends next to nothing"));
            }
            (self.begun, self.bytes) = (Instant::now(), 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, from: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer { status, headers: map, url: Url::parse(from).unwrap(), body: Box::new(io::empty()) }
    }

    fn leads(from: &str, location: &str) -> Result<String, Error> {
        redirected(&answer(302, from, &[("location", location)])).map(String::from)
    }

    #[test]
    fn a_redirect_may_lead_to_https_and_to_its_like_but_not_down_or_out() {
        assert_eq!(leads("https://a.org/x/y", "../z").unwrap(), "https://a.org/z");
        assert_eq!(leads("https://a.org/x", "//b.org/z").unwrap(), "https://b.org/z");
        assert_eq!(leads("http://a.org/x", "https://b.org/").unwrap(), "https://b.org/");
        assert_eq!(leads("http://a.org/x", "http://b.org/").unwrap(), "http://b.org/");
        for to in ["http://a.org/x", "file:///etc/passwd", "ftp://a.org/", "https://u:p@a.org/", "https://", "data:,x"]
        {
            assert!(matches!(leads("https://a.org/x", to), Err(Error::BadUrl { .. })), "{to}");
        }
        assert!(redirected(&answer(302, "https://a.org/", &[])).is_err());
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        let again = |status, headers: &[_], paced| match understood(answer(status, "https://a.org/", headers), paced) {
            Ok(_) => "good",
            Err(Trouble::Again { .. }) => "again",
            Err(_) => "never",
        };
        for (status, expected) in [(200, "good"), (206, "good"), (304, "good"), (404, "never"), (401, "never")] {
            assert_eq!(again(status, &[], false), expected, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(again(status, &[], false), "again", "{status}");
        }
        assert_eq!(again(403, &[], false), "never");
        assert_eq!(again(403, &[], true), "again");
        assert_eq!(again(403, &[("retry-after", "3")], false), "again");
        assert_eq!(again(403, &[("x-ratelimit-remaining", "0")], false), "never");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 120 "), Some(RetryAfter::Seconds(120)));
        let date = retry_after("Thu, 01 Jan 1970 00:01:00 GMT");
        assert_eq!(date, Some(RetryAfter::At(std::time::UNIX_EPOCH + Duration::from_secs(60))));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn a_trickle_is_a_stall_and_a_short_file_is_none() {
        let mut hurried = Hurried::new(io::repeat(7), Duration::ZERO);
        assert_eq!(hurried.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(Hurried::new(io::repeat(7), Duration::ZERO).read(&mut [0; 4096]).unwrap(), 4096);
        assert_eq!(Hurried::new(io::repeat(7), Duration::from_secs(60)).read(&mut [0; 10]).unwrap(), 10);
        assert_eq!(Hurried::new(io::empty(), Duration::ZERO).read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret { name: "apiKey", value: "hush".into() };
        assert!(!format!("{secret:?}").contains("hush"));
    }

    /// A server that gives one answer; what it was asked.
    fn once(answer: String) -> (u16, std::thread::JoinHandle<String>) {
        use std::io::Write as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut buffer) = (String::new(), [0; 4096]);
            while !asked.contains("\r\n\r\n") {
                let count = stream.read(&mut buffer).unwrap();
                asked.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            asked.to_lowercase()
        });
        (port, served)
    }

    #[test]
    fn a_secret_goes_to_the_first_server_and_not_to_where_it_redirects() {
        let (port, second) = once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".into());
        let location = format!("http://127.0.0.1:{port}/there");
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let (port, first) = once(head);
        let client = Client::new(Network { proxy: Proxy::Never, ..Network::default() }).unwrap();
        let secret = Secret { name: "apiKey", value: "hush".into() };
        let request = Request { secret: Some(&secret), ..Request::default() };
        let url = Url::parse(&format!("http://127.0.0.1:{port}/here")).unwrap();
        let mut answer = client.get(&url, &request).unwrap();
        let mut text = String::new();
        answer.body.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), answer.url.path()), ("ok", "/there"));
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(first.contains("apikey: hush") && first.contains("user-agent: wardsmith/"), "{first}");
        assert!(!second.contains("hush"), "{second}");
    }
}
