//! Sentences with techniques: whatever comes becomes records, rejects or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wardsmith_records::source::by_name;

fuzz_target!(|bytes: &[u8]| {
    let source = by_name("tram").expect("it is in the table");
    let _ = source.parse(&mut &bytes[..], "a.json", &mut |_| {});
});
