//! Every feed of the table from its first address to its last file, with small invented answers of the right form.

use serde_json::json;
use wardsmith_fetch::{ALL, Error};

use crate::bench::{Bench, gzip, sha256, sha512, zip};
use crate::server::Reply;

const RELEASES: &str = "https://api.github.com/repos/CVEProject/cvelistV5/releases?per_page=100";
const SIGMA: &str = "https://api.github.com/repos/SigmaHQ/sigma/releases/latest";
const NVD: &str = "https://nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0-";
const NVD_API: &str = "https://services.nvd.nist.gov/rest/json/cves/2.0?resultsPerPage=2000&startIndex=";
const CISA: &str = "https://www.cisa.gov/sites/default/files/csaf/provider-metadata.json";
const CERT: &str = "https://kb.cert.org/vuls/api";

/// Fills the server for a feed; the files that come of it.
fn shelve(bench: &mut Bench, feed: &str) -> Vec<String> {
    bench.options.since_year = Some(2023);
    match feed {
        "cvelist" => cvelist(bench),
        "nvd" => nvd(bench),
        "nvd-api" => nvd_api(bench),
        "csaf" => csaf(bench),
        "certcc" => certcc(bench),
        "ghsa" => ghsa(bench),
        "sigma" => sigma(bench),
        "cwe" => fixed(bench, &[("https://cwe.mitre.org/data/xml/cwec_latest.xml.zip", "cwe", &zip("cwe"))]),
        "capec" => {
            let url = "https://raw.githubusercontent.com/mitre/cti/master/capec/2.1/stix-capec.json";
            fixed(bench, &[(url, "capec", b"{}")])
        }
        "attack" => {
            let base = "https://raw.githubusercontent.com/mitre-attack/attack-stix-data/master";
            let urls = ["enterprise", "mobile", "ics"].map(|name| format!("{base}/{name}-attack/{name}-attack.json"));
            fixed(bench, &[(&urls[0], "attack", b"{}"), (&urls[1], "attack", b"{}"), (&urls[2], "attack", b"{}")])
        }
        "kev" => {
            let base = "https://www.cisa.gov/sites/default/files";
            let urls = ["feeds", "csv"].map(|kind| {
                let ending = if kind == "csv" { "csv" } else { "json" };
                format!("{base}/{kind}/known_exploited_vulnerabilities.{ending}")
            });
            fixed(bench, &[(&urls[0], "kev", b"{}"), (&urls[1], "kev", b"cveID\n")])
        }
        "epss" => {
            let url = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz";
            fixed(bench, &[(url, "epss", &gzip(b"cve,epss\n"))])
        }
        other => panic!("feed `{other}` has no test"),
    }
}

fn fixed(bench: &Bench, files: &[(&str, &str, &[u8])]) -> Vec<String> {
    let put = |(url, folder, content): &(&str, &str, &[u8])| {
        bench.server.on(url, &[Reply::file(content)]);
        format!("{folder}/{}", url.rsplit('/').next().unwrap())
    };
    files.iter().map(put).collect()
}

/// A file of a release, offered by the server; `digest` as GitHub states it for newer files.
fn asset(bench: &Bench, repository: &str, tag: &str, name: &str, digest: bool) -> serde_json::Value {
    let (url, content) = (format!("https://github.com/{repository}/releases/download/{tag}/{name}"), zip(name));
    bench.server.on(&url, &[Reply::file(&content)]);
    let digest = digest.then(|| format!("sha256:{}", sha256(&content)));
    json!({"name": name, "size": content.len(), "browser_download_url": url, "digest": digest})
}

fn cvelist(bench: &Bench) -> Vec<String> {
    let asset = |tag: &str, name: &str| asset(bench, "CVEProject/cvelistV5", tag, name, false);
    let full = "2024-05-01_all_CVEs_at_midnight.zip.zip";
    let releases = json!([
        {"draft": true, "assets": [asset("cve_2024-05-09_0000Z", "2024-05-09_all_CVEs_at_midnight.zip.zip")]},
        {"assets": [asset("cve_2024-05-01_0200Z", full), asset("cve_2024-05-01_0200Z", "2024-05-01_delta_CVEs_at_0200Z.zip")]},
        {"assets": [asset("cve_2024-05-01_0100Z", full), asset("cve_2024-05-01_0100Z", "2024-05-01_delta_CVEs_at_0100Z.zip")]},
        {"assets": [asset("cve_2024-05-01_0000Z", "2024-04-30_delta_CVEs_at_end_of_day.zip")]},
    ]);
    bench.server.on(RELEASES, &[Reply::file(releases.to_string().as_bytes())]);
    vec![format!("cvelist/{full}"), "cvelist/2024-05-01_delta_CVEs_at_0200Z.zip".into()]
}

fn sigma(bench: &Bench) -> Vec<String> {
    let asset = |name| asset(bench, "SigmaHQ/sigma", "r2024-05-01", name, true);
    let release = json!({"tag_name": "r2024-05-01", "assets": [asset("sigma_core.zip"), asset("sigma_all_rules.zip")]});
    bench.server.on(SIGMA, &[Reply::file(release.to_string().as_bytes())]);
    vec!["sigma/sigma_all_rules.zip".into()]
}

fn nvd_feed(bench: &Bench, part: &str, text: &str) -> String {
    let digest = sha256(text.as_bytes()).to_uppercase();
    let meta = format!("lastModifiedDate:2024-05-01T03:00:00-04:00\r\nsize:{}\r\nsha256:{digest}\r\n", text.len());
    bench.server.on(&format!("{NVD}{part}.meta"), &[Reply::file(meta.as_bytes())]);
    bench.server.on(&format!("{NVD}{part}.json.gz"), &[Reply::file(&gzip(text.as_bytes()))]);
    format!("nvd/nvdcve-2.0-{part}.json.gz")
}

fn nvd(bench: &Bench) -> Vec<String> {
    // The feed of this year is not there yet.
    ["2023", "modified"].map(|part| nvd_feed(bench, part, r#"{"vulnerabilities":[]}"#)).to_vec()
}

fn page(start: usize, total: usize, ids: &[&str]) -> Reply {
    let items: Vec<_> = ids.iter().map(|id| json!({"cve": {"id": id}})).collect();
    let page = json!({
        "resultsPerPage": ids.len(), "startIndex": start, "totalResults": total, "format": "NVD_CVE", "version": "2.0",
        "timestamp": "2024-05-01T11:59:00.000", "vulnerabilities": items,
    });
    Reply::plain(page.to_string().as_bytes())
}

fn nvd_api(bench: &Bench) -> Vec<String> {
    bench.server.on(&format!("{NVD_API}0"), &[page(0, 3, &["CVE-2024-0001", "CVE-2024-0002"])]);
    bench.server.on(&format!("{NVD_API}2"), &[page(2, 3, &["CVE-2024-0003"])]);
    let window = "&lastModStartDate=2024-05-01T11%3A59%3A00Z&lastModEndDate=2024-05-01T12%3A00%3A00Z";
    bench.server.on(&format!("{NVD_API}0{window}"), &[page(0, 0, &[])]);
    ["all-00000000", "all-00000002"].map(|name| format!("nvd-api/{name}.json")).to_vec()
}

fn ghsa(bench: &mut Bench) -> Vec<String> {
    bench.options.ecosystems = vec!["crates.io".into(), "GitHub Actions".into()];
    for path in ["crates.io", "GitHub%20Actions"] {
        let url = format!("https://osv-vulnerabilities.storage.googleapis.com/{path}/all.zip");
        bench.server.on(&url, &[Reply::file(&zip(path))]);
    }
    vec!["ghsa/crates.io.zip".into(), "ghsa/GitHub-Actions.zip".into()]
}

fn certcc(bench: &Bench) -> Vec<String> {
    let none = json!({"error": "Content requested either does not exist"});
    bench.server.on(&format!("{CERT}/2023/summary/"), &[Reply::plain(none.to_string().as_bytes())]);
    let notes = json!({"count": 2, "notes": ["VU#17", "VU#123456"]});
    bench.server.on(&format!("{CERT}/2024/summary/"), &[Reply::plain(notes.to_string().as_bytes())]);
    for number in ["17", "123456"] {
        let note = json!({"vuid": format!("VU#{number}"), "name": "invented"}).to_string();
        bench.server.on(&format!("{CERT}/{number}/"), &[Reply::plain(note.as_bytes())]);
    }
    vec!["certcc/17.json".into(), "certcc/123456.json".into()]
}

fn csaf(bench: &Bench) -> Vec<String> {
    let metadata = json!({"distributions": [{"directory_url": "https://www.cisa.gov/csaf/white"}]});
    bench.server.on(CISA, &[Reply::file(metadata.to_string().as_bytes())]);
    let index = "2024/icsa-24-001-01.json\n2023/icsa-23-001-01.json\n2019/icsa-19-001-01.json\n";
    bench.server.on("https://www.cisa.gov/csaf/white/index.txt", &[Reply::file(index.as_bytes())]);
    let document = |path: &str, digest: (&str, String)| {
        let url = format!("https://www.cisa.gov/csaf/white/{path}");
        bench.server.on(&url, &[Reply::file(path_json(path).as_bytes())]);
        let side = format!("{}  {path}\n", digest.1);
        bench.server.on(&format!("{url}.{}", digest.0), &[Reply::file(side.as_bytes())]);
        format!("csaf/www.cisa.gov/{path}")
    };
    let digest_256 = |path: &str| ("sha256", sha256(path_json(path).as_bytes()));
    let digest_512 = |path: &str| ("sha512", sha512(path_json(path).as_bytes()));
    let (new, old) = ("2024/icsa-24-001-01.json", "2023/icsa-23-001-01.json");
    vec![document(new, digest_256(new)), document(old, digest_512(old))]
}

fn path_json(path: &str) -> String {
    json!({"document": {"tracking": {"id": path}}}).to_string()
}

#[test]
fn each_brings_its_files_and_brings_them_once() {
    for feed in ALL {
        let mut bench = Bench::new();
        let mut expected = shelve(&mut bench, feed.name());
        let summary = bench.fetch(feed.name()).unwrap_or_else(|error| panic!("{}: {error}", feed.name()));
        assert!(summary.failed.is_empty(), "{summary:?}");
        assert_eq!((summary.feed, summary.downloaded), (feed.name(), expected.len()));
        expected.push("wardsmith.lock.json".into());
        expected.sort();
        assert_eq!(bench.visible(), expected);
        assert!(bench.lock().files.values().all(|file| file.feed == feed.name() && file.licence == feed.licence()));
        bench.is_true();
        let again = bench.fetch(feed.name()).unwrap();
        // The API is asked for changes the second time, and the answer is a new file.
        let new = usize::from(feed.name() == "nvd-api");
        assert_eq!((again.downloaded, again.failed.len()), (new, 0), "{again:?}");
        bench.is_true();
        assert!(bench.hidden().is_empty());
    }
}

#[test]
fn a_new_day_of_the_cve_list_replaces_the_old_one() {
    let mut bench = Bench::new();
    shelve(&mut bench, "cvelist");
    bench.fetch("cvelist").unwrap();
    let full =
        asset(&bench, "CVEProject/cvelistV5", "cve_2024-05-02_0000Z", "2024-05-02_all_CVEs_at_midnight.zip.zip", true);
    let releases = json!([{"assets": [full]}]);
    bench.server.on(RELEASES, &[Reply::file(releases.to_string().as_bytes())]);
    let summary = bench.fetch("cvelist").unwrap();
    assert_eq!((summary.downloaded, summary.removed), (1, 2));
    bench.is_true();
    // With a stated digest that is there already, not even a question is needed, under whatever address.
    bench.server.asked();
    assert_eq!(bench.fetch("cvelist").unwrap().unchanged, 1);
    assert_eq!(bench.server.asked().len(), 1);
}

#[test]
fn a_release_that_names_a_file_elsewhere_is_refused() {
    let bench = Bench::new();
    for (name, url) in [
        ("sigma_all_rules.zip", "https://evil.example/sigma_all_rules.zip"),
        ("sigma_all_rules.zip", "http://github.com/sigma_all_rules.zip"),
    ] {
        let release = json!({"assets": [{"name": name, "size": 1, "browser_download_url": url}]});
        bench.server.on(SIGMA, &[Reply::file(release.to_string().as_bytes())]);
        assert!(matches!(bench.fetch("sigma"), Err(Error::BadUrl { .. })), "{url}");
    }
    let name = "2024-05-01_all_CVEs/../../../evil.zip";
    let releases = json!([{"assets": [{"name": name, "size": 1, "browser_download_url": "https://github.com/a.zip"}]}]);
    bench.server.on(RELEASES, &[Reply::file(releases.to_string().as_bytes())]);
    assert!(matches!(bench.fetch("cvelist"), Err(Error::UnsafeName { .. })));
    assert!(bench.visible().is_empty());
}

#[test]
fn a_feed_of_nvd_that_does_not_fit_its_description_is_looked_at_again() {
    let mut bench = Bench::new();
    bench.options.since_year = Some(2024);
    nvd_feed(&bench, "modified", "{}");
    let path = nvd_feed(&bench, "2024", r#"{"vulnerabilities":[1]}"#);
    let new = format!("sha256:{}", sha256(br#"{"vulnerabilities":[1]}"#));
    let old = format!("sha256:{}", sha256(b"yesterday"));
    let meta = format!("{NVD}2024.meta");
    bench.server.on(&meta, &[Reply::file(old.as_bytes()), Reply::file(new.as_bytes())]);
    assert!(bench.fetch("nvd").unwrap().failed.is_empty());
    assert!(bench.lock().files[&path].stated.contains_key("unpacked-sha256"));
    bench.is_true();

    // A feed that never fits is an error, and the file of yesterday stays.
    let before = bench.read(&path);
    bench.server.on(&meta, &[Reply::file(old.as_bytes())]);
    let summary = bench.fetch("nvd").unwrap();
    assert_eq!(summary.failed.len(), 1);
    assert!(summary.failed[0].error.to_string().contains("decompressed SHA-256"), "{:?}", summary.failed);
    assert_eq!(bench.read(&path), before);
    bench.is_true();
}

#[test]
fn a_wrong_checksum_is_fetched_once_more() {
    let mut bench = Bench::new();
    shelve(&mut bench, "csaf");
    let path = "2024/icsa-24-001-01.json";
    let good = Reply::file(path_json(path).as_bytes());
    let url = format!("https://www.cisa.gov/csaf/white/{path}");
    bench.server.on(&url, &[Reply::file(b"{\"document\":{}}"), good]);
    let summary = bench.fetch("csaf").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (2, 0));
    bench.is_true();
}

#[test]
fn the_api_of_nvd_is_asked_slowly_and_without_the_key_on_a_mirror() {
    let mut bench = Bench::new();
    bench.options.nvd_api_key = Some("hush".into());
    let ids = ["CVE-2024-0001"];
    (0..60).for_each(|at| bench.server.on(&format!("{NVD_API}{at}"), &[page(at, 60, &ids)]));
    bench.fetch("nvd-api").unwrap();
    let asked = bench.server.asked();
    assert_eq!(asked.len(), 60);
    assert!(asked.iter().all(|asked| !asked.headers.contains_key("apikey")));
    let slept_s = bench.clock.slept_s();
    assert!((30.0..35.0).contains(&slept_s), "fifty at once, then half a minute later ten: {slept_s}");
    assert_eq!(bench.lock().progress["nvd-api.until"], "2024-05-01T11:59:00Z");

    let mut bench = Bench::new();
    (0..12).for_each(|at| bench.server.on(&format!("{NVD_API}{at}"), &[Reply::status(403), page(at, 12, &ids)]));
    bench.options.nvd_api_key = None;
    bench.fetch("nvd-api").unwrap();
    assert_eq!(bench.server.asked().len(), 24);
    assert!(bench.clock.slept_s() >= 120.0, "five in thirty seconds");
}

#[test]
fn the_api_of_nvd_is_asked_for_changes_in_windows_of_120_days() {
    let mut bench = Bench::new();
    shelve(&mut bench, "nvd-api");
    bench.fetch("nvd-api").unwrap();
    bench.clock.set("2024-12-01T00:00:00Z");
    bench.server.asked();
    let windows = [
        ("2024-05-01T11%3A59%3A00Z", "2024-08-29T11%3A59%3A00Z"),
        ("2024-08-29T11%3A59%3A00Z", "2024-12-01T00%3A00%3A00Z"),
    ];
    for (since, until) in windows {
        let at = |time: &str| json!({"startIndex": 0, "totalResults": 1, "timestamp": time, "vulnerabilities": [{}]});
        let url = format!("{NVD_API}0&lastModStartDate={since}&lastModEndDate={until}");
        // The clock of the server is a minute behind.
        bench.server.on(&url, &[Reply::plain(at("2024-11-30T23:59:00.000").to_string().as_bytes())]);
    }
    assert_eq!(bench.fetch("nvd-api").unwrap().downloaded, 2);
    assert_eq!(bench.server.asked().len(), 2);
    assert_eq!(bench.lock().progress["nvd-api.until"], "2024-11-30T23:59:00Z");
    assert!(bench.visible().contains(&"nvd-api/changed-20240829T115900Z-00000000.json".to_owned()));
    bench.is_true();
}

#[test]
fn a_first_fetch_of_the_api_that_was_stopped_keeps_its_full_pages() {
    let bench = Bench::new();
    let ids = vec!["CVE-2024-0001"; 2000];
    bench.server.on(&format!("{NVD_API}0"), &[page(0, 2001, &ids)]);
    assert!(bench.fetch("nvd-api").is_err(), "the second page is not there");
    assert_eq!(bench.lock().progress["nvd-api.begun"], "2024-05-01T11:59:00Z");
    bench.server.on(&format!("{NVD_API}2000"), &[page(2000, 2001, &ids[..1])]);
    bench.server.asked();
    let summary = bench.fetch("nvd-api").unwrap();
    assert_eq!((summary.downloaded, summary.unchanged), (1, 1));
    assert_eq!(bench.server.asked().len(), 1);
    assert_eq!(bench.lock().progress.len(), 1);
    bench.is_true();
}

#[test]
fn a_page_of_the_api_that_is_another_one_is_refused() {
    let bench = Bench::new();
    bench.server.on(&format!("{NVD_API}0"), &[page(4000, 9000, &["CVE-2024-0001"])]);
    let message = bench.fetch("nvd-api").unwrap_err().to_string();
    assert!(message.contains("it begins at 4000, which was not asked for"), "{message}");
}

#[test]
fn a_rolie_feed_is_read_and_what_it_lists_unchanged_is_not_asked_for() {
    let mut bench = Bench::new();
    bench.options.providers = vec!["vendor.example".into()];
    let metadata = json!({"distributions": [{"rolie": {"feeds": [
        {"tlp_label": "WHITE", "url": "https://vendor.example/white.json"},
        {"tlp_label": "RED", "url": "https://vendor.example/red.json"}]}}]});
    let at = "https://vendor.example/.well-known/csaf/provider-metadata.json";
    bench.server.on(at, &[Reply::file(metadata.to_string().as_bytes())]);
    let entry = |name: &str, updated: &str| {
        let url = format!("https://files.vendor.example/2024/{name}.json");
        json!({"id": name, "updated": updated, "content": {"src": url, "type": "application/json"},
               "link": [{"rel": "hash", "href": format!("{url}.sha512")}, {"rel": "self", "href": url}]})
    };
    let shelve = |content: &str, updated: &str| {
        let feed = json!({"feed": {"entry": [entry("v-1", "2024-01-01T00:00:00Z"), entry("v-2", updated)]}});
        bench.server.on("https://vendor.example/white.json", &[Reply::plain(feed.to_string().as_bytes())]);
        for (name, content) in [("v-1", "{}"), ("v-2", content)] {
            let url = format!("https://files.vendor.example/2024/{name}.json");
            bench.server.on(&url, &[Reply::plain(content.as_bytes())]);
            bench.server.on(&format!("{url}.sha512"), &[Reply::plain(sha512(content.as_bytes()).as_bytes())]);
        }
    };
    shelve("{}", "2024-02-01T00:00:00Z");
    assert_eq!(bench.fetch("csaf").unwrap().downloaded, 2);
    bench.server.asked();
    assert_eq!(bench.fetch("csaf").unwrap().unchanged, 2);
    assert_eq!(bench.server.asked().len(), 2, "metadata and list alone");
    shelve("{\"changed\":1}", "2024-03-01T00:00:00Z");
    let summary = bench.fetch("csaf").unwrap();
    assert_eq!((summary.downloaded, summary.unchanged), (1, 1));
    assert_eq!(bench.read("csaf/vendor.example/2024/v-2.json"), b"{\"changed\":1}");
    bench.is_true();
}

#[test]
fn a_list_that_leads_out_of_the_folder_costs_only_its_own_lines() {
    let mut bench = Bench::new();
    shelve(&mut bench, "csaf");
    let index = "../../../evil.json\n/etc/evil.json\n2024/icsa-24-001-01.json\nC:\\evil.json\n2024/con.json\n";
    bench.server.on("https://www.cisa.gov/csaf/white/index.txt", &[Reply::file(index.as_bytes())]);
    let summary = bench.fetch("csaf").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (1, 4));
    assert!(summary.failed.iter().all(|failure| matches!(failure.error, Error::UnsafeName { .. })));
    assert_eq!(bench.visible(), ["csaf/www.cisa.gov/2024/icsa-24-001-01.json", "wardsmith.lock.json"]);
    assert!(!bench.beside("evil.json").exists());
    bench.is_true();
}

#[test]
fn notes_of_settled_years_are_not_asked_for_again_and_an_error_is_no_note() {
    let mut bench = Bench::new();
    bench.options.since_year = Some(2020);
    for year in 2020..=2024 {
        let notes = json!({"notes": [format!("VU#{year}")]});
        bench.server.on(&format!("{CERT}/{year}/summary/"), &[Reply::plain(notes.to_string().as_bytes())]);
        bench.server.on(&format!("{CERT}/{year}/"), &[Reply::plain(b"{\"vuid\":1}")]);
    }
    bench.server.on(&format!("{CERT}/2021/"), &[Reply::plain(b"{\"error\":\"gone\"}")]);
    let summary = bench.fetch("certcc").unwrap();
    assert_eq!((summary.downloaded, summary.failed.len()), (4, 1));
    bench.server.asked();
    bench.server.on(&format!("{CERT}/2021/"), &[Reply::plain(b"{\"vuid\":1}")]);
    assert_eq!(bench.fetch("certcc").unwrap().downloaded, 1);
    let asked: Vec<_> = bench.server.asked().into_iter().map(|asked| asked.path).collect();
    let note = |year: i16| asked.contains(&format!("/kb.cert.org/vuls/api/{year}/"));
    assert_eq!([2020, 2021, 2022, 2023, 2024].map(note), [false, true, false, true, true]);
}

#[test]
fn after_ten_failures_in_a_row_the_rest_is_not_tried() {
    let mut bench = Bench::new();
    bench.options.since_year = Some(2024);
    let notes: Vec<_> = (1..=50).map(|number| format!("VU#{number}")).collect();
    let list = json!({"notes": notes}).to_string();
    bench.server.on(&format!("{CERT}/2024/summary/"), &[Reply::plain(list.as_bytes())]);
    let message = bench.fetch("certcc").unwrap_err().to_string();
    assert!(message.contains("10 files of feed `certcc` failed one after the other") && message.contains("hint:"));
    assert_eq!(bench.server.asked().len(), 11);
}
