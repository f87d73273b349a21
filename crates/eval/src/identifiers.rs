//! The identifiers that an answer names: CVE, CWE, CAPEC and ATT&CK IDs, and whether they exist.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::metric::Share;

/// IDs that exist.
#[derive(Debug, Clone, Default)]
pub struct Known {
    ids: BTreeSet<String>,
}

impl Known {
    /// These IDs, such as `CWE-79` or `T1059.001`. Kinds of which none is given are not judged.
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self { ids: ids.into_iter().map(|id| id.to_uppercase()).collect() }
    }

    /// How many different IDs `text` names of the kinds that are judged, and how many of them do not exist.
    #[must_use]
    pub fn invented(&self, text: &str) -> Share {
        let judged = |id: &String| {
            let kind = kind(id);
            self.ids.range(kind.to_owned()..).next().is_some_and(|known| known.starts_with(kind))
        };
        let said: BTreeSet<String> = named(text).into_iter().filter(judged).collect();
        Share { of: said.iter().filter(|id| !self.ids.contains(*id)).count(), all: said.len() }
    }
}

/// What an ID of its kind begins with.
fn kind(id: &str) -> &str {
    let letters = id.bytes().take_while(u8::is_ascii_alphabetic).count();
    &id[..letters + usize::from(id.as_bytes().get(letters) == Some(&b'-'))]
}

/// Every ID in `text`, in order, in upper case, with repetitions.
#[must_use]
pub fn named(text: &str) -> Vec<String> {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"(?i)\b(?:CVE-\d{4}-\d{4,19}|CWE-\d{1,6}|CAPEC-\d{1,6}|T\d{4}(?:\.\d{3})?)\b";
        Regex::new(pattern).expect("a constant pattern")
    });
    ID.find_iter(text).map(|found| found.as_str().to_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_no_catalogue_has_is_invented_and_unjudged_kinds_do_not_count() {
        let known = Known::new(["CWE-79", "CWE-89", "T1059", "T1059.001"].map(str::to_owned));
        let found = known.invented("cwe-79 and CWE-99999 (CWE-79 again), T1059.001, T9999; CVE-2021-44228, XCWE-1.");
        assert_eq!(found, Share { of: 2, all: 4 });
        assert_eq!(known.invented("none"), Share::default());
        assert_eq!(Known::default().invented("CWE-1"), Share::default());
    }
}
