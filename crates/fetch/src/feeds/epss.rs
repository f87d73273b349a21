//! EPSS: the probability that a CVE is exploited within 30 days, for all CVEs, of the newest day. The address leads to
//! the file of that day.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::fetch_fixed;
use crate::session::Session;
use crate::shape::Shape;

const URL: &str = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz";
/// It has 2 MB.
const MAX_BYTES: u64 = 256 << 20;

/// See the file's head.
pub(crate) struct Epss;

impl Feed for Epss {
    fn name(&self) -> &'static str {
        "epss"
    }

    fn what(&self) -> &'static str {
        "EPSS exploitation probabilities of the newest day (CSV)"
    }

    fn licence(&self) -> &'static str {
        "EPSS usage agreement (FIRST): free, with attribution"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        fetch_fixed(session, &[(URL, "epss/epss_scores-current.csv.gz", Shape::Gzip, MAX_BYTES)])
    }
}
