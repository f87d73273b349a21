//! CISA's catalogue of known exploited vulnerabilities, as JSON and as CSV.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::{Fixed, fetch_fixed};
use crate::session::Session;
use crate::shape::Shape;

const JSON: &str = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json";
const CSV: &str = "https://www.cisa.gov/sites/default/files/csv/known_exploited_vulnerabilities.csv";
/// It has 1 MB.
const MAX_BYTES: u64 = 256 << 20;
const FILES: &[Fixed] = &[
    (JSON, "kev/known_exploited_vulnerabilities.json", Shape::Json, MAX_BYTES),
    (CSV, "kev/known_exploited_vulnerabilities.csv", Shape::Text, MAX_BYTES),
];

/// See the file's head.
pub(crate) struct Kev;

impl Feed for Kev {
    fn name(&self) -> &'static str {
        "kev"
    }

    fn what(&self) -> &'static str {
        "CISA's known exploited vulnerabilities (JSON, CSV)"
    }

    fn licence(&self) -> &'static str {
        "CC0 1.0"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[JSON, CSV]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        fetch_fixed(session, FILES)
    }
}
