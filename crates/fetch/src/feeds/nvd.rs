//! NVD's yearly feeds of format 2.0, and the feed of what changed in the last eight days.
//!
//! Beside `nvdcve-2.0-2024.json.gz` stands `nvdcve-2.0-2024.meta`, with lines such as `sha256:…` and `size:…`. The digest
//! and `size` are of the decompressed JSON. `gzSize` is of the archive; it is not held against, because a mirror that
//! compresses anew is none the worse. The feed of 2002 holds all earlier CVEs.

use std::ops::ControlFlow;

use crate::checksum::{Stated, digest_of};
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::session::{Session, known_address, unreadable};
use crate::shape::Shape;
use crate::transfer::Wanted;

const URL: &str = "https://nvd.nist.gov/feeds/json/cve/2.0";
const FIRST_YEAR: i16 = 2002;
/// The largest year has 30 MB.
const MAX_BYTES: u64 = 2 << 30;
const MAX_META_BYTES: u64 = 64 << 10;
const WANTED: &str = "the description of an NVD feed";

/// See the file's head.
pub(crate) struct Nvd;

impl Feed for Nvd {
    fn name(&self) -> &'static str {
        "nvd"
    }

    fn what(&self) -> &'static str {
        "NVD's yearly feeds and its recent changes (JSON 2.0)"
    }

    fn licence(&self) -> &'static str {
        "US government work (NVD)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let this_year = session.year();
        let first = session.options().since_year.unwrap_or(FIRST_YEAR).clamp(FIRST_YEAR, this_year);
        for year in first..=this_year {
            // A new year has no feed before its first CVE.
            fetch_one(session, &year.to_string(), year == this_year)?;
        }
        fetch_one(session, "modified", false)
    }
}

/// What goes wrong with one feed is counted.
fn fetch_one(session: &mut Session<'_, '_>, part: &str, may_be_missing: bool) -> Result<()> {
    let meta = known_address(&format!("{URL}/nvdcve-2.0-{part}.meta"));
    let mut before = None;
    // Feed and description are replaced one after the other; between the two they do not fit. Then it is looked again.
    for _ in 0..2 {
        let stated = match session.document_if_there(&meta, MAX_META_BYTES) {
            Ok(Some(text)) => stated(&text).map_err(|detail| unreadable(&meta, WANTED, detail)),
            Ok(None) if may_be_missing => return Ok(()),
            Ok(None) => Err(Error::refused(meta.as_str(), 404)),
            Err(error) => Err(error),
        };
        match stated.and_then(|stated| bring(session, part, stated, &mut before)) {
            Ok(ControlFlow::Break(())) => return Ok(()),
            Ok(ControlFlow::Continue(())) => {}
            Err(error) => return session.failed(meta.into(), error),
        }
    }
    Ok(())
}

/// Brings one feed; goes on where it did not fit what was `stated`, and that is news.
fn bring(
    session: &mut Session<'_, '_>,
    part: &str,
    stated: Stated,
    before: &mut Option<Stated>,
) -> Result<ControlFlow<()>> {
    let name = format!("nvdcve-2.0-{part}.json.gz");
    let mut wanted =
        Wanted::new(known_address(&format!("{URL}/{name}")), format!("nvd/{name}"), Shape::Gzip, MAX_BYTES);
    wanted.stated = stated.clone();
    match session.bring(&wanted) {
        Ok(()) => Ok(ControlFlow::Break(())),
        Err(Error::GaveUp { .. }) if before.is_none() => {
            *before = Some(stated);
            Ok(ControlFlow::Continue(()))
        }
        Err(error) => Err(error),
    }
}

/// The digest in a `.meta` file.
fn stated(text: &[u8]) -> Result<Stated, String> {
    let text = String::from_utf8_lossy(text);
    let value = text.lines().find_map(|line| line.trim().strip_prefix("sha256:"));
    let unpacked_sha256 = value.and_then(|value| digest_of(value.trim(), 32));
    match unpacked_sha256 {
        Some(_) => Ok(Stated { unpacked_sha256, ..Stated::default() }),
        None => Err("it states no SHA-256".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_stands_among_other_lines_in_capitals() {
        let digest = "AB".repeat(32);
        let text = format!("lastModifiedDate:2024-05-01T03:00:00-04:00\r\nsize:7\r\ngzSize:5\r\nsha256:{digest}\r\n");
        let stated = stated(text.as_bytes()).unwrap();
        assert_eq!(stated.unpacked_sha256, Some(digest.to_lowercase()));
        assert_eq!((stated.bytes, stated.sha256), (None, None));
        for text in ["", "sha256:", "sha256:ab", "<html>"] {
            assert!(super::stated(text.as_bytes()).is_err(), "{text}");
        }
    }
}
