//! Any bytes as a file of the source `attack`: records, rejects or an error, and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wardsmith_records::source;

fuzz_target!(|bytes: &[u8]| {
    let source = source::by_name("attack").expect("the table has it");
    let mut reader = bytes;
    let _ = source.parse(&mut reader, "fuzz", &mut |_| {});
});
