//! SVEN: functions before and after a security fix, by weakness, in C, C++ and Python.
//!
//! Published with "Large Language Models for Code: Security Hardening and Adversarial Testing" (He and Vechev, 2023),
//! as JSON Lines. Its own split into training and validation is not kept: [`crate::split`] makes one by commit.

use std::io::BufRead;

use serde::Deserialize;

use crate::digest::sha256_of_bytes;
use crate::error::Result;
use crate::format::Format;
use crate::input::walk::extension;
use crate::record::{CodePair, CweId, Record, RejectReason};
use crate::source::{Sink, Source, expect_format};
use crate::sources::json::record;
use crate::sources::lines::records;

/// Languages by the endings of their files; an ending that is not here stands for itself.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("c", &["c", "h"]),
    ("cpp", &["cc", "cpp", "cxx", "c++", "hpp", "hh", "hxx"]),
    ("csharp", &["cs"]),
    ("go", &["go"]),
    ("java", &["java"]),
    ("javascript", &["js", "mjs", "jsx"]),
    ("kotlin", &["kt"]),
    ("php", &["php"]),
    ("python", &["py"]),
    ("ruby", &["rb"]),
    ("rust", &["rs"]),
    ("typescript", &["ts", "tsx"]),
];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Sven;

const NAME: &str = "sven";

impl Source for Sven {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "MIT (SVEN); the code is under the licences of its projects"
    }

    fn reads(&self) -> &'static str {
        "functions before and after a fix (SVEN's JSON Lines)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::Sven
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        records(self, reader, place, read, sink)
    }
}

#[derive(Deserialize)]
struct Pair {
    #[serde(default)]
    func_name: String,
    func_src_before: String,
    func_src_after: String,
    commit_link: String,
    file_name: String,
    vul_type: String,
}

fn read(text: &str, _: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    let pair: Pair = record(text)?;
    let cwe = cwe_of(&pair.vul_type).ok_or(RejectReason::BadId)?;
    let (vulnerable, fixed) = (code(&pair.func_src_before), code(&pair.func_src_after));
    let origin = origin(&pair.commit_link);
    if vulnerable.trim().is_empty() || fixed.trim().is_empty() || origin.is_empty() {
        return Err(RejectReason::WrongShape);
    }
    // The published set has four such pairs: what was mended lies outside of the function.
    if vulnerable == fixed {
        return Err(RejectReason::NoText);
    }
    // A commit may change several functions of one name in one file.
    let digest = sha256_of_bytes(format!("{cwe}\0{vulnerable}\0{fixed}").as_bytes());
    sink(Ok(Record::Code(Box::new(CodePair {
        id: format!("{origin}/{}#{}-{}", pair.file_name, pair.func_name, &digest[..8]),
        language: language(&pair.file_name),
        cwe,
        function: pair.func_name,
        origin,
        vulnerable,
        fixed,
        source: NAME,
    }))));
    Ok(())
}

/// The number of `cwe-089`.
fn cwe_of(text: &str) -> Option<CweId> {
    let number = text.to_ascii_lowercase();
    let number = number.strip_prefix("cwe-")?.trim_start_matches('0');
    format!("CWE-{number}").parse().ok()
}

/// Repository and commit, without the scheme: `github.com/acme/kettle/commit/0123…`.
fn origin(link: &str) -> String {
    let link = link.trim();
    let link = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://")).unwrap_or(link);
    link.trim_end_matches('/').to_owned()
}

/// Code with plain line ends.
fn code(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn language(file: &str) -> String {
    // Of all endings only this one is known by its case.
    if file.ends_with(".C") {
        return "cpp".into();
    }
    let ending = extension(file);
    let known = LANGUAGES.iter().find(|(_, endings)| endings.contains(&ending.as_str()));
    known.map_or(ending, |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Reject;
    use crate::source::tests::parse;

    const PAIRS: &str = include_str!("../../fixtures/sven.jsonl");

    fn pairs_in(text: &str) -> (Vec<CodePair>, Vec<Reject>) {
        let (records, rejects) = parse(&Sven, text).unwrap();
        let pairs = records.into_iter().map(|record| match record {
            Record::Code(one) => *one,
            other => panic!("{other:?}"),
        });
        (pairs.collect(), rejects)
    }

    #[test]
    fn a_pair_is_read_with_its_origin_language_and_weakness() {
        let (found, rejects) = pairs_in(PAIRS);
        assert!(rejects.is_empty(), "{rejects:?}");
        assert_eq!(found.len(), 3);
        let one = &found[0];
        assert_eq!((one.cwe, one.language.as_str(), one.function.as_str()), (CweId(22), "python", "get_cup"));
        assert_eq!(one.origin, "github.com/acme/kettle/commit/0123abcd");
        assert_eq!(one.id, "github.com/acme/kettle/commit/0123abcd/tea/cups.py#get_cup-dfe77774");
        assert_eq!(one.vulnerable, "def get_cup(name):\n\treturn open('cups/' + name)");
        assert_eq!(one.fixed, "def get_cup(name):\n\treturn open('cups/' + safe(name))");
        assert_eq!((found[2].language.as_str(), found[2].cwe), ("c", CweId(787)));
    }

    #[test]
    fn two_functions_of_one_name_in_one_file_are_two_pairs() {
        let (found, _) = pairs_in(PAIRS);
        assert_eq!((&found[0].origin, &found[0].function), (&found[1].origin, &found[1].function));
        assert_ne!(found[0].id, found[1].id);
    }

    #[test]
    fn languages_are_told_by_the_ending() {
        for (file, want) in [
            ("a/b.c", "c"),
            ("b.h", "c"),
            ("b.C", "cpp"),
            ("b.CC", "cpp"),
            ("x.py", "python"),
            ("x.zig", "zig"),
            ("x", ""),
        ] {
            assert_eq!(language(file), want, "{file}");
        }
    }

    #[test]
    fn bad_pairs_are_rejects_and_bad_files_are_errors() {
        let line = PAIRS.lines().next().unwrap();
        for (bad, reason) in [
            (line.replace("cwe-022", "xss"), RejectReason::BadId),
            (line.replace("safe(name)", "name"), RejectReason::NoText),
            (line.replace("github.com", "").replace("/acme/kettle/commit/0123abcd", ""), RejectReason::WrongShape),
            (line.replace("commit_link", "link"), RejectReason::WrongShape),
            (line[..line.len() - 9].to_owned(), RejectReason::Malformed),
        ] {
            let (found, rejects) = pairs_in(&format!("{line}\n{bad}\n\n{line}"));
            assert_eq!((found.len(), rejects[0].reason), (2, reason), "{bad}");
            assert_eq!(rejects[0].place, "here line 2");
        }
        assert!(parse(&Sven, "{\"a\":1}").is_err());
    }

    #[test]
    fn no_cut_makes_it_panic() {
        for at in (0..PAIRS.len()).filter(|at| PAIRS.is_char_boundary(*at)) {
            let _ = parse(&Sven, &PAIRS[..at]);
        }
    }
}
