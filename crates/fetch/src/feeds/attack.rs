//! MITRE ATT&CK as STIX 2.1 bundles, from the repository `mitre-attack/attack-stix-data`, where the files without a
//! version in their names are the newest.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::{Fixed, fetch_fixed};
use crate::session::Session;
use crate::shape::Shape;

const ENTERPRISE: &str =
    "https://raw.githubusercontent.com/mitre-attack/attack-stix-data/master/enterprise-attack/enterprise-attack.json";
const MOBILE: &str =
    "https://raw.githubusercontent.com/mitre-attack/attack-stix-data/master/mobile-attack/mobile-attack.json";
const ICS: &str = "https://raw.githubusercontent.com/mitre-attack/attack-stix-data/master/ics-attack/ics-attack.json";
/// The enterprise matrix has some 50 MB.
const MAX_BYTES: u64 = 1 << 30;
const FILES: &[Fixed] = &[
    (ENTERPRISE, "attack/enterprise-attack.json", Shape::Json, MAX_BYTES),
    (MOBILE, "attack/mobile-attack.json", Shape::Json, MAX_BYTES),
    (ICS, "attack/ics-attack.json", Shape::Json, MAX_BYTES),
];

/// See the file's head.
pub(crate) struct Attack;

impl Feed for Attack {
    fn name(&self) -> &'static str {
        "attack"
    }

    fn what(&self) -> &'static str {
        "MITRE ATT&CK: enterprise, mobile, ICS (STIX 2.1)"
    }

    fn licence(&self) -> &'static str {
        "ATT&CK terms of use (MITRE)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[ENTERPRISE, MOBILE, ICS]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        fetch_fixed(session, FILES)
    }
}
