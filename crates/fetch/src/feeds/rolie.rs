//! What a CSAF provider offers: its metadata, ROLIE feeds, and folders with an index.
//!
//! Specification: CSAF 2.0, section 7.1 (distribution), and RFC 8322 (ROLIE). The metadata names either feeds or folders
//! or both. A feed lists documents with addresses of their digests; a folder has `changes.csv` (path and time, newest
//! first) and `index.txt` (paths), and beside `PATH` lie `PATH.sha256` and `PATH.sha512`, at least one of them.

use serde::Deserialize;
use url::Url;

use crate::error::{Error, Result};
use crate::safe_path::safe_path;
use crate::session::{named_address, unreadable};

/// Labels of what anybody may read.
const PUBLIC: &[&str] = &["WHITE", "CLEAR", "UNLABELED"];

/// `provider-metadata.json`, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Provider {
    #[serde(default)]
    distributions: Vec<Distribution>,
}

#[derive(Debug, Deserialize)]
struct Distribution {
    directory_url: Option<String>,
    rolie: Option<Rolie>,
}

#[derive(Debug, Deserialize)]
struct Rolie {
    #[serde(default)]
    feeds: Vec<RolieFeed>,
}

#[derive(Debug, Deserialize)]
struct RolieFeed {
    tlp_label: String,
    url: String,
}

impl Provider {
    /// The addresses of its public feeds.
    pub(super) fn feeds(&self, at: &Url) -> Result<Vec<Url>> {
        let feeds = self.distributions.iter().filter_map(|one| one.rolie.as_ref()).flat_map(|rolie| &rolie.feeds);
        let public = feeds.filter(|feed| PUBLIC.contains(&feed.tlp_label.as_str()));
        public.map(|feed| named_address(&feed.url, at)).collect()
    }

    /// The addresses of its folders, each with a slash at its end.
    pub(super) fn folders(&self, at: &Url) -> Result<Vec<Url>> {
        let folders = self.distributions.iter().filter_map(|one| one.directory_url.as_deref());
        folders.map(|folder| named_address(&format!("{}/", folder.trim_end_matches('/')), at)).collect()
    }
}

/// A document that a provider lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its address.
    pub(super) url: Url,
    /// When it was changed, as the list says.
    pub(super) updated: Option<String>,
    /// Where its digests may be, best first.
    pub(super) digests: Vec<Url>,
}

/// A ROLIE feed, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct RolieDocument {
    feed: Entries,
}

#[derive(Debug, Deserialize)]
struct Entries {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    updated: Option<String>,
    #[serde(default)]
    link: Vec<Link>,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    rel: String,
    #[serde(default)]
    href: String,
}

#[derive(Debug, Deserialize)]
struct Content {
    src: Option<String>,
}

impl RolieDocument {
    /// The documents of the feed at `at`; an entry that leads nowhere is an error of its own.
    pub(super) fn listed(&self, at: &Url) -> Vec<Result<Listed>> {
        self.feed.entry.iter().map(|entry| entry.listed(at)).collect()
    }
}

impl Entry {
    fn listed(&self, at: &Url) -> Result<Listed> {
        let source = self.content.as_ref().and_then(|content| content.src.as_deref());
        let Some(text) = source.or_else(|| self.links("self").next()) else {
            return Err(unreadable(at, "a ROLIE feed", "an entry of it has no address".into()));
        };
        let url = named_address(text, at)?;
        let mut digests = self.links("hash").map(|text| named_address(text, at)).collect::<Result<Vec<_>>>()?;
        digests.retain(|url| digest_bytes(url).is_some());
        digests.sort_by_key(digest_bytes);
        Ok(Listed { url, updated: self.updated.clone(), digests })
    }

    fn links(&self, rel: &'static str) -> impl Iterator<Item = &str> {
        self.link.iter().filter(move |link| link.rel == rel).map(|link| link.href.as_str())
    }
}

/// How many bytes the digest at an address has, by its ending.
pub(super) fn digest_bytes(url: &Url) -> Option<usize> {
    match url.path().rsplit_once('.')?.1 {
        "sha256" => Some(32),
        "sha512" => Some(64),
        _ => None,
    }
}

/// The documents that `changes.csv` or `index.txt` of the folder at `at` lists; a line that leads elsewhere is an error of
/// its own.
pub(super) fn listed_in_folder(text: &[u8], at: &Url) -> Vec<Result<Listed>> {
    let text = String::from_utf8_lossy(text);
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| listed_in_line(line, at)).collect()
}

/// `"2024/a.json","2024-05-01T00:00:00Z"`, or a path alone.
fn listed_in_line(line: &str, at: &Url) -> Result<Listed> {
    let (path, updated) = line.split_once(',').map_or((line, None), |(path, updated)| (path, Some(updated)));
    let unquoted = |text: &str| text.trim().trim_matches('"').to_owned();
    let path = unquoted(path);
    let name = path.escape_debug().to_string();
    let path = safe_path(&path).map_err(|reason| Error::UnsafeName { name, reason, origin: at.to_string() })?;
    let url = below(at, path);
    let digests = [".sha256", ".sha512"].map(|ending| below(at, &format!("{path}{ending}")));
    Ok(Listed { url, updated: updated.map(unquoted), digests: digests.to_vec() })
}

/// A path below the folder at `at`; it is escaped and cannot mean anything else.
fn below(at: &Url, path: &str) -> Url {
    let mut url = at.clone();
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(path.split('/'));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Url {
        Url::parse("https://example.org/csaf/").unwrap()
    }

    #[test]
    fn only_public_feeds_are_taken() {
        let provider: Provider = serde_json::from_str(
            r#"{"distributions": [
                {"directory_url": "https://example.org/csaf/white"},
                {"rolie": {"feeds": [
                    {"tlp_label": "WHITE", "url": "https://example.org/white.json"},
                    {"tlp_label": "AMBER", "url": "https://example.org/amber.json"}]}}]}"#,
        )
        .unwrap();
        let text = |urls: Vec<Url>| urls.into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(text(provider.feeds(&at()).unwrap()), ["https://example.org/white.json"]);
        assert_eq!(text(provider.folders(&at()).unwrap()), ["https://example.org/csaf/white/"]);
    }

    #[test]
    fn a_line_of_either_list_gives_address_time_and_digests() {
        let text = "\u{feff}\"2024/a b.json\",\"2024-05-01T00:00:00Z\"\r\n\r\n2023/c.json\n";
        let listed: Result<Vec<_>> = listed_in_folder(text.as_bytes(), &at()).into_iter().collect();
        let listed = listed.unwrap();
        assert_eq!(listed[0].url.as_str(), "https://example.org/csaf/2024/a%20b.json");
        assert_eq!(listed[0].updated.as_deref(), Some("2024-05-01T00:00:00Z"));
        assert_eq!(listed[0].digests[1].as_str(), "https://example.org/csaf/2024/a%20b.json.sha512");
        assert_eq!((listed[1].url.path(), &listed[1].updated), ("/csaf/2023/c.json", &None));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused_and_a_strange_one_is_escaped() {
        for path in ["../a.json", "/etc/passwd", "https://evil.example/a.json", "2024/..\\a.json", "2024//a.json"] {
            let result = listed_in_folder(path.as_bytes(), &at());
            assert!(matches!(result[..], [Err(Error::UnsafeName { .. })]), "{path}");
        }
        let listed = listed_in_folder(b"2024/a%2e%2e#b.json", &at());
        assert_eq!(listed[0].as_ref().unwrap().url.as_str(), "https://example.org/csaf/2024/a%252e%252e%23b.json");
    }

    #[test]
    fn an_entry_gives_its_source_else_its_own_link_and_the_shorter_digest_first() {
        let document: RolieDocument = serde_json::from_str(
            r#"{"feed": {"entry": [
                {"updated": "t", "content": {"src": "https://example.org/1.json"}, "link": [
                    {"rel": "hash", "href": "https://example.org/1.json.sha512"},
                    {"rel": "hash", "href": "https://example.org/1.json.sha256"},
                    {"rel": "hash", "href": "https://example.org/1.json.md5"}]},
                {"link": [{"rel": "self", "href": "https://example.org/2.json"}]}]}}"#,
        )
        .unwrap();
        let listed: Vec<Listed> = document.listed(&at()).into_iter().map(Result::unwrap).collect();
        let ends: Vec<_> = listed[0].digests.iter().map(|url| url.path().to_owned()).collect();
        assert_eq!(ends, ["/1.json.sha256", "/1.json.sha512"]);
        assert_eq!((listed[1].url.path(), listed[1].digests.len()), ("/2.json", 0));
        let nowhere: RolieDocument = serde_json::from_str(r#"{"feed": {"entry": [{}]}}"#).unwrap();
        assert!(nowhere.listed(&at())[0].is_err());
    }
}
