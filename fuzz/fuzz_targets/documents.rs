//! Documents as records: the first byte is the name's ending, the rest the document.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use wardsmith_records::record::Record;
use wardsmith_records::source::by_name;

const NAMES: &[&str] = &["a.md", "a.html", "a.txt", "a.eml", "a.mbox", "a.pdf", "a.docx", "a"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut bytes)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let source = by_name("documents").expect("it is in the table");
    let mut ids = BTreeSet::new();
    let _ = source.parse(&mut bytes, name, &mut |one| {
        if let Ok(Record::Document(document)) = one {
            assert!(ids.insert(document.id.clone()), "`{}` twice", document.id);
            assert!(document.text.chars().count() <= 8_000 && !document.title.contains('\n'));
        }
    });
});
