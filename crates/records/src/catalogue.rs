//! The CWE catalogue as a graph: entries by ID, the trees of views 1000 and 1003, and which entries may be labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::hierarchy::Hierarchy;
use crate::record::{Category, CweId, Record, Usage, View, Weakness};

/// "Research Concepts": every weakness stands in it.
pub const RESEARCH_VIEW: u32 = 1000;
/// "Weaknesses for Simplified Mapping of Published Vulnerabilities": the two levels that NVD uses.
pub const SIMPLIFIED_VIEW: u32 = 1003;

/// All entries of the catalogue.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    weaknesses: BTreeMap<CweId, Weakness>,
    categories: BTreeMap<CweId, Category>,
    views: BTreeMap<CweId, View>,
    research: Hierarchy,
    simplified: Hierarchy,
}

impl Catalogue {
    /// Takes the catalogue's entries out of `records`; of two entries with one ID the last counts.
    #[must_use]
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Self {
        let mut catalogue = Self::default();
        for record in records {
            catalogue.add(record);
        }
        catalogue.research = catalogue.tree_of(RESEARCH_VIEW);
        catalogue.simplified = catalogue.tree_of(SIMPLIFIED_VIEW);
        catalogue
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Weakness(one) => drop(self.weaknesses.insert(one.id, *one)),
            Record::Category(one) => drop(self.categories.insert(one.id, one)),
            Record::View(one) => drop(self.views.insert(one.id, one)),
            _ => {}
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weaknesses.is_empty()
    }

    /// All weaknesses by ID, deprecated ones too.
    pub fn weaknesses(&self) -> impl Iterator<Item = &Weakness> {
        self.weaknesses.values()
    }

    /// The weakness of this ID.
    #[must_use]
    pub fn weakness(&self, id: CweId) -> Option<&Weakness> {
        self.weaknesses.get(&id)
    }

    /// The category of this ID.
    #[must_use]
    pub fn category(&self, id: CweId) -> Option<&Category> {
        self.categories.get(&id)
    }

    /// The view of this ID.
    #[must_use]
    pub fn view(&self, id: CweId) -> Option<&View> {
        self.views.get(&id)
    }

    /// Whether the entry may be a label: a weakness that is neither deprecated nor prohibited for mapping.
    #[must_use]
    pub fn may_label(&self, id: CweId) -> bool {
        self.weakness(id).is_some_and(|one| !one.is_deprecated() && one.usage != Usage::Prohibited)
    }

    /// The tree of view 1000.
    #[must_use]
    pub fn research(&self) -> &Hierarchy {
        &self.research
    }

    /// The tree of view 1003.
    #[must_use]
    pub fn simplified(&self) -> &Hierarchy {
        &self.simplified
    }

    /// The ancestors of `id` in view 1000, nearest first, then those that only view 1003 gives.
    #[must_use]
    pub fn ancestors(&self, id: CweId) -> Vec<CweId> {
        let mut found: Vec<CweId> = Vec::new();
        for view in [&self.research, &self.simplified] {
            for (ancestor, _) in view.ancestors(id) {
                if !found.contains(&ancestor) {
                    found.push(ancestor);
                }
            }
        }
        found
    }

    /// The tree of one view: its named roots, and every weakness that is a `ChildOf` another one in it.
    fn tree_of(&self, view: u32) -> Hierarchy {
        let mut parents: BTreeMap<CweId, BTreeSet<CweId>> = BTreeMap::new();
        let roots = self.views.get(&CweId(view)).map_or(&[][..], |view| &view.members);
        for &root in roots.iter().filter(|root| self.weaknesses.contains_key(root)) {
            parents.entry(root).or_default();
        }
        for weakness in self.weaknesses.values() {
            for relation in &weakness.relations {
                let within = relation.nature == "ChildOf" && relation.view == Some(view);
                if within && self.weaknesses.contains_key(&relation.target) {
                    parents.entry(weakness.id).or_default().insert(relation.target);
                    parents.entry(relation.target).or_default();
                }
            }
        }
        Hierarchy { view, parents: parents.into_iter().map(|(id, up)| (id, up.into_iter().collect())).collect() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::Relation;

    /// A weakness with these parents in view 1000.
    pub(crate) fn weakness(id: u32, name: &str, parents: &[u32]) -> Weakness {
        let child_of =
            |parent: &u32| Relation { nature: "ChildOf".into(), target: CweId(*parent), view: Some(RESEARCH_VIEW) };
        Weakness {
            id: CweId(id),
            name: name.into(),
            abstraction: "Base".into(),
            status: "Stable".into(),
            usage: Usage::Allowed,
            description: format!("The product has {name}."),
            extended_description: String::new(),
            alternate_terms: Vec::new(),
            relations: parents.iter().map(child_of).collect(),
            consequences: Vec::new(),
            mitigations: Vec::new(),
            observed_examples: Vec::new(),
            edition: None,
        }
    }

    /// 707 > 74 > {79, 89}; 664 > 200; 500 is deprecated, 501 prohibited; 264 is a category.
    pub(crate) fn small() -> Catalogue {
        let mut deprecated = weakness(500, "DEPRECATED: gone", &[]);
        deprecated.status = "Deprecated".into();
        let mut prohibited = weakness(501, "too vague", &[664]);
        prohibited.usage = Usage::Prohibited;
        let entries = [
            weakness(707, "improper neutralization", &[]),
            weakness(74, "injection", &[707]),
            weakness(79, "cross-site scripting", &[74]),
            weakness(89, "SQL injection", &[74]),
            weakness(664, "improper control", &[]),
            weakness(200, "exposure of information", &[664]),
            deprecated,
            prohibited,
        ];
        let category = Category {
            id: CweId(264),
            name: "permissions".into(),
            status: "Obsolete".into(),
            summary: String::new(),
            members: Vec::new(),
        };
        let view = View {
            id: CweId(RESEARCH_VIEW),
            name: "Research Concepts".into(),
            status: "Draft".into(),
            objective: String::new(),
            members: vec![CweId(664), CweId(707)],
        };
        let weaknesses = entries.into_iter().map(|one| Record::Weakness(Box::new(one)));
        Catalogue::from_records(weaknesses.chain([Record::Category(category), Record::View(view)]))
    }

    #[test]
    fn only_live_and_allowed_weaknesses_may_be_labels() {
        let catalogue = small();
        for (id, may) in
            [(79, true), (664, true), (500, false), (501, false), (264, false), (1000, false), (4242, false)]
        {
            assert_eq!(catalogue.may_label(CweId(id)), may, "CWE-{id}");
        }
    }

    #[test]
    fn the_tree_of_a_view_has_only_that_views_edges() {
        let mut other = weakness(79, "cross-site scripting", &[74]);
        other.relations.push(Relation { nature: "ChildOf".into(), target: CweId(707), view: Some(SIMPLIFIED_VIEW) });
        other.relations.push(Relation { nature: "PeerOf".into(), target: CweId(89), view: Some(RESEARCH_VIEW) });
        let entries = [other, weakness(74, "injection", &[707]), weakness(707, "neutralization", &[])];
        let catalogue = Catalogue::from_records(entries.into_iter().map(|one| Record::Weakness(Box::new(one))));
        assert_eq!(catalogue.research().parents[&CweId(79)], [CweId(74)]);
        assert_eq!(catalogue.simplified().parents[&CweId(79)], [CweId(707)]);
        assert_eq!(catalogue.ancestors(CweId(79)), [CweId(74), CweId(707)], "each once");
    }
}
