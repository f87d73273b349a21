//! NVD's API 2.0: all CVEs page by page, and from then on what changed since the last time.
//!
//! `/rest/json/cves/2.0` gives `resultsPerPage` (2000 at most) CVEs from `startIndex` on, with `totalResults`. With
//! `lastModStartDate` and `lastModEndDate`, at most 120 days apart, it gives what changed between the two. Five requests
//! in 30 seconds are allowed, fifty with a key in the header `apiKey`.
//!
//! How far it came stands in the lock file under `nvd-api.until`: the time by the server's clock at which the last fetch
//! began. Before the first one is complete, `nvd-api.begun` stands there, full pages are kept, and what changes meanwhile
//! comes with the next fetch.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::http::Secret;
use crate::session::{Session, known_address, unreadable, whole_seconds};
use crate::shape::Shape;
use crate::transfer::Wanted;

const URL: &str = "https://services.nvd.nist.gov/rest/json/cves/2.0";
const RESULTS_PER_PAGE: u64 = 2000;
const MAX_WINDOW: SignedDuration = SignedDuration::from_hours(120 * 24);
/// No more CVEs than this are believed.
const MAX_RESULTS: u64 = 20_000_000;
/// A page has some 10 MB.
const MAX_BYTES: u64 = 512 << 20;
const UNTIL: &str = "nvd-api.until";
const BEGUN: &str = "nvd-api.begun";
const WANTED: &str = "a page of NVD's API 2.0";

/// See the file's head.
pub(crate) struct NvdApi;

impl Feed for NvdApi {
    fn name(&self) -> &'static str {
        "nvd-api"
    }

    fn what(&self) -> &'static str {
        "NVD through its API 2.0: all, then changes only"
    }

    fn licence(&self) -> &'static str {
        "US government work (NVD)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn pace(&self, has_key: bool) -> Option<(usize, Duration)> {
        Some((if has_key { 50 } else { 5 }, Duration::from_secs(30)))
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        match session.progress_of(UNTIL).map(time) {
            None => fetch_all(session),
            Some(Some(until)) => fetch_changes(session, until),
            Some(None) => {
                let problem = format!("the lock file's `{UNTIL}` is no time");
                Err(Error::Options { problem, hint: "remove that line; everything is then fetched anew" })
            }
        }
    }
}

/// What is read of a page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    start_index: u64,
    total_results: u64,
    timestamp: String,
    vulnerabilities: Vec<IgnoredAny>,
}

fn fetch_all(session: &mut Session<'_, '_>) -> Result<()> {
    let mut begun = session.progress_of(BEGUN).map(str::to_owned);
    let name = |start: u64| format!("nvd-api/all-{start:08}.json");
    let mut start = 0;
    loop {
        let page = match begun.as_ref().and_then(|_| kept_page(session, &name(start)).transpose()) {
            Some(page) => page?,
            None => fetch_page(session, &name(start), &address(start, None))?,
        };
        if begun.is_none() {
            let now = time(&page.timestamp).map_or_else(|| whole_seconds(session.now()), whole_seconds);
            session.keep_progress(BEGUN, Some(now.clone()))?;
            begun = Some(now);
        }
        start += page.vulnerabilities.len() as u64;
        if start >= page.total_results {
            break;
        }
    }
    session.remove_the_rest()?;
    session.keep_progress(UNTIL, begun)?;
    session.keep_progress(BEGUN, None)
}

/// A full page of an earlier, interrupted fetch.
fn kept_page(session: &mut Session<'_, '_>, path: &str) -> Result<Option<Page>> {
    if !session.has_quietly(path)? {
        return Ok(None);
    }
    let page = read_page(&session.on_disk(path)).ok();
    let page = page.filter(|page| page.vulnerabilities.len() as u64 == RESULTS_PER_PAGE);
    if page.is_some() {
        session.count_kept(path);
    }
    Ok(page)
}

fn fetch_changes(session: &mut Session<'_, '_>, mut since: Timestamp) -> Result<()> {
    let now = session.now();
    while since < now {
        let end = since.saturating_add(MAX_WINDOW).map_or(now, |end| end.min(now));
        let window = (since, end);
        let compact: String = whole_seconds(since).chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let (mut start, mut reached) = (0, end);
        loop {
            let path = format!("nvd-api/changed-{compact}-{start:08}.json");
            let page = fetch_page(session, &path, &address(start, Some(window)))?;
            // Where the clock of this machine is fast, the server has not yet seen all of the window.
            reached = reached.min(time(&page.timestamp).unwrap_or(end));
            start += page.vulnerabilities.len() as u64;
            if start >= page.total_results {
                break;
            }
        }
        if reached <= since {
            return Ok(());
        }
        session.keep_progress(UNTIL, Some(whole_seconds(reached)))?;
        since = if reached < end { now } else { end };
    }
    Ok(())
}

/// Pages belong together: one that cannot be had ends it.
fn fetch_page(session: &mut Session<'_, '_>, path: &str, url: &Url) -> Result<Page> {
    let mut wanted = Wanted::new(url.clone(), path, Shape::Json, MAX_BYTES);
    let key = session.options().nvd_api_key.clone();
    wanted.secret = key.map(|value| Secret { name: "apiKey", value });
    wanted.inspect = Some(|path| read_page(path).map(|_| ()));
    session.bring(&wanted)?;
    let page = read_page(&session.on_disk(path)).map_err(|detail| unreadable(url, WANTED, detail))?;
    let asked = url.query_pairs().find(|(name, _)| name == "startIndex").map(|(_, value)| value.into_owned());
    if asked != Some(page.start_index.to_string()) {
        let detail = format!("it begins at {}, which was not asked for", page.start_index);
        return Err(unreadable(url, WANTED, detail));
    }
    Ok(page)
}

fn read_page(path: &Path) -> Result<Page, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let page: Page = serde_json::from_reader(BufReader::with_capacity(1 << 17, file))
        .map_err(|error| format!("it is no page of the API: {error}"))?;
    if page.total_results > MAX_RESULTS {
        return Err(format!("it says that there are {} CVEs", page.total_results));
    }
    let end = page.start_index.saturating_add(page.vulnerabilities.len() as u64);
    if page.vulnerabilities.is_empty() && end < page.total_results {
        return Err(format!("it is empty, at {end} of {}", page.total_results));
    }
    Ok(page)
}

/// The address of a page, of all CVEs or of those that changed between two times.
fn address(start: u64, window: Option<(Timestamp, Timestamp)>) -> Url {
    let mut url = known_address(URL);
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("resultsPerPage", &RESULTS_PER_PAGE.to_string());
        query.append_pair("startIndex", &start.to_string());
        if let Some((since, until)) = window {
            query.append_pair("lastModStartDate", &whole_seconds(since));
            query.append_pair("lastModEndDate", &whole_seconds(until));
        }
    }
    url
}

/// The API's times have no zone. Taken as UTC they are right, or, if they should be local to NIST, too early: then some
/// changes come twice, and none is missed.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    jiff::tz::Offset::UTC.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_page_and_window() {
        assert_eq!(address(2000, None).query(), Some("resultsPerPage=2000&startIndex=2000"));
        let (since, until) = (time("2024-01-01T00:00:00Z").unwrap(), time("2024-04-01T00:00:00.5").unwrap());
        let query = address(0, Some((since, until))).query().unwrap().to_owned();
        let expected = "lastModStartDate=2024-01-01T00%3A00%3A00Z&lastModEndDate=2024-04-01T00%3A00%3A00Z";
        assert!(query.ends_with(expected), "{query}");
    }

    #[test]
    fn times_without_a_zone_are_utc() {
        assert_eq!(time("2024-05-01T10:00:00.123"), time("2024-05-01T10:00:00.123Z"));
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn a_page_that_would_never_end_is_refused() {
        let read = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("page.json");
            std::fs::write(&path, text).unwrap();
            read_page(&path)
        };
        let page = |start: u64, total: u64, items: &str| {
            format!(r#"{{"startIndex":{start},"totalResults":{total},"timestamp":"t","vulnerabilities":[{items}]}}"#)
        };
        assert!(read(&page(0, 3, "{}")).is_ok() && read(&page(0, 0, "")).is_ok());
        assert!(read(&page(2, 3, "")).unwrap_err().contains("it is empty, at 2 of 3"));
        assert!(read(&page(0, u64::MAX, "{}")).is_err());
        assert!(read("{}").is_err());
    }
}
