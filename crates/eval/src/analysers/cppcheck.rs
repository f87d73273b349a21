//! Cppcheck: C and C++, XML report of version 2, a CWE at each error.

use std::collections::BTreeSet;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Analyser, Finding, file_name};

pub(super) static CPPCHECK: Analyser = Analyser {
    name: "cppcheck",
    reads: &["c", "h", "cc", "cpp", "cxx"],
    install: "apt-get install cppcheck",
    arguments,
    on_stderr: true,
    parse,
};

fn arguments(_: &Path) -> Vec<String> {
    ["--enable=warning,portability", "--inconclusive", "--xml", "--xml-version=2", "--quiet", "."]
        .map(str::to_owned)
        .to_vec()
}

fn parse(text: &str) -> Result<Vec<Finding>, String> {
    let mut reader = Reader::from_str(text);
    let (mut findings, mut current, mut begun) = (Vec::new(), None, false);
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "results" => begun = true,
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "error" => {
                let weakness = attribute(&tag, "cwe").map(|number| format!("CWE-{number}"));
                current = Some((attribute(&tag, "id").unwrap_or_default(), weakness));
            }
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "location" => {
                // The first location is the place; further ones lead to it.
                if let (Some((rule, weakness)), Some(file)) = (current.take(), attribute(&tag, "file")) {
                    findings.push(Finding {
                        file: file_name(&file),
                        line: attribute(&tag, "line").and_then(|line| line.parse().ok()).unwrap_or(0),
                        rule,
                        weaknesses: weakness.into_iter().collect::<BTreeSet<_>>(),
                    });
                }
            }
            Event::DocType(_) => return Err("it declares a document type".into()),
            Event::Eof if begun => return Ok(findings),
            Event::Eof => return Err("it has no `results`".into()),
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(found.value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_place_and_a_weakness() {
        let text = r#"<?xml version="1.0"?><results version="2"><errors>
            <error id="bufferAccessOutOfBounds" severity="error" msg="x" cwe="788"><location file="a/f1.c" line="7"/>
            <location file="a/f1.c" line="2"/></error><error id="noLocation" severity="information"/></errors></results>"#;
        let found = parse(text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), ("f1.c", 7));
        assert!(found[0].weaknesses.contains("CWE-788"));
    }
}
