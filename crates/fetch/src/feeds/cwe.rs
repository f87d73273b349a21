//! The CWE catalogue: one XML file in a zip, which MITRE keeps under one address for the newest version.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::fetch_fixed;
use crate::session::Session;
use crate::shape::Shape;

const URL: &str = "https://cwe.mitre.org/data/xml/cwec_latest.xml.zip";
/// Version 4.16 has 2 MB.
const MAX_BYTES: u64 = 256 << 20;

/// See the file's head.
pub(crate) struct Cwe;

impl Feed for Cwe {
    fn name(&self) -> &'static str {
        "cwe"
    }

    fn what(&self) -> &'static str {
        "the CWE catalogue of weaknesses (XML)"
    }

    fn licence(&self) -> &'static str {
        "CWE terms of use (MITRE)"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        fetch_fixed(session, &[(URL, "cwe/cwec_latest.xml.zip", Shape::Zip, MAX_BYTES)])
    }
}
