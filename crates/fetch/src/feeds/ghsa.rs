//! GitHub's security advisories in OSV's form: `ECOSYSTEM/all.zip` in the bucket that OSV publishes, one record a file.
//!
//! The archive of an ecosystem holds all that OSV knows of it: GitHub's advisories (`GHSA-…`) and those of the
//! ecosystem's own database (`PYSEC-…`, `RUSTSEC-…`, `GO-…`, `MAL-…`), each under the terms of its own source.

use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::safe_path::safe_part;
use crate::session::{Session, known_address};
use crate::shape::Shape;
use crate::transfer::Wanted;

const URL: &str = "https://osv-vulnerabilities.storage.googleapis.com";
/// Those that GitHub reviews advisories of, as OSV names them.
const ECOSYSTEMS: &[&str] =
    &["crates.io", "Go", "Maven", "npm", "NuGet", "Packagist", "PyPI", "RubyGems", "GitHub Actions"];
/// The largest, npm, has 200 MB.
const MAX_BYTES: u64 = 4 << 30;

/// See the file's head.
pub(crate) struct Ghsa;

impl Feed for Ghsa {
    fn name(&self) -> &'static str {
        "ghsa"
    }

    fn what(&self) -> &'static str {
        "GitHub's and the ecosystems' own advisories (OSV)"
    }

    fn licence(&self) -> &'static str {
        "CC BY 4.0 (GitHub Advisory Database); other records as their sources say"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let chosen = session.options().ecosystems.clone();
        let default = || ECOSYSTEMS.iter().map(|&name| name.to_owned()).collect();
        for name in if chosen.is_empty() { default() } else { chosen } {
            let wanted = wanted(&name)?;
            session.file(&wanted)?;
        }
        Ok(())
    }
}

/// The archive of one ecosystem.
fn wanted(ecosystem: &str) -> Result<Wanted> {
    safe_part(ecosystem).map_err(|reason| Error::Options {
        problem: format!("`{}` is no ecosystem: {reason}", ecosystem.escape_debug()),
        hint: "the ecosystems are named in the OSV schema, such as crates.io, npm, PyPI",
    })?;
    let mut url = known_address(URL);
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.extend([ecosystem, "all.zip"]);
    }
    Ok(Wanted::new(url, format!("ghsa/{}.zip", ecosystem.replace(' ', "-")), Shape::Zip, MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ecosystem_has_an_address_and_a_file() {
        let wanted = wanted("GitHub Actions").unwrap();
        assert_eq!(wanted.url.as_str(), format!("{URL}/GitHub%20Actions/all.zip"));
        assert_eq!(wanted.path, "ghsa/GitHub-Actions.zip");
        for name in ["", "..", "a/b", "a\\b", "a\n"] {
            assert!(super::wanted(name).is_err(), "{name:?}");
        }
    }
}
