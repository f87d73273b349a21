//! Bad days: what breaks off, stalls, changes, lies or never ends.

use wardsmith_fetch::Error;

use crate::bench::{Bench, gzip, json, zip};
use crate::server::Reply;

const CAPEC: &str = "https://raw.githubusercontent.com/mitre/cti/master/capec/2.1/stix-capec.json";
const CAPEC_FILE: &str = "capec/stix-capec.json";
const CWE: &str = "https://cwe.mitre.org/data/xml/cwec_latest.xml.zip";
const EPSS: &str = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz";
const PARTS: [&str; 2] = ["capec/.stix-capec.json.part", "capec/.stix-capec.json.part.json"];

#[test]
fn a_body_that_breaks_off_is_gone_on_with_and_nothing_comes_twice() {
    let bench = Bench::new();
    let content = json(300, 1);
    let good = Reply::file(&content);
    bench.server.on(CAPEC, &[good.clone().cut_at(100_000), good.clone().cut_at(50_000), good]);
    let summary = bench.fetch("capec").unwrap();
    assert_eq!((summary.downloaded, summary.resumed, summary.bytes), (1, 1, content.len() as u64));
    assert_eq!(bench.read(CAPEC_FILE), content);
    let asked = bench.server.asked();
    let ranges: Vec<_> = asked.iter().map(|asked| asked.headers.get("range").map(String::as_str)).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-"), Some("bytes=150000-")]);
    assert_eq!(asked.iter().map(|asked| asked.sent).sum::<usize>(), content.len());
    assert!(
        asked[0].headers["accept-encoding"] == "identity" && asked[0].headers["user-agent"].starts_with("wardsmith/")
    );
    assert!(bench.clock.slept_s() > 0.5);
    bench.is_true();
    assert!(bench.hidden().is_empty());
}

#[test]
fn a_stop_leaves_a_part_and_the_next_fetch_takes_only_the_rest() {
    let bench = Bench::new();
    let content = json(400, 1);
    bench.server.on(CAPEC, &[Reply::file(&content)]);
    let stopped = bench.fetch_until("capec", &|bytes| bytes >= 100_000);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert!(bench.visible().is_empty(), "a half file has its name");
    assert_eq!(bench.hidden(), PARTS);
    let part = std::fs::metadata(bench.target().join(PARTS[0])).unwrap().len();
    assert!(part >= 100_000 && part < content.len() as u64);
    bench.server.asked();
    let summary = bench.fetch("capec").unwrap();
    assert_eq!((summary.resumed, summary.bytes), (1, content.len() as u64 - part));
    assert_eq!(bench.server.asked()[0].sent as u64, content.len() as u64 - part);
    assert_eq!(bench.read(CAPEC_FILE), content);
    bench.is_true();
}

#[test]
fn a_fetch_that_dies_on_the_way_leaves_as_good_a_part() {
    let bench = Bench::new();
    let content = json(400, 1);
    bench.server.on(CAPEC, &[Reply::file(&content)]);
    // Nothing of the engine runs any more once the bytes are there, as after a kill.
    let die = |bytes: u64| bytes >= 200_000 && std::panic::resume_unwind(Box::new(()));
    let dead = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.fetch_until("capec", &die)));
    assert!(dead.is_err() && bench.visible().is_empty());
    bench.server.asked();
    let summary = bench.fetch("capec").unwrap();
    assert!(summary.resumed == 1 && summary.bytes <= content.len() as u64 - 200_000, "{summary:?}");
    assert_eq!(bench.server.asked()[0].status, 206);
    assert_eq!(bench.read(CAPEC_FILE), content);
    bench.is_true();
}

#[test]
fn a_part_that_is_whole_already_is_not_asked_for_again() {
    let bench = Bench::new();
    let content = json(100, 1);
    bench.server.on(CAPEC, &[Reply::file(&content)]);
    bench.fetch_until("capec", &|bytes| bytes >= 1).unwrap_err();
    std::fs::write(bench.target().join(PARTS[0]), &content).unwrap();
    bench.server.asked();
    assert_eq!(bench.fetch("capec").unwrap().bytes, 0);
    assert!(bench.server.asked().is_empty());
    assert_eq!(bench.read(CAPEC_FILE), content);
    bench.is_true();
}

#[test]
fn a_file_that_changes_on_the_way_is_begun_anew() {
    let (old, new) = (json(300, 1), json(310, 2));
    for lies in [false, true] {
        let bench = Bench::new();
        let after = Reply::file(&new);
        // A server that ignores `If-Range` sends the rest of another file.
        let after = if lies { vec![after.clone().ignore_if_range(), after] } else { vec![after] };
        bench.server.on(CAPEC, &[&[Reply::file(&old).cut_at(100_000)], &after[..]].concat());
        bench.fetch("capec").unwrap();
        assert_eq!(bench.read(CAPEC_FILE), new, "{lies}");
        bench.is_true();
    }
}

#[test]
fn a_wrong_content_range_is_not_believed() {
    let content = json(300, 1);
    let good = Reply::file(&content);
    for range in ["bytes 0-9/10", "bytes 99999-307/308", "items 1-2/3", "bytes 100000-200000/999999999"] {
        let bench = Bench::new();
        let wrong = good.clone().header("Content-Range", range);
        bench.server.on(CAPEC, &[good.clone().cut_at(100_000), wrong, good.clone()]);
        bench.fetch("capec").unwrap();
        assert_eq!(bench.read(CAPEC_FILE), content, "{range}");
    }
}

#[test]
fn without_tag_or_date_nothing_is_put_together() {
    let bench = Bench::new();
    let content = json(300, 1);
    let plain = Reply::plain(&content);
    bench.server.on(CAPEC, &[plain.clone().cut_at(100_000), plain]);
    let summary = bench.fetch("capec").unwrap();
    assert_eq!((summary.resumed, summary.bytes), (0, content.len() as u64 + 100_000));
    assert!(!bench.server.asked()[1].headers.contains_key("range"));
    // The second time the same comes again, and that is no change.
    assert_eq!(bench.fetch("capec").unwrap().unchanged, 1);
}

#[test]
fn a_server_that_stalls_is_left_and_found_again() {
    let bench = Bench::new();
    let content = json(100, 1);
    let good = Reply::file(&content);
    bench.server.on(CAPEC, &[good.clone().stall_at(0), good.clone().stall_at(70_000), good]);
    let begun = std::time::Instant::now();
    let summary = bench.fetch("capec").unwrap();
    assert!(begun.elapsed().as_secs() < 10);
    assert_eq!((summary.resumed, summary.bytes), (1, content.len() as u64));
    assert_eq!(bench.read(CAPEC_FILE), content);
}

#[test]
fn a_busy_server_is_given_the_time_it_asks_for() {
    let bench = Bench::new();
    let good = Reply::file(b"{}");
    bench.server.on(CAPEC, &[Reply::status(429).header("Retry-After", "77"), good.clone()]);
    bench.fetch("capec").unwrap();
    assert!((76.9..77.5).contains(&bench.clock.slept_s()), "{}", bench.clock.slept_s());

    let bench = Bench::new();
    let date = Reply::status(503).header("Retry-After", "Wed, 01 May 2024 12:01:30 GMT");
    bench.server.on(CAPEC, &[date, good.clone()]);
    bench.fetch("capec").unwrap();
    assert!((89.9..90.5).contains(&bench.clock.slept_s()), "{}", bench.clock.slept_s());

    let bench = Bench::new();
    bench.server.on(CAPEC, &[Reply::status(503), Reply::status(502), good]);
    bench.fetch("capec").unwrap();
    assert!((1.4..=3.1).contains(&bench.clock.slept_s()), "{}", bench.clock.slept_s());
}

#[test]
fn a_stop_is_heard_while_waiting() {
    let bench = Bench::new();
    bench.server.on(CAPEC, &[Reply::status(429).header("Retry-After", "250")]);
    let clock = &bench.clock;
    let mut fetcher_options = bench.options.clone();
    fetcher_options.patience.max_wait = std::time::Duration::from_secs(250);
    let stopped = || clock.slept_s() >= 3.0;
    let mut fetcher = wardsmith_fetch::Fetcher::new(fetcher_options, clock, &stopped).unwrap();
    let result = fetcher.fetch(wardsmith_fetch::by_name("capec").unwrap(), &mut |_| ());
    assert!(matches!(result, Err(Error::Stopped)));
    assert!(clock.slept_s() < 4.0);
}

#[test]
fn what_is_not_there_or_never_good_is_one_clear_error() {
    let bench = Bench::new();
    let message = bench.fetch("capec").unwrap_err().to_string();
    assert!(message.contains("status 404") && message.contains("hint: ") && message.contains("stix-capec.json"));
    assert_eq!(bench.server.asked().len(), 1);

    bench.server.on(CAPEC, &[Reply::status(500)]);
    let message = bench.fetch("capec").unwrap_err().to_string();
    assert!(message.contains(&format!("`{CAPEC}` could not be fetched in 6 attempts")), "{message}");
    assert!(message.contains("status 500\nhint: "), "{message}");
    assert_eq!(bench.server.asked().len(), 6);
    assert!(bench.visible().is_empty() && bench.hidden().is_empty());
}

#[test]
fn a_page_of_the_servers_own_is_no_feed() {
    let bench = Bench::new();
    bench.server.on(CAPEC, &[Reply::file(b"<html>please log in</html>")]);
    bench.server.on(CWE, &[Reply::file(b"<html>please log in</html>")]);
    for feed in ["capec", "cwe"] {
        let message = bench.fetch(feed).unwrap_err().to_string();
        assert!(message.contains("in 3 attempts") && message.contains("broken files"), "{message}");
    }
    assert!(bench.visible().is_empty() && bench.hidden().is_empty());
    // A passing one is lived with.
    bench.server.on(CWE, &[Reply::file(b"<html>please log in</html>"), Reply::file(&zip("cwe"))]);
    bench.fetch("cwe").unwrap();
    bench.is_true();
}

#[test]
fn redirects_are_followed_to_the_web_and_not_forever() {
    let bench = Bench::new();
    let there = format!("{}/elsewhere/capec.json?signature=hush", bench.server.address());
    bench.server.on(CAPEC, &[Reply::redirect(&there)]);
    bench.server.on("elsewhere/capec.json?signature=hush", &[Reply::file(b"{}")]);
    bench.fetch("capec").unwrap();
    let lock = bench.lock();
    let file = &lock.files[CAPEC_FILE];
    assert_eq!(file.url, CAPEC);
    assert_eq!(file.final_url, format!("{}/elsewhere/capec.json", bench.server.address()));

    let address = bench.server.address();
    let itself = CAPEC.replace("https:/", &address);
    for to in [itself.as_str(), "file:///etc/passwd", "ftp://example.org/a", "gopher://example.org"] {
        let bench = Bench::new();
        bench.server.on(CAPEC, &[Reply::redirect(&to.replace(&address, &bench.server.address()))]);
        let error = bench.fetch("capec").unwrap_err();
        assert!(matches!(error, Error::BadUrl { .. }), "{to}: {error}");
        assert!(bench.server.asked().len() <= 11 && bench.visible().is_empty());
    }
}

#[test]
fn more_than_a_file_may_have_is_broken_off() {
    let mut bench = Bench::new();
    bench.options.since_year = Some(2024);
    let note = "https://kb.cert.org/vuls/api/17/";
    bench.server.on("https://kb.cert.org/vuls/api/2024/summary/", &[Reply::file(br#"{"notes":["VU#17"]}"#)]);
    for reply in [
        Reply::plain(&vec![b'['; 1 << 20]).endless(),
        Reply::plain(b"[]").header("Content-Length", "99999999999").stall_at(2),
    ] {
        bench.server.on(note, &[reply]);
        let error = bench.fetch("certcc").unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        assert!(bench.visible().is_empty() && bench.hidden().is_empty());
    }
    // A list is held to its limit as well, decompressed.
    let bomb = gzip(&vec![b' '; 17 << 20]);
    let list = Reply::plain(&bomb).header("Content-Encoding", "gzip");
    bench.server.on("https://kb.cert.org/vuls/api/2024/summary/", &[list]);
    assert!(matches!(bench.fetch("certcc").unwrap_err(), Error::TooLarge { .. }));
}

#[test]
fn an_encoding_is_undone_and_a_file_that_is_gzip_stays_gzip() {
    let bench = Bench::new();
    let content = json(100, 1);
    let encoded = Reply::file(&gzip(&content)).header("Content-Encoding", "gzip");
    bench.server.on(CAPEC, &[encoded.clone().cut_at(1000), encoded]);
    bench.fetch("capec").unwrap();
    assert_eq!(bench.read(CAPEC_FILE), content);
    assert!(!bench.server.asked()[1].headers.contains_key("range"));

    let scores = gzip(b"cve,epss\n");
    bench.server.on(EPSS, &[Reply::file(&scores).header("Content-Encoding", "gzip")]);
    bench.fetch("epss").unwrap();
    assert_eq!(bench.read("epss/epss_scores-current.csv.gz"), scores);

    bench.server.on(CAPEC, &[Reply::file(b"\x8b").header("Content-Encoding", "br")]);
    assert!(bench.fetch("capec").unwrap_err().to_string().contains("`br`"));
    bench.is_true();
}

#[test]
fn an_old_file_stays_until_the_new_one_is_whole() {
    let bench = Bench::new();
    let (old, new) = (json(100, 1), json(300, 2));
    bench.server.on(CAPEC, &[Reply::file(&old)]);
    bench.fetch("capec").unwrap();
    bench.server.on(CAPEC, &[Reply::file(&new)]);
    bench.fetch_until("capec", &|bytes| bytes >= 100_000).unwrap_err();
    assert_eq!(bench.read(CAPEC_FILE), old);
    bench.is_true();
    assert_eq!(bench.fetch("capec").unwrap().resumed, 1);
    assert_eq!(bench.read(CAPEC_FILE), new);
    bench.is_true();
}
