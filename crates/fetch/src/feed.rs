//! What a feed is: a name, its terms, its addresses, and how its files are found.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::feeds::attack::Attack;
use crate::feeds::capec::Capec;
use crate::feeds::certcc::CertCc;
use crate::feeds::csaf::Csaf;
use crate::feeds::cvelist::CveList;
use crate::feeds::cwe::Cwe;
use crate::feeds::epss::Epss;
use crate::feeds::ghsa::Ghsa;
use crate::feeds::kev::Kev;
use crate::feeds::nvd::Nvd;
use crate::feeds::nvd_api::NvdApi;
use crate::feeds::sigma::Sigma;
use crate::session::Session;

/// Every feed.
pub static ALL: &[&dyn Feed] =
    &[&CveList, &Nvd, &NvdApi, &Cwe, &Capec, &Attack, &Kev, &Epss, &Ghsa, &Csaf, &CertCc, &Sigma];

/// A public place that publishes files.
pub trait Feed: Sync {
    /// Stable name: of the feed on the command line, in the lock file, and of its subfolder.
    fn name(&self) -> &'static str;

    /// What it is, in a few words.
    fn what(&self) -> &'static str;

    /// The terms of its data.
    fn licence(&self) -> &'static str;

    /// The original addresses it begins with.
    fn urls(&self) -> &'static [&'static str];

    /// How many requests its server allows in how long a time, without or with a key; 403 then means that there were
    /// too many.
    fn pace(&self, has_key: bool) -> Option<(usize, Duration)> {
        let _ = has_key;
        None
    }

    /// Finds its files and asks the session for each.
    ///
    /// # Errors
    /// Where nothing can be found. What happens to a single file, the session counts.
    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()>;
}

/// The feed called `name`.
///
/// # Errors
/// Where there is none.
pub fn by_name(name: &str) -> Result<&'static dyn Feed> {
    let found = ALL.iter().copied().find(|feed| feed.name() == name);
    found.ok_or_else(|| Error::UnknownFeed {
        name: name.into(),
        known: ALL.iter().map(|feed| format!("`{}`", feed.name())).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::web_address;
    use crate::safe_path::safe_path;

    #[test]
    fn every_feed_has_a_name_terms_and_https_addresses_and_is_found_by_its_name() {
        for feed in ALL {
            assert_eq!(by_name(feed.name()).unwrap().name(), feed.name());
            assert!(safe_path(feed.name()).is_ok() && !feed.name().contains('/'));
            assert!(!feed.what().is_empty() && !feed.licence().is_empty() && !feed.urls().is_empty());
            for url in feed.urls() {
                assert_eq!(web_address(url).unwrap().scheme(), "https", "{url}");
            }
        }
        let message = by_name("nvdd").err().unwrap().to_string();
        assert!(message.contains("`nvdd`") && message.contains("`cvelist`, `nvd`, `nvd-api`"), "{message}");
    }
}
