//! Documents: the first byte is the kind, the rest the document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wardsmith_documents::{Error, Kind, Limits, kind_of, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let kind = Kind::ALL[usize::from(*first) % Kind::ALL.len()];
    let _ = kind_of(bytes, "a.md");
    // Less work than usual, so that slow inputs are found and not waited for.
    let limits = Limits { pdf_work: 8 << 20, output_bytes: 1 << 20, ..Limits::default() };
    match read(bytes, kind, &limits) {
        Ok(texts) => {
            for text in texts {
                assert_eq!(text.body.trim_end(), text.body);
                assert!(!text.title.contains('\n') && text.sections.iter().all(|section| section.level <= 6));
            }
        }
        // The thread on which documents are read turns panics into errors; here they are what is looked for.
        Err(Error::Broken { detail, .. }) if detail.starts_with("its parser gave up") => panic!("{kind}: {detail}"),
        Err(_) => {}
    }
});
