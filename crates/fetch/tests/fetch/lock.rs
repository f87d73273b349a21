//! The lock file tells the truth, is used, and can be rebuilt from.

use std::fs;

use wardsmith_fetch::{Error, Lock, Mirror, verify};

use crate::bench::{Bench, sha256};
use crate::server::Reply;

const JSON: &str = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json";
const CSV: &str = "https://www.cisa.gov/sites/default/files/csv/known_exploited_vulnerabilities.csv";
const JSON_FILE: &str = "kev/known_exploited_vulnerabilities.json";
const CSV_FILE: &str = "kev/known_exploited_vulnerabilities.csv";

fn kev(bench: &Bench) {
    bench.server.on(JSON, &[Reply::file(br#"{"vulnerabilities":[]}"#)]);
    bench.server.on(CSV, &[Reply::file(b"cveID,vendor\n")]);
}

#[test]
fn it_says_what_came_from_where_and_when() {
    let bench = Bench::new();
    kev(&bench);
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.unchanged, summary.bytes), (2, 0, 35));
    let lock = bench.lock();
    let file = &lock.files[JSON_FILE];
    assert_eq!((file.feed.as_str(), file.url.as_str(), file.licence.as_str()), ("kev", JSON, "CC0 1.0"));
    assert_eq!(file.final_url, JSON.replace("https:/", &bench.server.address()));
    assert_eq!((file.fetched_at.as_str(), file.bytes), ("2024-05-01T12:00:00Z", 22));
    assert_eq!(file.sha256, sha256(br#"{"vulnerabilities":[]}"#));
    assert_eq!(file.last_modified.as_deref(), Some("Wed, 01 May 2024 00:00:00 GMT"));
    assert!(file.etag.is_some());
    bench.is_true();
    assert_eq!(verify(bench.target()).unwrap().good, 2);
}

#[test]
fn the_second_fetch_is_answered_with_304_throughout() {
    let bench = Bench::new();
    kev(&bench);
    bench.fetch("kev").unwrap();
    let before = fs::read(bench.target().join("wardsmith.lock.json")).unwrap();
    bench.server.asked();
    bench.clock.set("2024-05-02T00:00:00Z");
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.unchanged, summary.bytes), (0, 2, 0));
    assert!(bench.server.asked().iter().all(|asked| asked.status == 304 && asked.sent == 0));
    assert_eq!(fs::read(bench.target().join("wardsmith.lock.json")).unwrap(), before);
}

#[test]
fn a_file_that_was_changed_or_lost_here_is_fetched_anew() {
    let bench = Bench::new();
    kev(&bench);
    bench.fetch("kev").unwrap();
    fs::write(bench.target().join(JSON_FILE), br#"{"vulnerabilities":{}}"#).unwrap();
    fs::remove_file(bench.target().join(CSV_FILE)).unwrap();
    assert_eq!(verify(bench.target()).unwrap().problems.len(), 2);
    bench.server.asked();
    bench.fetch("kev").unwrap();
    assert!(bench.server.asked().iter().all(|asked| asked.status == 200));
    bench.is_true();
}

#[test]
fn one_file_that_fails_does_not_lose_the_other() {
    let bench = Bench::new();
    bench.server.on(CSV, &[Reply::file(b"cveID,vendor\n")]);
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (1, 1));
    assert_eq!(summary.failed[0].url, JSON);
    assert!(summary.failed[0].error.to_string().contains("404"));
    bench.is_true();
}

#[test]
fn one_feed_that_fails_does_not_lose_the_others() {
    let bench = Bench::new();
    kev(&bench);
    let stopped = || false;
    let mut fetcher = wardsmith_fetch::Fetcher::new(bench.options.clone(), &bench.clock, &stopped).unwrap();
    let feeds = ["cwe", "kev", "capec"].map(|name| wardsmith_fetch::by_name(name).unwrap());
    let results = fetcher.fetch_all(&feeds, &mut |_| ());
    let good: Vec<_> = results.iter().map(|(name, result)| (*name, result.is_ok())).collect();
    assert_eq!(good, [("cwe", false), ("kev", true), ("capec", false)]);
    bench.is_true();
}

#[test]
fn what_a_lock_says_is_fetched_exactly_or_refused() {
    let mut bench = Bench::new();
    kev(&bench);
    bench.fetch("kev").unwrap();
    let lock = bench.lock();
    bench.options.locked = Some(lock.clone());
    bench.server.asked();
    assert_eq!(bench.fetch("kev").unwrap().unchanged, 2);
    assert!(bench.server.asked().is_empty(), "what is there and right is not asked for");

    bench.options.into = bench.beside("again");
    assert_eq!(bench.fetch("kev").unwrap().downloaded, 2);
    bench.is_true();
    let hashes =
        |lock: &Lock| lock.files.iter().map(|(path, file)| (path.clone(), file.sha256.clone())).collect::<Vec<_>>();
    assert_eq!(hashes(&bench.lock()), hashes(&lock));

    bench.options.into = bench.beside("later");
    bench.server.on(JSON, &[Reply::file(br#"{"vulnerabilities":[1]}"#)]);
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (1, 1));
    assert!(matches!(summary.failed[0].error, Error::NotAsLocked { .. }), "{:?}", summary.failed);
    assert!(!bench.target().join(JSON_FILE).exists() && bench.hidden().is_empty());
    let message = bench.fetch("cwe").unwrap_err().to_string();
    assert!(message.contains("says nothing of feed `cwe`"), "{message}");
}

#[test]
fn a_folder_serves_as_a_mirror_with_the_same_checks() {
    let mut bench = Bench::new();
    let mirror = bench.beside("mirror");
    let put = |url: &str, content: &[u8]| {
        let path = mirror.join(url.strip_prefix("https://").unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put(JSON, b"{}");
    put(CSV, b"<html>");
    bench.options.mirror = Some(Mirror::parse(mirror.to_str().unwrap()).unwrap());
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (1, 1));
    assert!(summary.failed[0].error.to_string().contains("no plain text"));
    put(CSV, b"cveID\n");
    let summary = bench.fetch("kev").unwrap();
    assert_eq!((summary.downloaded, summary.unchanged), (1, 1));
    bench.is_true();
    let message = bench.fetch("cwe").unwrap_err().to_string();
    assert!(message.contains("is not in the mirror") && message.contains("cwec_latest.xml.zip"), "{message}");
    assert!(bench.server.asked().is_empty());
}

#[test]
fn a_lock_file_that_is_broken_stops_everything_and_stays() {
    let bench = Bench::new();
    kev(&bench);
    fs::create_dir_all(bench.target()).unwrap();
    fs::write(bench.target().join("wardsmith.lock.json"), b"{\"format\":").unwrap();
    assert!(matches!(bench.fetch("kev"), Err(Error::BadLock { .. })));
    assert_eq!(fs::read(bench.target().join("wardsmith.lock.json")).unwrap(), b"{\"format\":");
    assert!(bench.server.asked().is_empty());
}
