//! Files, compressions and archives, one in the other: whatever comes is opened and read to its end.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use wardsmith_records::input::{Input, MAX_RATIO, read};

/// What small files may become without their ratio being looked at.
const FREE_BYTES: u64 = 64 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(bytes).expect("there is room for a file");
    let wants = |place: &str| !place.ends_with(".md");
    let Ok(input) = Input::open(file.path(), &wants) else {
        return;
    };
    for unit in &input.units {
        let mut all = 0;
        let _ = read(unit, &wants, &mut |reader, place| {
            assert!(!place.contains('\n') && wants(place) && place.chars().count() < 4000);
            all += std::io::copy(reader, &mut std::io::sink()).unwrap_or(0);
            Ok(())
        });
        assert!(all <= FREE_BYTES.max(bytes.len() as u64 * MAX_RATIO) + (1 << 20), "{all} bytes");
    }
});
