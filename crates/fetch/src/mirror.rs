//! Where an original address is really asked for: its own server, another one, or a folder.
//!
//! A mirror holds the file of `https://HOST/PATH` under `HOST/PATH`. In the mirror of a server the query follows as it is.
//! In a folder a query follows after `@`, with every character but letters, digits and `.-_=&` written as `%XX`; an
//! address that ends with a slash is the file `index.json` in the folder; a port follows the host after `_`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, Result};
use crate::safe_path::safe_part;

/// What stands in for the original servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// A server, with the folder in which the hosts lie; http or https.
    Server(Url),
    /// A folder of this machine.
    Folder(PathBuf),
}

/// Where to get a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// From a server.
    Remote(Url),
    /// From the disk.
    File(PathBuf),
}

impl Mirror {
    /// What a user names: an address that begins with `http://` or `https://`, or a folder.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = web_address(text)?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(bad_mirror(text));
            }
            return Ok(Self::Server(url));
        }
        match Path::new(text) {
            folder if folder.is_dir() => Ok(Self::Folder(folder.to_path_buf())),
            _ => Err(bad_mirror(text)),
        }
    }

    /// Where `original` lies in it.
    pub(crate) fn place(&self, original: &Url) -> Result<Place> {
        let host = host(original)?;
        match self {
            Self::Server(base) => {
                let mut url = base.clone();
                let path = format!("{}/{host}{}", base.path().trim_end_matches('/'), original.path());
                url.set_path(&path);
                url.set_query(original.query());
                Ok(Place::Remote(url))
            }
            Self::Folder(folder) => Ok(Place::File(folder.join(host).join(relative(original)?))),
        }
    }
}

fn bad_mirror(text: &str) -> Error {
    Error::Options {
        problem: format!("`{text}` is no mirror"),
        hint: "name a folder that exists, or an address such as https://mirror.example.org/feeds",
    }
}

/// An address that may be asked for: http or https, with a host, and without a user's name and password.
///
/// # Errors
/// Where it is none.
pub(crate) fn web_address(text: &str) -> Result<Url> {
    let bad = |reason: String| Error::BadUrl { url: text.escape_debug().to_string(), reason };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("its scheme is `{}`", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("it has no host".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a name or password".into()));
    }
    Ok(url)
}

/// Host and port of an address, as one part of a path.
fn host(url: &Url) -> Result<String> {
    let bad = |reason: &str| Error::BadUrl { url: url.to_string(), reason: reason.into() };
    // An address of IP version 6 stands in brackets and holds colons.
    let host = url.host_str().unwrap_or_default().replace(':', "-");
    let host = url.port().map_or(host.clone(), |port| format!("{host}_{port}"));
    safe_part(&host).map_err(bad)?;
    Ok(host)
}

/// Path and query of an address, below its host.
fn relative(url: &Url) -> Result<PathBuf> {
    let bad = |reason: &str| Error::BadUrl { url: url.to_string(), reason: reason.into() };
    let mut parts: Vec<String> = Vec::new();
    for part in url.path_segments().into_iter().flatten() {
        parts.push(unescape(part).ok_or_else(|| bad("its path is not text"))?);
    }
    if parts.last().is_none_or(String::is_empty) {
        parts.pop();
        parts.push("index.json".into());
    }
    if let (Some(query), Some(last)) = (url.query(), parts.last_mut()) {
        last.push('@');
        last.push_str(&escape(query));
    }
    parts.iter().map(|part| safe_part(part).map_err(bad)).collect()
}

fn escape(query: &str) -> String {
    let mut text = String::new();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_=&".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    text
}

/// `%20` as a space and so on; nothing where the result is not text.
fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(url: &str) -> Result<String> {
        match Mirror::Folder("m".into()).place(&Url::parse(url).unwrap())? {
            Place::File(path) => Ok(path.to_string_lossy().replace('\\', "/")),
            Place::Remote(url) => panic!("{url}"),
        }
    }

    #[test]
    fn a_server_gets_host_and_path_below_its_own() {
        for base in ["http://mirror.example.org/feeds", "http://mirror.example.org/feeds/"] {
            let original = Url::parse("https://nvd.nist.gov:8443/a/b.json?x=1&y=a%2Bb").unwrap();
            let place = Mirror::parse(base).unwrap().place(&original).unwrap();
            let expected = "http://mirror.example.org/feeds/nvd.nist.gov_8443/a/b.json?x=1&y=a%2Bb";
            assert_eq!(place, Place::Remote(Url::parse(expected).unwrap()));
        }
    }

    #[test]
    fn a_folder_gets_host_path_and_query() {
        for (url, path) in [
            ("https://example.org/a/b.json", "m/example.org/a/b.json"),
            ("https://EXAMPLE.org/.well-known/a", "m/example.org/.well-known/a"),
            ("https://example.org/GitHub%20Actions/all.zip", "m/example.org/GitHub Actions/all.zip"),
            ("https://example.org/a/?b=c:d", "m/example.org/a/index.json@b=c%3Ad"),
            ("https://example.org", "m/example.org/index.json"),
            ("http://[::1]:81/a", "m/[--1]_81/a"),
        ] {
            assert_eq!(in_folder(url).unwrap(), path);
        }
    }

    #[test]
    fn no_address_leads_out_of_the_folder() {
        // `..` is resolved when an address is parsed, escaped or not.
        assert_eq!(in_folder("https://example.org/a/../../../b").unwrap(), "m/example.org/b");
        assert_eq!(in_folder("https://example.org/%2e%2e/b").unwrap(), "m/example.org/b");
        for url in [
            "https://example.org/..%2f..%2fb",
            "https://example.org/a%5cb",
            "https://example.org/a%00b",
            "https://example.org/C:/b",
            "https://example.org/a//b",
            "https://example.org/%ff",
            "https://example.org/nul",
        ] {
            assert!(in_folder(url).is_err(), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_address_the_file_lies_in_the_folder(rest in "([a-z./%25ef\\\\:?#@]|\\PC){0,40}") {
            let Ok(url) = web_address(&format!("https://example.org/{rest}")) else { return Ok(()) };
            if let Ok(Place::File(path)) = Mirror::Folder("m".into()).place(&url) {
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                assert!(path.starts_with("m/example.org") && path.components().all(normal), "{path:?}");
            }
        }
    }

    #[test]
    fn other_schemes_and_passwords_are_refused() {
        for text in ["file:///etc/passwd", "ftp://example.org/a", "https://", "https://me:secret@example.org/", "a b"] {
            assert!(web_address(text).is_err(), "{text}");
        }
        assert!(Mirror::parse("http://example.org/?a=b").is_err());
        assert!(Mirror::parse("no-such-folder").is_err());
    }
}
