//! Any bytes as a file of the source `csaf`: records, rejects or an error, and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wardsmith_records::source;

fuzz_target!(|bytes: &[u8]| {
    let source = source::by_name("csaf").expect("the table has it");
    let mut reader = bytes;
    let _ = source.parse(&mut reader, "fuzz", &mut |_| {});
});
