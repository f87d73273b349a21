//! The CVE list: the full archive of the newest midnight, and what has changed since.
//!
//! CVEProject makes a release of `cvelistV5` every hour. Each holds the archive of all records at midnight,
//! `YYYY-MM-DD_all_CVEs_at_midnight.zip.zip` (a zip in a zip), and one of the records that were added or changed on that
//! day so far, `YYYY-MM-DD_delta_CVEs_at_HHMMZ.zip`; the last one of a day is called `…_at_end_of_day.zip`. So of each day
//! the latest is enough. Times are GMT.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::github::{self, Asset};
use crate::session::{Session, known_address, unreadable};

/// A hundred releases are four days: the oldest that offers the newest full archive is among them.
const URL: &str = "https://api.github.com/repos/CVEProject/cvelistV5/releases?per_page=100";
/// The full archive has 500 MB.
const MAX_BYTES: u64 = 8 << 30;

/// See the file's head.
pub(crate) struct CveList;

impl Feed for CveList {
    fn name(&self) -> &'static str {
        "cvelist"
    }

    fn what(&self) -> &'static str {
        "the CVE list: all CVE records of format 5"
    }

    fn licence(&self) -> &'static str {
        "CVE terms of use (MITRE)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let api = known_address(URL);
        let assets = github::all(session, &api)?;
        let chosen = choose(&assets);
        if chosen.is_empty() {
            return Err(unreadable(&api, "the CVE list's releases", "none offers all records".into()));
        }
        for asset in chosen {
            session.file(&asset.wanted("cvelist", MAX_BYTES, &api)?)?;
        }
        // Archives of earlier days only repeat what the new ones hold.
        if session.failures() == 0 { session.remove_the_rest() } else { Ok(()) }
    }
}

/// The newest full archive and the latest changes of each day from then on; nothing where there is no full archive.
///
/// `assets` are ordered from the newest release to the oldest. All releases of a day offer the same full archive under
/// different addresses; the oldest address stays the same all day.
fn choose(assets: &[Asset]) -> Vec<&Asset> {
    let full = assets.iter().rev().filter_map(|asset| Some((full_date(&asset.name)?, asset)));
    let mut newest: Option<(&str, &Asset)> = None;
    for (date, asset) in full {
        if newest.is_none_or(|(known, _)| date > known) {
            newest = Some((date, asset));
        }
    }
    let Some((since, full)) = newest else {
        return Vec::new();
    };
    let mut changes: BTreeMap<&str, (&str, &Asset)> = BTreeMap::new();
    for asset in assets.iter().rev() {
        let Some((date, time)) = delta_time(&asset.name).filter(|(date, _)| *date >= since) else {
            continue;
        };
        // `end_of_day` sorts after every hour.
        if changes.get(date).is_none_or(|(known, _)| time > *known) {
            changes.insert(date, (time, asset));
        }
    }
    std::iter::once(full).chain(changes.into_values().map(|(_, asset)| asset)).collect()
}

/// The day of a full archive.
fn full_date(name: &str) -> Option<&str> {
    let (date, rest) = split_date(name)?;
    (rest.starts_with("_all_CVEs") && rest.ends_with(".zip")).then_some(date)
}

/// Day and time of an archive of changes.
fn delta_time(name: &str) -> Option<(&str, &str)> {
    let (date, rest) = split_date(name)?;
    let time = rest.strip_prefix("_delta_CVEs_at_")?.strip_suffix(".zip")?;
    let is_hour = time.len() == 5 && time.ends_with('Z') && time[..4].bytes().all(|byte| byte.is_ascii_digit());
    (is_hour || time == "end_of_day").then_some((date, time))
}

/// `2024-05-01` and what follows.
fn split_date(name: &str) -> Option<(&str, &str)> {
    let (date, rest) = name.split_at_checked(10)?;
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some((date, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Vec<String> {
        let asset = |name: &&str| {
            serde_json::from_value(serde_json::json!({"name": name, "size": 1, "browser_download_url": "u"})).unwrap()
        };
        let assets: Vec<Asset> = names.iter().map(asset).collect();
        choose(&assets).into_iter().map(|asset| asset.name.clone()).collect()
    }

    #[test]
    fn of_each_day_since_the_newest_full_archive_the_latest_changes_are_taken() {
        let names = [
            "2024-05-02_delta_CVEs_at_0200Z.zip",
            "2024-05-02_delta_CVEs_at_0100Z.zip",
            "2024-05-01_delta_CVEs_at_end_of_day.zip",
            "2024-05-01_all_CVEs_at_midnight.zip.zip",
            "2024-05-01_delta_CVEs_at_2300Z.zip",
            "2024-04-30_delta_CVEs_at_end_of_day.zip",
            "2024-04-30_all_CVEs_at_midnight.zip.zip",
        ];
        let expected = [
            "2024-05-01_all_CVEs_at_midnight.zip.zip",
            "2024-05-01_delta_CVEs_at_end_of_day.zip",
            "2024-05-02_delta_CVEs_at_0200Z.zip",
        ];
        assert_eq!(chosen(&names), expected);
        assert!(chosen(&names[..3]).is_empty());
    }

    #[test]
    fn other_names_are_no_archives() {
        for name in ["", "ü", "2024-05-01", "2024-05-01_delta_CVEs_at_now.zip", "x024-05-01_all_CVEs_at_midnight.zip"]
        {
            assert!(full_date(name).is_none() && delta_time(name).is_none(), "{name}");
        }
        assert_eq!(full_date("2024-05-01_all_CVEs_at_midnight.zip"), Some("2024-05-01"));
        assert_eq!(delta_time("2024-05-01_delta_CVEs_at_ü0Z.zip"), None);
    }
}
