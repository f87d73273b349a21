//! Bytes that nobody vouches for, through the public door: every kind, no panic, no hang, the same answer twice.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its own documents may panic")]

use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use wardsmith_documents::{Error, Kind, Limits, kind_of, read};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A small right document of each kind.
fn sample(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Markdown => "---\ntitle: T\n---\n# Häding\n\n- a [b](c) `d`\n\n| x | y |\n|---|---|\n| 1 | <br> |\n\n```\nz\n```\n".into(),
        Kind::Html => "<!doctype html><meta charset=utf-8><title>T&eacute;</title><main><h1>H</h1><ul><li>ä<pre> b\n</pre></ul><table><tr><td>c</table><!-- d --></main>".into(),
        Kind::Plain => "Title\n\nÄ line.\n- item\n".into(),
        Kind::Mail => "From: a@b\nSubject: =?utf-8?q?=C3=A4?=\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>=C3=A4\n--b\n\nplain\n> quote\n-- \nme\n--b--\n".into(),
        Kind::Mbox => "From a Mon\nSubject: x\n\none\n\nFrom b Tue\nSubject: y\n\n>From two\n".into(),
        Kind::Docx => docx(),
        Kind::Pdf => pdf(),
    }
}

fn docx() -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let members: [(&str, &str); 3] = [
        (
            "word/document.xml",
            "<w:document><w:body><w:p><w:pPr><w:pStyle w:val='Heading1'/></w:pPr><w:r><w:t>H &amp; H</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>",
        ),
        ("word/styles.xml", "<w:styles><w:style w:styleId='Heading1'><w:name w:val='heading 1'/></w:style></w:styles>"),
        ("docProps/core.xml", "<p><title>T</title></p>"),
    ];
    for (name, content) in members {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn pdf() -> Vec<u8> {
    let map = "begincodespacerange <00><FF> endcodespacerange beginbfrange <41><43><0061> endbfrange";
    let content = "BT /F 12 Tf 10 700 Td [(AB) -300 (C)] TJ T* (D) ' ET /X Do";
    format!(
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Kids[3 0 R]/Count 1>>endobj\n\
         3 0 obj<</Type/Page/Contents 4 0 R/Resources<</Font<</F 5 0 R>>/XObject<</X 4 0 R>>>>>>endobj\n\
         4 0 obj<</Subtype/Form/Length {}>>stream\n{content}\nendstream endobj\n\
         5 0 obj<</Type/Font/Subtype/Type1/ToUnicode 6 0 R/Encoding<</Differences[68/eacute]>>/FirstChar 65/Widths[500 600 700 800]>>endobj\n\
         6 0 obj<</Length {}>>stream\n{map}\nendstream endobj\n\
         trailer<</Root 1 0 R>>",
        content.len(),
        map.len()
    )
    .into_bytes()
}

/// Pieces from which something like a document of each kind is put together.
const PIECES: [(Kind, &[&str]); 7] = [
    (
        Kind::Markdown,
        &[
            "# ", "\n", "\n\n", "- ", "    ", "```\n", "|", "|-|-|\n", "[", "](", ")", "![", "*", "_", "> ", "<b>",
            "<!--", "-->", "&amp;", "---\n", "a", "[^1]", ": ", "`", "é", "\u{2028}", "<table>", "1. ",
        ],
    ),
    (
        Kind::Html,
        &[
            "<",
            ">",
            "<p>",
            "</p>",
            "<div ",
            "class=",
            "\"",
            "'",
            "hidden",
            "<table>",
            "<tr>",
            "<td>",
            "</table>",
            "<ul>",
            "<li>",
            "</ul>",
            "<pre>",
            "</pre>",
            "<h1>",
            "</h1>",
            "<main>",
            "</main>",
            "<article>",
            "<nav>",
            "</nav>",
            "<script>",
            "</script>",
            "<!--",
            "-->",
            "<title>",
            "</title>",
            "&",
            "&lt;",
            "&#x",
            ";",
            "<br>",
            "<img alt=x>",
            "a",
            "é",
            "\n",
            "/>",
            "<xmp>",
        ],
    ),
    (
        Kind::Plain,
        &[
            "a",
            " ",
            "\n",
            "\n\n",
            "- ",
            "\t",
            "é",
            "\u{c}",
            "\r\n",
            "===",
            "word word word word word word word word word word",
        ],
    ),
    (
        Kind::Mail,
        &[
            "Subject: ",
            "From: ",
            "Content-Type: ",
            "multipart/mixed",
            "text/html",
            "text/plain",
            "; boundary=b",
            "; charset=",
            "utf-8",
            "\n",
            "\n\n",
            "--b",
            "--",
            "-- \n",
            "> ",
            "=?utf-8?q?",
            "?=",
            "=C3",
            "Content-Transfer-Encoding: base64",
            "aGk=",
            "Date: Mon, 6 May 2024 10:00:00 +0000",
            "message/rfc822",
            "-----BEGIN PGP SIGNED MESSAGE-----",
            "a wrote:",
            "a",
        ],
    ),
    (Kind::Mbox, &["From a\n", "From ", "Subject: x\n", "\n", "\n\n", ">From ", "text", ": "]),
    (Kind::Docx, &["PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "word/document.xml", "\0\0\0\0", "\x08\0", "a"]),
    (
        Kind::Pdf,
        &[
            "%PDF-1.4\n",
            "1 0 obj",
            "2 0 obj",
            "3 0 obj",
            " endobj\n",
            "<<",
            ">>",
            "[",
            "]",
            "(",
            ")",
            "<",
            ">",
            "/Type",
            "/Catalog",
            "/Pages",
            "/Page",
            "/Kids",
            "/Contents",
            "/Resources",
            "/Font",
            "/F",
            "/Length ",
            "/Filter",
            "/FlateDecode",
            "/ObjStm",
            "/N 2",
            "/First 4",
            "1 0 R",
            "2 0 R",
            "3 0 R",
            " 5 ",
            "-1 ",
            "stream\n",
            "\nendstream",
            "trailer",
            "/Root",
            "/Encrypt",
            "BT",
            " Tf ",
            " Tj ",
            " TJ ",
            " Td ",
            " Tm ",
            " cm ",
            " Do ",
            " q ",
            " Q ",
            "BI ID EI",
            "\\",
            "xref",
        ],
    ),
];

fn pieces(kind: Kind) -> &'static [&'static str] {
    PIECES.iter().find(|(of, _)| *of == kind).expect("every kind has its pieces").1
}

fn limits() -> Limits {
    Limits { pdf_work: 4 << 20, ..Limits::default() }
}

/// Reads twice and compares; what a text promises of itself is checked.
fn check(bytes: &[u8], kind: Kind) {
    let first = read(bytes, kind, &limits());
    let second = read(bytes, kind, &limits());
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first, second);
            for text in first {
                assert_eq!(text.kind, kind);
                assert!(!text.title.contains('\n') && text.body.trim_end() == text.body, "{text:?}");
                assert!(text.sections.iter().all(|section| section.level <= 6));
                let parts: usize = text.sections.iter().map(|part| part.heading.len() + part.body.len()).sum();
                assert!(parts <= text.body.len(), "{text:?}");
            }
        }
        (Err(first), Err(second)) => {
            assert_eq!(first.to_string(), second.to_string());
            assert!(!first.to_string().contains("its parser gave up"), "a panic: {first}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_samples_are_read() {
    for kind in Kind::ALL {
        let bytes = sample(kind);
        let texts = read(&bytes, kind, &limits()).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(texts.len(), if kind == Kind::Mbox { 2 } else { 1 });
        assert!(texts.iter().all(|text| !text.body.is_empty()), "{texts:?}");
        let name = format!("a.{}", kind.extensions()[0]);
        assert_eq!(kind_of(&bytes, &name), Some(kind));
    }
}

#[test]
fn samples_cut_anywhere_do_not_panic() {
    for kind in Kind::ALL {
        let whole = sample(kind);
        for end in 0..whole.len() {
            check(&whole[..end], kind);
        }
    }
}

#[test]
fn every_kind_survives_the_samples_of_all_others() {
    for kind in Kind::ALL {
        for other in Kind::ALL {
            check(&sample(other), kind);
        }
        for odd in [&b""[..], b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff\xfe\0", b"\n", b"<", b"&", b"%"] {
            check(odd, kind);
        }
    }
}

#[test]
fn a_million_of_anything_takes_seconds_at_most() {
    for kind in Kind::ALL {
        for piece in pieces(kind) {
            let count = 300_000 / piece.len().max(1);
            let mut bytes = if kind == Kind::Mail { b"Subject: x\n".to_vec() } else { Vec::new() };
            bytes.extend(piece.repeat(count).into_bytes());
            let begin = Instant::now();
            let result = read(&bytes, kind, &limits());
            assert!(begin.elapsed() < Duration::from_secs(20), "{kind} {piece:?} took {:?}", begin.elapsed());
            if let Err(error) = result {
                assert!(
                    !matches!(&error, Error::Broken { detail, .. } if detail.contains("gave up")),
                    "{kind} {piece:?}: {error}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        for kind in Kind::ALL {
            check(&bytes, kind);
        }
        let _ = kind_of(&bytes, "a.md");
    }

    #[test]
    fn random_pieces_never_panic(choice in vec(any::<prop::sample::Index>(), 0..80)) {
        for kind in Kind::ALL {
            let pieces = pieces(kind);
            let text: String = choice.iter().map(|index| *index.get(pieces)).collect();
            check(text.as_bytes(), kind);
        }
    }

    #[test]
    fn changed_samples_never_panic(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for kind in Kind::ALL {
            let mut bytes = sample(kind);
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            check(&bytes, kind);
        }
    }
}
