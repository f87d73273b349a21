//! Releases of a repository on GitHub: names, sizes and addresses of their files, from GitHub's API for releases.

use serde::Deserialize;
use url::Url;

use crate::checksum::{Stated, digest_of};
use crate::error::{Error, Result};
use crate::session::{Session, named_address, unreadable};
use crate::shape::Shape;
use crate::transfer::Wanted;

/// A hundred releases have less than 2 MB.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
const WANTED: &str = "GitHub's list of releases";
/// Where files of releases are offered.
const HOST: &str = "github.com";

/// A release.
#[derive(Debug, Deserialize)]
pub(super) struct Release {
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Asset {
    /// Its name.
    pub(super) name: String,
    size: u64,
    browser_download_url: String,
    /// `sha256:` and the digest, for files that were uploaded since June 2025.
    #[serde(default)]
    digest: Option<String>,
}

/// The files of the newest release.
pub(super) fn latest(session: &mut Session<'_, '_>, url: &Url) -> Result<Vec<Asset>> {
    Ok(session.json::<Release>(url, MAX_ANSWER_BYTES, WANTED)?.assets)
}

/// The files of the releases that the answer lists, newest release first; drafts and trials are left out.
pub(super) fn all(session: &mut Session<'_, '_>, url: &Url) -> Result<Vec<Asset>> {
    let releases = session.json::<Vec<Release>>(url, MAX_ANSWER_BYTES, WANTED)?;
    let real = releases.into_iter().filter(|release| !release.draft && !release.prerelease);
    Ok(real.flat_map(|release| release.assets).collect())
}

impl Asset {
    /// It as a zip to fetch into `folder`, under its own name. `api` named it.
    pub(super) fn wanted(&self, folder: &str, max_bytes: u64, api: &Url) -> Result<Wanted> {
        let url = named_address(&self.browser_download_url, api)?;
        if url.host_str() != Some(HOST) {
            return Err(Error::BadUrl { url: url.into(), reason: format!("a release's file is not on `{HOST}`") });
        }
        if self.size > max_bytes {
            return Err(Error::TooLarge { url: url.into(), max_bytes });
        }
        let sha256 = match self.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            Some(text) => {
                let bad = || unreadable(api, WANTED, format!("`{}` is no SHA-256", text.escape_debug()));
                Some(digest_of(text, 32).ok_or_else(bad)?)
            }
            None => None,
        };
        let mut wanted = Wanted::new(url, format!("{folder}/{}", self.name), Shape::Zip, max_bytes);
        wanted.stated = Stated { bytes: Some(self.size), sha256, ..Stated::default() };
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_release_must_be_on_github_by_https() {
        let api = Url::parse("https://api.github.com/repos/a/b/releases").unwrap();
        let asset = |url: &str, digest: Option<&str>| Asset {
            name: "a.zip".into(),
            size: 7,
            browser_download_url: url.into(),
            digest: digest.map(str::to_owned),
        };
        let good = "https://github.com/a/b/releases/download/v1/a.zip";
        let digest = "ab".repeat(32);
        let wanted = asset(good, Some(&format!("sha256:{digest}"))).wanted("sigma", 100, &api).unwrap();
        assert_eq!((wanted.path.as_str(), wanted.stated.bytes), ("sigma/a.zip", Some(7)));
        assert_eq!(wanted.stated.sha256, Some(digest));
        assert!(asset(good, Some("md5:aa")).wanted("sigma", 100, &api).unwrap().stated.sha256.is_none());
        assert!(asset(good, Some("sha256:aa")).wanted("sigma", 100, &api).is_err());
        assert!(asset(good, None).wanted("sigma", 6, &api).is_err());
        for url in ["http://github.com/a.zip", "https://evil.example/a.zip", "file:///a.zip"] {
            assert!(asset(url, None).wanted("sigma", 100, &api).is_err(), "{url}");
        }
    }
}
