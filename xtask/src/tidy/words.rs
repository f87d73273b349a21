//! Words that do not belong into the tree: places of one machine, sockets where none may be, tests that are hidden.

use super::Finding;
use super::scan::Scanned;
use super::tree::{File, Tree};

/// Paths of somebody's machine. Written in two parts, so that this file does not find itself.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("C:\\Use", "rs\\"),
];
/// What opens a socket in the standard library.
const SOCKETS: &[&str] = &["std::net", "TcpStream", "TcpListener", "UdpSocket", "UnixStream"];
/// Crates that never touch a network.
const OFFLINE: &[&str] =
    &["crates/documents/", "crates/records/", "crates/tables/", "crates/tokens/", "crates/model/", "crates/train/"];
/// Goes to the network by its client alone; its tests have a server of their own on the loopback.
const BY_CLIENT: &str = "crates/fetch/src/";

/// Findings of all three kinds.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = machine_paths(file);
    if file.is_rust() {
        let scanned = Scanned::new(&file.text);
        findings.extend(of_code(file, &scanned, "#[ignore", |_| {
            "hides a test: let it skip itself aloud, or mend it".to_owned()
        }));
        findings.extend(of_code(file, &scanned, "#![ignore", |_| "hides tests".to_owned()));
        findings.extend(sockets(file, &scanned));
    }
    findings
}

fn sockets(file: &File, scanned: &Scanned) -> Vec<Finding> {
    let offline = OFFLINE.iter().any(|crate_| file.path.starts_with(crate_));
    let by_client = file.path.starts_with(BY_CLIENT);
    let found = SOCKETS.iter().flat_map(|socket| scanned.code().match_indices(socket));
    let found = found.filter(|(at, _)| offline || by_client && !scanned.is_test(*at));
    found
        .map(|(at, word)| Finding {
            path: file.path.clone(),
            line: scanned.line_of(at),
            what: format!("`{word}` opens a socket, which this crate does not do"),
        })
        .collect()
}

/// A path counts where it begins: `docs/work/a` is a folder of ours.
fn machine_paths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let begins = |&at: &usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~*}>)".contains(c));
            if line.match_indices(path).map(|(at, _)| at).any(|at| begins(&at)) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: number + 1,
                    what: format!("names a place of one machine: `{path}`"),
                });
            }
        }
    }
    findings
}

fn of_code(file: &File, scanned: &Scanned, word: &str, what: impl Fn(&str) -> String) -> Vec<Finding> {
    let found = scanned.code().match_indices(word);
    found.map(|(at, word)| Finding { path: file.path.clone(), line: scanned.line_of(at), what: what(word) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check_file(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_folder_of_ours_is_not() {
        let path = MACHINE_PATHS[0];
        assert_eq!(
            found("README.md", &format!("a\nsee `{path}main`")),
            [format!("README.md:2: names a place of one machine: `{path}`")]
        );
        assert!(found("README.md", &format!("docs{path}a and ..{path}b")).is_empty());
    }

    #[test]
    fn a_hidden_test_is_found_but_not_the_word_in_a_text() {
        assert_eq!(found("a.rs", "//! a\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n").len(), 1);
        assert!(found("a.rs", "//! a #[ignore]\nconst A: &str = \"#[ignore]\";\n").is_empty());
    }

    #[test]
    fn a_socket_is_found_in_libraries_and_in_fetch_outside_its_tests() {
        let text = "//! a\nuse std::net::TcpStream;\n";
        for name in ["documents", "records", "tables", "tokens", "model", "train", "fetch"] {
            assert!(!found(&format!("crates/{name}/src/a.rs"), text).is_empty(), "{name}");
        }
        assert!(!found("crates/records/tests/a.rs", text).is_empty());
        assert!(found("crates/fetch/tests/fetch/server.rs", text).is_empty());
        let tested = "//! a\n#[cfg(test)]\nmod tests {\n    use std::net::TcpStream;\n}\n";
        assert!(found("crates/fetch/src/http.rs", tested).is_empty());
        assert!(!found("crates/records/src/a.rs", tested).is_empty());
        assert!(found("crates/wardsmith/src/doctor.rs", text).is_empty());
    }
}
