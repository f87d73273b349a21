//! Security advisories in the Common Security Advisory Framework, of any provider; CISA's where none is named.
//!
//! A provider's `provider-metadata.json` says where its documents are listed; see `rolie.rs`. They go to
//! `csaf/HOST/YEAR/NAME.json`, where HOST is the provider's: the names of documents are their tracking identifiers, which
//! are unique within a publisher. A document whose list says the same of it as before is not asked for again.

use std::collections::BTreeMap;

use url::Url;

use crate::checksum::{Stated, digest_of};
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::feeds::rolie::{Listed, Provider, RolieDocument, digest_bytes, listed_in_folder};
use crate::mirror::web_address;
use crate::safe_path::{safe_part, safe_path};
use crate::session::{Session, unreadable};
use crate::shape::Shape;
use crate::transfer::Wanted;

const URL: &str = "https://www.cisa.gov/sites/default/files/csaf/provider-metadata.json";
/// Where a domain has it (CSAF 2.0, requirement 9).
const WELL_KNOWN: &str = ".well-known/csaf/provider-metadata.json";
const MAX_LIST_BYTES: u64 = 256 << 20;
const MAX_METADATA_BYTES: u64 = 4 << 20;
const MAX_DIGEST_BYTES: u64 = 4096;
/// The largest real documents have some 50 MB.
const MAX_BYTES: u64 = 512 << 20;

/// See the file's head.
pub(crate) struct Csaf;

impl Feed for Csaf {
    fn name(&self) -> &'static str {
        "csaf"
    }

    fn what(&self) -> &'static str {
        "security advisories of CISA or any other CSAF provider"
    }

    fn licence(&self) -> &'static str {
        "as the provider says; CISA: US government work"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let mut providers = session.options().providers.clone();
        if providers.is_empty() {
            providers.push(URL.to_owned());
        }
        for provider in providers {
            let at = address(&provider)?;
            if let Err(error) = fetch_provider(session, &at) {
                session.failed(at.into(), error)?;
            }
        }
        Ok(())
    }
}

/// What a user names: an address, or a domain.
fn address(provider: &str) -> Result<Url> {
    if provider.contains("://") {
        web_address(provider)
    } else {
        web_address(&format!("https://{provider}/{WELL_KNOWN}"))
    }
}

fn fetch_provider(session: &mut Session<'_, '_>, at: &Url) -> Result<()> {
    let provider: Provider = session.json(at, MAX_METADATA_BYTES, "a CSAF provider's metadata")?;
    let (feeds, folders) = (provider.feeds(at)?, provider.folders(at)?);
    let mut listed = Vec::new();
    for feed in &feeds {
        let document: RolieDocument = session.json(feed, MAX_LIST_BYTES, "a ROLIE feed")?;
        listed.extend(document.listed(feed));
    }
    // Both lists tell of the same documents; the feed says more.
    if feeds.is_empty() {
        for folder in &folders {
            listed.extend(list_folder(session, folder)?);
        }
    }
    if feeds.is_empty() && folders.is_empty() {
        return Err(unreadable(at, "a CSAF provider's metadata", "it names no public distribution".into()));
    }
    fetch_listed(session, at, listed)
}

fn list_folder(session: &mut Session<'_, '_>, folder: &Url) -> Result<Vec<Result<Listed>>> {
    let join = |name: &str| folder.join(name).map_err(|error| unreadable(folder, "a folder", error.to_string()));
    let text = match session.document_if_there(&join("changes.csv")?, MAX_LIST_BYTES)? {
        Some(text) => text,
        None => session.document(&join("index.txt")?, MAX_LIST_BYTES)?,
    };
    Ok(listed_in_folder(&text, folder))
}

/// Fetches what is listed; what is wrong with one line of a list is counted.
fn fetch_listed(session: &mut Session<'_, '_>, at: &Url, listed: Vec<Result<Listed>>) -> Result<()> {
    let host = at.host_str().unwrap_or_default();
    let since = session.options().since_year;
    let mut seen: BTreeMap<String, Url> = BTreeMap::new();
    for one in listed {
        let placed = one.and_then(|one| Ok((path_of(host, &one.url)?, one)));
        let ((year, path), one) = match placed {
            Ok(placed) => placed,
            Err(error) => {
                session.failed(at.to_string(), error)?;
                continue;
            }
        };
        if since.is_some_and(|since| year.is_some_and(|year| year < since)) {
            continue;
        }
        match seen.insert(path.clone(), one.url.clone()) {
            Some(before) if before == one.url => {}
            Some(_) => session.failed(one.url.to_string(), twice(&path, at))?,
            None => fetch_one(session, path, &one)?,
        }
    }
    Ok(())
}

fn twice(path: &str, at: &Url) -> Error {
    Error::UnsafeName { name: path.to_owned(), reason: "another document has the same name", origin: at.to_string() }
}

/// The year of a document, if its address tells, and its path.
fn path_of(host: &str, url: &Url) -> Result<(Option<i16>, String)> {
    let parts: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let refuse = |reason| Error::UnsafeName { name: url.path().to_owned(), reason, origin: url.to_string() };
    let name = *parts.last().unwrap_or(&"");
    if !name.ends_with(".json") {
        return Err(refuse("it is no JSON document"));
    }
    let folder = parts.len().checked_sub(2).and_then(|at| parts.get(at)).copied().unwrap_or_default();
    let year = folder.parse::<i16>().ok().filter(|_| folder.len() == 4);
    let path = match year {
        Some(_) => format!("csaf/{host}/{folder}/{name}"),
        None => format!("csaf/{host}/{name}"),
    };
    safe_part(host).and_then(|_| safe_path(&path)).map_err(refuse)?;
    Ok((year, path))
}

fn fetch_one(session: &mut Session<'_, '_>, path: String, listed: &Listed) -> Result<()> {
    let mut wanted = Wanted::new(listed.url.clone(), path, Shape::Json, MAX_BYTES);
    wanted.listed_as.clone_from(&listed.updated);
    if session.is_listed_as_before(&wanted)? {
        return Ok(());
    }
    match stated(session, &listed.digests) {
        Ok(stated) => wanted.stated = stated,
        Err(error) => return session.failed(listed.url.to_string(), error),
    }
    session.file(&wanted)?;
    Ok(())
}

/// The first digest that is there.
fn stated(session: &mut Session<'_, '_>, digests: &[Url]) -> Result<Stated> {
    for url in digests {
        let Some(bytes) = digest_bytes(url) else { continue };
        let Some(text) = session.document_if_there(url, MAX_DIGEST_BYTES)? else { continue };
        let text = String::from_utf8_lossy(&text);
        // The digest, and after it the name of the file.
        let digest = text.split_whitespace().next().and_then(|word| digest_of(word, bytes));
        let digest = digest.ok_or_else(|| unreadable(url, "a digest", "it does not begin with one".into()))?;
        return Ok(match bytes {
            32 => Stated { sha256: Some(digest), ..Stated::default() },
            _ => Stated { sha512: Some(digest), ..Stated::default() },
        });
    }
    Ok(Stated::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Result<(Option<i16>, String)> {
        path_of("example.org", &Url::parse(url).unwrap())
    }

    #[test]
    fn a_document_goes_under_its_provider_and_year() {
        let expected = (Some(2024), "csaf/example.org/2024/a.json".to_owned());
        assert_eq!(path("https://elsewhere.net/x/y/white/2024/a.json").unwrap(), expected);
        assert_eq!(path("https://elsewhere.net/a.json").unwrap(), (None, "csaf/example.org/a.json".to_owned()));
        for url in
            ["https://e.net/2024/a.exe", "https://e.net/2024/", "https://e.net/2024/.json", "https://e.net/nul.json"]
        {
            assert!(matches!(path(url), Err(Error::UnsafeName { .. })), "{url}");
        }
    }

    #[test]
    fn a_provider_is_an_address_or_a_domain() {
        let domain = address("example.org").unwrap();
        assert_eq!(domain.as_str(), "https://example.org/.well-known/csaf/provider-metadata.json");
        assert_eq!(address("https://example.org/p.json").unwrap().as_str(), "https://example.org/p.json");
        assert!(address("file:///p.json").is_err());
    }
}
