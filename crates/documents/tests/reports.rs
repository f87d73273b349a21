//! All Markdown files of the collections of guides, where they lie beside the repository.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use liblzma::read::XzDecoder;
use wardsmith_documents::{Kind, Limits, Text, kind_of, read};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/reports");
const ARCHIVES: [&str; 3] = ["cheatsheets/cheatsheets-md.tar.xz", "wstg/wstg-md.tar.xz", "asvs/asvs-en.tar.xz"];
/// What Markdown leaves in a text that was not understood.
const LEFTOVERS: [&str; 8] = ["](http", "](/", "](#", "<br", "</", "&nbsp;", "&lt;", "|--"];

/// Every Markdown file of an archive.
fn files_of(archive: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut archive = tar::Archive::new(XzDecoder::new(File::open(archive)?));
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if name.ends_with(".md") {
            files.push((name, bytes));
        }
    }
    Ok(files)
}

/// The lines that are not code.
fn prose(text: &Text) -> Vec<&str> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for line in text.body.lines() {
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if line.len() >= 3 && line.bytes().all(|byte| byte == b'`') => fence = Some(line),
            None => lines.push(line),
        }
    }
    lines
}

#[test]
fn guides_are_read_without_leftovers() {
    let archives = ARCHIVES.map(|name| Path::new(DATA).join(name));
    if !archives.iter().all(|archive| archive.is_file()) {
        writeln!(std::io::stderr(), "skipped: no collections of guides beside the repository").unwrap();
        return;
    }
    let files: Vec<(String, Vec<u8>)> = archives.iter().flat_map(|archive| files_of(archive).unwrap()).collect();
    let (mut bytes, mut titled, mut sections, mut lines, mut left) = (0, 0, 0, 0, Vec::new());
    let begin = Instant::now();
    for (name, file) in &files {
        assert_eq!(kind_of(file, name), Some(Kind::Markdown), "{name}");
        let text = read(file, Kind::Markdown, &Limits::default()).unwrap().remove(0);
        bytes += file.len();
        titled += usize::from(!text.title.is_empty());
        sections += text.sections.len();
        let prose = prose(&text);
        lines += prose.len();
        let is_left = |line: &&str| LEFTOVERS.iter().any(|mark| line.contains(mark));
        left.extend(prose.into_iter().filter(is_left).map(|line| format!("{name}: {line}")));
    }
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(
        std::io::stderr(),
        "ran: {} files, {bytes} bytes, {titled} with a title, {sections} sections, {lines} lines of prose, {} with leftover markup, {:.1} MB/s",
        files.len(),
        left.len(),
        bytes as f64 / 1e6 / seconds,
    )
    .unwrap();
    assert!(files.len() >= 300, "{}", files.len());
    assert!(titled * 100 >= files.len() * 98, "{titled} of {} have a title", files.len());
    assert!(
        left.len() * 500 <= lines,
        "{} of {lines} lines have leftover markup, such as {:#?}",
        left.len(),
        left.iter().take(5).collect::<Vec<_>>()
    );
}
