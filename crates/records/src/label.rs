//! Which weakness a CVE has, where its sources disagree: the policy of a dataset, chosen in its recipe.
//!
//! Measured on the real feeds, NVD and the CNA name the same CWE for 79 % of the CVEs that both label, so a policy is
//! needed, and none is right for everybody: whose word counts first, whether one word is enough, how much an undisputed
//! label weighs, and whether fine distinctions are merged to the view that NVD itself uses (1003).

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::record::{CweId, Label, WeaknessRef};

/// A kind of source of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// NVD's analysts.
    Nvd,
    /// The CNA that assigned the CVE.
    Cna,
    /// An authorised data publisher, such as CISA.
    Adp,
    /// Anybody else: advisory databases, coordinators.
    Other,
}

impl Voice {
    /// Every kind, in the default order of hearing.
    pub const ALL: [Self; 4] = [Self::Nvd, Self::Cna, Self::Adp, Self::Other];

    /// Its name, as recipes write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nvd => "nvd",
            Self::Cna => "cna",
            Self::Adp => "adp",
            Self::Other => "other",
        }
    }

    /// The kind of a label's source, such as `cna:acme`.
    #[must_use]
    pub fn of(source: &str) -> Self {
        let kind = source.split(':').next().unwrap_or_default();
        Self::ALL.into_iter().find(|voice| voice.name() == kind).unwrap_or(Self::Other)
    }
}

/// How the weakness of a CVE is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CwePolicy {
    /// Whose word counts first; who is not named is not heard.
    pub order: Vec<Voice>,
    /// Only labels that at least two kinds of source give.
    pub agreed_only: bool,
    /// In training, a label that two kinds of source give counts once, one that a single source gives three quarters,
    /// and a disputed one half.
    pub weigh_by_agreement: bool,
    /// A weakness that view 1003 lacks is replaced by its nearest ancestor there, and left out where it has none.
    pub to_view_1003: bool,
}

impl Default for CwePolicy {
    fn default() -> Self {
        Self { order: Voice::ALL.to_vec(), agreed_only: false, weigh_by_agreement: false, to_view_1003: false }
    }
}

/// A weakness that a policy found for a CVE.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided {
    /// The weakness.
    pub cwe: CweId,
    /// How often it counts in training, above 0 and up to 1.
    pub weight: f64,
}

impl CwePolicy {
    /// What may be the label of a CVE with these labels, best first, each once.
    #[must_use]
    pub fn decide(&self, labels: &[Label<WeaknessRef>], catalogue: &Catalogue) -> Vec<Decided> {
        let heard: Vec<(Voice, CweId, bool, bool)> = labels
            .iter()
            .filter_map(|label| {
                let voice = Voice::of(&label.source);
                let cwe = self.merged(label.value.cwe()?, catalogue)?;
                self.order.contains(&voice).then_some((voice, cwe, label.from_text, !label.primary))
            })
            .collect();
        let rank = |voice: Voice| self.order.iter().position(|one| *one == voice);
        let mut ordered: Vec<&(Voice, CweId, bool, bool)> = heard.iter().collect();
        ordered.sort_by_key(|(voice, _, from_text, secondary)| (rank(*voice), *from_text, *secondary));
        let mut decided: Vec<Decided> = Vec::new();
        for &&(_, cwe, _, _) in &ordered {
            let voices = voices_for(&heard, cwe);
            if decided.iter().any(|one| one.cwe == cwe) || (self.agreed_only && voices < 2) {
                continue;
            }
            let weight = if self.weigh_by_agreement { agreement(voices, all_voices(&heard)) } else { 1.0 };
            decided.push(Decided { cwe, weight });
        }
        decided
    }

    fn merged(&self, cwe: CweId, catalogue: &Catalogue) -> Option<CweId> {
        if !self.to_view_1003 || catalogue.simplified().contains(cwe) {
            return Some(cwe);
        }
        let above = catalogue.research().ancestors(cwe);
        above.into_iter().map(|(ancestor, _)| ancestor).find(|ancestor| catalogue.simplified().contains(*ancestor))
    }
}

/// How many kinds of source name `cwe`.
fn voices_for(heard: &[(Voice, CweId, bool, bool)], cwe: CweId) -> usize {
    let names = |voice: &Voice| heard.iter().any(|(own, other, ..)| own == voice && *other == cwe);
    Voice::ALL.iter().filter(|voice| names(voice)).count()
}

/// How many kinds of source name anything.
fn all_voices(heard: &[(Voice, CweId, bool, bool)]) -> usize {
    Voice::ALL.iter().filter(|voice| heard.iter().any(|(own, ..)| own == *voice)).count()
}

fn agreement(voices: usize, all: usize) -> f64 {
    match (voices, all) {
        (2.., _) => 1.0,
        (_, 1) => 0.75,
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{small, weakness};
    use crate::record::{Record, Relation};

    fn label(source: &str, cwe: &str) -> Label<WeaknessRef> {
        Label { value: cwe.parse().unwrap(), source: source.into(), primary: true, from_text: false }
    }

    fn decided(policy: &CwePolicy, labels: &[Label<WeaknessRef>]) -> Vec<(u32, f64)> {
        policy.decide(labels, &small()).into_iter().map(|one| (one.cwe.0, one.weight)).collect()
    }

    #[test]
    fn the_order_says_who_is_heard_first_and_who_not_at_all() {
        let labels = [label("cna:acme", "CWE-89"), label("nvd", "CWE-79"), label("osv:ghsa", "CWE-74")];
        assert_eq!(decided(&CwePolicy::default(), &labels), [(79, 1.0), (89, 1.0), (74, 1.0)]);
        let cna_first = CwePolicy { order: vec![Voice::Cna, Voice::Nvd], ..CwePolicy::default() };
        assert_eq!(decided(&cna_first, &labels), [(89, 1.0), (79, 1.0)]);
    }

    #[test]
    fn agreement_can_be_demanded_or_weighed() {
        let both = [label("cna:acme", "CWE-79"), label("nvd", "CWE-79")];
        let disputed = [label("cna:acme", "CWE-89"), label("nvd", "CWE-79")];
        let single = [label("nvd", "CWE-79"), label("nvd", "CWE-89")];
        let agreed = CwePolicy { agreed_only: true, ..CwePolicy::default() };
        assert_eq!(decided(&agreed, &both), [(79, 1.0)]);
        assert!(decided(&agreed, &disputed).is_empty() && decided(&agreed, &single).is_empty());
        let weighed = CwePolicy { weigh_by_agreement: true, ..CwePolicy::default() };
        assert_eq!(decided(&weighed, &both), [(79, 1.0)]);
        assert_eq!(decided(&weighed, &disputed), [(79, 0.5), (89, 0.5)]);
        assert_eq!(decided(&weighed, &single), [(79, 0.75), (89, 0.75)]);
    }

    #[test]
    fn what_view_1003_lacks_becomes_its_nearest_ancestor_there() {
        // View 1003 has 74 below 707; 79 and 89 stand below 74 in view 1000 alone.
        let mut injection = weakness(74, "injection", &[707]);
        let view = Some(crate::catalogue::SIMPLIFIED_VIEW);
        injection.relations.push(Relation { nature: "ChildOf".into(), target: CweId(707), view });
        let entries = [
            injection,
            weakness(707, "neutralization", &[]),
            weakness(79, "scripting", &[74]),
            weakness(664, "control", &[]),
        ];
        let catalogue = Catalogue::from_records(entries.into_iter().map(|one| Record::Weakness(Box::new(one))));
        let policy = CwePolicy { to_view_1003: true, ..CwePolicy::default() };
        let merged = |id| policy.merged(CweId(id), &catalogue);
        assert_eq!((merged(74), merged(79), merged(664)), (Some(CweId(74)), Some(CweId(74)), None));
        let labels = [label("nvd", "CWE-79"), label("cna:acme", "CWE-74")];
        let agreed = CwePolicy { agreed_only: true, ..policy };
        assert_eq!(agreed.decide(&labels, &catalogue).len(), 1, "merged labels agree");
    }
}
