//! Sigma's detection rules: the archive `sigma_all_rules.zip` of SigmaHQ's newest release.

use crate::error::Result;
use crate::feed::Feed;
use crate::feeds::github;
use crate::session::{Session, known_address, unreadable};

const URL: &str = "https://api.github.com/repos/SigmaHQ/sigma/releases/latest";
const NAME: &str = "sigma_all_rules.zip";
/// It has 5 MB.
const MAX_BYTES: u64 = 512 << 20;

/// See the file's head.
pub(crate) struct Sigma;

impl Feed for Sigma {
    fn name(&self) -> &'static str {
        "sigma"
    }

    fn what(&self) -> &'static str {
        "Sigma detection rules (YAML)"
    }

    fn licence(&self) -> &'static str {
        "Detection Rule License 1.1"
    }

    fn urls(&self) -> &'static [&'static str] {
        &[URL]
    }

    fn fetch(&self, session: &mut Session<'_, '_>) -> Result<()> {
        let api = known_address(URL);
        let assets = github::latest(session, &api)?;
        let Some(asset) = assets.into_iter().find(|asset| asset.name == NAME) else {
            return Err(unreadable(&api, "a release of Sigma", format!("it has no `{NAME}`")));
        };
        session.file(&asset.wanted("sigma", MAX_BYTES, &api)?)?;
        Ok(())
    }
}
