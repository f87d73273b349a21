//! CAPEC's attack patterns as a STIX 2.1 bundle, from MITRE's repository `mitre/cti`.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::fetch_fixed;
use crate::session::Session;
use crate::shape::Shape;

const URL: &str = "https://raw.githubusercontent.com/mitre/cti/master/capec/2.1/stix-capec.json";
/// Version 3.9 has 4 MB.
const MAX_BYTES: u64 = 256 << 20;

/// See the file's head.
pub(crate) struct Capec;

impl Feed for Capec {
    fn name(&self) -> &'static str {
        "capec"
    }

    fn what(&self) -> &'static str {
        "CAPEC attack patterns (STIX 2.1)"
    }

    fn licence(&self) -> &'static str {
        "CAPEC terms of use (MITRE)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        fetch_fixed(session, &[(URL, "capec/stix-capec.json", Shape::Json, MAX_BYTES)])
    }
}
